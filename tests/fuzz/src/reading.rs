//! A model of request parsing by RFC 9112 and this server's limits. It is simple, and sees all bytes of a stream at
//! once. The server, which receives them in pieces, must reach the same result.

use otus_httpd::http::Limits;

/// The first byte of a TLS connection (RFC 8446 §5.1, handshake).
const TLS_HANDSHAKE: u8 = 0x16;
/// The maximum number of bytes of empty lines before a request.
const BLANK_BYTES: usize = 16;

/// The beginning of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front<'a> {
    /// A complete request.
    Request { method: &'a str, length: usize, is_last: bool, is_too_large: bool },
    /// Not a request, whatever follows: an error response, then the end.
    Refused,
    /// An incomplete request, valid so far.
    Waiting,
    /// An incomplete request, or bytes that will be rejected at the latest when the head is complete.
    Unclear,
}
use Front::*;

/// An expected response.
#[derive(Debug, Clone, Copy)]
pub struct Due<'a> {
    pub method: &'a str,
    pub statuses: &'static [u16],
    pub is_last: bool,
}

/// The expected responses for a complete stream, and whether an error response may follow them.
pub fn read<'a>(mut stream: &'a [u8], limits: &Limits, most_requests: usize) -> (Vec<Due<'a>>, bool) {
    let mut due = Vec::new();
    // The client speaks TLS: the server closes the connection without a response.
    if stream.first() == Some(&TLS_HANDSHAKE) {
        return (due, false);
    }
    loop {
        match first(stream, limits) {
            Request { method, length, is_last, is_too_large, .. } => {
                let is_last = is_last || is_too_large || due.len() + 1 == most_requests;
                due.push(Due { method, statuses: statuses(method, is_too_large), is_last });
                stream = &stream[length..];
                if is_last {
                    return (due, false);
                }
            }
            Refused => {
                due.push(Due {
                    method: method_of_refused(stream),
                    statuses: &[400, 413, 414, 431, 501, 505],
                    is_last: true,
                });
                return (due, false);
            }
            Waiting => return (due, false),
            Unclear => return (due, true),
        }
    }
}

/// The method of a rejected request, as far as it decides whether the error response has content. If the error is
/// before the method, that depends on the number of bytes that had arrived.
fn method_of_refused(stream: &[u8]) -> &'static str {
    let rest = behind_blank(stream);
    if !stream.trim_ascii_start().starts_with(b"HEAD ") {
        "GET"
    } else if rest.starts_with(b"HEAD ") && stream.len() - rest.len() <= BLANK_BYTES {
        "HEAD"
    } else {
        "HEAD, perhaps"
    }
}

/// The bytes after the empty lines at the beginning.
fn behind_blank(mut stream: &[u8]) -> &[u8] {
    while let Some(behind) = stream.strip_prefix(b"\r\n").or_else(|| stream.strip_prefix(b"\n")) {
        stream = behind;
    }
    stream
}

fn statuses(method: &str, is_too_large: bool) -> &'static [u16] {
    match method {
        // If there are too many chunks, they may be invalid as well.
        "GET" | "HEAD" | "OPTIONS" if is_too_large => &[400, 413],
        "GET" => &[200, 206, 301, 304, 400, 403, 404, 406, 412, 416],
        "HEAD" => &[200, 301, 304, 400, 403, 404, 406, 412],
        "OPTIONS" => &[204, 400, 404],
        "POST" | "PUT" | "DELETE" | "CONNECT" | "TRACE" | "PATCH" if is_too_large => &[400, 405],
        "POST" | "PUT" | "DELETE" | "CONNECT" | "TRACE" | "PATCH" => &[405],
        _ if is_too_large => &[400, 501],
        _ => &[501],
    }
}

