//! The authority of a request: the host that it is for (RFC 9110 §7.2, RFC 3986 §3.2).

use super::syntax;

/// A valid authority: a host, and perhaps a port. It stays bytes, all of them ASCII: most requests need no text of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'b> {
    bytes: &'b [u8],
    has_upper_case: bool,
}

impl<'b> Authority<'b> {
    /// Checks an authority. None if it is not valid.
    pub fn parse(value: &'b [u8]) -> Option<Self> {
        let kinds = syntax::host_kinds(value);
        // Most are a name without a port.
        let is_name = kinds & syntax::ODD == 0 && !value.is_empty();
        let has_upper_case = kinds & syntax::UPPER != 0;
        (is_name || syntax::is_authority(value)).then_some(Authority { bytes: value, has_upper_case })
    }

    /// Returns it as it was sent.
    pub fn as_bytes(self) -> &'b [u8] {
        self.bytes
    }

    /// Returns it as text.
    pub fn as_str(self) -> &'b str {
        // It is ASCII.
        std::str::from_utf8(self.bytes).unwrap_or_default()
    }

    /// Returns the host, without the port: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(self) -> &'b [u8] {
        syntax::host(self.bytes)
    }

    /// Returns whether it has letters in upper case.
    pub fn has_upper_case(self) -> bool {
        self.has_upper_case
    }

    /// Returns the [host](Authority::host) as text.
    pub fn host_str(self) -> &'b str {
        &self.as_str()[..self.host().len()]
    }
}
