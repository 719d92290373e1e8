//! The key of a certificate as rustls needs it: the types of signatures, and where they are made.

use std::fmt::Debug;
use std::sync::Arc;

use rustls::sign::{Signer, SigningKey};
use rustls::{Error, OtherError, SignatureAlgorithm, SignatureScheme};

/// The types of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on the curve P-256.
    EcdsaP256,
    /// ECDSA on the curve P-384.
    EcdsaP384,
    /// RSA.
    Rsa,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// Returns the schemes of its signatures. PKCS#1 is for TLS 1.2 only; rustls does not offer it with 1.3.
    fn schemes(self) -> &'static [SignatureScheme] {
        match self {
            KeyKind::EcdsaP256 => &[SignatureScheme::ECDSA_NISTP256_SHA256],
            KeyKind::EcdsaP384 => &[SignatureScheme::ECDSA_NISTP384_SHA384],
            KeyKind::Ed25519 => &[SignatureScheme::ED25519],
            KeyKind::Rsa => &[
                SignatureScheme::RSA_PSS_SHA256,
                SignatureScheme::RSA_PSS_SHA384,
                SignatureScheme::RSA_PSS_SHA512,
                SignatureScheme::RSA_PKCS1_SHA256,
                SignatureScheme::RSA_PKCS1_SHA384,
                SignatureScheme::RSA_PKCS1_SHA512,
            ],
        }
    }

    fn algorithm(self) -> SignatureAlgorithm {
        match self {
            KeyKind::EcdsaP256 | KeyKind::EcdsaP384 => SignatureAlgorithm::ECDSA,
            KeyKind::Rsa => SignatureAlgorithm::RSA,
            KeyKind::Ed25519 => SignatureAlgorithm::ED25519,
        }
    }
}

/// Makes signatures, with a key that may be in another process. It may wait, for a limited time.
pub trait SignatureSource: Debug + Send + Sync {
    /// Returns the signature of `message` by the key `id`.
    fn sign(&self, id: &[u8; 32], scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, SignatureFailed>;
}

/// There is no signature, with the reason. The client is not at fault.
#[derive(Debug, Clone)]
pub struct SignatureFailed(pub String);

impl std::fmt::Display for SignatureFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no signature: {}", self.0)
    }
}

impl std::error::Error for SignatureFailed {}

/// The key of a certificate.
#[derive(Debug)]
pub struct CertificateKey {
    id: [u8; 32],
    kind: KeyKind,
    source: Arc<dyn SignatureSource>,
}

impl CertificateKey {
    /// Creates the key `id`, which signs by `source`.
    pub fn new(id: [u8; 32], kind: KeyKind, source: Arc<dyn SignatureSource>) -> Self {
        CertificateKey { id, kind, source }
    }
}

impl SigningKey for CertificateKey {
    /// Chooses the first scheme of the client that the key supports.
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = *offered.iter().find(|scheme| self.kind.schemes().contains(scheme))?;
        Some(Box::new(KeySigner { id: self.id, scheme, source: self.source.clone() }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.kind.algorithm()
    }
}

/// A signature that is to be made.
#[derive(Debug)]
struct KeySigner {
    id: [u8; 32],
    scheme: SignatureScheme,
    source: Arc<dyn SignatureSource>,
}

impl Signer for KeySigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signed = self.source.sign(&self.id, self.scheme, message);
        signed.map_err(|failed| Error::Other(OtherError(Arc::new(failed))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