/// Parses the beginning of the bytes.
pub fn first<'a>(stream: &'a [u8], limits: &Limits) -> Front<'a> {
    let head = match head(stream, limits) {
        Ok(head) => head,
        Err(front) => return front,
    };
    let body = &stream[head.length..];
    match (&head.all("transfer-encoding")[..], &head.all("content-length")[..]) {
        ([], []) => head.with_body(0),
        ([], lengths) => match length(lengths) {
            None => Refused,
            Some(0) => head.with_body(0),
            Some(_) if head.is_expecting() => head.with_unread_body(false),
            Some(length) if length > limits.body_bytes as u64 => head.with_unread_body(true),
            Some(length) if length > body.len() as u64 => Waiting,
            Some(length) => head.with_body(length as usize),
        },
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") && head.minor == 1 => match chunks(body) {
            _ if head.is_expecting() => head.with_unread_body(false),
            Chunks::End(end) if end <= limits.body_bytes => head.with_body(end),
            Chunks::Wrong(at) if at < limits.body_bytes => Refused,
            Chunks::More if body.len() < limits.body_bytes => Unclear,
            _ => head.with_unread_body(true),
        },
        _ => Refused,
    }
}

/// A head that is valid, except perhaps for the framing of its body.
struct Head<'a> {
    method: &'a str,
    minor: u8,
    fields: Vec<(String, String)>,
    length: usize,
}

impl<'a> Head<'a> {
    fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1.as_str()).collect()
    }

    fn is_expecting(&self) -> bool {
        !self.all("expect").is_empty()
    }

    fn is_last(&self) -> bool {
        let connection = self.all("connection").join(",");
        let says = |token: &str| connection.split(',').any(|member| member.trim_ascii().eq_ignore_ascii_case(token));
        says("close") || self.minor == 0 && !says("keep-alive")
    }

    fn with_body(&self, length: usize) -> Front<'a> {
        let (is_last, length) = (self.is_last(), self.length + length);
        Request { method: self.method, length, is_last, is_too_large: false }
    }

    fn with_unread_body(&self, is_too_large: bool) -> Front<'a> {
        Request { method: self.method, length: self.length, is_last: true, is_too_large }
    }
}

fn head<'a>(stream: &'a [u8], limits: &Limits) -> Result<Head<'a>, Front<'a>> {
    let rest = behind_blank(stream);
    let blank = stream.len() - rest.len();
    if blank > BLANK_BYTES {
        return Err(Refused);
    }
    let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or(if stream.len() >= limits.head_bytes { Refused } else { Unclear })?;
    let lines = rest[..end + 2].split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r\n"));
    let lines = lines.collect::<Option<Vec<_>>>().ok_or(Refused)?;
    let length = blank + end + 4;
    if length > limits.head_bytes || lines[0].len() > limits.request_line_bytes || lines.len() - 1 > limits.fields {
        return Err(Refused);
    }
    let (method, minor) = request_line(lines[0]).ok_or(Refused)?;
    let fields = lines[1..].iter().map(|line| field(line)).collect::<Option<_>>().ok_or(Refused)?;
    let head = Head { method, minor, fields, length };
    match head.all("host")[..] {
        [] if minor == 0 => Ok(head),
        [host] if is_host(host) => Ok(head),
        _ => Err(Refused),
    }
}

/// The value of the Content-Length lines, if they agree.
fn length(lines: &[&str]) -> Option<u64> {
    let number = |digits: &&str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
    let length = number(lines.first()?)?;
    lines.iter().all(|line| number(line) == Some(length)).then_some(length)
}

fn request_line(line: &[u8]) -> Option<(&str, u8)> {
    let line = std::str::from_utf8(line).ok()?;
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    let is_target = !target.is_empty() && target.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    let minor = match version {
        "HTTP/1.0" => 0,
        "HTTP/1.1" => 1,
        // RFC 9110 §2.5.
        later if later.len() == 8 && later.starts_with("HTTP/1.") && later.as_bytes()[7].is_ascii_digit() => 1,
        _ => return None,
    };
    (is_token(method) && is_target).then_some((method, minor))
}

