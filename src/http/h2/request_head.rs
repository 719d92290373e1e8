//! The field section of a request (RFC 9113 §8.2, §8.3).
//!
//! What breaks the rules of HTTP/2 makes a request malformed, and its stream ends with PROTOCOL_ERROR. What breaks the rules of all
//! versions of HTTP gets the answer that it gets in HTTP/1.1:
//!
//! | what | becomes of the request |
//! |---|---|
//! | a name with upper-case letters or other bytes that no name has | malformed |
//! | a value with NUL, CR or LF, or with white space at an end | malformed |
//! | a pseudo-header field that is unknown, doubled, missing, or after other fields | malformed |
//! | a path that is empty, or does not begin with a slash and is not that of `OPTIONS *` | malformed |
//! | another scheme than that of the connection; in clear, than `http` and `https` | malformed |
//! | Connection, Keep-Alive, Proxy-Connection, Transfer-Encoding, Upgrade, TE other than `trailers` | malformed |
//! | Host that is not `:authority`, apart from the port of its scheme, or neither, or two of Host | malformed |
//! | Content-Length that is no number, or differs | malformed |
//! | text that is no UTF-8 in a pseudo-header field or Host | malformed |
//! | an authority that is none | 400 |
//! | a value with another control character | 400 |
//! | a request line that would be longer than its limit | 414, or 501 for a long method |
//! | fields that are more or longer than their limits | 431 |

use std::ops::ControlFlow;

use httparse::Header;

use super::priority::Priority;
use crate::http::request::{Body, Method, Version};
use crate::http::{Authority, Fields, Limits, Refusal, Request, Scheme, limits, syntax};

/// What each field line counts besides its name and value, in bytes (RFC 9113 §6.5.2).
const LINE_BYTES: usize = 32;

/// The bytes at which a section is not decoded further, in multiples of its limit. The connection ends with ENHANCE_YOUR_CALM.
const MAX_LIMITS: usize = 4;

/// The field section of a request, while it is decoded, and then whole.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// Names, values and pseudo-header fields, one after the other. Names are tokens, and others are checked where they are used.
    bytes: Vec<u8>,
    /// The field lines: where they begin, and the lengths of name and value.
    lines: Vec<(usize, usize, usize)>,
    method: Option<Text>,
    scheme: Option<Text>,
    authority: Option<Text>,
    path: Option<Text>,
    host: Option<Text>,
    /// The value of Content-Length.
    pub content_length: Option<u64>,
    /// The size as RFC 9113 §6.5.2 counts it.
    size: usize,
    malformed: Option<&'static str>,
    refusal: Option<Refusal>,
}

/// A part of the bytes: where it begins, and its length.
type Text = (usize, usize);

/// Why a request is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadRequest {
    /// Its stream ends with PROTOCOL_ERROR (RFC 9113 §8.1.1).
    Malformed(&'static str),
    /// It gets an answer with an error.
    Refused(Refusal),
}

