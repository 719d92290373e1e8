//! The certificates of a worker, by the names that clients send (RFC 6066 §3).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::signer::{RemoteKey, RemoteKeys};
use crate::ipc::key_protocol::Certificate;
use crate::os::clock;

/// A certificate with its chain, and the key that signs for it.
#[derive(Debug, Clone)]
pub struct StoredCertificate {
    /// Its DNS names in lower case; a wildcard as `*.example.org`.
    pub names: Vec<String>,
    /// Whether it is for clients that send no name or an unknown one.
    pub is_default: bool,
    /// The start of its validity, in seconds since the epoch.
    pub not_before: i64,
    /// The end of its validity.
    pub not_after: i64,
    /// The chain, and the key.
    pub key: Arc<CertifiedKey>,
}

/// Certificates by name.
#[derive(Debug, Default)]
pub struct Store {
    /// The certificates for each name, that which expires last first. Several have different types of keys, or one is the
    /// successor of another.
    by_name: HashMap<String, Vec<Arc<StoredCertificate>>>,
    default: Vec<Arc<StoredCertificate>>,
}

/// The reason why there is no certificate for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCertificate {
    /// No certificate has the name.
    UnknownName,
    /// The client does not support the signatures of any certificate with the name.
    NoSignatureScheme,
}

impl StoredCertificate {
    /// Creates a certificate of the key process `keys`.
    pub fn remote(certificate: Certificate, keys: RemoteKeys) -> Self {
        let remote = Arc::new(RemoteKey::new(&certificate, keys));
        let chain = certificate.chain.into_iter().map(CertificateDer::from).collect();
        let key = Arc::new(CertifiedKey::new(chain, remote));
        let Certificate { names, is_default, not_before, not_after, .. } = certificate;
        StoredCertificate { names, is_default, not_before, not_after, key }
    }
}

impl Store {
    /// Creates a store of `certificates`.
    pub fn new(certificates: impl IntoIterator<Item = StoredCertificate>) -> Self {
        let mut store = Store::default();
        let mut certificates: Vec<_> = certificates.into_iter().map(Arc::new).collect();
        // The sort is stable.
        certificates.sort_by_key(|certificate| Reverse(certificate.not_after));
        for certificate in certificates {
            for name in &certificate.names {
                store.by_name.entry(name.clone()).or_default().push(certificate.clone());
            }
            if certificate.is_default {
                store.default.push(certificate);
            }
        }
        store
    }

    /// Returns whether it has no certificate.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.default.is_empty()
    }

    /// Returns the certificate for `name`. `schemes` are those of the client; their order decides between types of keys. Of
    /// several of one type, the one that expires last is used. One that is not valid now is used only if there is no other.
    pub fn find(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Result<Arc<StoredCertificate>, NoCertificate> {
        self.find_at(i64::try_from(clock::unix_s()).unwrap_or(i64::MAX), name, schemes)
    }

    /// The same, at `now` in seconds since the epoch.
    pub(super) fn find_at(
        &self,
        now: i64,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Result<Arc<StoredCertificate>, NoCertificate> {
        let [exact, wildcard] = name.map_or_else(Default::default, |name| self.with_name(name));
        let named = exact.len() + wildcard.len();
        let candidates = if named == 0 { [&self.default[..], &[]] } else { [exact, wildcard] };
        if candidates.iter().all(|candidates| candidates.is_empty()) {
            return Err(NoCertificate::UnknownName);
        }
        let first = |is_eligible: &dyn Fn(&StoredCertificate) -> bool| {
            candidates.iter().find_map(|candidates| {
                schemes.iter().find_map(|scheme| {
                    let is_for = |one: &&Arc<StoredCertificate>| is_eligible(one) && one.supports(*scheme);
                    candidates.iter().find(is_for)
                })
            })
        };
        let found = first(&|candidate| candidate.is_valid_at(now)).or_else(|| first(&|_| true));
        found.cloned().ok_or(NoCertificate::NoSignatureScheme)
    }

    /// Returns whether a certificate has `name`, other than as the default.
    pub fn covers(&self, name: &str) -> bool {
        self.with_name(name).iter().any(|certificates| !certificates.is_empty())
    }

    /// Returns the certificates with `name`, and those with the wildcard for its first label (RFC 9525 §6.3).
    fn with_name(&self, name: &str) -> [&[Arc<StoredCertificate>]; 2] {
        let lower = name.to_ascii_lowercase();
        let wildcard = parent(&lower).and_then(|parent| self.by_name.get(&format!("*.{parent}")));
        [self.by_name.get(&lower), wildcard].map(|found| found.map_or(&[][..], Vec::as_slice))
    }
}

impl StoredCertificate {
    fn is_valid_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    fn supports(&self, scheme: SignatureScheme) -> bool {
        self.key.key.choose_scheme(&[scheme]).is_some()
    }

    /// Returns whether the certificate has `name`, also by a wildcard.
    pub fn covers(&self, name: &str) -> bool {
        self.names.iter().any(|own| match (own.strip_prefix("*."), parent(name)) {
            (Some(own), Some(parent)) => own.eq_ignore_ascii_case(parent),
            _ => own.eq_ignore_ascii_case(name),
        })
    }
}

/// Returns `name` without its first label, which a wildcard stands for; none if that label is empty.
fn parent(name: &str) -> Option<&str> {
    name.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, parent)| parent)
}
