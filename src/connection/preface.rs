//! The preface of a connection: bytes before the first request. They may name another client than accept(2).
//!
//! A connection with a preface begins in [`Phase::Preface`](super::Phase::Preface), and the head timeout applies to it. If
//! the preface is rejected or incomplete, the connection ends without a response: the client may not even speak HTTP.

pub mod proxy;

use std::fmt;

use crate::ipc::scoreboard::Counter;
use crate::listeners::{Client, Protocol};

/// The client at the other end of a connection, as far as it is known: from accept(2), then from the preface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: Client,
    /// Whether it speaks TLS to the proxy that named it.
    pub has_tls: bool,
    /// Whether it is connected to a unix socket of this server.
    pub is_local: bool,
}

impl Peer {
    /// A client without an address.
    pub const UNKNOWN: Peer = Peer::at(None);

    /// A client at `address`.
    pub const fn at(address: Client) -> Self {
        Peer { address, has_tls: false, is_local: false }
    }

    /// The client of a connection that accept(2) has returned.
    pub fn accepted(address: Client) -> Self {
        Peer { is_local: address.is_none(), ..Peer::at(address) }
    }
}

/// The kind of preface that a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preface {
    /// The first bytes are a request.
    None,
    /// A header of the [PROXY protocol](proxy).
    Proxy,
    /// None that could be believed: the connection is not from a trusted proxy.
    Untrusted,
    /// A line with the address of the client, for tests.
    #[cfg(test)]
    Line,
}

/// The result of parsing the bytes of a preface that have arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// It is incomplete. A preface has a maximum length, which is below the size of the read buffer.
    NeedMore,
    /// It is complete and has `consumed` bytes. The requests after it are from `peer`.
    Done {
        /// The length of the preface.
        consumed: usize,
        /// The client.
        peer: Peer,
        /// The host that the client asked the proxy for; empty if it is not known.
        authority: &'a [u8],
    },
    /// It is invalid.
    Rejected(Rejection),
}

/// Why the preface of a connection is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Its checksum is wrong.
    Checksum,
    /// The client closed the connection before it was complete.
    Closed,
    /// Its command is unknown.
    Command,
    /// It is missing or has another form.
    Malformed,
    /// It did not arrive before the head timeout.
    Timeout,
    /// It is too long.
    TooLong,
    /// It is not from a trusted proxy.
    Untrusted,
}

impl Rejection {
    /// Returns what counts it.
    pub fn counter(self) -> Counter {
        match self {
            Rejection::Checksum => Counter::ProxyChecksum,
            Rejection::Closed => Counter::ProxyClosed,
            Rejection::Command => Counter::ProxyCommand,
            Rejection::Malformed => Counter::ProxyMalformed,
            Rejection::Timeout => Counter::ProxyTimeout,
            Rejection::TooLong => Counter::ProxyTooLong,
            Rejection::Untrusted => Counter::ProxyUntrusted,
        }
    }

    /// Returns the reason, for the log.
    pub fn why(self) -> &'static str {
        match self {
            Rejection::Checksum => "the checksum of the PROXY header is wrong",
            Rejection::Closed => "the client closed the connection before the PROXY header was complete",
            Rejection::Command => "the command of the PROXY header is unknown",
            Rejection::Malformed => "the connection does not begin with a PROXY header",
            Rejection::Timeout => "the PROXY header did not arrive before the head timeout",
            Rejection::TooLong => "the PROXY header is too long",
            Rejection::Untrusted => "the address is not in --trusted-proxies",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

impl Preface {
    /// Returns the preface of the connections of a listening socket. `is_trusted`: the address of the connection is that of
    /// a trusted proxy.
    pub fn of(protocol: Protocol, is_trusted: bool) -> Self {
        match (protocol.proxy, is_trusted) {
            (false, _) => Preface::None,
            (true, true) => Preface::Proxy,
            (true, false) => Preface::Untrusted,
        }
    }

    /// Parses `bytes`, which are all that have arrived from `peer`.
    pub fn parse(self, bytes: &[u8], peer: Peer) -> Parsed<'_> {
        match self {
            Preface::None => Parsed::Done { consumed: 0, peer, authority: b"" },
            Preface::Proxy => proxy::parse(bytes, peer),
            Preface::Untrusted => Parsed::Rejected(Rejection::Untrusted),
            #[cfg(test)]
            Preface::Line => parse_line(bytes),
        }
    }
}

#[cfg(test)]
fn parse_line(bytes: &[u8]) -> Parsed<'_> {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return Parsed::NeedMore };
    match std::str::from_utf8(&bytes[..end]).ok().and_then(|line| line.parse().ok()) {
        Some(address) => Parsed::Done { consumed: end + 1, peer: Peer::at(Some(address)), authority: b"" },
        None => Parsed::Rejected(Rejection::Malformed),
    }
}
