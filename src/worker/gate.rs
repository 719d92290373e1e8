//! The accept gate: the listening sockets, watched while there is room for another connection.
//!
//! A socket that fails, because something has shut it down, is suspended until the main loop retries it. While
//! accepting is paused, clients wait in the listen queue of the kernel, where another worker accepts them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use crate::listeners::{Purpose, Socket};

/// Distinguishes the tokens of listening sockets from those of connections, which are their descriptors.
const LISTENER_TOKEN: u64 = 1 << 32;

/// The listening sockets of a worker.
#[derive(Debug)]
pub struct AcceptGate {
    sockets: Vec<&'static Socket>,
    inner: Mutex<Inner>,
    /// For each socket, whether it has failed.
    has_failed: Vec<AtomicBool>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// For each socket, whether it is suspended.
    is_suspended: Vec<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Accepting,
    Paused,
    /// Paused because there is no room for another connection.
    Full,
    /// Closed permanently: the worker drains.
    Shut,
}

impl AcceptGate {
    /// Creates a paused gate for those of `sockets` that serve the site.
    pub fn new(sockets: &'static [Socket]) -> Self {
        let sockets: Vec<_> = sockets.iter().filter(|socket| socket.purpose != Purpose::Metrics).collect();
        let inner = Inner { state: State::Paused, is_suspended: vec![false; sockets.len()] };
        let has_failed = sockets.iter().map(|_| AtomicBool::new(false)).collect();
        AcceptGate { sockets, inner: Mutex::new(inner), has_failed }
    }

    /// Returns the listening socket that a token belongs to.
    pub fn socket(&self, event: u64) -> Option<&'static Socket> {
        self.sockets.get(event.checked_sub(LISTENER_TOKEN)? as usize).copied()
    }

    /// Returns the listening sockets.
    pub fn sockets(&self) -> &[&'static Socket] {
        &self.sockets
    }

    /// Returns the listening sockets that are not suspended.
    pub fn active_sockets(&self) -> Vec<&'static Socket> {
        let inner = self.inner();
        if inner.state == State::Shut {
            return Vec::new();
        }
        self.sockets
            .iter()
            .zip(&inner.is_suspended)
            .filter(|(_, is_suspended)| !**is_suspended)
            .map(|(socket, _)| *socket)
            .collect()
    }

    /// Watches the listening sockets, unless the gate is shut.
    pub fn resume(&self, epoll: &Epoll) -> nix::Result<()> {
        let mut inner = self.inner();
        if matches!(inner.state, State::Paused | State::Full) {
            self.watch(epoll, &inner)?;
            inner.state = State::Accepting;
        }
        Ok(())
    }

    /// Suspends a socket that fails. Returns whether it had not failed before.
    pub fn suspend(&self, epoll: &Epoll, socket: &Socket) -> bool {
        let Some(index) = self.index(socket) else { return false };
        let mut inner = self.inner();
        if !std::mem::replace(&mut inner.is_suspended[index], true) && inner.state == State::Accepting {
            let _ = epoll.delete(socket);
        }
        !self.has_failed[index].swap(true, Relaxed)
    }

    /// Records that a socket has accepted a connection. Returns whether the socket had failed before.
    pub fn clear_failure(&self, socket: &Socket) -> bool {
        self.has_failed.iter().any(|has_failed| has_failed.load(Relaxed))
            && self.index(socket).is_some_and(|index| self.has_failed[index].swap(false, Relaxed))
    }

    /// Returns the number of sockets that have failed.
    pub fn failed_sockets(&self) -> usize {
        self.has_failed.iter().filter(|has_failed| has_failed.load(Relaxed)).count()
    }

    /// Watches the suspended sockets again.
    pub fn retry_suspended(&self, epoll: &Epoll) -> nix::Result<()> {
        let mut inner = self.inner();
        if !inner.is_suspended.contains(&true) {
            return Ok(());
        }
        inner.is_suspended.fill(false);
        if inner.state != State::Accepting {
            return Ok(());
        }
        self.unwatch(epoll);
        inner.state = State::Paused;
        self.watch(epoll, &inner)?;
        inner.state = State::Accepting;
        Ok(())
    }

    /// Moves this worker behind the others: the kernel wakes the worker that has watched a socket for longest.
    pub fn requeue_behind_other_workers(&self, epoll: &Epoll) -> nix::Result<()> {
        let mut inner = self.inner();
        if inner.state == State::Accepting {
            self.unwatch(epoll);
            // If it fails, the main loop resumes.
            inner.state = State::Paused;
            self.watch(epoll, &inner)?;
            inner.state = State::Accepting;
        }
        Ok(())
    }

    /// Watches all sockets. If that fails, watches none.
    fn watch(&self, epoll: &Epoll, inner: &Inner) -> nix::Result<()> {
        // Before Linux 4.5, EPOLLEXCLUSIVE has no effect, and some workers are woken for nothing.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
        let result =
            self.sockets.iter().enumerate().filter(|(index, _)| !inner.is_suspended[*index]).try_for_each(
                |(index, socket)| epoll.add(socket, EpollEvent::new(flags, LISTENER_TOKEN + index as u64)),
            );
        if result.is_err() {
            self.unwatch(epoll);
        }
        result
    }

    fn unwatch(&self, epoll: &Epoll) {
        for socket in &self.sockets {
            // A socket that `watch` could not add cannot be deleted.
            let _ = epoll.delete(socket);
        }
    }

    /// Stops watching the sockets. Returns whether they were watched.
    pub fn pause(&self, epoll: &Epoll) -> bool {
        self.set(epoll, State::Paused)
    }

    /// Stops watching the sockets because there is no room for another connection.
    pub fn pause_full(&self, epoll: &Epoll) {
        self.set(epoll, State::Full);
    }

    /// Stops watching the sockets permanently.
    pub fn shut(&self, epoll: &Epoll) {
        self.set(epoll, State::Shut);
    }

    /// Whether accepting is paused and can be resumed.
    pub fn is_paused(&self) -> bool {
        matches!(self.inner().state, State::Paused | State::Full)
    }

    /// Whether it was paused because there was no room.
    pub fn is_full(&self) -> bool {
        self.inner().state == State::Full
    }

    fn set(&self, epoll: &Epoll, to: State) -> bool {
        let mut inner = self.inner();
        let was_open = inner.state == State::Accepting;
        if was_open {
            self.unwatch(epoll);
        }
        if inner.state != State::Shut {
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
