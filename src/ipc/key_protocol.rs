//! The protocol between the key process, which alone has private keys, and the processes that use its certificates.
//!
//! Neither side trusts the other: each field has a largest length, and a frame that is not exactly right ends the connection.

mod breaker;
pub mod channel;
pub mod client;
pub mod frame;

pub use client::{Client, SignFailure, Unavailable};

/// The largest chain, in bytes.
pub const MAX_CHAIN_BYTES: usize = 32 * 1024;

/// The most certificates of a chain.
pub const MAX_CHAIN: usize = 10;

/// The most folders of certificates.
pub const MAX_FOLDERS: usize = 1_000;

/// The most entries about folders: one further entry is about their directory.
pub const MAX_OVERVIEWS: usize = MAX_FOLDERS + 1;

/// The most names of a certificate.
pub const MAX_NAMES: usize = 2000;

/// The longest text, in bytes: the name of a folder or an issuer, a DNS name or a fault. A text has no control character.
pub const MAX_TEXT_BYTES: usize = 1024;

/// The longest message that is signed, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 256;

/// The user of a connection, which limits its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A supervisor, which receives changes and violations without a request.
    Supervisor,
    /// A worker, which receives certificates and signatures.
    Worker,
    /// `--check`, which receives the overview of each folder.
    Check,
}

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

/// The state of a folder, usable or not, for logs and reports. It has no secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overview {
    /// The name of the folder.
    pub folder: String,
    /// The DNS names of its certificate.
    pub names: Vec<String>,
    /// The issuer of its certificate.
    pub issuer: String,
    /// The type of its key, such as `ECDSA P-256`.
    pub key: String,
    /// The start of its validity, in seconds since the epoch.
    pub not_before: i64,
    /// The end of its validity, in seconds since the epoch. 0 if there is no certificate.
    pub not_after: i64,
    /// Whether a certificate of this folder is in use, the present one or the one before.
    pub is_usable: bool,
    /// What is wrong, each a sentence with the remedy.
    pub faults: Vec<String>,
}

#[cfg(test)]
mod tests;
