//! The metrics server: answers requests on the sockets named `metrics`. It never blocks, has a bounded number of
//! clients, and each has little time: the supervisor does its work whatever they do.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};

use super::exposition::{self, Snapshot};
use crate::http::Limits;
use crate::http::h1::parse;
use crate::listeners::{Purpose, Socket};
use crate::os::clock::Date;
use crate::os::sys;

/// The most clients that are kept waiting. A further one replaces the client that has been silent for longest.
const MAX_CLIENTS: usize = 16;

/// The most clients that are accepted in one turn of the supervisor.
const MAX_ACCEPTS: usize = 64;

/// The timeout of a client from accept to close, in milliseconds; it is checked once a second.
const CLIENT_TIMEOUT_MS: u64 = 5_000;

/// The pause after accepting has failed for want of descriptors, in milliseconds.
const PAUSE_MS: u64 = 1_000;

/// The reads and writes for one client in one turn of the supervisor.
const MAX_STEPS: usize = 8;

/// The metrics sockets and their clients.
#[derive(Debug)]
pub struct MetricsServer {
    sockets: Vec<&'static Socket>,
    clients: Vec<Client>,
    accepted: u64,
    closed_until_ms: u64,
    /// Whether no worker has been ready yet. A client whose connection has started the server is answered once one is.
    is_new: bool,
    date: Date,
}

/// A client: its request is read, the response sent, and then its end awaited: closing earlier could reset the
/// connection and destroy the response.
#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    input: Vec<u8>,
    answer: Vec<u8>,
    sent: usize,
    until_ms: u64,
}

/// What to do after a read or write.
enum Step {
    Next,
    Wait,
    Over,
}

impl MetricsServer {
    /// Creates a server of those of `sockets` that are for metrics. It accepts once a worker is ready, or when that
    /// takes too long.
    pub fn new(sockets: &'static [Socket], now_ms: u64) -> Self {
        let sockets = sockets.iter().filter(|socket| socket.purpose == Purpose::Metrics).collect();
        MetricsServer {
            sockets,
            clients: Vec::new(),
            accepted: 0,
            closed_until_ms: now_ms + CLIENT_TIMEOUT_MS,
            is_new: true,
            date: Date::default(),
        }
    }

    /// Returns the descriptors to poll.
    pub fn poll_sources(&self, now_ms: u64) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let sockets = self.sockets.iter().filter(move |_| self.is_open(now_ms));
        let sockets = sockets.map(|socket| (socket.as_fd(), PollFlags::POLLIN));
        sockets.chain(self.clients.iter().map(|client| (client.socket.as_fd(), client.flags())))
    }

    /// Does for every client what can be done without waiting.
    pub fn serve(&mut self, snapshot: &Snapshot, now_ms: u64) {
        if snapshot.ready > 0 && std::mem::take(&mut self.is_new) {
            self.closed_until_ms = now_ms;
        }
        self.accept(snapshot, now_ms);
        let date = &mut self.date;
        self.clients.retain_mut(|client| client.until_ms > now_ms && client.advance(snapshot, date));
    }

    /// Returns the number of clients so far.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Whether there is a client.
    pub fn is_busy(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Stops accepting; clients that are connected are still answered.
    pub fn close(&mut self) {
        self.closed_until_ms = u64::MAX;
    }

    /// Accepts clients again.
    pub fn open(&mut self, now_ms: u64) {
        self.closed_until_ms = now_ms;
    }

    /// Closes what a worker inherits and does not need.
    pub fn close_inherited(&mut self) {
        self.clients.clear();
        for socket in self.sockets.drain(..) {
            // A compromised worker could answer here. A worker that keeps it does no harm by itself.
            let _ = sys::blank(socket);
        }
    }

    fn is_open(&self, now_ms: u64) -> bool {
        now_ms >= self.closed_until_ms
    }

    fn accept(&mut self, snapshot: &Snapshot, now_ms: u64) {
        for index in 0..self.sockets.len() {
            for _ in 0..MAX_ACCEPTS {
                if !self.is_open(now_ms) {
                    return;
                }
                match sys::accept(self.sockets[index]) {
                    Ok((socket, _)) => {
                        self.accepted += 1;
                        self.admit(Client::new(socket, now_ms + CLIENT_TIMEOUT_MS), snapshot);
                    }
                    // No client waits, or it is gone.
                    Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => break,
                    Err(errno) => {
                        tracing::debug!("Cannot accept a connection for metrics ({errno}).");
                        self.closed_until_ms = now_ms + PAUSE_MS;
                    }
                }
            }
        }
    }

    /// Answers a client whose request has arrived. Others are kept waiting, the latest of them.
    fn admit(&mut self, mut client: Client, snapshot: &Snapshot) {
        if !client.advance(snapshot, &mut self.date) {
            return;
        }
        if self.clients.len() == MAX_CLIENTS {
            // They are in the order of their arrival.
            let silent = self.clients.iter().position(|client| client.answer.is_empty());
            self.clients.remove(silent.unwrap_or(0));
        }
        self.clients.push(client);
    }
}

impl Client {
    fn new(socket: OwnedFd, until_ms: u64) -> Self {
        Client { socket, input: Vec::new(), answer: Vec::new(), sent: 0, until_ms }
    }

    fn flags(&self) -> PollFlags {
        if self.sent < self.answer.len() { PollFlags::POLLOUT } else { PollFlags::POLLIN }
    }

    /// Reads and writes until it has to wait. Returns whether there is something to wait for.
    fn advance(&mut self, snapshot: &Snapshot, date: &mut Date) -> bool {
        for _ in 0..MAX_STEPS {
            let step = match self.answer.len() {
                0 => self.read(snapshot, date),
                length if self.sent < length => self.write(),
                _ => self.discard_input(),
            };
            match step {
                Step::Next => {}
                Step::Wait => return true,
                Step::Over => return false,
            }
        }
        true
    }

    /// Reads, and prepares the response once the request is whole.
    fn read(&mut self, snapshot: &Snapshot, date: &mut Date) -> Step {
        let mut bytes = [0; 4096];
        match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
            Ok(0) => return Step::Over,
            Ok(length) => self.input.extend_from_slice(&bytes[..length]),
            Err(errno) => return Step::after(errno),
        }
        let mut storage = parse::storage();
        match parse::parse(&self.input, &mut storage, &Limits::default()) {
            Ok(None) => {}
            Ok(Some(message)) => exposition::respond(snapshot, &message.request, date.now(), &mut self.answer),
            Err(refusal) => exposition::refuse(&refusal, &self.input, date.now(), &mut self.answer),
        }
        Step::Next
    }

    fn write(&mut self) -> Step {
        match send(self.socket.as_raw_fd(), &self.answer[self.sent..], MsgFlags::MSG_NOSIGNAL) {
            Ok(length) => self.sent += length,
            Err(errno) => return Step::after(errno),
        }
        if self.sent == self.answer.len() {
            // A client that is gone cannot be told.
            let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
        }
        Step::Next
    }

    /// Discards input until the client closes its side.
    fn discard_input(&mut self) -> Step {
        match recv(self.socket.as_raw_fd(), &mut [0; 4096], MsgFlags::empty()) {
            Ok(0) => Step::Over,
            Ok(_) => Step::Next,
            Err(errno) => Step::after(errno),
        }
    }
}

impl Step {
    fn after(errno: Errno) -> Self {
        match errno {
            Errno::EAGAIN => Step::Wait,
            Errno::EINTR => Step::Next,
            _ => Step::Over,
        }
    }
}
