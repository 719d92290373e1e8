//! Rejected requests: the status, and whether the connection ends.

use crate::support::{Server, Site, get};

/// Sends each request over a connection of its own; checks the status, and whether the connection ends.
fn check(requests: &[(&str, u16)], closes: bool) {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::of(&site);
    for (request, status) in requests {
        let mut client = server.connect();
        let response = client.send(request).response();
        assert_eq!(response.status, *status, "{request:?}");
        response.assert_common_fields();
        assert_eq!(response.field("Connection"), Some(if closes { "close" } else { "keep-alive" }), "{request:?}");
        assert!(response.text().contains(&status.to_string()), "the page names the status");
        assert_eq!(response.field("Content-Type"), Some("text/html"));
        if closes {
            client.0.shutdown(std::net::Shutdown::Write).unwrap();
            client.assert_closed();
        } else {
            assert_eq!(client.get("/a").text(), "a", "after {request:?}");
        }
    }
}

#[test]
fn bytes_that_are_no_request() {
    check(
        &[
            ("garbage\r\n\r\n", 400),
            ("GET\r\n\r\n", 400),
            ("GET /a\r\n\r\n", 400),
            ("GET /a HTTP/1.1\r\n\r\n", 400),
            ("GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET /a HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET /a HTTP/1.1\r\nHost: a\r\n fold\r\n\r\n", 400),
            ("GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: one\r\n\r\n", 400),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /a HTTP/1.1\r\nHost:\r\n\r\n", 400),
            ("GET /a HTTP/1.0\r\nHost: \r\n\r\n", 400),
            ("GET /a HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
            ("GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
            ("GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400),
            ("GET /a HTTP/1.0\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
            ("GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;\r\nhello\r\n0\r\n\r\n", 400),
            ("GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;bad[=x\r\nhello\r\n0\r\n\r\n", 400),
            ("GET /a HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("GET /a HTTP/0.9\r\n\r\n", 505),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ],
        true,
    );
}

#[test]
fn tls_on_a_socket_for_plain_http_gets_no_response() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--debug"]);
    let mut client = server.connect();
    client.send("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03");
    client.assert_closed();
    server.wait_for_log("closed: the client speaks TLS on a socket for plain HTTP");
}

#[test]
fn requests_too_large() {
    let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9_000));
    let field = format!("GET /a HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(20_000));
    let fields = format!("GET /a HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(1_000));
    let method = format!("{} /a HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(9_000));
    check(&[(&line, 414), (&field, 431), (&fields, 431), (&method, 501)], true);
}

#[test]
fn the_limits_are_options() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--max-request-line=512", "--max-head=1k", "--max-fields=3"]);
    let status = |request: String| server.connect().send(request).response().status;
    assert_eq!(status("GET /a HTTP/1.1\r\nHost: a\r\nA: b\r\nA: b\r\n\r\n".into()), 200);
    assert_eq!(status("GET /a HTTP/1.1\r\nHost: a\r\nA: b\r\nA: b\r\nA: b\r\n\r\n".into()), 431);
    assert_eq!(status(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(512))), 414);
    assert_eq!(status(format!("GET /a HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(1024))), 431);
}

#[test]
fn a_hundred_thousand_fields_get_a_response_and_not_a_reset() {
    let fields = format!("GET /a HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(100_000));
    check(&[(&fields, 431)], true);
}

#[test]
fn paths_and_methods_that_are_refused_leave_the_connection() {
    check(
        &[
            ("GET /none HTTP/1.1\r\nHost: a\r\n\r\n", 404),
            ("GET /.. HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
            ("DELETE /none HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("PATCH /a HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("BREW /a HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            ("get /a HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ],
        false,
    );
}

#[test]
fn a_405_lists_the_methods() {
    let server = Server::of(&Site::new());
    let response = server.connect().send("PUT / HTTP/1.1\r\nHost: a\r\n\r\n").response();
    assert_eq!((response.status, response.field("Allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn head_gets_no_content_even_where_the_request_is_broken() {
    let server = Server::of(&Site::new());
    let mut client = server.connect();
    let head = client.send("HEAD / HTTP/1.1\r\n\r\n").head();
    assert_eq!(head.status, 400);
    client.0.shutdown(std::net::Shutdown::Write).unwrap();
    client.assert_closed();
}

#[test]
fn a_body_is_never_read_as_a_request() {
    let site = Site::with(&[("a", b"a"), ("b", b"b")]);
    let server = Server::of(&site);
    let inner = "GET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    let of = |method: &str, fields: String| format!("{method} /a HTTP/1.1\r\nHost: a\r\n{fields}");
    let length = format!("Content-Length: {}\r\n\r\n{inner}", inner.len());
    let chunks = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    // Small bodies are discarded, and the connection continues after them.
    for (request, status) in [
        (of("GET", length.clone()), 200),
        (of("GET", chunks.clone()), 200),
        (of("POST", length), 405),
        (of("BREW", chunks), 501),
    ] {
        let mut client = server.connect();
        client.send(&request).send(get("/b"));
        assert_eq!(client.response().status, status, "{request:?}");
        assert_eq!(client.response().text(), "b", "behind {request:?}");
    }
    // Large bodies stay unread, and the connection ends.
    let large = inner.repeat(4_000);
    let length = format!("Content-Length: {}\r\n\r\n{large}", large.len());
    let chunks = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    for (request, status) in [(of("GET", length.clone()), 413), (of("GET", chunks), 413), (of("POST", length), 405)] {
        let mut client = server.connect();
        let response = client.send(request).response();
        assert_eq!((response.status, response.field("Connection")), (status, Some("close")));
        client.0.shutdown(std::net::Shutdown::Write).unwrap();
        client.assert_closed();
    }
}

#[test]
fn a_client_that_expects_100_continue_gets_the_response_and_the_end() {
    let server = Server::of(&Site::with(&[("a", b"a")]));
    let mut client = server.connect();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.field("Connection")), (200, Some("close")));
    client.0.shutdown(std::net::Shutdown::Write).unwrap();
    client.assert_closed();
}

#[test]
fn options_lists_the_methods() {
    let server = Server::of(&Site::new());
    for target in ["*", "/", "/none", "http://a/b"] {
        let mut client = server.connect();
        let head = client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n")).head();
        assert_eq!((head.status, head.field("Allow")), (204, Some("GET, HEAD, OPTIONS")), "{target}");
        // RFC 9110 §8.6: no Content-Length, not even 0.
        assert_eq!(head.field("Content-Length"), None);
        assert_eq!(client.get("/none").status, 404);
    }
}

#[test]
fn connect_and_trace_are_refused() {
    check(
        &[
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
            ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ],
        false,
    );
}

#[test]
fn ambiguous_framing_is_rejected() {
    let of = |fields: &str| format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n");
    let requests = [
        of("Content-Length: 5\r\nTransfer-Encoding: chunked"),
        of("Content-Length: 5\r\nContent-Length: 6"),
        of("Content-Length: 5, 5"),
        of("Transfer-Encoding: chunked, identity"),
        of("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        of("Host: b"),
        "GET /a HTTP/1.1\nHost: a\n\n".to_string(),
        "GET /a HTTP/1.1\r\nHost: a\nA: b\r\n\r\n".to_string(),
        "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n".to_string(),
        "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n".to_string(),
    ];
    check(&requests.each_ref().map(|request| (request.as_str(), 400)), true);
}

#[test]
fn the_site_may_have_pages_of_its_own() {
    let site = Site::with(&[("404.html", b"lost"), ("403.html", b"forbidden"), ("a", b"a")]);
    std::os::unix::fs::symlink("/etc/passwd", site.path("out")).unwrap();
    let server = Server::with(&site, &["--charset=utf-8"]);
    let mut client = server.connect();
    for (target, status, text) in [("/none", 404, "lost"), ("/out", 403, "forbidden"), ("/404.html", 200, "lost")] {
        let response = client.get(target);
        assert_eq!((response.status, response.text().as_str()), (status, text), "{target}");
        assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
        response.assert_common_fields();
    }
    let head = client.send("HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n").head();
    assert_eq!((head.status, head.content_length()), (404, 4));
    assert_eq!(client.send("BREW / HTTP/1.1\r\nHost: a\r\n\r\n").response().status, 501);
    // An error has no validators of its page, and no preconditions or ranges apply.
    let response =
        client.send("GET /none HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\nIf-None-Match: *\r\n\r\n").response();
    assert_eq!((response.status, response.field("ETag"), response.text().as_str()), (404, None, "lost"));
}

#[test]
fn error_pages_say_nothing_about_the_machine() {
    let site = Site::new();
    let server = Server::of(&site);
    let response = server.get("/none");
    let text = format!("{:?} {}", response.fields, response.text());
    for secret in [env!("CARGO_PKG_VERSION"), "Rust", "Linux", "Debian", site.root().to_str().unwrap()] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
