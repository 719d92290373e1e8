//! The parser of requests (RFC 9112 §2 to §7, §9.3). httparse splits the head; this module validates the parts strictly
//! and interprets them.
//!
//! A request is complete when its body has arrived. No request for a file needs a body. So bodies are small, are
//! discarded, and are never parsed as the next request.

use std::mem::MaybeUninit;

use httparse::{Header, Status::Complete, Status::Partial};

use super::chunked;
use super::framing::{End, Framing};
use crate::http::request::{Body, Method, Request, Version};
use crate::http::{Authority, Fields, Limits, Refusal, limits, syntax, target};

/// A request that was parsed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'f, 'b> {
    /// The request.
    pub request: Request<'f, 'b>,
    /// Whether the client wants the connection to persist (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// The bytes of the buffer that the request takes.
    pub length: usize,
}

/// Space for the field lines of one head.
pub type Storage<'b> = [MaybeUninit<Header<'b>>; limits::FIELDS];

/// Creates empty space for field lines.
pub fn storage<'b>() -> Storage<'b> {
    [MaybeUninit::uninit(); limits::FIELDS]
}

/// Parses one request at the beginning of `buffer`; `None` if more bytes are needed.
///
/// After an error the framing is lost: respond and close.
pub fn parse<'f, 'b>(
    buffer: &'b [u8],
    storage: &'f mut Storage<'b>,
    limits: &Limits,
) -> Result<Option<Message<'f, 'b>>, Refusal> {
    if buffer.len() - buffer.trim_ascii_start().len() > limits::BLANK_BYTES {
        return Err(Refusal::Malformed("too many empty lines stand before a request"));
    }
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(buffer, &mut storage[..limits.fields.min(limits::FIELDS)]) {
        Ok(Complete(length)) => {
            check_lines(&parsed, &buffer[..length])?;
            let httparse::Request { method, path, version, headers } = parsed;
            let (Some(method), Some(target), Some(minor)) = (method, path, version) else {
                return Err(Refusal::Malformed("the request line is not whole"));
            };
            if method.len() + target.len() + " HTTP/1.1 ".len() > limits.request_line_bytes {
                return Err(long_line(method.len()));
            }
            if length > limits.head_bytes {
                return Err(Refusal::LargeHead);
            }
            interpret(method, target, minor, Fields(headers), buffer, length, limits)
        }
        Ok(Partial) => within_limits(buffer, limits).map(|()| None),
        Err(error) => Err(refuse(error, buffer)),
    }
}

/// Rewrites a request with a later version of the same major number to HTTP/1.1 (RFC 9110 §2.5). Returns whether it
/// did.
pub fn lower_version(buffer: &mut [u8]) -> bool {
    let begin = buffer.len() - buffer.trim_ascii_start().len();
    let line = buffer[begin..].split(|&b| b == b'\n').next().unwrap_or_default().trim_ascii_end();
    let end = begin + line.len();
    match &mut buffer[..end] {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9'] => {
            *minor = b'1';
            true
        }
        _ => false,
    }
}

/// Returns the method with which the bytes of a rejected request begin, as far as it matters: a response to HEAD has no
/// content.
pub fn method_of_refused(buffer: &[u8]) -> Method {
    if buffer.trim_ascii_start().starts_with(b"HEAD ") { Method::Head } else { Method::Get }
}

/// Returns whether `buffer` holds only line ends that may precede a request (RFC 9112 §2.2).
pub fn is_blank(buffer: &[u8]) -> bool {
    buffer.iter().all(|&byte| matches!(byte, b'\r' | b'\n'))
}

/// Checks that every line ends with CR LF. httparse accepts a line feed alone; [`syntax::line`] says why that is
/// rejected here. Empty lines before a request are not part of it, and are ignored.
fn check_lines(parsed: &httparse::Request, bytes: &[u8]) -> Result<(), Refusal> {
    let offset = |part: &[u8]| part.as_ptr() as usize - bytes.as_ptr() as usize;
    let ends_well = |from: usize| {
        let rest = &bytes[from..];
        let end = rest.iter().position(|b| !matches!(b, b' ' | b'\t'));
        end.is_some_and(|end| rest[end..].starts_with(b"\r\n"))
    };
    let target = parsed.path.unwrap_or_default().as_bytes();
    let line_end = offset(target) + target.len() + " HTTP/1.1".len();
    let lines = parsed.headers.iter().map(|line| offset(line.value) + line.value.len());
    if std::iter::once(line_end).chain(lines).all(ends_well) && bytes.ends_with(b"\r\n") {
        return Ok(());
    }
    Err(Refusal::Malformed("a line does not end with CR LF"))
}