/// A field line as name and value. Bytes of a value that are not UTF-8 do not matter here.
fn field(line: &[u8]) -> Option<(String, String)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = std::str::from_utf8(&line[..colon]).ok().filter(|name| is_token(name))?;
    let value = &line[colon + 1..];
    let is_value = value.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f);
    let value = String::from_utf8_lossy(value.trim_ascii()).into_owned();
    is_value.then_some((name.to_string(), value))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_host(value: &str) -> bool {
    let (host, port) = match value.rfind(':').filter(|&colon| !value[colon..].contains(']')) {
        Some(colon) => (&value[..colon], &value[colon + 1..]),
        None => (value, ""),
    };
    let is_name = |name: &str| {
        let escapes = name.split('%').skip(1);
        let is_escape = |text: &str| text.len() >= 2 && text.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%-._~!$&'()*+,;=".contains(&byte);
        escapes.into_iter().all(is_escape) && name.bytes().all(is_plain)
    };
    let is_address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    !host.is_empty()
        && port.len() <= 5
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && (is_address || is_name(host))
}

/// A chunked body: its end, the position of an error, or neither if it is incomplete.
enum Chunks {
    End(usize),
    Wrong(usize),
    More,
}

fn chunks(body: &[u8]) -> Chunks {
    let mut at = 0;
    // The line at `at`, and the beginning of the next one.
    let line = |at: usize| {
        let rest = &body[at.min(body.len())..];
        rest.windows(2).position(|two| two == b"\r\n").map(|end| (&rest[..end], at + end + 2))
    };
    let is_text = |line: &[u8]| line.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f);
    loop {
        let Some((size, behind)) = line(at) else { return Chunks::More };
        let size_end = size.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(size.len());
        let (digits, extensions) = size.split_at(size_end);
        let digits = std::str::from_utf8(digits).ok().filter(|digits| (1..=8).contains(&digits.len()));
        let is_good = is_text(size) && are_extensions(extensions);
        let Some(length) = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()).filter(|_| is_good) else {
            return Chunks::Wrong(behind);
        };
        at = behind;
        if length == 0 {
            break;
        }
        match body.get(at + length..at + length + 2) {
            Some(b"\r\n") => at += length + 2,
            Some(_) => return Chunks::Wrong(at + length + 2),
            None => return Chunks::More,
        }
    }
    loop {
        match line(at) {
            None => return Chunks::More,
            Some((b"", end)) => return Chunks::End(end),
            Some((trailer, behind)) => {
                if field(trailer).is_none() {
                    return Chunks::Wrong(behind);
                }
                at = behind;
            }
        }
    }
}

/// RFC 9112 §7.1.1 as a state machine, one step for each byte. The extensions may end in the states with capital
/// letters.
fn are_extensions(bytes: &[u8]) -> bool {
    let mut state = 'E';
    for &byte in bytes {
        let is_blank = matches!(byte, b' ' | b'\t');
        let is_token_byte = byte.is_ascii() && is_token(&char::from(byte).to_string());
        state = match (state, byte) {
            // After an extension, or after white space there.
            ('E' | 'b' | 'N' | 'm' | 'V' | 'Q', b';') => ';',
            ('N' | 'm', b'=') => '=',
            ('E' | 'b' | 'V' | 'Q', _) if is_blank => 'b',
            // After a name, where a value may follow.
            ('N' | 'm', _) if is_blank => 'm',
            (';' | '=', _) if is_blank => state,
            ('N' | ';', _) if is_token_byte => 'N',
            ('V' | '=', _) if is_token_byte => 'V',
            ('=', b'"') => '"',
            ('"', b'"') => 'Q',
            ('"', b'\\') => '\\',
            ('"' | '\\', _) => '"',
            _ => return false,
        };
    }
    matches!(state, 'E' | 'N' | 'V' | 'Q')
}
