//! The authority of a request: the host that it is for (RFC 9110 §7.2, RFC 3986 §3.2).

use super::syntax;

/// A valid authority: a host, and perhaps a port. It stays bytes, all of them ASCII: most requests need no text of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'b>(&'b [u8]);

impl<'b> Authority<'b> {
    /// Checks an authority. None if it is not valid.
    pub fn parse(value: &'b [u8]) -> Option<Self> {
        syntax::is_authority(value).then_some(Authority(value))
    }

    /// Returns it as it was sent.
    pub fn as_bytes(self) -> &'b [u8] {
        self.0
    }

    /// Returns it as text.
    pub fn as_str(self) -> &'b str {
        // It is ASCII.
        std::str::from_utf8(self.0).unwrap_or_default()
    }

    /// Returns the host, without the port: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(self) -> &'b [u8] {
        syntax::host(self.0)
    }

    /// Returns the [host](Authority::host) as text.
    pub fn host_str(self) -> &'b str {
        &self.as_str()[..self.host().len()]
    }
}
