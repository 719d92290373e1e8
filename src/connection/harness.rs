//! A connection that is served in the process of the caller, turn by turn. Fuzz targets and the allocation test use it;
//! the server does not.

use std::io;
use std::os::fd::OwnedFd;

use super::pending_records::PendingRecords;
use super::preface::{Peer, Preface};
use super::transport::Transport;
use super::{Connection, ConnectionDriver, DriveResult};
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
}

impl InProcessServer {
    /// Creates a server of `sites` without a connection.
    pub fn new(options: &Options, sites: &'static Sites) -> io::Result<Self> {
        let board = Box::leak(Box::new(Scoreboard::new(1)?));
        let service = Service::new(options, sites, 0, board, None)?;
        let driver = ConnectionDriver::new(service.limits.request_bytes(), service.blocking.add_thread());
        Ok(InProcessServer { service, driver, connection: None })
    }

    /// Replaces the connection with one on `socket`, which must be non-blocking.
    pub fn accept(&mut self, socket: OwnedFd) {
        self.accept_over(Transport::plain(socket));
    }

    /// The same over TLS.
    pub fn accept_tls(&mut self, socket: OwnedFd, server: &'static tls::Server) {
        self.accept_over(Transport::tls(Transport::plain(socket), server));
    }

    fn accept_over(&mut self, transport: Transport) {
        let deadline_ms = self.service.timeouts.idle(clock::now_ms());
        let records = PendingRecords::new(self.service.access_log);
        let mut connection =
            Connection::new(transport, None, Peer::UNKNOWN, deadline_ms, records, self.service.counters);
        connection.expect(Preface::None, self.service.timeouts.head(clock::now_ms()));
        self.connection = Some(connection);
    }

    /// Drives the connection as far as that is possible without waiting. Returns whether it is still open.
    pub fn turn(&mut self) -> bool {
        if let Some(connection) = &mut self.connection
            && self.driver.drive(&self.service, connection, self.service.clock.tick()) == DriveResult::Close
        {
            self.connection = None;
        }
        self.connection.is_some()
    }
}
