//! The head of a request (RFC 9112 §2 to §5, §9.3): httparse finds its parts, this module decides what they mean.

use std::mem::MaybeUninit;

use httparse::{Header, Status::Complete, Status::Partial};

use super::{Limits, Refusal, limits};

/// What the client wants done (RFC 9110 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The file.
    Get,
    /// What GET would say of it.
    Head,
    /// A method that HTTP has and a file does not answer.
    Other,
    /// A method that HTTP does not have.
    Unknown,
}

/// A request whose head has arrived whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'b> {
    /// What the client wants done.
    pub method: Method,
    /// What it wants it done to, as it was sent.
    pub target: &'b str,
    /// Whether the connection goes on after this request, as far as the client is concerned (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether a body follows the head, which this server never reads as the next request.
    pub has_body: bool,
    /// How many bytes of the buffer the head took, with the empty line.
    pub length: usize,
}

/// Reads one head from the beginning of `buffer`; `None` says that more bytes are needed.
///
/// After an error the framing is lost: answer and close.
pub fn parse<'b>(buffer: &'b [u8], limits: &Limits) -> Result<Option<Request<'b>>, Refusal> {
    let mut fields = [MaybeUninit::<Header>::uninit(); limits::FIELDS];
    let mut head = httparse::Request::new(&mut []);
    match head.parse_with_uninit_headers(buffer, &mut fields) {
        Ok(Complete(length)) => interpret(&head, length, limits).map(Some),
        Ok(Partial) => within_limits(buffer, limits).map(|()| None),
        Err(error) => Err(refuse(error, buffer)),
    }
}

/// The method that the bytes of a request that was refused begin with, as far as it matters: HEAD gets no content.
pub fn method_of_refused(buffer: &[u8]) -> Method {
    if buffer.trim_ascii_start().starts_with(b"HEAD ") { Method::Head } else { Method::Get }
}

/// Whether `buffer` holds nothing but the line ends that may stand before a request (RFC 9112 §2.2).
pub fn is_blank(buffer: &[u8]) -> bool {
    buffer.iter().all(|&byte| matches!(byte, b'\r' | b'\n'))
}

fn interpret<'b>(head: &httparse::Request<'_, 'b>, length: usize, limits: &Limits) -> Result<Request<'b>, Refusal> {
    let (Some(method), Some(target), Some(minor)) = (head.method, head.path, head.version) else {
        return Err(Refusal::Malformed("the request line is not whole"));
    };
    if method.len() + target.len() + " HTTP/1.1 ".len() > limits.request_line_bytes {
        return Err(Refusal::LongRequestLine);
    }
    if length > limits.head_bytes {
        return Err(Refusal::LargeHead);
    }

    let mut hosts = 0;
    let mut close = false;
    let mut keep_alive = minor > 0;
    let mut has_body = false;
    for Header { name, value } in head.headers.iter() {
        if name.eq_ignore_ascii_case("host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case("connection") {
            close |= has_token(value, "close");
            keep_alive |= has_token(value, "keep-alive");
        } else if name.eq_ignore_ascii_case("content-length") {
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err(Refusal::Malformed("a Content-Length is not a number"));
            }
            has_body |= *value != b"0";
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            has_body = true;
        }
    }
    if hosts > 1 || (hosts == 0 && minor > 0) {
        return Err(Refusal::Malformed("a request of HTTP/1.1 has exactly one Host field"));
    }
    Ok(Request { method: method_of(method), target, keep_alive: keep_alive && !close, has_body, length })
}

fn method_of(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => Method::Other,
        _ => Method::Unknown,
    }
}

/// Whether a comma-separated field value has `token` among its members, in any case (RFC 9110 §5.6.1).
fn has_token(value: &[u8], token: &str) -> bool {
    value.split(|&b| b == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn within_limits(buffer: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let line = buffer.trim_ascii_start();
    if line.len() > limits.request_line_bytes && !line[..limits.request_line_bytes].contains(&b'\n') {
        return Err(Refusal::LongRequestLine);
    }
    if buffer.len() >= limits.head_bytes {
        return Err(Refusal::LargeHead);
    }
    Ok(())
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

/// Whether the first line ends with a well-formed version, which then is none of ours (RFC 9112 §2.3).
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

    fn whole(head: &str) -> Request<'_> {
        match parse(head.as_bytes(), &Limits::default()) {
            Ok(Some(request)) => request,
            other => panic!("{head:?}: {other:?}"),
        }
    }

    fn refused(head: impl AsRef<[u8]>, expected: Status) {
        match parse(head.as_ref(), &Limits::default()) {
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
        assert!(request.keep_alive && !request.has_body);
    }

    #[test]
    fn every_beginning_of_a_head_waits_for_more() {
        let head = b"\r\nHEAD /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
        for length in 0..head.len() {
            assert_eq!(parse(&head[..length], &Limits::default()), Ok(None), "{length} bytes");
        }
        assert!(parse(head, &Limits::default()).unwrap().is_some());
    }

    #[test]
    fn methods() {
        let method = |name: &str| whole(&format!("{name} / HTTP/1.1\r\nHost: x\r\n\r\n")).method;
        assert_eq!(method("HEAD"), Method::Head);
        for known in ["POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"] {
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
    fn whether_a_body_follows() {
        let body = |field: &str| whole(&format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n")).has_body;
        assert!(!body("Content-Length: 0"));
        assert!(body("Content-Length: 1"));
        assert!(body("Transfer-Encoding: chunked"));
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
        for length in ["nonsense", "", "-1", "+1", "1, 1", "0x1"] {
            refused(format!("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"), Status::BadRequest);
        }
        refused("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", Status::BadRequest);
    }

    #[test]
    fn limits() {
        let limits = Limits::default();
        let line = |length: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(length - "GET / HTTP/1.1".len()));
        whole(&(line(8000) + "Host: x\r\n\r\n"));
        refused(line(limits.request_line_bytes + 1) + "Host: x\r\n\r\n", Status::UriTooLong);
        refused("GET /".to_string() + &"a".repeat(limits.request_line_bytes), Status::UriTooLong);
        let field = |length: usize| format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(length));
        whole(&field(15_000));
        refused(field(limits.head_bytes), Status::RequestHeaderFieldsTooLarge);
        refused(&field(limits.head_bytes)[..limits.head_bytes], Status::RequestHeaderFieldsTooLarge);
        let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
        whole(&fields(limits::FIELDS));
        refused(fields(limits::FIELDS + 1), Status::RequestHeaderFieldsTooLarge);
    }

    #[test]
    fn blank_is_line_ends_alone() {
        assert!(is_blank(b"") && is_blank(b"\n") && is_blank(b"\r\n\r\n"));
        assert!(!is_blank(b"\r\nG"));
    }
}
