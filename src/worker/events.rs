//! Queued events: a thread receives many in one call of epoll_wait(2), and any thread may handle them.
//!
//! One call for many events costs much less than one call for each. A thread takes one event at a time. If it blocks,
//! another thread takes the next event, so no event waits for a blocked thread. A thread that waits in epoll does not
//! see the queue; therefore a thread that takes an event wakes another one if events are left.
//!
//! Requests have priority over downloads, whose turns take longer. Each call of epoll_wait(2) queues one deferred turn
//! of a download after the events that it reported. So a request waits for one such turn at most, and a download waits
//! for the requests that arrived together.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::service::pool::ThreadPool;

/// The token of the wakeup in epoll. It differs from all descriptors and tokens of listening sockets.
pub const WAKEUP_TOKEN: u64 = u64::MAX - 1;

/// An event of epoll, with the logical times of the call that reported it.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Flags and token.
    pub epoll_event: EpollEvent,
    /// A logical time after the call: the event had happened by then.
    pub reported_at: u64,
    /// A logical time before the call.
    pub polled_at: u64,
}

/// The events of a worker that are not yet handled.
#[derive(Debug)]
pub struct EventQueue {
    queues: Mutex<Queues>,
    wakeup: EventFd,
}

#[derive(Debug, Default)]
struct Queues {
    next: VecDeque<Event>,
    /// Events of connections that are only writable: their downloads continue.
    deferred: VecDeque<Event>,
}

impl EventQueue {
    /// Creates an empty queue, with a wakeup that is registered in `epoll`.
    pub fn new(epoll: &Epoll) -> nix::Result<Self> {
        let wakeup = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        // It is never read: every write is an edge, which wakes one thread.
        epoll.add(&wakeup, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, WAKEUP_TOKEN))?;
        Ok(EventQueue { queues: Mutex::default(), wakeup })
    }

    /// Takes the next event. Wakes another thread if events are left, since this thread may block.
    pub fn pop(&self, pool: &ThreadPool) -> Option<Event> {
        self.take(self.queues(), pool)
    }

    /// Queues the events that epoll_wait(2) reported, and takes the next one as [`pop`](EventQueue::pop) does.
    pub fn push_and_pop(&self, events: impl Iterator<Item = Event>, pool: &ThreadPool) -> Option<Event> {
        let mut queues = self.queues();
        queues.push_all(events);
        self.take(queues, pool)
    }

    fn take(&self, mut queues: MutexGuard<'_, Queues>, pool: &ThreadPool) -> Option<Event> {
        let event = queues.next.pop_front()?;
        let are_more = !queues.is_empty();
        drop(queues);
        // A thread that is about to wait first counts itself, then checks the queue. So one of the two threads sees the
        // other.
        if are_more && pool.has_idle_thread() {
            // The counter of the eventfd does not overflow in practice.
            let _ = self.wakeup.write(1);
        }
        Some(event)
    }

    /// Returns whether no event is queued.
    pub fn is_empty(&self) -> bool {
        self.queues().is_empty()
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    /// Queues the events of one call of epoll_wait(2), and one that was deferred.
    fn push_all(&mut self, events: impl Iterator<Item = Event>) {
        for event in events {
            let is_only_writable = event.epoll_event.events() == EpollFlags::EPOLLOUT;
            if is_only_writable { self.deferred.push_back(event) } else { self.next.push_back(event) }
        }
        let first = self.deferred.pop_front();
        self.next.extend(first);
    }

    fn is_empty(&self) -> bool {
        self.next.is_empty() && self.deferred.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::epoll::{EpollCreateFlags, EpollTimeout};

    use super::*;
    use crate::ipc::scoreboard::WorkerCounters;

    const REQUEST: EpollFlags = EpollFlags::EPOLLIN.union(EpollFlags::EPOLLOUT);
    const WRITABLE: EpollFlags = EpollFlags::EPOLLOUT;

    fn ready() -> (EventQueue, Epoll, ThreadPool) {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        (EventQueue::new(&epoll).unwrap(), epoll, ThreadPool::new(8, WorkerCounters::discard()).unwrap())
    }

    fn leave(ready: &EventQueue, events: &[(EpollFlags, u64)]) {
        let report =
            |&(flags, token)| Event { epoll_event: EpollEvent::new(flags, token), reported_at: 0, polled_at: 0 };
        ready.queues().push_all(events.iter().map(report));
    }

    fn taken(ready: &EventQueue, pool: &ThreadPool) -> Vec<u64> {
        std::iter::from_fn(|| ready.pop(pool)).map(|event| event.epoll_event.data()).collect()
    }

    #[test]
    fn writable_connections_follow_the_requests_of_each_report() {
        let (ready, _epoll, pool) = ready();
        leave(&ready, &[(WRITABLE, 1), (WRITABLE, 2), (REQUEST, 10), (WRITABLE, 3), (REQUEST, 11)]);
        assert_eq!(taken(&ready, &pool), [10, 11, 1]);
        leave(&ready, &[(WRITABLE, 1), (REQUEST, 12)]);
        assert_eq!(taken(&ready, &pool), [12, 2]);
        leave(&ready, &[]);
        assert_eq!(taken(&ready, &pool), [3]);
        assert!(!ready.is_empty());
        leave(&ready, &[]);
        assert_eq!(taken(&ready, &pool), [1]);
        assert!(ready.is_empty());
    }

    #[test]
    fn a_thread_that_takes_an_event_wakes_one_for_those_that_are_left() {
        let (ready, epoll, pool) = ready();
        let is_woken = || epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO).unwrap() == 1;
        pool.begin_waiting();
        leave(&ready, &[(WRITABLE, 1), (WRITABLE, 2)]);
        ready.pop(&pool).unwrap();
        assert!(is_woken());
        leave(&ready, &[]);
        ready.pop(&pool).unwrap();
        assert!(!is_woken(), "nothing is left");
        pool.end_waiting();
        leave(&ready, &[(REQUEST, 10), (REQUEST, 11)]);
        ready.pop(&pool).unwrap();
        assert!(!is_woken(), "no thread waits");
    }
}
