//! Which addresses are one client: limits count by it.

use std::net::{IpAddr, Ipv6Addr};

/// Returns what stands for the client of an address: an IPv4 address itself, also one in the form `::ffff:192.0.2.1`; of an IPv6
/// address, the first one of its /64, which one host or home gets.
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_counts_by_its_64_prefix() {
        for (one, other, is_same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let client = |address: &str| client_of(address.parse().unwrap());
            assert_eq!(client(one) == client(other), is_same, "{one} {other}");
        }
    }
}
