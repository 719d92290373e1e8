//! The certificates of a worker, by the names that clients send (RFC 6066 §3).

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;

use super::signer::{RemoteKey, RemoteKeys};
use crate::ipc::key_protocol::Certificate;

/// A certificate with its chain, and the key that signs for it.
#[derive(Debug, Clone)]
pub struct StoredCertificate {
    /// Its DNS names in lower case; a wildcard as `*.example.org`.
    pub names: Vec<String>,
    /// Whether it is for clients that send no name or an unknown one.
    pub is_default: bool,
    /// The chain, and the key.
    pub key: Arc<CertifiedKey>,
}

/// Certificates by name.
#[derive(Debug, Default)]
pub struct Store {
    /// The certificates for each name. Several have different types of keys.
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
        let key = Arc::new(RemoteKey::new(&certificate, keys));
        let chain = certificate.chain.into_iter().map(CertificateDer::from).collect();
        let key = Arc::new(CertifiedKey::new(chain, key));
        StoredCertificate { names: certificate.names, is_default: certificate.is_default, key }
    }
}

impl Store {
    /// Creates a store of `certificates`. For a name and a type of key, the first one is used.
    pub fn new(certificates: impl IntoIterator<Item = StoredCertificate>) -> Self {
        let mut store = Store::default();
        for certificate in certificates.into_iter().map(Arc::new) {
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

    /// Returns the certificate for `name`. `schemes` are those of the client; their order decides between types of keys.
    pub fn find(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Result<Arc<StoredCertificate>, NoCertificate> {
        let found = name.map_or(&[][..], |name| self.with_name(name));
        let candidates = if found.is_empty() { &self.default } else { found };
        if candidates.is_empty() {
            return Err(NoCertificate::UnknownName);
        }
        let supporting = |scheme: &SignatureScheme| {
            candidates.iter().find(|candidate| candidate.key.key.choose_scheme(&[*scheme]).is_some())
        };
        schemes.iter().find_map(supporting).cloned().ok_or(NoCertificate::NoSignatureScheme)
    }

    /// Returns whether a certificate has `name`, other than as the default.
    pub fn covers(&self, name: &str) -> bool {
        !self.with_name(name).is_empty()
    }

    /// Returns the certificates with `name`, or with the wildcard for its first label (RFC 9525 §6.3).
    fn with_name(&self, name: &str) -> &[Arc<StoredCertificate>] {
        let lower = name.to_ascii_lowercase();
        let wildcard = || self.by_name.get(&format!("*.{}", parent(&lower)?));
        self.by_name.get(&lower).or_else(wildcard).map_or(&[], Vec::as_slice)
    }
}

impl StoredCertificate {
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
