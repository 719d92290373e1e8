//! The host of a request, as the name of a site.

use crate::dns_name::MAX_NAME_BYTES;
use crate::http::syntax;

/// The host of a request by which a site is selected: in lower case, without port and without a dot at the end. It is
/// compared with the names of sites, and never part of a path.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    bytes: [u8; MAX_NAME_BYTES],
    length: u8,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It does not matter: there is one site for all hosts.
    Any,
    /// The request has none.
    None,
    /// It is no name that a site can have.
    Other,
    /// It may be the name of a site.
    Name,
}

impl Host {
    /// The host of a request to a server that has one site for all hosts.
    pub const ANY: Host = Host::without_name(Kind::Any);

    /// Returns the host in the authority of a request, if it has one.
    pub fn of(authority: Option<&str>) -> Self {
        let Some(authority) = authority else { return Host::without_name(Kind::None) };
        let host = syntax::host(authority);
        Host::named(host.strip_suffix('.').unwrap_or(host).as_bytes())
    }

    /// Returns the host with this name, in whatever case.
    pub fn named(name: &[u8]) -> Self {
        let mut host = Host::without_name(Kind::Other);
        if let Some(bytes) = host.bytes.get_mut(..name.len()).filter(|bytes| !bytes.is_empty()) {
            bytes.copy_from_slice(name);
            bytes.make_ascii_lowercase();
            (host.length, host.kind) = (name.len() as u8, Kind::Name);
        }
        host
    }

    const fn without_name(kind: Kind) -> Self {
        Host { bytes: [0; MAX_NAME_BYTES], length: 0, kind }
    }

    /// Returns its name; empty if it has none.
    pub fn name(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Returns whether the request names no host.
    pub fn is_missing(&self) -> bool {
        self.kind == Kind::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_case_port_and_dot() {
        let longest = "a".repeat(MAX_NAME_BYTES);
        let too_long = format!("{longest}a");
        for (authority, name) in [
            ("example.org", "example.org"),
            ("Example.ORG:8080", "example.org"),
            ("example.org.", "example.org"),
            ("EXAMPLE.org.:", "example.org"),
            ("example.org..", "example.org."),
            ("xn--BCHER-kva.example", "xn--bcher-kva.example"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            (".", ""),
            ("..", "."),
            (&longest, &longest),
            (&too_long, ""),
        ] {
            let host = Host::of(Some(authority));
            assert_eq!((std::str::from_utf8(host.name()), host.is_missing()), (Ok(name), false), "{authority}");
        }
        assert!(Host::of(None).is_missing() && !Host::ANY.is_missing());
    }
}
