//! A connection over a scripted transport: input and output in pieces of every size, and errors at every byte.

mod tls;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use clap::Parser;
use nix::errno::Errno;

use super::pending_records::PendingRecords;
use super::preface::{Peer, Preface};
use super::transport::Transport;
use super::transport::script::{Input, Script};
use super::{Connection, ConnectionDriver, DriveResult, Phase};
use crate::access_log::{Record, RecordKind, Text};
use crate::config::CommandLine;
use crate::ipc::scoreboard::{Counter, Scoreboard};
use crate::listeners::Client;
use crate::os::clock;
use crate::service::Service;
use crate::service::https::HttpsPolicy;
use crate::site::Sites;
use crate::tls::Store;
use crate::tls::testing::{P256, certificate};

/// More turns than any of these connections takes.
const MAX_TURNS: usize = 100_000;

/// Requests that are sent whole, one behind the other: every way in which content is sent.
const REQUESTS: &str = "GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n\
    HEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\n\
    GET /a.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\n\r\n\
    GET /a.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0,9-\r\n\r\n\
    GET /a.txt HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n\
    POST /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
    GET /none HTTP/1.1\r\nHost: x\r\n\r\n\
    garbage\r\n\r\n";

/// The address of accept(2).
const FRONT: Peer = Peer::at(Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), 1))));

/// The address in [`PREFACE`].
const CLIENT: Client = Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 80)));

const PREFACE: &str = "192.0.2.7:80\n";

type Output = Arc<Mutex<Vec<u8>>>;

struct Server {
    service: Service,
    directory: tempfile::TempDir,
}

impl Server {
    fn new() -> Self {
        Server::with("--access-log=off")
    }

    fn with(access_log: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        fs::write(&path, "ten bytes!").unwrap();
        // Otherwise there is no Last-Modified until the second is over.
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        let arguments = ["otus-httpd", access_log, "--root", directory.path().to_str().unwrap()];
        let options = CommandLine::try_parse_from(arguments).unwrap().options;
        let sites = Box::leak(Box::new(Sites::open(&options, 64).unwrap()));
        let board = Box::leak(Box::new(Scoreboard::new(1).unwrap()));
        Server { service: Service::new(&options, sites, 0, board, None).unwrap(), directory }
    }

    /// What is sent for [`REQUESTS`], without the dates. Nothing of the connection is left behind.
    fn output(&self, sizes: (usize, usize), failure: Option<(usize, Errno)>) -> String {
        let (connection, output) = self.accept(REQUESTS.as_bytes(), sizes, failure);
        self.serve(connection);
        without_dates(&output)
    }

    /// A connection over a script, and the output of the script.
    fn accept(&self, input: &[u8], sizes: (usize, usize), failure: Option<(usize, Errno)>) -> (Connection, Output) {
        let output = Output::default();
        let input = Input { bytes: input.iter().copied().collect(), is_open: false };
        let input = Arc::new(Mutex::new(input));
        let transport = Transport::Script(Script::new(input, sizes, failure, output.clone()));
        (self.connect(transport), output)
    }

    fn connect(&self, transport: Transport) -> Connection {
        let records = PendingRecords::new(self.service.access_log);
        let deadline_ms = self.service.timeouts.idle(clock::now_ms());
        Connection::new(transport, None, FRONT, deadline_ms, records, self.service.counters)
    }

    /// A connection that begins with a preface.
    fn accept_with_preface(&self, input: &str, read_size: usize) -> (Connection, Output) {
        let (mut connection, output) = self.accept(input.as_bytes(), (read_size, usize::MAX), None);
        connection.expect(Preface::Line, self.service.timeouts.head(clock::now_ms()));
        (connection, output)
    }

    fn drive(&self, connection: &mut Connection) -> DriveResult {
        let mut driver = ConnectionDriver::new(self.service.limits.request_bytes(), None);
        driver.drive(&self.service, connection, self.service.clock.tick())
    }

    /// Drives a connection until it ends. Nothing of it is left behind.
    fn serve(&self, mut connection: Connection) {
        let is_closed = (0..MAX_TURNS).any(|_| self.drive(&mut connection) == DriveResult::Close);
        assert!(is_closed, "{connection:?}");
        drop(connection);
        for gauge in [Counter::Connections, Counter::InFlight] {
            assert_eq!(self.service.counters.get(gauge), 0, "{gauge:?}");
        }
    }

    /// The records of the access log since the last call.
    #[expect(clippy::vec_box, reason = "the access log has records in boxes")]
    fn records(&self) -> Vec<Box<Record>> {
        std::iter::from_fn(|| self.service.access_log?.take()).collect()
    }

    /// Checks that a connection has ended without a request and without a response.
    fn assert_unused(&self, output: &Output, cause: &str) {
        assert_eq!(without_dates(output), "");
        let records = self.records();
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!((record.kind, record.client), (RecordKind::NoRequest, FRONT.address));
        assert_eq!(record.text(Text::Cause), cause.as_bytes());
    }
}

fn without_dates(output: &Output) -> String {
    let output = String::from_utf8(output.lock().unwrap().clone()).unwrap();
    output.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect()
}

#[test]
fn responses_do_not_depend_on_how_bytes_arrive_and_leave() {
    let server = Server::new();
    let whole = server.output((usize::MAX, usize::MAX), None);
    let statuses: Vec<_> =
        whole.match_indices("HTTP/1.1 ").map(|(at, version)| &whole[at + version.len()..][..3]).collect();
    assert_eq!(statuses, ["200", "200", "206", "206", "304", "405", "404", "400"], "{whole}");
    for read_size in [1, 2, 3, 5, 17, 64, 300, usize::MAX] {
        for write_size in [1, 2, 7, 100, 1000, usize::MAX] {
            assert_eq!(server.output((read_size, write_size), None), whole, "{read_size} {write_size}");
        }
    }
}

