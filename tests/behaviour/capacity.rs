//! More connections than the limit: they wait, and the server does not busy-wait.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage, bind, connect, socket};

use crate::support::{Client, DEADLINE, Server, Setup, Site, get, ticks, wait_until};

/// More bytes than the buffers of a connection hold: a client that does not read has a request in flight.
const LARGE: usize = 20_000_000;

#[test]
fn connections_beyond_the_limit_wait_while_all_have_requests_in_flight() {
    let site = Site::with(&[("a", b"a"), ("large", &[b'x'; LARGE])]);
    let server = Server::with(&site, &["--workers=1", "--max-connections=4"]);
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.send(get("/large")).head().status, 200);
    }
    let mut waiting = server.connect();
    waiting.send(get("/a"));
    server.wait_for_log("none is idle, and new connections wait in the listen queue. Raise --max-connections");
    assert!(!waiting.is_closed());
    assert!(clients.iter_mut().all(|client| !client.is_closed()));
    clients.pop();
    assert_eq!(waiting.response().text(), "a");
    for client in &mut clients {
        // One byte was read to check that it is open.
        client.0.read_exact(&mut vec![0; LARGE - 1]).unwrap();
    }
}

#[test]
fn the_longest_idle_make_room_for_new_clients() {
    for workers in ["--workers=1", "--workers=2"] {
        let site = Site::with(&[("a", b"a"), ("large", &[b'x'; LARGE])]);
        let server = Server::with(&site, &[workers, "--max-connections=60"]);
        let mut downloads: Vec<Client> = (0..4).map(|_| server.connect()).collect();
        for client in &mut downloads {
            assert_eq!(client.send(get("/large")).head().status, 200);
        }
        let mut idle: Vec<Client> = (0..60).map(|_| server.connect()).collect();
        for client in &mut idle {
            client.send(get("/a"));
        }
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let begin = Instant::now();
            let mut client = server.connect();
            assert_eq!(client.get("/a").text(), "a");
            longest = longest.max(begin.elapsed());
            idle.push(client);
        }
        println!("{workers}: the longest of new clients took {longest:?}");
        assert!(longest < Duration::from_secs(5), "{longest:?}");
        let log = server.log();
        // It is logged once a minute. Whether a connection was idle at first depends on the speed of the other
        // responses.
        assert!(log.contains("Connection limit reached"), "{log}");
        for client in &mut downloads {
            client.0.read_exact(&mut vec![0; LARGE]).unwrap();
        }
        assert!(idle.iter_mut().any(|client| !client.is_closed()), "not all are closed");
    }
}

#[test]
fn a_head_that_does_not_end_makes_room_when_nothing_is_idle() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--workers=1", "--max-connections=16", "--head-timeout=600"]);
    let mut slow: Vec<Client> = (0..16).map(|_| server.connect()).collect();
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\n");
    }
    assert_eq!(server.get("/a").text(), "a");
    let ended = slow.iter_mut().filter_map(|client| {
        client.0.set_nonblocking(true).unwrap();
        let has_come = client.0.peek(&mut [0]).is_ok();
        client.0.set_nonblocking(false).unwrap();
        has_come.then(|| client.response().status)
    });
    assert_eq!(ended.collect::<Vec<_>>(), [408], "one makes room for one");
}

#[test]
fn one_client_with_all_connections_excludes_no_other_client() {
    const CONNECTIONS: u64 = 16_384;
    // The test has one end of each connection.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let count = CONNECTIONS.min(hard - hard / 8);
    let site = Site::with(&[("a", b"a")]);
    // The first connection must not time out before the last one is open.
    let options = ["--workers=2", "--idle-timeout=600", &format!("--max-connections={count}")];
    let server = Server::with(&site, &options);
    let mut idle: Vec<Client> = Vec::new();
    for _ in 0..count {
        let mut client = server.connect();
        client.send(get("/a"));
        idle.push(client);
    }
    let begin = Instant::now();
    assert_eq!(connect_from([127, 0, 0, 2].into(), &server).get("/a").text(), "a");
    println!("{count} connections; a new client's answer took {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    for _ in 0..50 {
        assert_eq!(connect_from([127, 0, 0, 2].into(), &server).get("/a").text(), "a");
    }
    let closed = idle.iter_mut().map(|client| {
        // The response, then the end of the connection.
        client.0.set_nonblocking(true).unwrap();
        let mut rest = [0; 1024];
        while matches!(client.0.read(&mut rest), Ok(1..)) {}
        usize::from(matches!(client.0.read(&mut rest), Ok(0)))
    });
    let closed = closed.sum::<usize>();
    assert!(closed <= count as usize / 4, "{closed} were closed for one");
}

#[test]
fn events_that_clients_can_cause_are_not_logged_each_time() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--workers=1", "--max-connections=2"]);
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..50 {
        let mut client = server.connect();
        assert_eq!(client.get("/a").text(), "a");
        clients.push(client);
    }
    assert_eq!(server.log().matches("--max-connections").count(), 1, "{}", server.log());
}

#[test]
fn a_server_without_free_descriptors_waits_and_recovers() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 20_000_000]);
    let server = Setup::new(&site, &["--workers=1"]).before("ulimit -n 40;").listen();
    let mut clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(get("/large"));
    }
    server.wait_for_log("Out of file descriptors");
    // It does not busy-wait.
    let worker = server.workers()[0];
    let begin = std::time::Instant::now();
    let before = ticks(worker);
    wait_until("half a second", || begin.elapsed().as_millis() > 500);
    assert!(ticks(worker) - before < 25, "it spins");
    clients.truncate(5);
    for client in &mut clients {
        let response = client.response();
        // A file that cannot be opened for lack of a descriptor gets a 503, and the log has the reason.
        assert!(matches!(response.status, 200 | 503), "{}", response.status);
    }
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn connections_of_a_client_are_limited() {
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
    // If the request arrived after the rejection, the connection is reset.
    wait_until("the end of it", || further.is_closed());
    server.wait_for_log("127.0.0.1 reached --max-per-client (3)");
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
fn a_client_may_reconnect_as_soon_as_it_sees_the_close() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--max-per-client=1"]);
    for _ in 0..1_000 {
        let mut client = server.connect();
        client.send("GET /a HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        assert_eq!(client.response().status, 200);
        client.assert_closed();
    }
}

/// A client with another address of this machine.
fn connect_from(address: Ipv4Addr, server: &Server) -> Client {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(address, 0))).unwrap();
    connect(fd.as_raw_fd(), &SockaddrStorage::from(server.address)).unwrap();
    let client = Client(fd.into());
    client.0.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}
