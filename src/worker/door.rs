//! The door: the listening sockets, watched while there is room for another connection.
//!
//! One that fails, since somebody has shut it down, is left alone until the keeper tries it again. While the door is closed, clients wait in the kernel's listen queue, where another worker takes them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use crate::sockets::{Role, Socket};

/// Sets an event of a listening socket apart from those of connections, whose datum is their descriptor.
const LISTENER: u64 = 1 << 32;

/// The listening sockets of a worker.
#[derive(Debug)]
pub struct Door {
    sockets: Vec<&'static Socket>,
    inner: Mutex<Inner>,
    /// For each of them, whether it takes no connections any more.
    has_failed: Vec<AtomicBool>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// For each socket, whether it is left alone for a while.
    rests: Vec<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    /// Closed since there is no room for another connection.
    Full,
    /// Closed for good: the worker is to end.
    Locked,
}

impl Door {
    /// A closed door of those of `sockets` that are for a worker.
    pub fn new(sockets: &'static [Socket]) -> Self {
        let sockets: Vec<_> = sockets.iter().filter(|socket| socket.role == Role::Http).collect();
        let inner = Inner { state: State::Closed, rests: vec![false; sockets.len()] };
        let has_failed = sockets.iter().map(|_| AtomicBool::new(false)).collect();
        Door { sockets, inner: Mutex::new(inner), has_failed }
    }

    /// Which listening socket an event is for, if it is for one.
    pub fn socket(&self, event: u64) -> Option<&'static Socket> {
        self.sockets.get(event.checked_sub(LISTENER)? as usize).copied()
    }

    /// The listening sockets.
    pub fn sockets(&self) -> &[&'static Socket] {
        &self.sockets
    }

    /// The listening sockets that are not left alone.
    pub fn audible(&self) -> Vec<&'static Socket> {
        let inner = self.inner();
        if inner.state == State::Locked {
            return Vec::new();
        }
        self.sockets.iter().zip(&inner.rests).filter(|(_, rests)| !**rests).map(|(socket, _)| *socket).collect()
    }

    /// Watches the listening sockets, unless the door is locked.
    pub fn open(&self, epoll: &Epoll) -> nix::Result<()> {
        let mut inner = self.inner();
        if matches!(inner.state, State::Closed | State::Full) {
            self.watch(epoll, &inner)?;
            inner.state = State::Open;
        }
        Ok(())
    }

    /// Leaves a socket that fails alone for a while, and says whether it did not fail before.
    pub fn rest(&self, epoll: &Epoll, socket: &Socket) -> bool {
        let Some(index) = self.index(socket) else { return false };
        let mut inner = self.inner();
        if !std::mem::replace(&mut inner.rests[index], true) && inner.state == State::Open {
            let _ = epoll.delete(socket);
        }
        !self.has_failed[index].swap(true, Relaxed)
    }

    /// A socket has given a connection; says whether it had failed.
    pub fn works(&self, socket: &Socket) -> bool {
        self.has_failed.iter().any(|has_failed| has_failed.load(Relaxed))
            && self.index(socket).is_some_and(|index| self.has_failed[index].swap(false, Relaxed))
    }

    /// How many of the sockets take no connections any more.
    pub fn failed(&self) -> usize {
        self.has_failed.iter().filter(|has_failed| has_failed.load(Relaxed)).count()
    }

    /// Watches those again that were left alone.
    pub fn retry(&self, epoll: &Epoll) -> nix::Result<()> {
        let mut inner = self.inner();
        if !inner.rests.contains(&true) {
            return Ok(());
        }
        inner.rests.fill(false);
        if inner.state != State::Open {
            return Ok(());
        }
        self.leave(epoll);
        inner.state = State::Closed;
        self.watch(epoll, &inner)?;
        inner.state = State::Open;
        Ok(())
    }

    /// Lets the other workers go first: the kernel wakes the first of those who wait, in the order in which they came.
    pub fn step_back(&self, epoll: &Epoll) -> nix::Result<()> {
        let mut inner = self.inner();
        if inner.state == State::Open {
            self.leave(epoll);
            // If it fails, the keeper opens it again.
            inner.state = State::Closed;
            self.watch(epoll, &inner)?;
            inner.state = State::Open;
        }
        Ok(())
    }

    /// Watches all of them, or none if that fails.
    fn watch(&self, epoll: &Epoll, inner: &Inner) -> nix::Result<()> {
        // Before Linux 4.5 EPOLLEXCLUSIVE does nothing, and some wake-ups are for nothing.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
        let result = self
            .sockets
            .iter()
            .enumerate()
            .filter(|(index, _)| !inner.rests[*index])
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

    /// Leaves the listening sockets alone since there is no room for another connection.
    pub fn close_full(&self, epoll: &Epoll) {
        self.shut(epoll, State::Full);
    }

    /// Leaves the listening sockets alone for good.
    pub fn lock(&self, epoll: &Epoll) {
        self.shut(epoll, State::Locked);
    }

    /// Whether the door could be opened.
    pub fn is_closed(&self) -> bool {
        matches!(self.inner().state, State::Closed | State::Full)
    }

    /// Whether it was closed since there was no room.
    pub fn is_full(&self) -> bool {
        self.inner().state == State::Full
    }

    fn shut(&self, epoll: &Epoll, to: State) -> bool {
        let mut inner = self.inner();
        let was_open = inner.state == State::Open;
        if was_open {
            self.leave(epoll);
        }
        if inner.state != State::Locked {
            inner.state = to;
        }
        was_open
    }

    fn index(&self, socket: &Socket) -> Option<usize> {
        self.sockets.iter().position(|own| std::ptr::eq(*own, socket))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
