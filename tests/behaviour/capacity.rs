//! More connections than there may be: they wait, and nobody spins.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage, bind, connect, socket};

use crate::support::{Client, Server, Setup, Site, get, ticks, wait_until};

#[test]
fn beyond_the_cap_connections_wait_for_room() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--workers=1", "--max-connections=4"]);
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/a").text(), "a");
    }
    let mut waiting = server.connect();
    waiting.send(get("/a"));
    assert_eq!(clients[0].get("/a").text(), "a", "those within are served");
    server.wait_for_log("--max-connections");
    assert!(!waiting.is_closed());
    clients.pop();
    assert_eq!(waiting.response().text(), "a");
}

#[test]
fn what_clients_can_cause_at_will_is_not_logged_each_time() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--workers=1", "--max-connections=2"]);
    let mut client = server.connect();
    assert_eq!(client.get("/a").text(), "a");
    for _ in 0..500 {
        assert_eq!(server.get("/a").text(), "a");
    }
    assert_eq!(server.log().matches("--max-connections").count(), 1, "{}", server.log());
}

#[test]
fn out_of_descriptors_it_waits_and_recovers() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 20_000_000]);
    let server = Setup::new(&site, &["--workers=1"]).before("ulimit -n 40;").listen();
    let mut clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(get("/large"));
    }
    server.wait_for_log("Out of file descriptors");
    // It does not spin.
    let worker = server.workers()[0];
    let begin = std::time::Instant::now();
    let before = ticks(worker);
    wait_until("half a second", || begin.elapsed().as_millis() > 500);
    assert!(ticks(worker) - before < 25, "it spins");
    clients.truncate(5);
    for client in &mut clients {
        let response = client.response();
        // A file that could not be opened for want of a descriptor is a 503, and said to be.
        assert!(matches!(response.status, 200 | 503), "{}", response.status);
    }
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn a_client_has_no_more_connections_than_one_may() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--max-per-client=3"]);
    let mut clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/a").text(), "a");
    }
    let mut further = server.connect();
    let refused = further.get("/a");
    assert_eq!((refused.status, refused.field("Connection")), (503, Some("close")));
    assert_eq!(refused.field("Retry-After"), Some("1"));
    refused.assert_common_fields();
    // If its request came after the refusal, a reset says so.
    wait_until("the end of it", || further.is_closed());
    server.wait_for_log("127.0.0.1 has 3 connections");
    assert_eq!(
        connect_from([127, 0, 0, 2].into(), &server).get("/a").text(),
        "a",
        "another client has connections of its own"
    );

    clients.pop();
    wait_until("room for another", || server.get("/a").status == 200);
    let workers = server.workers();
    for worker in &workers {
        kill(*worker, Signal::SIGKILL).unwrap();
    }
    wait_until("new workers", || server.workers().iter().filter(|worker| !workers.contains(worker)).count() == 2);
    let mut clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/a").text(), "a", "what dead workers had is forgotten");
    }
}

#[test]
fn a_client_that_has_seen_the_end_may_come_again_at_once() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--max-per-client=1"]);
    for _ in 0..1_000 {
        let mut client = server.connect();
        client.send("GET /a HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().status, 200);
        client.assert_closed();
    }
}

/// A client at another address of this machine.
fn connect_from(address: Ipv4Addr, server: &Server) -> Client {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(address, 0))).unwrap();
    connect(fd.as_raw_fd(), &SockaddrStorage::from(server.address)).unwrap();
    Client(fd.into())
}
