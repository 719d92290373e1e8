//! The same over TLS, with a client that is in the process.

use std::fs;
use std::sync::{Arc, Mutex};

use nix::errno::Errno;
use rustls::version::{TLS12, TLS13};

use super::super::preface::Preface;
use super::super::transport::Transport;
use super::super::transport::script::{Input, Script};
use super::{MAX_TURNS, Output, REQUESTS, Server};
use crate::access_log::Text;
use crate::connection::{Connection, DriveResult, Phase};
use crate::ipc::scoreboard::Counter;
use crate::os::clock;
use crate::service::https::HttpsPolicy;
use crate::tls::testing::{self, Client};

/// A connection, and what its client sends and has received.
struct Pair<'s> {
    server: &'s Server,
    connection: Connection,
    input: Arc<Mutex<Input>>,
    output: Output,
    /// The part of the output that the client has received.
    received: usize,
}

impl<'s> Pair<'s> {
    fn new(
        server: &'s Server,
        tls: &'static crate::tls::Server,
        sizes: (usize, usize),
        failure: Option<(usize, Errno)>,
    ) -> Self {
        let input = Arc::new(Mutex::new(Input { is_open: true, ..Input::default() }));
        let output = Output::default();
        let script = Script::new(input.clone(), sizes, failure, output.clone());
        let mut connection = server.connect(Transport::tls(Transport::Script(script), tls));
        connection.expect(Preface::None, server.service.timeouts.head(clock::now_ms()));
        assert_eq!(connection.phase, Phase::Handshake);
        Pair { server, connection, input, output, received: 0 }
    }

    /// Drives the connection until it ends, or until nothing happens any more. Returns whether it has ended.
    fn run(&mut self, client: &mut Client) -> Result<bool, rustls::Error> {
        let mut idle = 0;
        for _ in 0..MAX_TURNS {
            let mut input = self.input.lock().unwrap();
            input.bytes.extend(client.take_output());
            idle = if input.bytes.is_empty() { idle + 1 } else { 0 };
            drop(input);
            let result = self.server.drive(&mut self.connection);
            let bytes = self.output.lock().unwrap()[self.received..].to_vec();
            self.received += bytes.len();
            idle = if bytes.is_empty() { idle } else { 0 };
            client.receive(&bytes)?;
            if result == DriveResult::Close {
                return Ok(true);
            }
            if idle > 3 {
                return Ok(false);
            }
        }
        panic!("no end: {:?}", self.connection);
    }
}

