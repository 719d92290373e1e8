//! The protocol between the key process, which alone has private keys, and the processes that use its certificates.
//!
//! Neither side trusts the other: each field has a largest length, and a frame that is not exactly right ends the connection.

pub mod client;

pub use client::{Client, SignFailure, Unavailable};

/// The identifier of a key: SHA-256 of its SubjectPublicKeyInfo.
pub type KeyId = [u8; 32];

/// The kind of a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// ECDSA with the curve P-256.
    EcdsaP256,
    /// ECDSA with the curve P-384.
    EcdsaP384,
    /// RSA.
    Rsa,
    /// Ed25519.
    Ed25519,
}

/// A certificate that the key process can sign for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The identifier of its key.
    pub id: KeyId,
    /// The kind of its key.
    pub key: KeyKind,
    /// The certificates in DER, the server's own first.
    pub chain: Vec<Vec<u8>>,
    /// The DNS names that it is valid for, in lower case. One that begins with `*.` stands for one label.
    pub names: Vec<String>,
    /// The start of its validity, in seconds since the epoch.
    pub not_before: i64,
    /// The end of its validity, in seconds since the epoch.
    pub not_after: i64,
    /// Whether it is used without a server name, or with one that no certificate is valid for.
    pub is_default: bool,
    /// The name of its folder.
    pub folder: String,
}

/// All usable certificates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// A number that changes with each change of the certificates. Never 0 in a catalog that was received.
    pub generation: u64,
    /// The certificates, in the order of the names of their folders.
    pub certificates: Vec<Certificate>,
}
