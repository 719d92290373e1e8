//! The metrics server: it responds to requests on the sockets named `metrics`. It never blocks, and limits the number
//! of clients and the time of each. So clients cannot delay the supervisor's other work.

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

/// The maximum number of clients that wait. A further one replaces the client that has been silent for longest.
const MAX_CLIENTS: usize = 16;

/// The maximum number of clients that are accepted in one turn of the supervisor.
const MAX_ACCEPTS: usize = 64;

/// The timeout of a client from accept to close, in milliseconds; it is checked once a second.
const CLIENT_TIMEOUT_MS: u64 = 5_000;

/// The pause after accepting has failed for lack of descriptors, in milliseconds.
const PAUSE_MS: u64 = 1_000;

/// The limit of reads and writes for one client in one turn of the supervisor.
const MAX_STEPS: usize = 8;

/// The metrics sockets and their clients.
#[derive(Debug)]
pub struct MetricsServer {
    sockets: Vec<&'static Socket>,
    clients: Vec<Client>,
    accepted: u64,
    closed_until_ms: u64,
    /// Whether no worker has been ready yet. A connection that starts the server gets its response when a worker is
    /// ready.
    is_new: bool,
    date: Date,
}

/// A client. The server reads its request, sends the response, and waits for the client to close its side: closing
/// earlier could reset the connection and destroy the response.
#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    input: Vec<u8>,
    answer: Vec<u8>,
    sent: usize,
    until_ms: u64,
}

/// The next step after a read or write.
enum Step {
    Next,
    Wait,
    Over,
}

impl MetricsServer {
    /// Creates a server for those of `sockets` that are for metrics. It accepts once a worker is ready, or after a
    /// timeout.
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

    /// Drives every client as far as possible without waiting.
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

    /// Returns whether a client is connected.
    pub fn is_busy(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Stops accepting. Connected clients still get their responses.
    pub fn close(&mut self) {
        self.closed_until_ms = u64::MAX;
    }

    /// Accepts clients again.
    pub fn open(&mut self, now_ms: u64) {
        self.closed_until_ms = now_ms;
    }

    /// Closes the descriptors that a worker inherits and does not need.
    pub fn close_inherited(&mut self) {
        self.clients.clear();
        for socket in self.sockets.drain(..) {
            // A compromised worker could respond here. If a worker keeps the descriptor, that alone does no harm.
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
                    // No client waits, or it has disconnected.
                    Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => break,
                    Err(errno) => {
                        tracing::debug!("Cannot accept a connection for metrics ({errno}).");
                        self.closed_until_ms = now_ms + PAUSE_MS;
                    }
                }
            }
        }
    }

    /// Responds to a client whose request has arrived. Keeps the latest of the others waiting.
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

    /// Reads, and prepares the response once the request is complete.
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
            // If the client has disconnected, there is nothing to shut down.
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
