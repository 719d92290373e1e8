//! The preface of a connection: bytes before the first request. They may name another client than accept(2).
//!
//! A connection with a preface begins in [`Phase::Preface`](super::Phase::Preface), and the head timeout applies to it. If
//! the preface is rejected or incomplete, the connection ends without a response: the client may not even speak HTTP.

use crate::listeners::{Client, Protocol};

/// The client at the other end of a connection, as far as it is known: from accept(2), then from the preface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: Client,
}

impl Peer {
    /// A client without an address.
    pub const UNKNOWN: Peer = Peer { address: None };
}

/// The kind of preface that a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preface {
    /// The first bytes are a request.
    None,
    /// A line with the address of the client, for tests.
    #[cfg(test)]
    Line,
}

/// The result of parsing the bytes of a preface that have arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// It is incomplete. A preface has a maximum length, which is below the size of the read buffer.
    NeedMore,
    /// It is complete and has `consumed` bytes. The requests after it are from `peer`.
    Done {
        /// The length of the preface.
        consumed: usize,
        /// The client.
        peer: Peer,
    },
    /// It is invalid, with the reason.
    Rejected(&'static str),
}

impl Preface {
    /// Returns the preface of the connections of a listening socket. The PROXY protocol is not built yet;
    /// [`listeners::open`](crate::listeners::open) rejects its sockets.
    pub fn of(_protocol: Protocol) -> Self {
        Preface::None
    }

    /// Parses `bytes`, which are all that have arrived from `peer`.
    pub fn parse(self, bytes: &[u8], peer: Peer) -> Parsed {
        match (self, bytes) {
            (Preface::None, _) => Parsed::Done { consumed: 0, peer },
            #[cfg(test)]
            (Preface::Line, bytes) => parse_line(bytes),
        }
    }
}

#[cfg(test)]
fn parse_line(bytes: &[u8]) -> Parsed {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return Parsed::NeedMore };
    match std::str::from_utf8(&bytes[..end]).ok().and_then(|line| line.parse().ok()) {
        Some(address) => Parsed::Done { consumed: end + 1, peer: Peer { address: Some(address) } },
        None => Parsed::Rejected("the preface is invalid"),
    }
}
