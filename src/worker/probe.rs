//! The probe: a self-check of the worker. Its request takes the path of every request: epoll, a request thread, the
//! parser and the site. No counter includes it.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::{Worker, park};
use crate::connection::Connection;
use crate::connection::pending_records::PendingRecords;
use crate::connection::preface::Peer;
use crate::connection::transport::Transport;
use crate::ipc::scoreboard::WorkerCounters;
use crate::os::clock;

const REQUEST: &[u8] = b"HEAD / HTTP/1.1\r\nHost: probe\r\n\r\n";

/// The probe, run by the main loop.
#[derive(Debug)]
pub struct Probe {
    channel: Option<Channel>,
    turns: u64,
}

/// The connection of the probe. While it is open, a request is in flight.
#[derive(Debug)]
struct Channel {
    own: OwnedFd,
    /// The slot of the worker's end among the parked connections.
    slot: usize,
}

/// The result of receiving.
enum Reply {
    Response,
    Pending,
    Closed,
}

impl Probe {
    /// Sends the first request.
    pub fn begin(worker: &Worker) -> Self {
        Probe { channel: Channel::open(worker), turns: 0 }
    }

    /// Sends the next request if there was a response to the last one. Returns whether the worker makes progress: there
    /// was a response, a turn was completed since the last check, or the probe waits for the site while another thread
    /// is idle.
    pub fn is_alive(&mut self, worker: &Worker) -> bool {
        let turns = worker.service.pool.completed_turns();
        let has_moved = std::mem::replace(&mut self.turns, turns) != turns;
        let reply = self.channel.as_ref().map_or(Reply::Closed, Channel::receive);
        let is_in_progress = self.channel.as_ref().is_none_or(|channel| !worker.parked.contains(channel.slot));
        match reply {
            Reply::Response => {
                self.channel = self.channel.take().filter(Channel::send_request);
                true
            }
            Reply::Pending => has_moved || (is_in_progress && worker.service.pool.has_idle_thread()),
            Reply::Closed => {
                self.channel = Channel::open(worker);
                has_moved || (self.channel.is_none() && worker.service.pool.has_idle_thread())
            }
        }
    }
}

impl Channel {
    /// Opens a connection and sends a request on it, if descriptors are available.
    fn open(worker: &Worker) -> Option<Channel> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (own, other) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags).ok()?;
        let slot = other.as_raw_fd() as usize;
        let deadline_ms = worker.service.timeouts.idle(clock::now_ms());
        let mut connection = Connection::new(
            Transport::plain(other),
            None,
            Peer::UNKNOWN,
            deadline_ms,
            PendingRecords::none(),
            WorkerCounters::discard(),
        );
        connection.is_probe = true;
        park::register(worker, Box::new(connection));
        Some(Channel { own, slot }).filter(Channel::send_request)
    }

    fn send_request(&self) -> bool {
        send(self.own.as_raw_fd(), REQUEST, MsgFlags::MSG_NOSIGNAL) == Ok(REQUEST.len())
    }

    fn receive(&self) -> Reply {
        match recv(self.own.as_raw_fd(), &mut [0; 4096], MsgFlags::empty()) {
            Ok(1..) => Reply::Response,
            Err(Errno::EAGAIN) => Reply::Pending,
            Ok(0) | Err(_) => Reply::Closed,
        }
    }
}