fn interpret<'f, 'b>(
    method: &'b str,
    target: &'b str,
    minor: u8,
    fields: Fields<'f, 'b>,
    buffer: &'b [u8],
    head_length: usize,
    limits: &Limits,
) -> Result<Option<Message<'f, 'b>>, Refusal> {
    let mut hosts = 0;
    let mut authority = None;
    let mut close = false;
    let mut keep_alive = minor > 0;
    let mut expects = false;
    let mut framing = Framing::None;
    for Header { name, value } in fields.0 {
        // Most fields are none of these, and few of them have these lengths.
        match name.len() {
            4 if syntax::is_name(name, "Host") => {
                hosts += 1;
                authority = Authority::parse(value);
                if authority.is_none() {
                    return Err(Refusal::Malformed("the Host field holds no host"));
                }
            }
            6 if syntax::is_name(name, "Expect") => expects = true,
            10 if syntax::is_name(name, "Connection") => {
                close |= has_token(value, "close");
                keep_alive |= has_token(value, "keep-alive");
            }
            14 if syntax::is_name(name, "Content-Length") => framing = framing.with_length(value)?,
            17 if syntax::is_name(name, "Transfer-Encoding") => framing = framing.with_codings(value, minor)?,
            _ => {}
        }
    }
    if hosts > 1 || (hosts == 0 && minor > 0) {
        return Err(Refusal::Malformed("a request of HTTP/1.1 has exactly one Host field"));
    }

    let (body, body_length) = match framing.end()? {
        End::Length(0) => (Body::Dropped, 0),
        // The client waits for permission to send it, and gets the final response at once (RFC 9110 §10.1.1).
        _ if expects => (Body::Unread, 0),
        End::Length(length) if length > limits.body_bytes as u64 => (Body::TooLarge, 0),
        End::Length(length) if ((buffer.len() - head_length) as u64) < length => return Ok(None),
        End::Length(length) => (Body::Dropped, length as usize),
        End::Chunked => match chunked::end(&buffer[head_length..])? {
            Some(end) if end <= limits.body_bytes => (Body::Dropped, end),
            None if buffer.len() - head_length < limits.body_bytes => return Ok(None),
            _ => (Body::TooLarge, 0),
        },
    };
    // The authority of an absolute target takes precedence over Host (RFC 9112 §3.2.2).
    let authority = match target.starts_with('/') {
        true => authority,
        false => target::authority(target).and_then(|text| Authority::parse(text.as_bytes())).or(authority),
    };
    let version = if minor > 0 { Version::Http11 } else { Version::Http10 };
    let request =
        Request { method: Method::named(method), method_name: method, target, authority, version, fields, body };
    Ok(Some(Message { request, keep_alive: keep_alive && !close, length: head_length + body_length }))
}

/// Whether a comma-separated field value has `token` among its members, in any case (RFC 9110 §5.6.1).
fn has_token(value: &[u8], token: &str) -> bool {
    value.split(|&b| b == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn within_limits(buffer: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let line = buffer.trim_ascii_start();
    let most = limits.request_line_bytes + "\r\n".len();
    if line.len() >= most && !line[..most].contains(&b'\n') {
        return Err(long_line(line.iter().position(|&b| b == b' ').unwrap_or(line.len())));
    }
    if buffer.len() >= limits.head_bytes {
        return Err(Refusal::LargeHead);
    }
    Ok(())
}

/// Returns the error of a request line that is too long: its method, if that is longer than any known one, or its
/// target (RFC 9112 §3).
fn long_line(method_bytes: usize) -> Refusal {
    if method_bytes > limits::METHOD_BYTES { Refusal::LongMethod } else { Refusal::LongRequestLine }
}

fn refuse(error: httparse::Error, buffer: &[u8]) -> Refusal {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => Refusal::LargeHead,
        Error::Version if names_another_version(buffer) => Refusal::UnknownVersion,
        Error::Version => Refusal::Malformed("the request line does not end with a version"),
        Error::NewLine => Refusal::Malformed("a line does not end with CR LF"),
        Error::HeaderName => Refusal::Malformed("a field name is not a token followed by a colon"),
        Error::HeaderValue => Refusal::Malformed("a field value holds a control character"),
        Error::Token | Error::Status => Refusal::Malformed("the request line is not method, target, version"),
    }
}

/// Whether the first line ends with a well-formed version, which is then not supported (RFC 9112 §2.3).
fn names_another_version(buffer: &[u8]) -> bool {
    let line = buffer.trim_ascii_start();
    let line = line.split(|&b| b == b'\n').next().unwrap_or_default().trim_ascii_end();
    let version = line.rsplit(|&b| b == b' ').next().unwrap_or_default();
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
