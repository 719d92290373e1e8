//! Stopping: requests in flight get their responses, idle connections are closed, and there is a timeout.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::support::{Client, Server, Setup, Site, get};

/// A server with a download in progress, of which the client has received the head only.
fn downloading(arguments: &[&str]) -> (Server, Client) {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 20_000_000]);
    let server = Server::with(&site, arguments);
    let client = download(server.address);
    (server, client)
}

/// A download of which the client has received nothing.
fn download(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send(get("/large"));
    let mut byte = [0];
    assert_eq!(client.0.peek(&mut byte).unwrap(), 1);
    client
}

#[test]
fn downloads_are_finished_and_idle_connections_closed() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut server, mut download) = downloading(&["--stop-timeout=1000"]);
        let mut idle = server.connect();
        assert_eq!(idle.get("/a").text(), "a");
        server.signal(signal);
        idle.assert_closed();
        assert_eq!(download.response().body.len(), 20_000_000);
        // Connection: close is sent only if the response began after the signal. The connection ends in any case.
        download.assert_closed();
        assert_eq!(server.exit_status().code(), Some(0));
        assert!(server.log().contains("Stopped; requests answered: 2."), "{}", server.log());
    }
}

#[test]
fn without_clients_the_server_ends_at_once() {
    let site = Site::new();
    let mut server = Server::of(&site);
    server.wait_until_ready();
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
    assert!(begin.elapsed().as_millis() < 2_000);
    assert!(!server.log().contains("exited with code"), "the exit of a stopped worker is not logged");
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let (mut server, _download) = downloading(&["--stop-timeout=1000"]);
    server.signal(Signal::SIGTERM);
    server.wait_for_log("completing the requests in flight");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
}

/// Stops `server` beside a download, and returns how long that took, in milliseconds.
fn time_to_stop(server: &mut Server) -> u128 {
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
    server.wait_for_log("longer than --stop-timeout; 1 aborted");
    begin.elapsed().as_millis()
}

#[test]
fn the_stop_timeout_ends_the_server() {
    let (mut server, _download) = downloading(&["--stop-timeout=1"]);
    let elapsed_ms = time_to_stop(&mut server);
    assert!((900..15_000).contains(&elapsed_ms), "{elapsed_ms} ms");
}

/// New clients wait in the socket while the old server ends.
#[test]
fn with_a_socket_of_systemd_it_takes_four_seconds_at_most() {
    let (mut server, _download) = downloading(&["--drain-timeout=1000"]);
    let elapsed_ms = time_to_stop(&mut server);
    assert!((3_900..15_000).contains(&elapsed_ms), "{elapsed_ms} ms");
}

#[test]
fn with_a_socket_of_its_own_it_takes_as_long_as_a_reload_may() {
    let site = Site::new();
    site.write("large", &vec![b'x'; 20_000_000]);
    let mut server = Setup::new(&site, &["--port=0", "--drain-timeout=6"]).start();
    server.wait_until_ready();
    let log = server.log();
    let (_, address) = log.split_once("Listening on http://").unwrap();
    let _download = download(address.split('/').next().unwrap().parse().unwrap());
    let elapsed_ms = time_to_stop(&mut server);
    assert!((5_900..20_000).contains(&elapsed_ms), "{elapsed_ms} ms");
}

#[test]
fn workers_from_before_a_reload_do_not_hold_up_a_stop() {
    let (mut server, _download) = downloading(&["--drain-timeout=1000", "--stop-timeout=1"]);
    server.wait_until_ready();
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    let elapsed_ms = time_to_stop(&mut server);
    assert!((900..15_000).contains(&elapsed_ms), "{elapsed_ms} ms");
}

#[test]
fn a_response_while_draining_has_connection_close() {
    let (server, mut download) = downloading(&["--workers=1", "--stop-timeout=1000"]);
    let mut idle = server.connect();
    assert_eq!(idle.get("/a").text(), "a");
    let mut client = server.connect();
    client.send("GET /a HTTP/1.1\r\n");
    assert_eq!(server.get("/a").text(), "a", "so the one worker has read what was sent before");
    server.signal(Signal::SIGTERM);
    // The worker drains once it has closed this connection.
    idle.assert_closed();
    let response = client.send("Host: a\r\n\r\n").response();
    assert_eq!((response.text().as_str(), response.field("Connection")), ("a", Some("close")));
    client.assert_closed();
    assert_eq!(download.response().body.len(), 20_000_000);
}

#[test]
fn a_request_that_has_arrived_unread_gets_a_response() {
    let site = Site::with(&[("a", b"a")]);
    for _ in 0..5 {
        let mut server = Server::of(&site);
        let mut clients: Vec<Client> = (0..40).map(|_| server.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.get("/a").text(), "a");
        }
        for client in &mut clients {
            client.send(get("/a"));
        }
        server.signal(Signal::SIGTERM);
        for client in &mut clients {
            assert_eq!(client.response().text(), "a");
            client.0.shutdown(std::net::Shutdown::Write).unwrap();
            client.assert_closed();
        }
        assert_eq!(server.exit_status().code(), Some(0));
    }
}

#[test]
fn restarts_behind_a_socket_lose_no_client() {
    let site = Site::with(&[("a", b"a")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let is_over = AtomicBool::new(false);
    let _last = std::thread::scope(|scope| {
        for _ in 0..2 {
            // Connections that are kept until a response has Connection: close.
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let mut client = Client::connect(address);
                    while !is_over.load(Relaxed) {
                        let response = client.get("/a");
                        assert_eq!(response.text(), "a");
                        if response.field("Connection") == Some("close") {
                            break;
                        }
                    }
                }
            });
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let mut client = Client::connect(address);
                    client.send("GET /a HTTP/1.0\r\n\r\n");
                    assert_eq!(client.response().text(), "a");
                    client.assert_closed();
                }
            });
        }
        for _ in 0..10 {
            let mut server = Setup::new(&site, &[]).socket(listener.try_clone().unwrap()).start();
            server.wait_until_ready();
            server.signal(Signal::SIGTERM);
            assert_eq!(server.exit_status().code(), Some(0));
        }
        let last = Setup::new(&site, &[]).socket(listener.try_clone().unwrap()).start();
        last.wait_until_ready();
        is_over.store(true, Relaxed);
        // It has to outlive the last requests of the clients.
        last
    });
}
