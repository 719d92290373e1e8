//! Stopping: what is in flight is answered, what waits is closed, and there is an end to it.

use std::time::Instant;

use nix::sys::signal::Signal;

use crate::support::{Client, Server, Site, get};

/// A server with a download under way, of which the client has so far taken the head.
fn downloading(arguments: &[&str]) -> (Server, Client) {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 20_000_000]);
    let server = Server::with(&site, arguments);
    let mut client = server.connect();
    client.send(get("/large"));
    let mut byte = [0];
    assert_eq!(client.0.peek(&mut byte).unwrap(), 1);
    (server, client)
}

#[test]
fn downloads_are_finished_and_idle_connections_closed() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut server, mut download) = downloading(&[]);
        let mut idle = server.connect();
        assert_eq!(idle.get("/a").text(), "a");
        let mut fresh = server.connect();
        assert_eq!(fresh.get("/a").text(), "a");
        server.signal(signal);
        idle.assert_closed();
        fresh.assert_closed();
        assert_eq!(download.response().body.len(), 20_000_000);
        // The client was told that nothing follows only if the answer began after the signal; the end comes all the same.
        download.assert_closed();
        assert_eq!(server.exit_status().code(), Some(0));
        assert!(server.log().contains("Stopped; requests answered: 3."), "{}", server.log());
    }
}

#[test]
fn without_clients_it_ends_at_once() {
    let site = Site::new();
    let mut server = Server::of(&site);
    server.wait_until_ready();
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
    assert!(begin.elapsed().as_millis() < 2_000);
    assert!(!server.log().contains("ended with exit code"), "a worker that was told to end is no event");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut server, _download) = downloading(&["--drain-timeout=1000"]);
    server.signal(Signal::SIGTERM);
    server.wait_for_log("answering what is in flight");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
}

#[test]
fn the_drain_timeout_ends_it_too() {
    let (mut server, _download) = downloading(&["--drain-timeout=1"]);
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
    assert!(begin.elapsed().as_millis() >= 900);
}

#[test]
fn an_answer_while_it_drains_says_that_it_is_the_last() {
    let (server, mut download) = downloading(&["--workers=1"]);
    let mut client = server.connect();
    client.send("GET /a HTTP/1.1\r\n");
    // Answered by the one worker there is: what was sent before has arrived as well.
    assert_eq!(server.get("/a").text(), "a");
    server.signal(Signal::SIGTERM);
    server.wait_for_log("answering what is in flight");
    let response = client.send("Host: a\r\n\r\n").response();
    assert!(matches!(response.field("Connection"), Some("close" | "keep-alive")));
    assert_eq!(response.text(), "a");
    client.0.shutdown(std::net::Shutdown::Write).unwrap();
    client.assert_closed();
    assert_eq!(download.response().body.len(), 20_000_000);
}
