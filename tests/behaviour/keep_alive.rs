//! Persistent connections and pipelining (RFC 9112 §9.3).

use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::support::{Server, Site, get};

#[test]
fn a_connection_serves_many_requests() {
    let server = Server::of(&Site::with(&[("a", b"a")]));
    let mut client = server.connect();
    for _ in 0..1_000 {
        let response = client.get("/a");
        assert_eq!((response.text().as_str(), response.field("Connection")), ("a", Some("keep-alive")));
    }
}

#[test]
fn a_connection_is_closed_on_connection_close() {
    let server = Server::of(&Site::with(&[("a", b"a")]));
    for request in [
        "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n\r\n",
        "GET /a HTTP/1.0\r\n\r\n",
        "GET /a HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
    ] {
        let mut client = server.connect();
        let response = client.send(request).response();
        assert_eq!((response.text().as_str(), response.field("Connection")), ("a", Some("close")), "{request:?}");
        client.assert_closed();
    }
}

#[test]
fn a_connection_is_closed_after_max_requests() {
    let server = Server::with(&Site::with(&[("a", b"a")]), &["--max-requests=3"]);
    let mut client = server.connect();
    let connection = |response: crate::support::Response| response.field("Connection").unwrap().to_string();
    assert_eq!([(); 3].map(|()| connection(client.get("/a"))), ["keep-alive", "keep-alive", "close"]);
    client.0.shutdown(Shutdown::Write).unwrap();
    client.assert_closed();
}

#[test]
fn http_1_0_is_kept_alive_on_request() {
    let server = Server::of(&Site::with(&[("a", b"a")]));
    let mut client = server.connect();
    for _ in 0..3 {
        let response = client.send("GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").response();
        assert_eq!(response.field("Connection"), Some("keep-alive"));
    }
}

#[test]
fn pipelined_requests_get_responses_in_order() {
    let site = Site::new();
    let content = |n: usize| vec![b'a' + (n % 26) as u8; [1, 97, 5_000, 40_000, 300_000][n % 5]];
    (0..100).for_each(|n| site.write(n.to_string(), &content(n)));
    let server = Server::of(&site);
    let mut client = server.connect();
    let requests: String = (0..100).map(|n| get(&format!("/{n}"))).collect();
    client.send(requests);
    for n in 0..100 {
        assert!(client.response().body == content(n), "answer {n}");
    }
}

/// While a socket is corked, the kernel holds back packets that are not full, for up to 200 ms (tcp(7), TCP_CORK).
#[test]
fn neither_the_end_of_a_large_response_nor_the_next_response_is_delayed() {
    let site = Site::with(&[("small", b"a"), ("large", &[b'a'; 700_001]), ("larger", &[b'a'; 3_200_003])]);
    let server = Server::of(&site);
    let mut client = server.connect();
    let rounds = 20;
    let started = Instant::now();
    for _ in 0..rounds {
        assert_eq!(client.get("/large").body.len(), 700_001);
        assert_eq!(client.get("/small").text(), "a");
        let parts = "GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes=1-300001,350000-650002\r\n\r\n";
        assert_eq!(client.send(parts).response().status, 206);
        assert_eq!(client.get("/larger").body.len(), 3_200_003);
    }
    assert!(started.elapsed() < rounds * Duration::from_millis(200), "{:?}", started.elapsed());
}

#[test]
fn ten_thousand_pipelined_requests() {
    let server = Server::of(&Site::with(&[("a", b"a")]));
    let mut client = server.connect();
    let mut writer = client.0.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut writer, get("/a").repeat(10_000).as_bytes()).unwrap());
        (0..10_000).for_each(|_| assert_eq!(client.response().text(), "a"));
    });
}

#[test]
fn requests_after_connection_close_get_no_response() {
    let server = Server::of(&Site::with(&[("a", b"a"), ("b", b"b")]));
    let mut client = server.connect();
    let last = "GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.send(get("/a") + last + &get("/a").repeat(1_000));
    assert_eq!(client.response().text(), "a");
    assert_eq!(client.response().text(), "b");
    client.0.shutdown(Shutdown::Write).unwrap();
    client.assert_closed();
}

#[test]
fn an_extra_byte_during_the_last_download_does_not_cut_it() {
    let site = Site::new();
    site.write("large", &vec![b'x'; 20_000_000]);
    let server = Server::of(&site);
    let mut client = server.connect();
    let head = client.send("GET /large HTTP/1.0\r\n\r\n").head();
    client.send("\r\n");
    let mut body = Vec::new();
    std::io::Read::read_to_end(&mut client.0, &mut body).expect("no reset");
    assert_eq!(body.len(), head.content_length());
}

#[test]
fn a_client_that_half_closes_gets_all_responses() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 10_000_000]);
    let server = Server::of(&site);
    let mut client = server.connect();
    client.send(get("/a") + &get("/large"));
    client.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.response().text(), "a");
    assert_eq!(client.response().body.len(), 10_000_000);
    client.assert_closed();
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::of(&Site::with(&[("a", b"a")]));
    let mut client = server.connect();
    for _ in 0..3 {
        for byte in get("/a").into_bytes() {
            client.send([byte]);
        }
        assert_eq!(client.response().text(), "a");
    }
}

#[test]
fn empty_lines_before_a_request_are_ignored() {
    let server = Server::of(&Site::with(&[("a", b"a")]));
    let mut client = server.connect();
    assert_eq!(client.send("\r\n\r\n".to_string() + &get("/a")).response().text(), "a");
    assert_eq!(client.send("\n").send(get("/a")).response().text(), "a");
}
