//! The door: the listening sockets, watched while there is room for another connection.
//!
//! While it is closed, clients wait in the kernel's listen queue, where another worker takes them.

use std::sync::{Mutex, PoisonError};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use crate::sockets::{Role, Socket};

/// Sets an event of a listening socket apart from those of connections, whose datum is their descriptor.
const LISTENER: u64 = 1 << 32;

/// The listening sockets of a worker.
#[derive(Debug)]
pub struct Door {
    sockets: Vec<&'static Socket>,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    /// Closed for good: the worker is to end.
    Locked,
}

impl Door {
    /// A closed door of those of `sockets` that are for a worker.
    pub fn new(sockets: &'static [Socket]) -> Self {
        let sockets = sockets.iter().filter(|socket| socket.role == Role::Http).collect();
        Door { sockets, state: Mutex::new(State::Closed) }
    }

    /// Which listening socket an event is for, if it is for one.
    pub fn socket(&self, event: u64) -> Option<&'static Socket> {
        self.sockets.get(event.checked_sub(LISTENER)? as usize).copied()
    }

    /// The listening sockets.
    pub fn sockets(&self) -> &[&'static Socket] {
        &self.sockets
    }

    /// Watches the listening sockets, unless the door is locked.
    pub fn open(&self, epoll: &Epoll) -> nix::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Closed {
            self.watch(epoll)?;
            *state = State::Open;
        }
        Ok(())
    }

    /// Lets the other workers go first: the kernel wakes the first of those who wait, in the order in which they came.
    pub fn step_back(&self, epoll: &Epoll) -> nix::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Open {
            self.leave(epoll);
            // If it fails, the keeper opens it again.
            *state = State::Closed;
            self.watch(epoll)?;
            *state = State::Open;
        }
        Ok(())
    }

    /// Watches all of them, or none if that fails.
    fn watch(&self, epoll: &Epoll) -> nix::Result<()> {
        // Before Linux 4.5 EPOLLEXCLUSIVE does nothing, and some wake-ups are for nothing.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
        let result = self
            .sockets
            .iter()
            .enumerate()
            .try_for_each(|(index, socket)| epoll.add(socket, EpollEvent::new(flags, LISTENER + index as u64)));
        if result.is_err() {
            self.leave(epoll);
        }
        result
    }

    fn leave(&self, epoll: &Epoll) {
        for socket in &self.sockets {
            // What `watch` could not add is not there to be deleted.
            let _ = epoll.delete(socket);
        }
    }

    /// Leaves the listening sockets alone, and says whether it did not before.
    pub fn close(&self, epoll: &Epoll) -> bool {
        self.shut(epoll, State::Closed)
    }

    /// Leaves the listening sockets alone for good.
    pub fn lock(&self, epoll: &Epoll) {
        self.shut(epoll, State::Locked);
    }

    /// Whether the door could be opened.
    pub fn is_closed(&self) -> bool {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) == State::Closed
    }

    fn shut(&self, epoll: &Epoll, to: State) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = *state == State::Open;
        if was_open {
            self.leave(epoll);
        }
        if *state != State::Locked {
            *state = to;
        }
        was_open
    }
}
