//! The client at the other end of a connection.

use crate::listeners::Client;

/// The client at the other end of a connection, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: Client,
}

impl Peer {
    /// A client without an address.
    pub const UNKNOWN: Peer = Peer { address: None };
}
