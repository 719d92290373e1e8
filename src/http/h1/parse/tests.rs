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
fn the_authority_is_that_of_the_target_or_of_host() {
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nHost: a.test:80\r\n\r\n", Some("a.test:80")),
        ("GET http://b.test:81/x?http://c/ HTTP/1.1\r\nHost: a.test\r\n\r\n", Some("b.test:81")),
        ("GET HTTPS://b.test?x HTTP/1.0\r\n\r\n", Some("b.test")),
        ("OPTIONS * HTTP/1.1\r\nHost: [::1]\r\n\r\n", Some("[::1]")),
        ("GET / HTTP/1.0\r\n\r\n", None),
    ] {
        let mut storage = storage();
        let message = parse(head.as_bytes(), &mut storage, &Limits::default()).unwrap().unwrap();
        assert_eq!(message.request.authority.map(Authority::as_str), expected, "{head:?}");
    }
}

#[test]
fn a_later_minor_version_is_read_as_the_last_that_is_known() {
    let mut head = b"\r\nGET / HTTP/1.7\r\nHost: x\r\n\r\n".to_vec();
    refused(&head, Status::HttpVersionNotSupported);
    assert!(lower_version(&mut head));
    assert!(read(&head).unwrap().unwrap().keep_alive);
    for other in ["GET / HTTP/1.1\r\n", "GET / HTTP/2.1\r\n", "GET /HTTP/1.2\r\n", "GET / HTTP/1.25\r\n", "", "\r\n"] {
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
fn keep_alive_depends_on_version_and_connection() {
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
fn bodies_are_skipped_and_nothing_after_them() {
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
fn ambiguous_framing_is_invalid() {
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
