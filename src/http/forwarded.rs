//! Who the client of a request is, by the fields that proxies add: X-Forwarded-For, or Forwarded (RFC 7239).
//!
//! Each proxy appends the address that it got the request from. So a list is read from its end: an element is believed as long
//! as the address that appended it is that of a trusted proxy. What is left of the first address that is not trusted is
//! whatever a client has sent.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use super::{Fields, Scheme, syntax};

/// The fields of the scheme and of the host that go along with X-Forwarded-For, and with a field of another name.
const PROTO: &str = "X-Forwarded-Proto";
const HOST: &str = "X-Forwarded-Host";

/// The field that names the client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AddressField {
    /// X-Forwarded-For if a request has it, otherwise Forwarded.
    #[default]
    Either,
    /// Forwarded alone.
    Forwarded,
    /// A list of addresses in a field of this name alone, such as X-Real-IP with one.
    Named(Box<str>),
}

/// What trusted proxies say about a request. Each part is none if they do not say it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forwarded<'b> {
    /// The address of the client; its port is 0 if it is not known.
    pub client: Option<SocketAddr>,
    /// The scheme that the client uses.
    pub scheme: Option<Scheme>,
    /// The host that the client asked for, which is not validated.
    pub host: Option<&'b [u8]>,
}

impl AddressField {
    /// Returns the field of a name. Errors name what a field name may be.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            _ if name.is_empty() || !name.bytes().all(syntax::is_token_byte) => {
                Err("give the name of a field, such as X-Forwarded-For, Forwarded, X-Real-IP or CF-Connecting-IP"
                    .into())
            }
            _ if name.eq_ignore_ascii_case("Forwarded") => Ok(AddressField::Forwarded),
            _ => Ok(AddressField::Named(name.into())),
        }
    }

    /// Reads what the proxies say, of which the last one is trusted.
    pub fn read<'b>(&self, fields: Fields<'_, 'b>, is_trusted: impl Fn(IpAddr) -> bool) -> Forwarded<'b> {
        const X_FORWARDED_FOR: &str = "X-Forwarded-For";
        match self {
            AddressField::Either if has(fields, X_FORWARDED_FOR) => read_list(fields, X_FORWARDED_FOR, is_trusted),
            AddressField::Either if !has(fields, "Forwarded") => read_list(fields, X_FORWARDED_FOR, is_trusted),
            AddressField::Either | AddressField::Forwarded => read_forwarded(fields, is_trusted),
            AddressField::Named(name) => read_list(fields, name, is_trusted),
        }
    }
}

fn has(fields: Fields, name: &str) -> bool {
    fields.0.iter().any(|line| syntax::is_name(line.name, name))
}

/// Reads a list of addresses, and the fields beside it.
fn read_list<'b>(fields: Fields<'_, 'b>, name: &str, is_trusted: impl Fn(IpAddr) -> bool) -> Forwarded<'b> {
    let (mut client, mut hops) = (None, 0);
    for element in from_the_end(fields, name) {
        let Some(address) = address(element) else { break };
        (client, hops) = (Some(address), hops + 1);
        if !is_trusted(address.ip()) {
            break;
        }
    }
    // The lists have the same order. A shorter one was written by a proxy that keeps what it got from a trusted one.
    let beside = |name| from_the_end(fields, name).take(hops.max(1)).last();
    Forwarded { client, scheme: beside(PROTO).and_then(scheme), host: beside(HOST) }
}

/// Reads Forwarded (RFC 7239 §4).
fn read_forwarded<'b>(fields: Fields<'_, 'b>, is_trusted: impl Fn(IpAddr) -> bool) -> Forwarded<'b> {
    let mut forwarded = Forwarded::default();
    for element in from_the_end(fields, "Forwarded") {
        let Some(hop) = Hop::parse(element) else { break };
        // Of a client whose address is obfuscated, the scheme is known.
        (forwarded.scheme, forwarded.host) = (hop.scheme, hop.host);
        let Some(address) = hop.client else { break };
        forwarded.client = Some(address);
        if !is_trusted(address.ip()) {
            break;
        }
    }
    forwarded
}

/// An element of Forwarded: what one proxy says about the connection that it got the request from.
#[derive(Debug, Default)]
struct Hop<'b> {
    client: Option<SocketAddr>,
    scheme: Option<Scheme>,
    host: Option<&'b [u8]>,
}

impl<'b> Hop<'b> {
    /// Parses pairs, each of which may be there once (RFC 7239 §4). None if it has another form.
    fn parse(element: &'b [u8]) -> Option<Self> {
        let (mut hop, mut seen) = (Hop::default(), [false; 3]);
        let mut rest = element;
        loop {
            let (name, after) = syntax::token(syntax::skip_blanks(rest))?;
            let (value, after) = value(after.strip_prefix(b"=")?)?;
            let known = ["for", "proto", "host"].iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes()));
            if let Some(known) = known {
                if std::mem::replace(&mut seen[known], true) {
                    return None;
                }
                match known {
                    0 => hop.client = address(value),
                    1 => hop.scheme = scheme(value),
                    _ => hop.host = Some(value),
                }
            }
            rest = match syntax::skip_blanks(after) {
                [] => return Some(hop),
                [b';', rest @ ..] => rest,
                _ => return None,
            };
        }
    }
}

/// Splits off a value: a token, or a quoted string without escapes, which no address, scheme or host needs.
fn value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(quoted) = bytes.strip_prefix(b"\"") else { return syntax::token(bytes) };
    let end = quoted.iter().position(|&byte| matches!(byte, b'"' | b'\\'))?;
    (quoted[end] == b'"').then(|| (&quoted[..end], &quoted[end + 1..]))
}

/// Returns the elements of all lines with this name, which are one list (RFC 9110 §5.3), from the last one. Empty ones are
/// left out.
fn from_the_end<'f, 'b>(fields: Fields<'f, 'b>, name: &'f str) -> impl Iterator<Item = &'b [u8]> + 'f
where
    'b: 'f,
{
    let lines = fields.0.iter().rev().filter(move |line| syntax::is_name(line.name, name)).map(|line| line.value);
    lines.flat_map(Elements).filter(|element| !element.is_empty())
}

/// The elements of one line, from the last one. Only what proxies have appended is looked at, whatever precedes it: a quote that
/// a client has opened does not reach there.
struct Elements<'b>(&'b [u8]);

impl<'b> Iterator for Elements<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let is_escaped = |at: usize| self.0[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1;
        let mut is_quoted = false;
        let comma = self.0.iter().enumerate().rev().find_map(|(at, byte)| {
            is_quoted ^= *byte == b'"' && !is_escaped(at);
            (*byte == b',' && !is_quoted).then_some(at)
        });
        let (rest, element) = comma.map_or((&b""[..], self.0), |at| (&self.0[..at], &self.0[at + 1..]));
        self.0 = rest;
        Some(element.trim_ascii())
    }
}

/// Returns the address of an element: IPv4 or IPv6, with a port or without. None if it is another form, or obfuscated.
fn address(element: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(element).ok()?;
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let ip = match bracketed {
        Some(text) => text.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    };
    // Only digits: the parser of the standard library takes no sign for a port.
    let address = ip.map(|ip| SocketAddr::new(ip, 0)).or_else(|| text.parse().ok())?;
    let has_zone = matches!(address, SocketAddr::V6(address) if address.scope_id() != 0);
    (!has_zone).then(|| SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn scheme(value: &[u8]) -> Option<Scheme> {
    [Scheme::Http, Scheme::Https].into_iter().find(|scheme| value.eq_ignore_ascii_case(scheme.as_str().as_bytes()))
}
