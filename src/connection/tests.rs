//! A connection over a scripted transport: input and output in pieces of every size, and errors at every byte.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use clap::Parser;
use nix::errno::Errno;

use super::pending_records::PendingRecords;
use super::preface::Peer;
use super::transport::Transport;
use super::transport::script::Script;
use super::{Connection, ConnectionDriver, DriveResult};
use crate::config::CommandLine;
use crate::ipc::scoreboard::{Counter, Scoreboard};
use crate::os::clock;
use crate::service::Service;
use crate::site::Sites;

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

struct Server {
    service: Service,
    _directory: tempfile::TempDir,
}

impl Server {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        fs::write(&path, "ten bytes!").unwrap();
        // Otherwise there is no Last-Modified until the second is over.
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        let arguments = ["otus-httpd", "--access-log=off", "--root", directory.path().to_str().unwrap()];
        let options = CommandLine::try_parse_from(arguments).unwrap().options;
        let sites = Box::leak(Box::new(Sites::open(&options, 64).unwrap()));
        let board = Box::leak(Box::new(Scoreboard::new(1).unwrap()));
        Server { service: Service::new(&options, sites, 0, board, None).unwrap(), _directory: directory }
    }

    /// What is sent for [`REQUESTS`], without the dates. Nothing of the connection is left behind.
    fn output(&self, sizes: (usize, usize), failure: Option<(usize, Errno)>) -> String {
        let output = Arc::new(Mutex::new(Vec::new()));
        let script = Script::new(REQUESTS.as_bytes(), sizes, failure, output.clone());
        let service = &self.service;
        let deadline_ms = service.timeouts.idle(clock::now_ms());
        let records = PendingRecords::none();
        let mut connection =
            Connection::new(Transport::Script(script), None, Peer::UNKNOWN, deadline_ms, records, service.counters);
        let mut driver = ConnectionDriver::new(service.limits.request_bytes(), None);
        let is_closed =
            (0..MAX_TURNS).any(|_| driver.drive(service, &mut connection, service.clock.tick()) == DriveResult::Close);
        assert!(is_closed, "{sizes:?} {failure:?}");
        drop(connection);
        for gauge in [Counter::Connections, Counter::InFlight] {
            assert_eq!(service.counters.get(gauge), 0, "{gauge:?} {sizes:?} {failure:?}");
        }
        let output = String::from_utf8(output.lock().unwrap().clone()).unwrap();
        output.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect()
    }
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
