//! A worker in the caller's own hands: one connection, and each turn with it when the caller says so. Fuzzers and
//! measurements of the way of a request use it; the server does not.

use std::io;
use std::os::fd::OwnedFd;

use super::connection::Connection;
use super::notes::Notes;
use super::turn::{Desk, Wait};
use super::{Plan, Shared, Worker};
use crate::clock;
use crate::scoreboard::Scoreboard;

/// A worker without process, threads, listening socket or deadlines.
#[derive(Debug)]
pub struct Solo {
    worker: Worker,
    desk: Desk,
    connection: Option<Connection>,
}

impl Solo {
    /// One that serves by `plan`, whose sockets it leaves alone.
    pub fn new(plan: &'static Plan) -> io::Result<Self> {
        let worker = Worker::new(plan, 0, Box::leak(Box::new(Shared { board: Scoreboard::new(1)?, clients: None })))?;
        let desk = Desk::new(worker.limits.request_bytes(), worker.blocked.join());
        Ok(Solo { worker, desk, connection: None })
    }

    /// Takes a connection, which must be non-blocking, instead of the one before.
    pub fn accept(&mut self, socket: OwnedFd) {
        let deadline_ms = self.worker.patience.idle(clock::now_ms());
        let notes = Notes::new(self.worker.access, None);
        self.connection = Some(Connection::new(socket, None, deadline_ms, notes, self.worker.slab));
    }

    /// Has a turn with the connection: everything that can be done for it without waiting. Says whether it is still open.
    pub fn turn(&mut self) -> bool {
        if let Some(connection) = &mut self.connection
            && self.desk.serve(&self.worker, connection, self.worker.moments.next()) == Wait::Over
        {
            self.connection = None;
        }
        self.connection.is_some()
    }
}
