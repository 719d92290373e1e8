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
    /// A moment before epoll was asked.
    pub before: u64,
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

    /// Takes the event that has waited longest, and rings for those behind it: whoever has taken one may block.
    pub fn take(&self, crew: &Crew) -> Option<Event> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let event = events.pop_front();
        let are_more = !events.is_empty();
        drop(events);
        self.ring(are_more, crew);
        event
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Leaves events here, and rings if a thread of the crew waits in epoll.
    pub fn leave(&self, events: impl ExactSizeIterator<Item = Event>, crew: &Crew) {
        if events.len() == 0 {
            return;
        }
        self.events.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
        self.ring(true, crew);
    }

    /// Wakes one of the threads that wait in epoll, if there are events for it.
    fn ring(&self, are_events: bool, crew: &Crew) {
        // A thread that is about to wait says so before it looks here: one of the two sees the other.
        if are_events && crew.waits() {
            // It cannot overflow in the life of a machine.
            let _ = self.bell.write(1);
        }
    }
}
