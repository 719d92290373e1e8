//! The limit of threads that make TLS handshakes: each may wait for a signature. Beyond it, connections wait without a thread.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Wakeups;

/// The limit.
#[derive(Debug)]
pub struct HandshakeLimit {
    max_threads: usize,
    threads: AtomicUsize,
    waiting: Mutex<Waiting>,
}

/// The connections that wait, by descriptor, in the order in which they began to. Each is there once: there are no more than
/// connections.
#[derive(Debug, Default)]
struct Waiting {
    in_order: BTreeMap<u64, RawFd>,
    places: HashMap<RawFd, u64>,
    next_place: u64,
}

/// The right of a thread to continue a handshake. When it is dropped, a connection that waits is woken.
#[derive(Debug)]
pub struct HandshakeTurn<'s> {
    limit: &'s HandshakeLimit,
    wakeups: &'s Wakeups,
}

impl HandshakeLimit {
    /// Creates the limit for a worker with up to `threads` request threads: a quarter.
    pub fn new(threads: usize) -> Self {
        HandshakeLimit { max_threads: (threads / 4).max(1), threads: AtomicUsize::new(0), waiting: Mutex::default() }
    }

    /// Begins a turn of the handshake of `connection`. Returns none if the limit is reached: then `wakeups` gets the
    /// connection later.
    pub fn begin<'s>(&'s self, connection: RawFd, wakeups: &'s Wakeups) -> Option<HandshakeTurn<'s>> {
        if !self.try_begin() {
            self.waiting().add(connection);
            // A thread may have ended its turn before the connection waited.
            if !self.try_begin() {
                return None;
            }
        }
        // Waking it again would be in vain, and another one would wait.
        self.forget(connection);
        Some(HandshakeTurn { limit: self, wakeups })
    }

    /// Removes a connection that does not wait any more, such as one that is closed.
    pub fn forget(&self, connection: RawFd) {
        self.waiting().remove(connection);
    }

    fn try_begin(&self) -> bool {
        let next = |threads| (threads < self.max_threads).then_some(threads + 1);
        self.threads.fetch_update(SeqCst, SeqCst, next).is_ok()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Adds a connection, unless it waits already.
    fn add(&mut self, connection: RawFd) {
        let place = *self.places.entry(connection).or_insert(self.next_place);
        self.in_order.insert(place, connection);
        self.next_place += 1;
    }

    fn remove(&mut self, connection: RawFd) {
        if let Some(place) = self.places.remove(&connection) {
            self.in_order.remove(&place);
        }
    }

    fn take_first(&mut self) -> Option<RawFd> {
        let (_, connection) = self.in_order.pop_first()?;
        self.places.remove(&connection);
        Some(connection)
    }
}

impl Drop for HandshakeTurn<'_> {
    fn drop(&mut self) {
        self.limit.threads.fetch_sub(1, SeqCst);
        if let Some(connection) = self.limit.waiting().take_first() {
            self.wakeups.push_all([connection]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_threads_make_handshakes_and_the_end_of_each_wakes_a_connection() {
        let (limit, wakeups) = (HandshakeLimit::new(8), Wakeups::default());
        let first = limit.begin(1, &wakeups).unwrap();
        let second = limit.begin(2, &wakeups).unwrap();
        assert!(limit.begin(3, &wakeups).is_none() && limit.begin(4, &wakeups).is_none());
        assert!(wakeups.take().is_empty());
        drop(first);
        assert_eq!(wakeups.take(), [3]);
        let third = limit.begin(3, &wakeups).unwrap();
        drop((second, third));
        assert_eq!(wakeups.take(), [4]);
        let [one, two] = [5, 6].map(|connection| limit.begin(connection, &wakeups));
        assert!(one.is_some() && two.is_some());
    }

    #[test]
    fn a_connection_that_tries_again_waits_once_and_a_closed_one_is_not_woken() {
        let (limit, wakeups) = (HandshakeLimit::new(4), Wakeups::default());
        let turn = limit.begin(1, &wakeups).unwrap();
        for connection in [2, 3, 2, 4, 2, 3] {
            assert!(limit.begin(connection, &wakeups).is_none());
        }
        limit.forget(3);
        drop(turn);
        assert_eq!(wakeups.take(), [2]);
        // It continues by itself before it is woken: the next one is woken afterwards.
        assert!(limit.begin(2, &wakeups).is_some());
        assert_eq!(wakeups.take(), [4]);
        let turn = limit.begin(5, &wakeups);
        assert!(limit.begin(6, &wakeups).is_none());
        drop(turn);
        drop(limit.begin(6, &wakeups));
        assert_eq!(wakeups.take(), [6]);
        assert!(limit.waiting().in_order.is_empty() && limit.waiting().places.is_empty());
    }

    #[test]
    fn one_thread_may_always_do_it() {
        assert!(HandshakeLimit::new(1).begin(1, &Wakeups::default()).is_some());
    }
}
