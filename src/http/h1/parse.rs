//! Parsing a request (RFC 9112 §2 to §7, §9.3): httparse finds the parts of its head, this module is strict about them and
//! decides what they mean.
//!
//! A request is whole when its body is. No file needs one, so a body is small, is dropped, and is never taken for the next
//! request.

use std::mem::MaybeUninit;

use httparse::{Header, Status::Complete, Status::Partial};

use super::chunked;
use super::framing::{End, Framing};
use crate::http::request::{Body, Method, Request, Version};
use crate::http::{Fields, Limits, Refusal, limits, syntax};

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

/// Rewrites the request in front as one of HTTP/1.1 if it names a later version with the same major number (RFC 9110
/// §2.5). Returns whether it did.
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

/// Returns the method that the bytes of a rejected request begin with, as far as it matters: a response to HEAD has no
/// content.
pub fn method_of_refused(buffer: &[u8]) -> Method {
    if buffer.trim_ascii_start().starts_with(b"HEAD ") { Method::Head } else { Method::Get }
}

/// Whether `buffer` holds only line ends that may precede a request (RFC 9112 §2.2).
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
    let mut close = false;
    let mut keep_alive = minor > 0;
    let mut expects = false;
    let mut framing = Framing::None;
    for Header { name, value } in fields.0 {
        // Most fields are none of these, and few of them have these lengths.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                hosts += 1;
                if !syntax::is_authority(value) {
                    return Err(Refusal::Malformed("the Host field holds no host"));
                }
            }
            6 if name.eq_ignore_ascii_case("expect") => expects = true,
            10 if name.eq_ignore_ascii_case("connection") => {
                close |= has_token(value, "close");
                keep_alive |= has_token(value, "keep-alive");
            }
            14 if name.eq_ignore_ascii_case("content-length") => framing = framing.with_length(value)?,
            17 if name.eq_ignore_ascii_case("transfer-encoding") => framing = framing.with_codings(value, minor)?,
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
    let version = if minor > 0 { Version::Http11 } else { Version::Http10 };
    let request = Request { method: Method::named(method), method_name: method, target, version, fields, body };
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
mod tests {
    use super::*;
    use crate::http::Status;

    /// What a request has besides its fields.
    #[derive(Debug, PartialEq, Eq)]
    struct Whole {
        method: Method,
        target: String,
        keep_alive: bool,
        body: Body,
        length: usize,
    }

    fn read(bytes: &[u8]) -> Result<Option<Whole>, Refusal> {
        let mut storage = storage();
        let request = parse(bytes, &mut storage, &Limits::default())?;
        Ok(request.map(|Message { request, keep_alive, length }| Whole {
            method: request.method,
            target: request.target.to_string(),
            keep_alive,
            body: request.body,
            length,
        }))
    }

    fn whole(request: &str) -> Whole {
        match read(request.as_bytes()) {
            Ok(Some(whole)) => whole,
            other => panic!("{request:?}: {other:?}"),
        }
    }

    fn refused(head: impl AsRef<[u8]>, expected: Status) {
        match read(head.as_ref()) {
            Err(refusal) => assert_eq!(refusal.status(), expected, "{:?}", head.as_ref().escape_ascii().to_string()),
            other => panic!("{:?}: {other:?}", head.as_ref().escape_ascii().to_string()),
        }
    }

