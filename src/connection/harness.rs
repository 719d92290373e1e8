//! A connection that is served in the process of the caller, turn by turn. Fuzz targets and the allocation test use it;
//! the server does not.

use std::io;
use std::os::fd::OwnedFd;

use super::http2::task::{TaskResult, Unfinished};
use super::pending_records::PendingRecords;
use super::preface::{Peer, Preface};
use super::transport::Transport;
use super::{Connection, ConnectionDriver, DriveResult};
use crate::access_log::Record;
use crate::config::Options;
use crate::ipc::scoreboard::Scoreboard;
use crate::os::clock;
use crate::service::Service;
use crate::site::Sites;
use crate::tls;

/// A service and one connection, without a worker, threads, a listening socket or deadlines.
#[derive(Debug)]
pub struct InProcessServer {
    service: Service,
    driver: ConnectionDriver,
    connection: Option<Connection>,
    /// The results of tasks that are done while the connection is driven.
    away: Vec<(Unfinished, TaskResult)>,
    /// Whether there are such tasks.
    has_slow_tasks: bool,
}

impl InProcessServer {
    /// Creates a server of `sites` without a connection.
    pub fn new(options: &Options, sites: &'static Sites) -> io::Result<Self> {
        let board = Box::leak(Box::new(Scoreboard::new(1)?));
        let service = Service::new(options, sites, 0, board, None)?;
        let driver = ConnectionDriver::new(service.limits.request_bytes(), service.blocking.add_thread());
        Ok(InProcessServer { service, driver, connection: None, away: Vec::new(), has_slow_tasks: false })
    }

    /// Replaces the connection with one on `socket`, which must be non-blocking.
    pub fn accept(&mut self, socket: OwnedFd) {
        self.accept_over(Transport::plain(socket));
    }

    /// The same over TLS.
    pub fn accept_tls(&mut self, socket: OwnedFd, server: &'static tls::Server) {
        self.accept_over(Transport::tls(Transport::plain(socket), server));
    }

    /// The same for a client that may begin with HTTP/2. With `has_slow_tasks`, its connection is driven while tasks for its streams
    /// are done, which end one in each turn, the last one first.
    pub fn accept_http2(&mut self, socket: OwnedFd, has_slow_tasks: bool) {
        self.accept_over(Transport::plain(socket));
        self.connection.iter_mut().for_each(|connection| connection.may_be_http2 = true);
        self.has_slow_tasks = has_slow_tasks;
    }

    /// Returns the records of the access log since the last call, if there is one. Of many, some are summed or dropped.
    pub fn take_records(&self) -> Vec<Box<Record>> {
        std::iter::from_fn(|| self.service.access_log?.take()).collect()
    }

    fn accept_over(&mut self, transport: Transport) {
        let deadline_ms = self.service.timeouts.idle(clock::now_ms());
        let records = PendingRecords::new(self.service.access_log);
        let mut connection =
            Connection::new(transport, None, Peer::UNKNOWN, deadline_ms, records, self.service.counters);
        connection.expect(Preface::None, self.service.timeouts.head(clock::now_ms()));
        self.connection = Some(connection);
        self.away.clear();
        self.has_slow_tasks = false;
    }

    /// Drives the connection as far as that is possible without waiting. Returns whether it is still open.
    pub fn turn(&mut self) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        if let Some((unfinished, result)) = self.away.pop() {
            unfinished.deliver(result);
        }
        let mut next = self.driver.drive(&self.service, connection, self.service.clock.tick());
        while next == DriveResult::Task {
            let Some(assignment) = self.driver.take_task() else { break };
            let (task, unfinished) = assignment.begin();
            let result = self.driver.run_task(&self.service, task);
            if self.has_slow_tasks {
                connection.count_task_away();
                self.away.push((unfinished, result));
                next = self.driver.drive(&self.service, connection, self.service.clock.tick());
            } else {
                next = self.driver.resume(&self.service, connection, result);
            }
        }
        if next == DriveResult::Close {
            self.connection = None;
        }
        self.connection.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use clap::Parser;
    use nix::sys::epoll::EpollFlags;
    use tempfile::TempDir;

    use super::*;
    use crate::config::CommandLine;
    use crate::connection::http2::PREFACE;
    use crate::http::h2::frame::{FrameType, HEAD_BYTES};

    /// A server of an empty directory, which lasts as long as the second value.
    fn server() -> (InProcessServer, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let arguments = ["otus-httpd", "--workers=1", "--root", directory.path().to_str().unwrap()];
        let options = CommandLine::try_parse_from(arguments).unwrap().options;
        let sites = Box::leak(Box::new(Sites::open(&options, 64).unwrap()));
        (InProcessServer::new(&options, sites).unwrap(), directory)
    }

    #[test]
    fn the_end_of_a_connection_does_not_wait_for_those_who_have_its_file() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (served, _) = listener.accept().unwrap();
        served.set_nonblocking(true).unwrap();
        // As a thread in epoll_wait(2) has it.
        let _file = served.try_clone().unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let (mut server, _directory) = server();
        server.accept(served.into());
        server.connection.iter_mut().for_each(|connection| connection.interest = EpollFlags::EPOLLIN);
        (0..100).find(|_| !server.turn()).expect("the connection is closed");
        let mut response = Vec::new();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.read_to_end(&mut response).unwrap();
        assert!(response.starts_with(b"HTTP/1.1 404 "), "{}", response.escape_ascii());
    }

    #[test]
    fn the_preface_of_http2_may_be_cut_anywhere() {
        let (mut server, _directory) = server();
        for cut in 1..PREFACE.len() {
            let (mut client, served) = UnixStream::pair().unwrap();
            served.set_nonblocking(true).unwrap();
            server.accept_http2(served.into(), false);
            for piece in [&PREFACE[..cut], &PREFACE[cut..]] {
                client.write_all(piece).unwrap();
                server.turn();
            }
            let mut head = [0; HEAD_BYTES];
            client.set_nonblocking(true).unwrap();
            client.read_exact(&mut head).unwrap();
            assert_eq!(head[3], FrameType::Settings as u8, "after {cut} bytes: {}", head.escape_ascii());
        }
    }
}
