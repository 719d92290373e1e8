//! The properties of an established session, for the log and metrics.

use std::sync::Arc;

use super::store::StoredCertificate;
use crate::ipc::scoreboard::Counter;

/// The name of TLS 1.2 in logs.
pub const VERSION_12: &str = "TLSv1.2";

/// The name of TLS 1.3 in logs.
pub const VERSION_13: &str = "TLSv1.3";

/// The properties of an established session.
#[derive(Debug, Clone)]
pub struct Properties {
    /// The version, such as `TLSv1.3`.
    pub version: &'static str,
    /// The cipher, by its name at IANA.
    pub cipher: &'static str,
    /// The group of the key exchange, by its name at IANA; empty if a session was resumed without one.
    pub group: &'static str,
    /// The name that the client sent.
    pub name: Option<Box<str>>,
    /// Whether the client speaks HTTP/2 (ALPN, RFC 7301).
    pub is_http2: bool,
    /// Whether the session was resumed.
    pub is_resumed: bool,
    /// The certificate for the name. For a resumed session, it was not sent.
    pub certificate: Option<Arc<StoredCertificate>>,
}

impl Properties {
    /// Returns the counter of the handshake.
    pub fn counter(&self) -> Counter {
        match (self.version, self.is_resumed) {
            (VERSION_13, false) => Counter::Tls13Full,
            (VERSION_13, true) => Counter::Tls13Resumed,
            (_, false) => Counter::Tls12Full,
            (_, true) => Counter::Tls12Resumed,
        }
    }
}