impl RequestHead {
    /// Forgets the last request, and keeps the memory.
    pub fn clear(&mut self) {
        let (mut bytes, mut lines) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.lines));
        bytes.clear();
        lines.clear();
        *self = RequestHead { bytes, lines, ..RequestHead::default() };
    }

    /// Adds a field line. The whole section is then [checked](RequestHead::check). Breaks if the section is so large that it is an attack.
    pub fn add(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> ControlFlow<()> {
        self.size += name.len() + value.len() + LINE_BYTES;
        if self.size > limits.head_bytes {
            self.refusal = Some(Refusal::LargeHead);
            let is_attack = self.size > MAX_LIMITS * limits.head_bytes;
            return if is_attack { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        let added = match name {
            [b':', pseudo @ ..] => self.add_pseudo(pseudo, value),
            _ => self.add_field(name, value, limits),
        };
        if let Err(why) = added {
            self.malformed.get_or_insert(why);
        }
        ControlFlow::Continue(())
    }

    fn add_pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if !self.lines.is_empty() {
            return Err("a pseudo-header field follows other fields");
        }
        let text = self.push(value);
        let field = match name {
            b"method" => &mut self.method,
            b"scheme" => &mut self.scheme,
            b"authority" => &mut self.authority,
            b"path" => &mut self.path,
            _ => return Err("a pseudo-header field is unknown"),
        };
        check_value(value, kinds(value))?;
        if field.replace(text).is_some() { Err("a pseudo-header field is there twice") } else { Ok(()) }
    }

    fn add_field(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> Result<(), &'static str> {
        if name.is_empty() || kinds(name) & NO_NAME != 0 {
            return Err("a field name has bytes that it cannot have");
        }
        let kinds = kinds(value);
        check_value(value, kinds)?;
        if kinds & CONTROL != 0 {
            self.refusal.get_or_insert(Refusal::Malformed("a field value holds a control character"));
        }
        match name {
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
                return Err("a field is for connections of HTTP/1.1");
            }
            b"te" if !value.eq_ignore_ascii_case(b"trailers") => return Err("TE is not \"trailers\""),
            b"content-length" => self.add_content_length(value)?,
            _ => {}
        }
        if self.lines.len() >= limits.fields.min(limits::FIELDS) {
            self.refusal = Some(Refusal::LargeHead);
            return Ok(());
        }
        let (begin, _) = self.push(name);
        let text = self.push(value);
        self.lines.push((begin, name.len(), value.len()));
        if name == b"host" && self.host.replace(text).is_some() {
            return Err("Host is there twice");
        }
        Ok(())
    }

    fn add_content_length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        let length = syntax::number(value).ok_or("Content-Length is not a number")?;
        match self.content_length.replace(length) {
            Some(before) if before != length => Err("two of Content-Length differ"),
            _ => Ok(()),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Text {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        (begin, bytes.len())
    }

    /// Checks the whole section, as that of a request on a connection with this scheme. Returns why it is malformed, if it is.
    pub fn check(&mut self, scheme: Scheme, limits: &Limits) -> Option<&'static str> {
        // What is beyond the limits was not looked at: pseudo-header fields may be missing.
        if self.malformed.is_none() && self.refusal != Some(Refusal::LargeHead) {
            match self.check_request_line(scheme, limits) {
                Ok(()) => {}
                Err(BadRequest::Malformed(why)) => self.malformed = Some(why),
                Err(BadRequest::Refused(refusal)) => drop(self.refusal.get_or_insert(refusal)),
            }
        }
        self.malformed
    }

    /// Checks what the request line of HTTP/1.1 would say, and the authority.
    fn check_request_line(&self, scheme: Scheme, limits: &Limits) -> Result<(), BadRequest> {
        use BadRequest::{Malformed, Refused};
        let method = self.bytes(self.method).ok_or(Malformed("there is no method"))?;
        if method.is_empty() || !method.iter().copied().all(syntax::is_token_byte) {
            return Err(Malformed("the method is no token"));
        }
        let authority = self.authority()?;
        let target = if method == b"CONNECT" {
            if self.scheme.is_some() || self.path.is_some() {
                return Err(Malformed("CONNECT has a scheme or a path"));
            }
            authority
        } else {
            let own_scheme = self.bytes(self.scheme).ok_or(Malformed("there is no scheme"))?;
            // In clear, a proxy may have received the request by either.
            let is_known = |known: Scheme| own_scheme.eq_ignore_ascii_case(known.as_str().as_bytes());
            if !(is_known(Scheme::Https) || is_known(scheme)) {
                return Err(Malformed("the scheme is not that of the connection"));
            }
            let path = self.bytes(self.path).ok_or(Malformed("there is no path"))?;
            if !is_text(path) {
                return Err(Malformed("the path is no text"));
            }
            if !(path.starts_with(b"/") || path == b"*" && method == b"OPTIONS") {
                return Err(Malformed("the path does not begin with a slash"));
            }
            path
        };
        if kinds(target) & (LINE_END | CONTROL | BLANK) != 0 {
            return Err(Refused(Refusal::Malformed("the target contains white space or a control character")));
        }
        if Authority::parse(authority).is_none() {
            return Err(Refused(Refusal::Malformed("the authority holds no host")));
        }
        if method.len() + target.len() + " HTTP/2 ".len() > limits.request_line_bytes {
            let is_long_method = method.len() > limits::METHOD_BYTES;
            return Err(Refused(if is_long_method { Refusal::LongMethod } else { Refusal::LongRequestLine }));
        }
        Ok(())
    }

    /// Returns the request, after it was [checked](RequestHead::check). Its body has the state `body`; `storage` is for its field lines.
    pub fn request<'f, 'b>(
        &'b self,
        body: Body,
        storage: &'f mut Vec<Header<'b>>,
    ) -> Result<Request<'f, 'b>, BadRequest> {
        if let Some(why) = self.malformed {
            return Err(BadRequest::Malformed(why));
        }
        if let Some(refusal) = &self.refusal {
            return Err(BadRequest::Refused(refusal.clone()));
        }
        // Mostly, the whole section is text, and so is each part of it.
        let whole = std::str::from_utf8(&self.bytes).ok();
        let text = |(begin, length): Text| match whole {
            Some(whole) => whole.get(begin..begin + length),
            None => std::str::from_utf8(&self.bytes[begin..begin + length]).ok(),
        };
        let text = |part: Option<Text>| part.and_then(text).unwrap_or_default();
        let method_name = text(self.method);
        let authority = self.authority.or(self.host);
        let target = text(if method_name == "CONNECT" { authority } else { self.path });
        storage.clear();
        storage.extend(self.lines.iter().map(|&(begin, name, value)| {
            let value_begin = begin + name;
            Header { name: text(Some((begin, name))), value: &self.bytes[value_begin..value_begin + value] }
        }));
        Ok(Request {
            method: Method::named(method_name),
            method_name,
            target,
            authority: self.bytes(authority).and_then(Authority::parse),
            version: Version::Http2,
            fields: Fields(storage),
            body,
        })
    }

    /// Returns the priority of its Priority field, if it has one (RFC 9218 §5).
    pub fn priority(&self) -> Option<Priority> {
        let values = self.lines().filter(|(name, _)| *name == b"priority").map(|(_, value)| value);
        values.fold(None, |priority: Option<Priority>, value| Some(priority.unwrap_or_default().with(value)))
    }

    /// Returns whether the client waits for permission to send the content (RFC 9110 §10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.lines().any(|(name, _)| name == b"expect")
    }

    /// Returns what is wrong with it as trailers (RFC 9113 §8.1).
    pub fn fault_of_trailers(&self) -> Option<&'static str> {
        let has_pseudo = [self.method, self.scheme, self.authority, self.path].iter().any(Option::is_some);
        self.malformed.or_else(|| has_pseudo.then_some("trailers have a pseudo-header field"))
    }

    fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|&(begin, name, value)| self.bytes[begin..begin + name + value].split_at(name))
    }

    /// Returns the method; empty if it is none.
    pub fn method_name(&self) -> &str {
        self.bytes(self.method).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// Returns the authority, of which Host says the same.
    pub fn authority(&self) -> Result<&[u8], BadRequest> {
        let (authority, host) = (self.bytes(self.authority), self.bytes(self.host));
        if [authority, host].into_iter().flatten().any(|bytes| !is_text(bytes)) {
            return Err(BadRequest::Malformed("the authority is no text"));
        }
        match (authority, host) {
            (Some(authority), Some(host)) if !self.is_same(authority, host) => {
                Err(BadRequest::Malformed("Host is not the authority"))
            }
            (Some(authority), _) | (None, Some(authority)) => Ok(authority),
            (None, None) => Err(BadRequest::Malformed("there is neither an authority nor Host")),
        }
    }

    /// Returns whether two authorities are the same, one with the port that the scheme implies, or both without (RFC 9113 §8.3.1).
    fn is_same(&self, authority: &[u8], host: &[u8]) -> bool {
        let is_https = self.bytes(self.scheme).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"));
        let port = if is_https { b":443".as_slice() } else { b":80" };
        let without_port = |bytes: &'_ [u8]| bytes.len() - if bytes.ends_with(port) { port.len() } else { 0 };
        authority[..without_port(authority)].eq_ignore_ascii_case(&host[..without_port(host)])
    }

    /// Returns a part of the bytes.
    fn bytes(&self, part: Option<Text>) -> Option<&[u8]> {
        part.map(|(begin, length)| &self.bytes[begin..begin + length])
    }
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.is_ascii() || std::str::from_utf8(bytes).is_ok()
}

