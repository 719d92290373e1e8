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

    /// Adds a field line. Breaks if the section is so large that it is an attack.
    pub fn add(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> ControlFlow<()> {
        self.size += name.len() + value.len() + LINE_BYTES;
        if self.size > limits.head_bytes {
            self.refusal.get_or_insert(Refusal::LargeHead);
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
        check_value(value)?;
        if field.replace(text).is_some() { Err("a pseudo-header field is there twice") } else { Ok(()) }
    }

    fn add_field(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> Result<(), &'static str> {
        let is_name_byte = |byte: &u8| syntax::is_token_byte(*byte) && !byte.is_ascii_uppercase();
        if name.is_empty() || !name.iter().all(is_name_byte) {
            return Err("a field name has bytes that it cannot have");
        }
        check_value(value)?;
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
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
            self.refusal.get_or_insert(Refusal::LargeHead);
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

    /// Returns the request of a connection with this scheme, whose body has the state `body`. `storage` is for its field lines.
    pub fn request<'f, 'b>(
        &'b self,
        scheme: Scheme,
        body: Body,
        limits: &Limits,
        storage: &'f mut Vec<Header<'b>>,
    ) -> Result<Request<'f, 'b>, BadRequest> {
        use BadRequest::{Malformed, Refused};
        if let Some(why) = self.malformed {
            return Err(Malformed(why));
        }
        // What is beyond the limits was not looked at: pseudo-header fields may be missing.
        if let Some(refusal) = &self.refusal {
            return Err(Refused(refusal.clone()));
        }
        let text = |text: Option<Text>, why| self.text(text).transpose().map_err(|()| Malformed(why));
        let method_name = text(self.method, "the method is no token")?.ok_or(Malformed("there is no method"))?;
        if method_name.is_empty() || !method_name.bytes().all(syntax::is_token_byte) {
            return Err(Malformed("the method is no token"));
        }
        let authority = self.authority()?;
        let target = if method_name == "CONNECT" {
            if self.scheme.is_some() || self.path.is_some() {
                return Err(Malformed("CONNECT has a scheme or a path"));
            }
            authority
        } else {
            let own_scheme = text(self.scheme, "the scheme is no text")?.ok_or(Malformed("there is no scheme"))?;
            // In clear, a proxy may have received the request by either.
            let is_known = |known: Scheme| own_scheme.eq_ignore_ascii_case(known.as_str());
            if !(is_known(Scheme::Https) || is_known(scheme)) {
                return Err(Malformed("the scheme is not that of the connection"));
            }
            let path = text(self.path, "the path is no text")?.ok_or(Malformed("there is no path"))?;
            if !(path.starts_with('/') || path == "*" && method_name == "OPTIONS") {
                return Err(Malformed("the path does not begin with a slash"));
            }
            path
        };
        if target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(Refused(Refusal::Malformed("the target contains white space or a control character")));
        }
        let Some(authority) = Authority::parse(authority.as_bytes()) else {
            return Err(Refused(Refusal::Malformed("the authority holds no host")));
        };
        if method_name.len() + target.len() + " HTTP/2 ".len() > limits.request_line_bytes {
            let is_long_method = method_name.len() > limits::METHOD_BYTES;
            return Err(Refused(if is_long_method { Refusal::LongMethod } else { Refusal::LongRequestLine }));
        }
        storage.clear();
        // Names are tokens.
        storage.extend(
            self.lines().map(|(name, value)| Header { name: std::str::from_utf8(name).unwrap_or_default(), value }),
        );
        Ok(Request {
            method: Method::named(method_name),
            method_name,
            target,
            authority: Some(authority),
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
        self.text(self.method).and_then(Result::ok).unwrap_or_default()
    }

    /// Returns the authority, of which Host says the same.
    pub fn authority(&self) -> Result<&str, BadRequest> {
        let text = |text| self.text(text).transpose().map_err(|()| BadRequest::Malformed("the authority is no text"));
        match (text(self.authority)?, text(self.host)?) {
            (Some(authority), Some(host)) if !self.is_same(authority, host) => {
                Err(BadRequest::Malformed("Host is not the authority"))
            }
            (Some(authority), _) | (None, Some(authority)) => Ok(authority),
            (None, None) => Err(BadRequest::Malformed("there is neither an authority nor Host")),
        }
    }

    /// Returns whether two authorities are the same, one with the port that the scheme implies, or both without (RFC 9113 §8.3.1).
    fn is_same(&self, authority: &str, host: &str) -> bool {
        let is_https =
            self.text(self.scheme).is_some_and(|scheme| scheme.is_ok_and(|s| s.eq_ignore_ascii_case("https")));
        let port = if is_https { ":443" } else { ":80" };
        let without_port = |text: &'_ str| text.len() - if text.ends_with(port) { port.len() } else { 0 };
        authority[..without_port(authority)].eq_ignore_ascii_case(&host[..without_port(host)])
    }

    /// Returns a part of the bytes as text; an error if it is none.
    fn text(&self, text: Option<Text>) -> Option<Result<&str, ()>> {
        text.map(|(begin, length)| std::str::from_utf8(&self.bytes[begin..begin + length]).map_err(|_| ()))
    }
}

/// Checks what no field value may have in HTTP/2 (RFC 9113 §8.2.1).
fn check_value(value: &[u8]) -> Result<(), &'static str> {
    if value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
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
