//! The key of a certificate as rustls needs it. Signatures are made by the key process.

use std::sync::Arc;

use rustls::sign::{Signer, SigningKey};
use rustls::{Error, OtherError, SignatureAlgorithm, SignatureScheme};

use crate::ipc::key_protocol::{Certificate, Client, KeyId, KeyKind};
use crate::ipc::scoreboard::{Counter, WorkerCounters};
use crate::os::clock;

/// A key of the key process.
#[derive(Debug)]
pub struct RemoteKey {
    id: KeyId,
    kind: KeyKind,
    keys: RemoteKeys,
}

/// The keys of the key process, for all connections of a worker.
#[derive(Debug, Clone, Copy)]
pub struct RemoteKeys {
    /// The connection to the key process.
    pub client: &'static Client,
    /// Counts signatures.
    pub counters: WorkerCounters<'static>,
}

impl RemoteKey {
    /// Creates the key of `certificate`.
    pub fn new(certificate: &Certificate, keys: RemoteKeys) -> Self {
        RemoteKey { id: certificate.id, kind: certificate.key, keys }
    }
}

impl SigningKey for RemoteKey {
    /// Chooses the first scheme of the client that the key supports.
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = *offered.iter().find(|scheme| schemes(self.kind).contains(scheme))?;
        Some(Box::new(RemoteSigner { id: self.id, scheme, keys: self.keys }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.kind {
            KeyKind::EcdsaP256 | KeyKind::EcdsaP384 => SignatureAlgorithm::ECDSA,
            KeyKind::Rsa => SignatureAlgorithm::RSA,
            KeyKind::Ed25519 => SignatureAlgorithm::ED25519,
        }
    }
}

/// Returns the schemes of the signatures of a key. PKCS#1 is for TLS 1.2 only: rustls does not offer it with 1.3.
pub(crate) fn schemes(kind: KeyKind) -> &'static [SignatureScheme] {
    match kind {
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

/// A signature that is to be made. Its thread waits for the key process, for a limited time.
#[derive(Debug)]
struct RemoteSigner {
    id: KeyId,
    scheme: SignatureScheme,
    keys: RemoteKeys,
}

impl Signer for RemoteSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let RemoteKeys { client, counters } = self.keys;
        let begin_ns = clock::now_ns();
        let signed = client.sign(&self.id, self.scheme.into(), message);
        counters.add(Counter::SignatureWaitNs, clock::now_ns() - begin_ns);
        counters.add(if signed.is_ok() { Counter::Signatures } else { Counter::SignaturesFailed }, 1);
        signed.map_err(|failure| Error::Other(OtherError(Arc::new(failure))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
