//! A worker's end of its connection to the key process.

use std::fmt;
use std::os::fd::OwnedFd;

use super::{Catalog, KeyId};

/// A connection to the key process. The threads of a process share it: each call blocks its thread until the response is
/// there or its deadline has passed. After a loss of the connection, a call waits for the next one and repeats its request.
#[derive(Debug)]
pub struct Client {
    #[expect(dead_code, reason = "the key process does not exist yet")]
    connections: OwnedFd,
}

/// The key process does not respond: its connection was lost and not replaced in time, or a request had no response in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// The reason why there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignFailure {
    /// The key process does not respond. Further calls fail at once until it does again.
    Unavailable,
    /// The key process responds, but this process has as many requests outstanding as it can have.
    Busy,
    /// The key process no longer has this key: the certificate was replaced, and a new catalog has the current one.
    UnknownKey,
    /// The key process does not sign this message.
    Refused,
}

impl Client {
    /// Creates a client that receives its connections over `connections` from the supervisor, the first one included, and
    /// has at most `max_outstanding` requests outstanding.
    pub fn new(connections: OwnedFd, max_outstanding: usize) -> Self {
        let _ = max_outstanding;
        Client { connections }
    }

    /// Returns the current catalog, or none if its generation is `known`; 0 is never the generation of a catalog. The key
    /// process keeps replaced keys until each worker has called this with the generation that it was given.
    pub fn catalog(&self, known: u64) -> Result<Option<Catalog>, Unavailable> {
        let _ = known;
        Err(Unavailable)
    }

    /// Signs `message`, which the key process hashes, with the TLS SignatureScheme `scheme`.
    pub fn sign(&self, key: &KeyId, scheme: u16, message: &[u8]) -> Result<Vec<u8>, SignFailure> {
        let _ = (key, scheme, message);
        Err(SignFailure::Unavailable)
    }
}

impl fmt::Display for SignFailure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            SignFailure::Unavailable => "the key process does not respond",
            SignFailure::Busy => "too many signatures are outstanding",
            SignFailure::UnknownKey => "the key process no longer has this key",
            SignFailure::Refused => "the key process does not sign this message",
        })
    }
}

impl std::error::Error for SignFailure {}
