//! The host of a request, as the name of a site.

use std::borrow::Cow;

use crate::dns_name::MAX_NAME_BYTES;
use crate::http::Authority;

/// The host of a request by which a site is selected: in lower case, without port and without a dot at the end. It is
/// compared with the names of sites, and never part of a path. One that is sent in lower case, as browsers do, is not copied.
#[derive(Debug, Clone)]
pub struct Host<'r> {
    name: Cow<'r, [u8]>,
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

impl<'r> Host<'r> {
    /// The host of a request to a server that has one site for all hosts.
    pub const ANY: Host<'static> = Host::without_name(Kind::Any);

    /// Returns the host in the authority of a request, if it has one.
    #[inline]
    pub fn of(authority: Option<Authority<'r>>) -> Self {
        let Some(authority) = authority else { return Host::without_name(Kind::None) };
        let host = authority.host();
        Host::with_name(host.strip_suffix(b".").unwrap_or(host), authority.has_upper_case())
    }

    /// Returns the host with this name, in whatever case.
    pub fn named(name: &'r [u8]) -> Self {
        Host::with_name(name, true)
    }

    #[inline]
    fn with_name(name: &'r [u8], may_have_upper_case: bool) -> Self {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Host::without_name(Kind::Other);
        }
        let name = match may_have_upper_case {
            true => name.to_ascii_lowercase().into(),
            false => name.into(),
        };
        Host { name, kind: Kind::Name }
    }

    const fn without_name(kind: Kind) -> Self {
        Host { name: Cow::Borrowed(&[]), kind }
    }

    /// Returns its name; empty if it has none.
    pub fn name(&self) -> &[u8] {
        &self.name
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
            let host = Host::of(Authority::parse(authority.as_bytes()));
            assert_eq!((std::str::from_utf8(host.name()), host.is_missing()), (Ok(name), false), "{authority}");
        }
        assert!(Host::of(None).is_missing() && !Host::ANY.is_missing());
    }
}