    #[test]
    fn a_whole_head() {
        let head = "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\nGET /next";
        let request = whole(head);
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.target, "/a?b");
        assert_eq!(&head[request.length..], "GET /next");
        assert!(request.keep_alive && request.body == Body::Dropped);
    }

    #[test]
    fn a_later_minor_version_is_read_as_the_last_that_is_known() {
        let mut head = b"\r\nGET / HTTP/1.7\r\nHost: x\r\n\r\n".to_vec();
        refused(&head, Status::HttpVersionNotSupported);
        assert!(lower_version(&mut head));
        assert!(read(&head).unwrap().unwrap().keep_alive);
        for other in
            ["GET / HTTP/1.1\r\n", "GET / HTTP/2.1\r\n", "GET /HTTP/1.2\r\n", "GET / HTTP/1.25\r\n", "", "\r\n"]
        {
            let mut bytes = other.as_bytes().to_vec();
            assert!(!lower_version(&mut bytes) && bytes == other.as_bytes(), "{other}");
        }
    }

    #[test]
    fn every_beginning_of_a_head_waits_for_more() {
        let head = b"\r\nHEAD /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
        for length in 0..head.len() {
            assert_eq!(read(&head[..length]), Ok(None), "{length} bytes");
        }
        assert!(read(head).unwrap().is_some());
    }

    #[test]
    fn methods() {
        let method = |name: &str| whole(&format!("{name} / HTTP/1.1\r\nHost: x\r\n\r\n")).method;
        assert_eq!(method("HEAD"), Method::Head);
        assert_eq!(method("OPTIONS"), Method::Options);
        for known in ["POST", "PUT", "DELETE", "CONNECT", "TRACE", "PATCH"] {
            assert_eq!(method(known), Method::Other, "{known}");
        }
        for unknown in ["get", "BREW", "GETT", "M-SEARCH"] {
            assert_eq!(method(unknown), Method::Unknown, "{unknown}");
        }
        refused("G@T / HTTP/1.1\r\nHost: x\r\n\r\n", Status::BadRequest);
    }

    #[test]
    fn whether_the_connection_goes_on() {
        let goes_on = |rest: &str| whole(&format!("GET / HTTP/{rest}\r\n\r\n")).keep_alive;
        assert!(goes_on("1.1\r\nHost: x"));
        assert!(goes_on("1.1\r\nHost: x\r\nConnection: keep-alive"));
        assert!(!goes_on("1.1\r\nHost: x\r\nConnection: close"));
        assert!(!goes_on("1.1\r\nHost: x\r\nConnection: TE, Close"));
        assert!(!goes_on("1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: close"));
        assert!(!goes_on("1.0"));
        assert!(goes_on("1.0\r\nConnection: Keep-Alive"));
        assert!(!goes_on("1.0\r\nConnection: keep-alive, close"));
        assert!(goes_on("1.1\r\nHost: x\r\nConnection: closed"));
    }

    #[test]
    fn bodies_are_dropped_and_nothing_behind_them() {
        let check = |fields: &str, body: &str| {
            let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{body}");
            let both = format!("{request}GET /next HTTP/1.1\r\n");
            let whole = whole(&both);
            assert_eq!((whole.body, whole.length), (Body::Dropped, request.len()), "{request:?}");
            for length in 0..request.len() {
                assert_eq!(read(&request.as_bytes()[..length]), Ok(None), "{length} bytes of {request:?}");
            }
        };
        check("Content-Length: 0", "");
        check("Content-Length: 5", "hello");
        check("content-length: 005", "hello");
        check("Content-Length: 5\r\nContent-Length: 5", "hello");
        check("Content-Length: 18", "GET / HTTP/1.1\r\n\r\n");
        check("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n");
        check("Transfer-Encoding: Chunked", "0\r\nA: b\r\n\r\n");
    }

    #[test]
    fn bodies_that_are_too_large_or_not_yet_sent_stay_unread() {
        let body = |rest: &str| whole(&format!("GET / HTTP/1.1\r\nHost: x\r\n{rest}")).body;
        assert_eq!(body("Content-Length: 8193\r\n\r\n"), Body::TooLarge);
        assert_eq!(body("Content-Length: 18446744073709551615\r\n\r\n"), Body::TooLarge);
        let chunk = format!("Transfer-Encoding: chunked\r\n\r\n2000\r\n{}", "x".repeat(0x2000));
        assert_eq!(body(&chunk), Body::TooLarge);
        assert_eq!(body("Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"), Body::Unread);
        assert_eq!(body("Expect: 100-continue\r\n\r\n"), Body::Dropped);
    }

    #[test]
    fn framing_that_two_could_read_differently() {
        for fields in [
            "Content-Length: nonsense",
            "Content-Length:",
            "Content-Length: -1",
            "Content-Length: +5",
            "Content-Length: 0x5",
            "Content-Length: 5, 5",
            "Content-Length: 5 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 18446744073709551616",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: gzip, chunked\r\nContent-Length: 5",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding:",
            "Transfer-Encoding: \"chunked\"",
        ] {
            refused(format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\nhello"), Status::BadRequest);
        }
        refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Status::BadRequest);
        let coded = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
        refused(coded, Status::NotImplemented);
        refused(coded.replace("Host: x", "Host:"), Status::BadRequest);
        refused("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", Status::BadRequest);
    }

    #[test]
    fn lines_that_do_not_end_with_cr_lf() {
        for request in [
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA:\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b \t\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            "GET / HTTP/1.1\nHost: x\n\n",
            "GET / HTTP/1.1\rHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
        ] {
            refused(request, Status::BadRequest);
        }
        whole("GET / HTTP/1.1\r\nHost: x \t \r\nA:\r\nB: \r\nC:c\r\n\r\n");
    }

    #[test]
    fn hosts() {
        let host = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        for good in ["x", "x:80", "[::1]:80", "127.0.0.1"] {
            whole(&host(good));
        }
        for bad in ["", " \t", ":80", "a b", "a/b", "user@a", "a:b", "a, b:", "[::1", "http://a", "a\\b"] {
            refused(host(bad), Status::BadRequest);
        }
        refused("GET / HTTP/1.0\r\nHost:\r\n\r\n", Status::BadRequest);
        refused("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", Status::BadRequest);
    }

    #[test]
    fn few_empty_lines_may_come_first() {
        whole("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
        whole("\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
        refused("\r\n".repeat(20), Status::BadRequest);
        refused("\r\n".repeat(20) + "GET / HTTP/1.1\r\nHost: x\r\n\r\n", Status::BadRequest);
    }

    #[test]
    fn versions() {
        for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0"] {
            refused(format!("GET / {version}\r\n\r\n"), Status::HttpVersionNotSupported);
        }
        refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Status::HttpVersionNotSupported);
        for version in ["http/1.1", "HTTP/1", "HTTP/11", "HTTPS/1.1", "HTTP/1.1x", "x"] {
            refused(format!("GET / {version}\r\n\r\n"), Status::BadRequest);
        }
    }

    #[test]
    fn garbage() {
        for garbage in [
            "\x16\x03\x01\x02",
            "GET\r\n\r\n",
            "GET /\r\n\r\n",
            "\0\0\0\0",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            " GET / HTTP/1.1\r\n\r\n",
        ] {
            refused(garbage, Status::BadRequest);
        }
        refused("GET / HTTP/1.1\r\nHost : x\r\n\r\n", Status::BadRequest);
        refused("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", Status::BadRequest);
        refused("GET / HTTP/1.1\r\nHost: x\0\r\n\r\n", Status::BadRequest);
        refused("GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", Status::BadRequest);
        refused("GET / HTTP/1.1\r\n\r\n", Status::BadRequest);
        refused("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", Status::BadRequest);
    }

    #[test]
    fn limits() {
        let limits = Limits::default();
        let line = |length: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(length - "GET / HTTP/1.1".len()));
        whole(&(line(8000) + "Host: x\r\n\r\n"));
        let longest = line(limits.request_line_bytes);
        whole(&(longest.clone() + "Host: x\r\n\r\n"));
        for length in longest.len() - 3..=longest.len() {
            assert_eq!(read(&longest.as_bytes()[..length]), Ok(None), "{length} bytes");
        }
        refused(line(limits.request_line_bytes + 1) + "Host: x\r\n\r\n", Status::UriTooLong);
        refused("GET /".to_string() + &"a".repeat(limits.request_line_bytes), Status::UriTooLong);
        let method = |length: usize| format!("{} / HTTP/1.1\r\nHost: x\r\n\r\n", "M".repeat(length));
        assert_eq!(whole(&method(5_000)).method, Method::Unknown);
        refused(method(limits.request_line_bytes), Status::NotImplemented);
        refused("M".repeat(limits.request_line_bytes + 2), Status::NotImplemented);
        let both = format!("{} /{}", "M".repeat(5_000), "a".repeat(5_000));
        refused(&both, Status::NotImplemented);
        refused(both + " HTTP/1.1\r\nHost: x\r\n\r\n", Status::NotImplemented);
        refused(format!("UPDATEREDIRECTREF /{}", "a".repeat(limits.request_line_bytes)), Status::UriTooLong);
        let field = |length: usize| format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(length));
        whole(&field(15_000));
        refused(field(limits.head_bytes), Status::RequestHeaderFieldsTooLarge);
        refused(&field(limits.head_bytes)[..limits.head_bytes], Status::RequestHeaderFieldsTooLarge);
        let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
        whole(&fields(limits.fields));
        refused(fields(limits.fields + 1), Status::RequestHeaderFieldsTooLarge);
    }

    #[test]
    fn blank_is_line_ends_alone() {
        assert!(is_blank(b"") && is_blank(b"\n") && is_blank(b"\r\n\r\n"));
        assert!(!is_blank(b"\r\nG"));
    }
}