/// The responses to [`REQUESTS`] without dates.
fn responses(
    server: &Server,
    (tls, client): (&'static crate::tls::Server, &mut Client),
    sizes: (usize, usize),
    failure: Option<(usize, Errno)>,
) -> String {
    let mut pair = Pair::new(server, tls, sizes, failure);
    client.send(REQUESTS.as_bytes());
    let is_ended = pair.run(client);
    if failure.is_none() {
        // The last request is invalid, so that the connection lingers until the client closes it.
        client.connection.send_close_notify();
        pair.input.lock().unwrap().is_open = false;
        assert!(is_ended.unwrap() || pair.run(client).unwrap());
    }
    super::without_dates(&Arc::new(Mutex::new(std::mem::take(&mut client.content))))
}

#[test]
fn responses_over_tls_do_not_depend_on_how_bytes_arrive_and_leave() {
    let server = Server::new();
    let whole = server.output((usize::MAX, usize::MAX), None);
    let (tls, roots) = testing::server();
    for version in [&TLS13, &TLS12] {
        let config = Arc::new(testing::client_config(&roots, &[version]));
        for read_size in [1, 5, 64, 300, usize::MAX] {
            for write_size in [1, 7, 100, 1000, usize::MAX] {
                let mut client = Client::new(config.clone(), "localhost");
                let responses = responses(&server, (tls, &mut client), (read_size, write_size), None);
                assert_eq!(responses, whole, "{version:?} {read_size} {write_size}");
            }
        }
    }
}

#[test]
fn a_disconnect_at_any_byte_ends_the_connection() {
    let server = Server::new();
    let whole = server.output((usize::MAX, usize::MAX), None);
    let (tls, roots) = testing::server();
    let config = Arc::new(testing::client_config(&roots, &[&TLS13]));
    for length in (0..5_000).step_by(7) {
        let mut client = Client::new(config.clone(), "localhost");
        let failure = Some((length, Errno::ECONNRESET));
        let responses = responses(&server, (tls, &mut client), (usize::MAX, 50), failure);
        assert!(whole.starts_with(&responses), "{length}");
    }
}

/// Returns the lengths of the records in `output` with content or an alert, after those of the handshake.
fn lengths(output: &[u8], begin: usize) -> Vec<usize> {
    let mut rest = &output[begin..];
    let mut lengths = Vec::new();
    while let [_, _, _, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        lengths.push(5 + length);
        rest = &after[length..];
    }
    lengths
}

fn connect<'s>(server: &'s Server, tls: (&'static crate::tls::Server, &rustls::RootCertStore)) -> (Pair<'s>, Client) {
    let config = Arc::new(testing::client_config(tls.1, &[&TLS13]));
    (Pair::new(server, tls.0, (usize::MAX, usize::MAX), None), Client::new(config, "localhost"))
}

#[test]
fn the_first_records_of_a_connection_fit_in_one_packet() {
    let server = Server::new();
    let content: Vec<u8> = (0..1_000_000u32).map(|number| (number % 251) as u8).collect();
    fs::write(server.directory.path().join("large"), &content).unwrap();
    let (tls, roots) = testing::server();
    let (mut pair, mut client) = connect(&server, (tls, &roots));
    assert!(!pair.run(&mut client).unwrap());
    let begin = pair.received;
    client.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(!pair.run(&mut client).unwrap());
    assert!(client.content.ends_with(&content));
    let lengths = lengths(&pair.output.lock().unwrap(), begin);
    // 1,420 bytes are for a packet of IPv6 over PPPoE, with timestamps.
    assert!(lengths[..30].iter().all(|&length| length <= 1_420), "{lengths:?}");
    assert!(lengths[30..].contains(&(5 + 16_384 + 1 + 16)), "{lengths:?}");
    // A file that is truncated while it is sent is an error, not a signal.
    let (_, mut client) = connect(&server, (tls, &roots));
    let mut pair = Pair::new(&server, tls, (usize::MAX, 50_000), None);
    client.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut turns = 0;
    while client.content.is_empty() {
        pair.input.lock().unwrap().bytes.extend(client.take_output());
        assert_ne!(server.drive(&mut pair.connection), DriveResult::Close);
        let bytes = pair.output.lock().unwrap()[pair.received..].to_vec();
        pair.received += bytes.len();
        client.receive(&bytes).unwrap();
        turns += 1;
        assert!(turns < MAX_TURNS);
    }
    fs::write(server.directory.path().join("large"), b"short").unwrap();
    assert!(pair.run(&mut client).unwrap(), "the connection ends");
    let (output, received) = (pair.output.clone(), pair.received);
    drop(pair);
    client.receive(&output.lock().unwrap()[received..]).unwrap();
    assert!(client.content.len() < content.len() && !client.is_ended, "without close_notify, the client sees an error");
}

#[test]
fn http_without_tls_gets_a_page_that_says_so() {
    let server = Server::with("--access-log=stderr");
    let (tls, _) = testing::server();
    for (request, has_content) in
        [("GET /secret?key=value HTTP/1.1\r\nHost: x\r\n\r\n", true), ("HEAD / HTTP/1.1\r\n\r\n", false)]
    {
        let pair = Pair::new(&server, tls, (usize::MAX, usize::MAX), None);
        pair.input.lock().unwrap().bytes.extend(request.as_bytes());
        pair.input.lock().unwrap().is_open = false;
        let output = pair.output.clone();
        server.serve(pair.connection);
        let page = super::without_dates(&output);
        assert!(page.starts_with("HTTP/1.1 400 Bad Request\r\n") && !page.contains("secret"), "{page}");
        assert_eq!(
            page.contains("<p>This port is for HTTPS: use an address that begins with https://.</p>"),
            has_content
        );
        assert_eq!(server.records().len(), 1);
    }
    assert_eq!(server.service.counters.get(Counter::TlsFailedNotTls), 2);
}

#[test]
fn a_handshake_that_fails_ends_the_connection_with_an_alert_alone() {
    let server = Server::with("--access-log=stderr");
    let (tls, roots) = testing::server();
    let hello = Client::new(Arc::new(testing::client_config(&roots, &[&TLS13])), "unknown.example").take_output();
    for (input, expected, cause) in [
        (
            &b"\x16\x03\x01\x00\x04\x14\0\0\0"[..],
            &[21, 3, 3, 0, 2, 2, 10][..],
            "the client has violated the TLS protocol",
        ),
        // After another connection of the thread, whose records it does not get.
        (b"\x80\x2e\x01\x03\x01", &[], "the client has sent no TLS"),
        (b"\0", &[], "the client has sent no TLS"),
        (&hello, &[21, 3, 3, 0, 2, 2, 112], "no certificate has the name that the client sent"),
        (&hello[..100], &[], "the client closed the connection before the TLS handshake was complete"),
        (b"", &[], "the client closed the connection before the TLS handshake was complete"),
    ] {
        for read_size in [1, usize::MAX] {
            let pair = Pair::new(&server, tls, (read_size, usize::MAX), None);
            pair.input.lock().unwrap().bytes.extend(input);
            pair.input.lock().unwrap().is_open = false;
            let output = pair.output.clone();
            server.serve(pair.connection);
            assert_eq!(*output.lock().unwrap(), expected, "{input:?}");
            let records = server.records();
            assert_eq!(records.len(), 1);
            assert_eq!(records[0].text(Text::Cause), cause.as_bytes(), "{input:?} {read_size}");
        }
    }
    let counted = |counter| server.service.counters.get(counter);
    assert_eq!((counted(Counter::TlsFailedNotTls), counted(Counter::TlsFailedMalformed)), (4, 2));
    assert_eq!((counted(Counter::TlsFailedName), counted(Counter::TlsFailedClosed)), (2, 4));
    assert_eq!(counted(Counter::Unused), 12);
}

#[test]
fn the_head_timeout_of_a_handshake_begins_with_the_connection() {
    let server = Server::new();
    let (tls, roots) = testing::server();
    let (mut pair, mut client) = connect(&server, (tls, &roots));
    let deadline_ms = pair.connection.deadline_ms;
    for byte in &client.take_output()[..20] {
        pair.input.lock().unwrap().bytes.push_back(*byte);
        assert_eq!(server.drive(&mut pair.connection), DriveResult::Readable);
        assert_eq!((pair.connection.phase, pair.connection.deadline_ms), (Phase::Handshake, deadline_ms));
    }
    let (mut pair, mut client) = connect(&server, (tls, &roots));
    assert!(!pair.run(&mut client).unwrap());
    assert_eq!(pair.connection.phase, Phase::Idle);
    assert!(pair.connection.deadline_ms > deadline_ms, "the idle timeout follows");
    assert_eq!(server.service.counters.get(Counter::Tls13Full), 1);
}

#[test]
fn a_client_that_has_closed_its_side_gets_its_response_and_a_close_notify() {
    let server = Server::with("--access-log=stderr");
    let (tls, roots) = testing::server();
    let (mut pair, mut client) = connect(&server, (tls, &roots));
    assert!(!pair.run(&mut client).unwrap());
    client.send(b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    client.connection.send_close_notify();
    assert!(pair.run(&mut client).unwrap());
    assert!(client.content.ends_with(b"\r\n\r\nten bytes!"));
    let (output, received) = (pair.output.clone(), pair.received);
    drop(pair);
    client.receive(&output.lock().unwrap()[received..]).unwrap();
    assert!(client.is_ended);
    let records = server.records();
    let tls = records[0].tls.unwrap();
    assert_eq!((tls.version, tls.is_resumed, records[0].text(Text::TlsName)), ("TLSv1.3", false, &b"localhost"[..]));
    assert!(!tls.cipher.is_empty() && !tls.group.is_empty());
}

#[test]
fn a_close_notify_is_sent_once_the_client_has_received_the_response() {
    let server = Server::new();
    let (tls, roots) = testing::server();
    for (version, request) in [&TLS13, &TLS12].into_iter().flat_map(|version| {
        // The second one is invalid: the connection lingers.
        ["GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET\r\n\r\n"].map(|request| (version, request))
    }) {
        let config = Arc::new(testing::client_config(&roots, &[version]));
        // The handshake, the response and the alert: each waits for the client in the middle.
        for write_size in 1..40 {
            let mut client = Client::new(config.clone(), "localhost");
            let mut pair = Pair::new(&server, tls, (usize::MAX, write_size), None);
            client.send(request.as_bytes());
            pair.run(&mut client).unwrap();
            assert!(client.is_ended, "{version:?} {request} {write_size}");
        }
    }
}

#[test]
fn requests_that_arrive_together_or_with_the_end_of_the_handshake_get_their_responses() {
    let server = Server::new();
    let (tls, roots) = testing::server();
    let (mut pair, mut client) = connect(&server, (tls, &roots));
    // More than one record, and more than the buffer of a thread.
    let requests = "GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000);
    client.connection.set_buffer_limit(None);
    client.send(requests.as_bytes());
    assert!(!pair.run(&mut client).unwrap());
    let content = String::from_utf8(client.content).unwrap();
    assert_eq!(content.matches("HTTP/1.1 200 OK").count(), 2_000);
}

/// Returns the response to one request over TLS.
fn response(server: &Server, tls: &'static crate::tls::Server, roots: &rustls::RootCertStore, request: &str) -> String {
    let config = Arc::new(testing::client_config(roots, &[&TLS13]));
    let mut client = Client::new(config, "localhost");
    client.send(request.as_bytes());
    Pair::new(server, tls, (usize::MAX, usize::MAX), None).run(&mut client).unwrap();
    String::from_utf8(client.content).unwrap()
}

#[test]
fn strict_transport_security_is_in_every_response_over_tls_and_in_no_other() {
    const FIELD: &str = "\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains\r\n";
    let server = Server::with("--hsts=31536000,includesubdomains");
    let (tls, roots) = testing::server();
    for request in ["GET /a.txt HTTP/1.1\r\n", "HEAD /none HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "garbage\r\n"] {
        let response = response(&server, tls, &roots, &format!("{request}Host: localhost\r\n\r\n"));
        assert_eq!(response.matches(FIELD).count(), 1, "{response}");
    }
    assert!(!server.output((usize::MAX, usize::MAX), None).contains("Strict"));
}

#[test]
fn plain_requests_for_the_name_of_a_certificate_are_redirected() {
    let mut server = Server::with("--redirect-to-https");
    let (tls, _) = testing::server();
    server.service.https = HttpsPolicy::redirecting(8443, tls);
    let get = |request: &str| {
        let (connection, output) = server.accept(request.as_bytes(), (usize::MAX, usize::MAX), None);
        server.serve(connection);
        super::without_dates(&output)
    };
    for (method, target) in [("GET", "/a.txt?b"), ("HEAD", "/none"), ("GET", "/.well-known/x")] {
        let response = get(&format!("{method} {target} HTTP/1.1\r\nHost: localhost:80\r\n\r\n"));
        let location = format!("\r\nLocation: https://localhost:8443{target}\r\n");
        assert!(response.starts_with("HTTP/1.1 301 ") && response.contains(&location), "{response}");
    }
    for (request, status) in [
        ("GET /a.txt HTTP/1.1\r\nHost: other\r\n\r\n", "200"),
        ("GET /a.txt HTTP/1.0\r\n\r\n", "200"),
        ("GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "204"),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", "405"),
        ("GET /../ HTTP/1.1\r\nHost: localhost\r\n\r\n", "400"),
    ] {
        assert_eq!(get(request).get(9..12), Some(status), "{request}");
    }
}