#[test]
fn a_disconnect_at_any_byte_ends_the_connection() {
    let server = Server::new();
    let whole = server.output((usize::MAX, usize::MAX), None);
    let dates = whole.matches("Server: ").count() * "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".len();
    for length in 0..whole.len() + dates {
        for errno in [Errno::EPIPE, Errno::ECONNRESET, Errno::ETIMEDOUT] {
            let output = server.output((usize::MAX, 50), Some((length, errno)));
            assert!(output.len() <= length, "{length} {errno}");
        }
    }
}

#[test]
fn requests_after_a_preface_are_those_of_its_client() {
    let server = Server::with("--access-log=stderr");
    let requests = "GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n";
    let (connection, output) = server.accept(requests.as_bytes(), (usize::MAX, usize::MAX), None);
    server.serve(connection);
    let expected = without_dates(&output);
    assert!(server.records().iter().all(|record| record.client == FRONT.address));
    let input = PREFACE.to_owned() + requests;
    // Byte by byte, the end of the preface with the beginning of a request, the preface alone, everything in one read.
    for read_size in [1, 5, PREFACE.len(), PREFACE.len() + 4, usize::MAX] {
        let (connection, output) = server.accept_with_preface(&input, read_size);
        assert_eq!(connection.phase, Phase::Preface);
        server.serve(connection);
        assert_eq!(without_dates(&output), expected, "{read_size}");
        let records = server.records();
        assert_eq!(records.iter().map(|record| record.status).collect::<Vec<_>>(), [200, 404], "{read_size}");
        assert!(records.iter().all(|record| record.client == CLIENT), "{read_size} {records:?}");
    }
    assert_eq!(server.service.counters.get(Counter::Unused), 0);
}

#[test]
fn a_thread_that_is_blocked_counts_for_the_client_of_the_preface() {
    let server = Server::new();
    let (mut connection, _) = server.accept_with_preface(&(PREFACE.to_owned() + REQUESTS), PREFACE.len());
    assert_eq!(server.drive(&mut connection), DriveResult::Readable);
    assert_eq!((connection.phase, connection.peer().address), (Phase::Idle, CLIENT));
    while connection.requests == 0 {
        server.drive(&mut connection);
    }
    assert_eq!(connection.blocking_key, server.service.blocking.key(b"", b"a.txt", CLIENT));
}

#[test]
fn a_preface_that_is_rejected_or_incomplete_ends_the_connection_without_a_response() {
    let server = Server::with("--access-log=stderr");
    for (count, (input, cause)) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "the connection does not begin with a PROXY header"),
        ("\n", "the connection does not begin with a PROXY header"),
        ("192.0.2.7", "the client closed the connection before the PROXY header was complete"),
        ("", "the client closed the connection before the PROXY header was complete"),
    ]
    .into_iter()
    .enumerate()
    {
        for (turn, read_size) in [1, usize::MAX].into_iter().enumerate() {
            let (connection, output) = server.accept_with_preface(input, read_size);
            server.serve(connection);
            server.assert_unused(&output, cause);
            assert_eq!(server.service.counters.get(Counter::Unused), (2 * count + turn + 1) as u64);
        }
    }
}

/// The main loop drops a connection whose deadline has passed.
#[test]
fn the_head_timeout_of_a_preface_begins_with_the_connection() {
    let server = Server::with("--access-log=stderr");
    let begin_ms = clock::now_ms();
    let (mut connection, output) = server.accept_with_preface(PREFACE, 1);
    let deadline_ms = connection.deadline_ms;
    assert!(
        (server.service.timeouts.head(begin_ms)..=server.service.timeouts.head(clock::now_ms())).contains(&deadline_ms)
    );
    for _ in 0..5 {
        assert_eq!(server.drive(&mut connection), DriveResult::Readable);
        assert_eq!((connection.phase, connection.deadline_ms), (Phase::Preface, deadline_ms));
    }
    assert!(!connection.input.is_empty());
    connection.records.set_cause("a timeout");
    drop(connection);
    server.assert_unused(&output, "a timeout");
    assert_eq!(server.service.counters.get(Counter::Unused), 1);
}

/// Anybody on the way could read it. A redirect to HTTPS comes first, if there is one.
#[test]
fn a_password_is_not_asked_for_over_plain_http_from_a_public_address() {
    let mut server = Server::with("--auth=/=/nowhere");
    let get = |server: &Server| {
        let request = b"GET /a.txt HTTP/1.1\r\nHost: x.test\r\nAuthorization: Basic YTpi\r\nConnection: close\r\n\r\n";
        let (connection, output) = server.accept(request, (usize::MAX, usize::MAX), None);
        server.serve(connection);
        without_dates(&output)
    };
    let refused = get(&server);
    assert!(refused.starts_with("HTTP/1.1 403 Forbidden\r\n") && refused.contains("without encryption"), "{refused}");
    assert!(!refused.contains("WWW-Authenticate") && !refused.contains("ten bytes!"), "{refused}");
    let store = Store::new([certificate(&["x.test"], P256)]);
    let tls = Box::leak(Box::new(crate::tls::Server::new(store, None).unwrap()));
    server.service.https = HttpsPolicy::redirecting(443, tls);
    let redirected = get(&server);
    assert!(redirected.contains("\r\nLocation: https://x.test/a.txt\r\n"), "{redirected}");
}
