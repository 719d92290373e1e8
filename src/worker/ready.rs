//! Events that one thread got from the kernel together and that wait for any thread.
//!
//! One call for many events costs a good deal less than one for each. None of them is stuck behind another: a thread
//! takes one at a time, and when it blocks, the others are there for the next thread. A thread that waits in epoll does
//! not see them, so whoever leaves some here rings for it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::crew::Crew;

/// The bell's datum in epoll; no descriptor and no listening socket has it.
pub const BELL: u64 = u64::MAX - 1;

/// What epoll reported, and the moment by which it had happened.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Its flags and its datum.
    pub report: EpollEvent,
    /// A moment of the worker's.
    pub moment: u64,
}

/// The events of a worker that wait for a thread.
#[derive(Debug)]
pub struct Ready {
    events: Mutex<VecDeque<Event>>,
    bell: EventFd,
}

impl Ready {
    /// None, with a bell that `epoll` hears.
    pub fn new(epoll: &Epoll) -> nix::Result<Self> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        // Nobody reads it: every write is an edge, which wakes one thread.
        epoll.add(&bell, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, BELL))?;
        Ok(Ready { events: Mutex::default(), bell })
    }

    /// Takes the event that has waited longest.
    pub fn take(&self) -> Option<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Leaves what was reported by `moment` here, and rings if a thread of the crew waits in epoll.
    pub fn leave(&self, reports: &[EpollEvent], moment: u64, crew: &Crew) {
        if reports.is_empty() {
            return;
        }
        let events = reports.iter().map(|report| Event { report: *report, moment });
        self.events.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
        // A thread that is about to wait says so before it looks here: one of the two sees the other.
        if crew.waits() {
            // It cannot overflow in the life of a machine.
            let _ = self.bell.write(1);
        }
    }
}
