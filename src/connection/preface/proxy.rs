//! The header of the PROXY protocol, versions 1 and 2, by which a proxy says whose bytes follow
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! The crate parses a header whose end is known here. So its length is bounded, and what follows it is never looked at.

use std::net::SocketAddr;

use crc::{CRC_32_ISCSI, Crc};
use ppp::v2::{Command, ParseError, Protocol, Type, TypeLengthValue, TypeLengthValues};
use ppp::{v1, v2};

use super::{Parsed, Peer, Rejection};

/// The maximum length of a header of version 1, in bytes, with its line end (§2.1).
pub const MAX_V1_BYTES: usize = 107;

/// The maximum length of a header of version 2, in bytes. HAProxy sends at most some hundred; a certificate's name and
/// values of the administrator fit.
pub const MAX_V2_BYTES: usize = 4096;

/// The bytes of a header of version 2 before its addresses (§2.2).
const FIXED_BYTES: usize = 16;

/// The bytes of the type and the length of a value (§2.2).
const TYPE_AND_LENGTH_BYTES: usize = 3;

/// The beginning of a header of version 1.
const V1_PREFIX: &[u8] = b"PROXY ";

/// The command of a connection that the proxy makes for itself, with the version.
const LOCAL: u8 = 0x20;

/// The bit of PP2_TYPE_SSL for a client that speaks TLS to the proxy (PP2_CLIENT_SSL, §2.2.6), and the length of the
/// value before its own values.
const CLIENT_SSL: u8 = 1;
const SSL_BYTES: usize = 5;

/// CRC32c, which is that of iSCSI and SCTP (§2.2.3).
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Parses the header at the beginning of `bytes`, which are all that have arrived from `peer`.
pub fn parse(bytes: &[u8], peer: Peer) -> Parsed<'_> {
    match bytes.first() {
        None => Parsed::NeedMore,
        Some(b'P') => parse_v1(bytes, peer),
        Some(_) => parse_v2(bytes, peer).unwrap_or_else(Parsed::Rejected),
    }
}

fn parse_v1(bytes: &[u8], peer: Peer) -> Parsed<'_> {
    let compared = bytes.len().min(V1_PREFIX.len());
    if bytes[..compared] != V1_PREFIX[..compared] {
        return Parsed::Rejected(Rejection::Malformed);
    }
    let line = &bytes[..bytes.len().min(MAX_V1_BYTES)];
    let line = match line.iter().position(|&byte| byte == b'\n') {
        Some(end) => &line[..=end],
        None if line.len() == MAX_V1_BYTES => return Parsed::Rejected(Rejection::TooLong),
        None => return Parsed::NeedMore,
    };
    let done = |peer| Parsed::Done { consumed: line.len(), peer, authority: b"" };
    // The crate reads up to the first CR: there must be no other.
    match v1::Header::try_from(line) {
        Ok(header) if header.header.len() == line.len() => match header.addresses {
            // "the receiver must ignore anything presented before the CRLF"
            v1::Addresses::Unknown => done(peer),
            v1::Addresses::Tcp4(tcp) => done(client((tcp.source_address, tcp.source_port))),
            v1::Addresses::Tcp6(tcp) => done(client((tcp.source_address, tcp.source_port))),
        },
        _ => Parsed::Rejected(Rejection::Malformed),
    }
}

fn parse_v2(bytes: &[u8], peer: Peer) -> Result<Parsed<'_>, Rejection> {
    let compared = bytes.len().min(v2::PROTOCOL_PREFIX.len());
    if bytes[..compared] != v2::PROTOCOL_PREFIX[..compared] {
        return Err(Rejection::Malformed);
    }
    let Some(&[command, _, high, low]) = bytes.get(compared..FIXED_BYTES).and_then(|fixed| fixed.first_chunk()) else {
        return Ok(Parsed::NeedMore);
    };
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_V2_BYTES {
        return Err(Rejection::TooLong);
    }
    let Some(bytes) = bytes.get(..length) else { return Ok(Parsed::NeedMore) };
    let header = match v2::Header::try_from(bytes) {
        Ok(header) => Some(header),
        // Its addresses are to be skipped, whatever they are.
        Err(_) if command == LOCAL => None,
        Err(ParseError::Command(_)) => return Err(Rejection::Command),
        Err(_) => return Err(Rejection::Malformed),
    };
    let addresses = header.as_ref().map_or(v2::Addresses::Unspecified, |header| header.addresses);
    let is_stream = header.as_ref().is_none_or(|header| header.protocol == Protocol::Stream);
    let peer = match addresses {
        _ if header.as_ref().is_none_or(|header| header.command == Command::Local) => peer,
        // A client of a unix socket has no address, wherever that socket is.
        v2::Addresses::Unix(_) => Peer::UNKNOWN,
        v2::Addresses::IPv4(ip) if is_stream => client((ip.source_address, ip.source_port)),
        v2::Addresses::IPv6(ip) if is_stream => client((ip.source_address, ip.source_port)),
        _ => peer,
    };
    let begin = FIXED_BYTES + header.as_ref().and_then(|header| header.address_family().byte_length()).unwrap_or(0);
    match Values::read(bytes, begin) {
        Ok(values) => {
            values.verify_checksum(bytes)?;
            let peer = Peer { has_tls: values.has_tls, ..peer };
            Ok(Parsed::Done { consumed: length, peer, authority: values.authority })
        }
        // What follows the fixed bytes may be anything: a receiver skips it (§2.2).
        Err(()) if addresses == v2::Addresses::Unspecified => {
            Ok(Parsed::Done { consumed: length, peer, authority: b"" })
        }
        Err(()) => Err(Rejection::Malformed),
    }
}

fn client(address: impl Into<SocketAddr>) -> Peer {
    Peer::at(Some(address.into()))
}

/// The values of a header of version 2 that mean something here. All others are skipped.
#[derive(Debug, Default)]
struct Values<'a> {
    authority: &'a [u8],
    has_tls: bool,
    /// The position of the checksum.
    checksum: Option<usize>,
}

impl<'a> Values<'a> {
    /// Reads the values from position `begin` to the end of a header.
    fn read(header: &'a [u8], begin: usize) -> Result<Self, ()> {
        let mut values = Values::default();
        let mut at = begin;
        for value in TypeLengthValues::from(&header[begin..]) {
            let TypeLengthValue { kind, value } = value.map_err(|_| ())?;
            let position = at + TYPE_AND_LENGTH_BYTES;
            at = position + value.len();
            let value = &header[position..at];
            if kind == Type::Authority as u8 {
                values.authority = value;
            } else if kind == Type::SSL as u8 {
                values.has_tls = value.first_chunk::<SSL_BYTES>().ok_or(())?[0] & CLIENT_SSL != 0;
            } else if kind == Type::CRC32C as u8 {
                if value.len() != size_of::<u32>() {
                    return Err(());
                }
                values.checksum = Some(position);
            }
        }
        Ok(values)
    }

    /// Verifies the checksum of a header, if it has one: it is that of all bytes, with zeros in its own place (§2.2.3).
    fn verify_checksum(&self, header: &[u8]) -> Result<(), Rejection> {
        let Some(position) = self.checksum else { return Ok(()) };
        let (before, rest) = header.split_at(position);
        let (stored, after) = rest.split_at(size_of::<u32>());
        let mut digest = CRC32C.digest();
        [before, &[0; size_of::<u32>()], after].into_iter().for_each(|part| digest.update(part));
        if digest.finalize().to_be_bytes() == *stored { Ok(()) } else { Err(Rejection::Checksum) }
    }
}

#[cfg(test)]
mod tests;