/// What bytes of names and values are: a sum of the following.
fn kinds(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |kinds, &byte| kinds | KINDS[usize::from(byte)])
}

/// A byte that no name has.
const NO_NAME: u8 = 1;

/// NUL, CR or LF.
const LINE_END: u8 = 2;

/// Another control character.
const CONTROL: u8 = 4;

/// A space or a tab.
const BLANK: u8 = 8;

/// The kind of each byte. A table, since every request has them by the hundred.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let of = byte as u8;
        kinds[byte] = match of {
            0 | b'\r' | b'\n' => LINE_END,
            b' ' | b'\t' => BLANK,
            ..b' ' | 0x7f => CONTROL,
            _ => 0,
        };
        if !syntax::is_token_byte(of) || of.is_ascii_uppercase() {
            kinds[byte] |= NO_NAME;
        }
        byte += 1;
    }
    kinds
};

/// Checks what no field value may have in HTTP/2 (RFC 9113 §8.2.1). Its bytes are of these `kinds`.
fn check_value(value: &[u8], kinds: u8) -> Result<(), &'static str> {
    if kinds & LINE_END != 0 {
        return Err("a field value has a NUL or a line end");
    }
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_blank(value.first()) || is_blank(value.last()) {
        Err("a field value has white space at an end")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
