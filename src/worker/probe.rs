//! The probe: by a request of its own a worker proves that it serves. It goes the way of every request: through epoll, a
//! request thread, the parser and the site. It is counted nowhere.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::connection::Connection;
use super::notes::Notes;
use super::{Worker, thread};
use crate::clock;
use crate::scoreboard::Slab;

const REQUEST: &[u8] = b"HEAD / HTTP/1.1\r\nHost: probe\r\n\r\n";

/// A worker's probe, in the hands of its keeper.
#[derive(Debug)]
pub struct Probe {
    line: Option<Line>,
    turns: u64,
}

/// The probe's connection. A request is on its way as long as there is one.
#[derive(Debug)]
struct Line {
    own: OwnedFd,
    /// Where the lot has the worker's end.
    place: usize,
}

/// What has come back.
enum Echo {
    Answer,
    Nothing,
    End,
}

impl Probe {
    /// Asks for the first time.
    pub fn begin(worker: &Worker) -> Self {
        Probe { line: Line::open(worker), turns: 0 }
    }

    /// Asks, or asks again if the last request was answered. Says whether the worker lives: it has answered, or has ended
    /// some turn since the last time, or it is the site that the probe waits for while there is a thread for others.
    pub fn proves_life(&mut self, worker: &Worker) -> bool {
        let turns = worker.crew.turns();
        let has_moved = std::mem::replace(&mut self.turns, turns) != turns;
        let echo = self.line.as_ref().map_or(Echo::End, Line::listen);
        let is_in_hand = self.line.as_ref().is_none_or(|line| !worker.lot.holds(line.place));
        match echo {
            Echo::Answer => {
                self.line = self.line.take().filter(Line::ask);
                true
            }
            Echo::Nothing => has_moved || (is_in_hand && worker.crew.waits()),
            Echo::End => {
                self.line = Line::open(worker);
                has_moved || (self.line.is_none() && worker.crew.waits())
            }
        }
    }
}

impl Line {
    /// A new one, with a request on its way, if there are descriptors for it.
    fn open(worker: &Worker) -> Option<Line> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (own, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags).ok()?;
        let place = theirs.as_raw_fd() as usize;
        let deadline_ms = worker.patience.idle(clock::now_ms());
        let mut connection = Connection::new(theirs, None, deadline_ms, Notes::none(), Slab::unseen());
        connection.is_probe = true;
        thread::welcome(worker, Box::new(connection));
        Some(Line { own, place }).filter(Line::ask)
    }

    fn ask(&self) -> bool {
        send(self.own.as_raw_fd(), REQUEST, MsgFlags::MSG_NOSIGNAL) == Ok(REQUEST.len())
    }

    fn listen(&self) -> Echo {
        match recv(self.own.as_raw_fd(), &mut [0; 4096], MsgFlags::empty()) {
            Ok(1..) => Echo::Answer,
            Err(Errno::EAGAIN) => Echo::Nothing,
            Ok(0) | Err(_) => Echo::End,
        }
    }
}
