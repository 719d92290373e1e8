//! The selection of a certificate by one connection, and its result.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureScheme};

use super::store::{NoCertificate, Store, StoredCertificate};

/// Selects the certificate of one connection. rustls calls it with the ClientHello and returns nothing about the result,
/// so that this keeps it: an unknown name needs an alert other than rustls's.
#[derive(Debug)]
pub struct Selection {
    store: Arc<Store>,
    result: Mutex<Option<Selected>>,
}

/// The result of a selection.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The name that the client sent.
    pub name: Option<Box<str>>,
    /// The certificate.
    pub certificate: Result<Arc<StoredCertificate>, NoCertificate>,
}

impl Selection {
    /// Creates the selection of a connection from `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Selection { store, result: Mutex::new(None) }
    }

    /// Takes the result; none if there was no ClientHello.
    pub fn take(&self) -> Option<Selected> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ResolvesServerCert for Selection {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificate = self.store.find(hello.server_name(), &schemes(&hello));
        let key = certificate.as_ref().map(|certificate| certificate.key.clone()).ok();
        let selected = Selected { name: hello.server_name().map(Box::from), certificate };
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(selected);
        key
    }
}

/// Returns the signature schemes of a client in its order. If it has ciphers of TLS 1.3, PKCS#1 is last: there, it is for the
/// signatures of certificates only (RFC 8446 §4.2.3), so that it does not speak for an RSA certificate.
fn schemes(hello: &ClientHello<'_>) -> Vec<SignatureScheme> {
    let mut schemes = hello.signature_schemes().to_vec();
    if hello.cipher_suites().iter().any(is_of_tls_1_3) {
        // The sort is stable.
        schemes.sort_by_key(is_pkcs1);
    }
    schemes
}

fn is_of_tls_1_3(cipher: &CipherSuite) -> bool {
    matches!(u16::from(*cipher), 0x1301..=0x1305)
}

fn is_pkcs1(scheme: &SignatureScheme) -> bool {
    use SignatureScheme::{RSA_PKCS1_SHA1, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512};
    matches!(*scheme, RSA_PKCS1_SHA1 | RSA_PKCS1_SHA256 | RSA_PKCS1_SHA384 | RSA_PKCS1_SHA512)
}
