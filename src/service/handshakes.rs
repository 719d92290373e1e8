//! The limit of threads that make TLS handshakes: each may wait for a signature. Beyond it, connections wait without a thread.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Wakeups;

/// The limit.
#[derive(Debug)]
pub struct HandshakeLimit {
    max_threads: usize,
    threads: AtomicUsize,
    /// The connections that wait, by descriptor. One that has ended meanwhile is woken in vain, as is its successor.
    waiting: Mutex<VecDeque<RawFd>>,
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
            self.waiting().push_back(connection);
            // A thread may have ended its turn before the connection waited.
            if !self.try_begin() {
                return None;
            }
        }
        Some(HandshakeTurn { limit: self, wakeups })
    }

    fn try_begin(&self) -> bool {
        let next = |threads| (threads < self.max_threads).then_some(threads + 1);
        self.threads.fetch_update(SeqCst, SeqCst, next).is_ok()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<RawFd>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HandshakeTurn<'_> {
    fn drop(&mut self) {
        self.limit.threads.fetch_sub(1, SeqCst);
        if let Some(connection) = self.limit.waiting().pop_front() {
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
    fn one_thread_may_always_do_it() {
        assert!(HandshakeLimit::new(1).begin(1, &Wakeups::default()).is_some());
    }
}
