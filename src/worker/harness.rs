//! A worker in the caller's own hands: one connection, and each turn with it when the caller says so. Fuzzers and
//! measurements of the way of a request use it; the server does not.

use std::io;
use std::os::fd::OwnedFd;

use super::connection::Connection;
use super::drive::{ConnectionDriver, Next};
use super::pending_records::PendingRecords;
use super::{Shared, Worker, WorkerContext};
use crate::ipc::scoreboard::Scoreboard;
use crate::os::clock;

/// A worker without process, threads, listening socket or deadlines.
#[derive(Debug)]
pub struct InProcessWorker {
    worker: Worker,
    driver: ConnectionDriver,
    connection: Option<Connection>,
}

impl InProcessWorker {
    /// One that serves by `plan`, whose sockets it leaves alone.
    pub fn new(context: &'static WorkerContext) -> io::Result<Self> {
        let worker =
            Worker::new(context, 0, Box::leak(Box::new(Shared { board: Scoreboard::new(1)?, client_limit: None })))?;
        let driver = ConnectionDriver::new(worker.limits.request_bytes(), worker.blocking.add_thread());
        Ok(InProcessWorker { worker, driver, connection: None })
    }

    /// Takes a connection, which must be non-blocking, instead of the one before.
    pub fn accept(&mut self, socket: OwnedFd) {
        let deadline_ms = self.worker.timeouts.idle(clock::now_ms());
        let records = PendingRecords::new(self.worker.access_log, None);
        self.connection = Some(Connection::new(socket, None, deadline_ms, records, self.worker.counters));
    }

    /// Has a turn with the connection: everything that can be done for it without waiting. Says whether it is still open.
    pub fn turn(&mut self) -> bool {
        if let Some(connection) = &mut self.connection
            && self.driver.drive(&self.worker, connection, self.worker.clock.tick()) == Next::Close
        {
            self.connection = None;
        }
        self.connection.is_some()
    }
}
