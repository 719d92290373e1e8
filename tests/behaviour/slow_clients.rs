//! Slow clients: they have timeouts, and none of them holds a thread.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{MsgFlags, send};

use crate::support::{Client, Server, Setup, Site, get, is_open, stop, threads, wait_until};

#[test]
fn a_head_that_does_not_arrive_is_408() {
    let server = Server::with(&Site::new(), &["--head-timeout=1"]);
    let mut client = server.connect();
    let response = client.send("GET / HTTP/1.1\r\n").response();
    assert_eq!((response.status, response.field("Connection")), (408, Some("close")));
    response.assert_common_fields();
    client.assert_closed();
}

#[test]
fn the_head_timeout_is_not_extended_by_each_byte() {
    let server = Server::with(&Site::new(), &["--head-timeout=1"]);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nA: ");
    wait_until("the head timeout", || {
        // The server may end it between these two.
        let _ = std::io::Write::write_all(&mut client.0, b"x");
        let mut byte = [0];
        client.0.set_nonblocking(true).unwrap();
        let answered = client.0.read(&mut byte).is_ok();
        client.0.set_nonblocking(false).unwrap();
        answered
    });
}

#[test]
fn an_idle_connection_is_closed_without_a_response() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--idle-timeout=1"]);
    let mut fresh = server.connect();
    let mut used = server.connect();
    assert_eq!(used.get("/a").text(), "a");
    fresh.assert_closed();
    used.assert_closed();
}

#[test]
fn a_client_that_receives_nothing_is_cut() {
    let site = Site::new();
    site.write("large", &vec![b'x'; 50_000_000]);
    let server = Server::with(&site, &["--send-timeout=1"]);
    server.wait_until_ready();
    let mut client = server.connect();
    client.send(get("/large"));
    assert_eq!(client.0.peek(&mut [0]).unwrap(), 1, "the download is under way");
    let workers = server.workers();
    let mut received = 0;
    // Its window is full long before the end of the file; then the server waits a second.
    wait_until("the cut", || server.connect().get("/none").status == 404 && !is_open(&server.workers(), "large"));
    let mut buffer = vec![0; 65_536];
    while let Ok(length @ 1..) = client.0.read(&mut buffer) {
        received += length;
    }
    assert!(received < 50_000_000, "{received}");
    assert_eq!(server.workers(), workers);
}

#[test]
fn a_client_that_receives_a_little_all_the_time_is_not_cut() {
    let site = Site::new();
    site.write("large", &vec![b'x'; 30_000_000]);
    let server = Server::with(&site, &["--send-timeout=1"]);
    let mut client = server.connect();
    let head = client.send(get("/large")).head();
    let begin = Instant::now();
    let mut received = 0;
    let mut buffer = vec![0; 64 * 1024];
    // In three seconds, the client receives fewer bytes than the kernel has in its buffers, so the server itself sends
    // nothing.
    while begin.elapsed().as_secs() < 3 {
        received += client.0.read(&mut buffer).unwrap();
        let next = begin + begin.elapsed() + Duration::from_millis(100);
        wait_until("the next sip", || Instant::now() >= next);
    }
    while received < head.content_length() {
        let length = client.0.read(&mut buffer).unwrap();
        assert!(length > 0, "cut after {received} bytes");
        received += length;
    }
}

#[test]
fn a_client_that_receives_less_than_the_minimum_rate_is_cut() {
    let site = Site::new();
    site.write("large", &vec![b'x'; 50_000_000]);
    // More bytes than a client can receive in a second.
    let server = Server::with(&site, &["--send-timeout=1", "--min-rate=1g"]);
    server.wait_until_ready();
    let mut client = server.connect();
    client.send(get("/large"));
    assert_eq!(client.0.peek(&mut [0]).unwrap(), 1, "the download is under way");
    let mut buffer = vec![0; 4096];
    wait_until("the cut", || client.0.read(&mut buffer).is_err() || !is_open(&server.workers(), "large"));
}

#[test]
fn hundreds_of_waiting_clients_hold_no_threads() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 20_000_000]);
    // The timeouts are long, since the machine may be slow and they are not tested here.
    let timeouts = ["--head-timeout=600", "--idle-timeout=600", "--send-timeout=600"];
    let server = Setup::new(&site, &[&["--workers=1"], timeouts.as_slice()].concat()).listen();
    server.wait_until_ready();
    let mut waiting: Vec<Client> = Vec::new();
    for n in 0..300 {
        let mut client = server.connect();
        client.send(match n % 3 {
            0 => "GET /a HTTP/1.1\r\nHos".to_string(),
            1 => get("/large"),
            _ => get("/a"),
        });
        waiting.push(client);
    }
    assert_eq!(server.get("/a").text(), "a");
    let worker = server.workers()[0];
    wait_until("threads to be few", || threads(worker) <= 6);
    // All of them continue where they stopped.
    for (n, client) in waiting.iter_mut().enumerate() {
        match n % 3 {
            0 => assert_eq!(client.send("t: a\r\n\r\n").response().text(), "a"),
            1 => assert_eq!(client.response().body.len(), 20_000_000),
            _ => assert_eq!(client.response().text(), "a"),
        }
    }
}

/// A read stops at urgent data (tcp(7)). It does not fill the buffer although more input is available.
#[test]
fn urgent_data_does_not_hide_the_bytes_after_it() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--workers=1", "--head-timeout=600"]);
    let mut client = server.connect();
    assert_eq!(client.get("/a").text(), "a");
    let worker = server.workers()[0];
    stop(worker);
    client.send("GET /a HTTP/1.1\r\n");
    assert_eq!(send(client.0.as_raw_fd(), b"!", MsgFlags::MSG_OOB), Ok(1));
    client.send("Host: test\r\n\r\n");
    kill(worker, Signal::SIGCONT).unwrap();
    assert_eq!(client.response().text(), "a");
}
