//! Networks of clients (RFC 4632 §3.1, RFC 4291 §2.3).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bits of `::ffff:0:0/96`, which contains the IPv4 addresses (RFC 4291 §2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// A network: an address and the number of bits that its addresses have in common. One of IPv4 addresses that are mapped to
/// IPv6 is the network of these IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Parses an address, or an address with a number of bits after a slash.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let wrong = || "give networks such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7".to_string();
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |bits: &&str| !bits.is_empty() && bits.bytes().all(|digit| digit.is_ascii_digit());
        let bits = match bits {
            None => most,
            Some(bits) => Some(bits).filter(is_number).and_then(|bits| bits.parse().ok()).ok_or_else(wrong)?,
        };
        if bits > most {
            return Err(wrong());
        }
        let network = Network { address: first(address, bits), bits };
        if network.address != address {
            return Err(format!("{text} has bits behind its network: give {network} or {address}"));
        }
        Ok(match address.to_canonical() {
            v4 @ IpAddr::V4(_) if address.is_ipv6() && bits >= MAPPED_BITS => {
                Network { address: v4, bits: bits - MAPPED_BITS }
            }
            _ => network,
        })
    }

    /// Returns whether `address` belongs to it. An IPv4 address that is mapped to IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && first(address, self.bits) == self.address
    }
}

/// Returns the first address of the network of an address.
fn first(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", &["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.7"][..], &["192.0.3.0", "::192.0.2.7"][..]),
            ("192.0.2.7", &["192.0.2.7", "::ffff:c000:207"], &["192.0.2.6", "::1"]),
            ("0.0.0.0/0", &["127.0.0.1", "255.255.255.255", "::ffff:1.2.3.4"], &["::1", "::"]),
            ("10.0.0.0/7", &["10.0.0.1", "11.255.255.255"], &["12.0.0.0", "9.255.255.255"]),
            ("2001:db8::/32", &["2001:db8::1", "2001:db8:ffff::"], &["2001:db9::", "192.0.2.1"]),
            ("::/0", &["::1", "2001:db8::1"], &["192.0.2.1", "::ffff:192.0.2.1"]),
            ("::1", &["::1"], &["::2", "127.0.0.1"]),
            ("::ffff:192.0.2.0/120", &["192.0.2.9", "::ffff:192.0.2.9"], &["192.0.3.0", "::192.0.2.9"]),
            ("::ffff:0:0/96", &["192.0.2.9", "127.0.0.1"], &["::1"]),
        ] {
            let parsed = Network::parse(network).unwrap();
            let contains = |address: &&str| parsed.contains(address.parse().unwrap());
            assert!(inside.iter().all(contains), "{network} {inside:?}");
            assert!(!outside.iter().any(contains), "{network} {outside:?}");
        }
    }

    #[test]
    fn anything_else_is_no_network() {
        for wrong in [
            "",
            "/",
            "/24",
            "192.0.2.0/",
            "192.0.2.0/33",
            "192.0.2.0/+8",
            "192.0.2.0/-1",
            "192.0.2/24",
            "192.0.2.0/24/8",
            "::/129",
            "[::1]",
            "example.org",
            "192.0.2.0/255.255.255.0",
            "fe80::1%eth0",
            "192.0.2.0/256",
        ] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
        let why = Network::parse("192.0.2.7/24").unwrap_err();
        assert_eq!(why, "192.0.2.7/24 has bits behind its network: give 192.0.2.0/24 or 192.0.2.7");
    }
}
