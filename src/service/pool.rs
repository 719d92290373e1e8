//! The pool of request threads of a worker: the number of threads, and the number of idle ones.
//!
//! All threads wait for events of the same epoll instance. The thread that receives an event handles it from beginning
//! to end. When no thread is idle any more, the main thread is notified and monitors the pool: its stall detector adds
//! threads if all are blocked. Threads beyond the first exit after an idle time, and under load once none was added for a while.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl;

use crate::ipc::scoreboard::{Counter, WorkerCounters};
use crate::os::clock;

/// The number of threads that never exit. A second one would be woken for nothing at every other event, which costs a
/// tenth of a request. If this one blocks, the main thread starts another within milliseconds.
pub const CORE_THREADS: usize = 1;

/// The first value of the interval after which one of the threads that were added may exit although events arrive, in milliseconds:
/// after the last growth, or the last such exit. If a growth follows an exit within the interval, that thread was needed, and
/// events have waited until the stall detector had added another. So the interval is doubled.
const SURPLUS_MS: u64 = 100;

/// The longest such interval, in milliseconds.
const MAX_SURPLUS_MS: u64 = 16_000;

/// The time after a listing was made in which no thread exits under load, in milliseconds: other listings may follow, and each
/// occupies a thread for milliseconds.
const LISTING_MS: u64 = 4_000;

/// The name of a request thread (prctl(2), PR_SET_NAME). It distinguishes request threads from the other threads of the
/// worker.
pub const THREAD_NAME: &CStr = c"request";

/// The name of a request thread during long work.
const LONG_WORK_NAME: &CStr = c"listing";

/// The request threads of a worker.
#[derive(Debug)]
pub struct ThreadPool {
    max_threads: usize,
    threads: AtomicUsize,
    /// Threads that were started, and have not run yet.
    starting: AtomicUsize,
    waiting: AtomicUsize,
    /// When the next thread may exit although events arrive, in milliseconds of [`clock::now_ms`].
    surplus_at_ms: AtomicU64,
    /// The current interval, in milliseconds.
    surplus_ms: AtomicU64,
    /// When the last thread has exited so, in milliseconds of [`clock::now_ms`]; 0 if none has since the last growth.
    retired_at_ms: AtomicU64,
    completed_turns: AtomicU64,
    no_idle_thread: EventFd,
    is_monitored: AtomicBool,
    counters: WorkerCounters<'static>,
}

impl ThreadPool {
    /// Creates an empty pool for at most `max_threads` threads.
    pub fn new(max_threads: usize, counters: WorkerCounters<'static>) -> nix::Result<Self> {
        let no_idle_thread = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(ThreadPool {
            max_threads,
            threads: AtomicUsize::new(0),
            starting: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            surplus_at_ms: AtomicU64::new(0),
            surplus_ms: AtomicU64::new(SURPLUS_MS),
            retired_at_ms: AtomicU64::new(0),
            completed_turns: AtomicU64::new(0),
            no_idle_thread,
            is_monitored: AtomicBool::new(false),
            counters,
        })
    }

    /// Returns the descriptor that becomes readable when no thread is idle any more.
    pub fn no_idle_thread(&self) -> &EventFd {
        &self.no_idle_thread
    }

    /// Counts a new thread before it is started. Returns false if the pool is full.
    pub fn try_add(&self) -> bool {
        let joined = self.threads.fetch_update(SeqCst, SeqCst, |n| (n < self.max_threads).then_some(n + 1)).is_ok();
        if joined {
            self.starting.fetch_add(1, SeqCst);
            self.keep_surplus(clock::now_ms());
            self.counters.add(Counter::Threads, 1);
        }
        joined
    }

    /// Begins the interval again, since a thread was added at `now_ms`.
    fn keep_surplus(&self, now_ms: u64) {
        let surplus_ms = match (self.retired_at_ms.swap(0, SeqCst), self.surplus_ms.load(SeqCst)) {
            (0, surplus_ms) => surplus_ms,
            (at_ms, surplus_ms) if now_ms < at_ms + surplus_ms => (surplus_ms * 2).min(MAX_SURPLUS_MS),
            _ => SURPLUS_MS,
        };
        self.surplus_ms.store(surplus_ms, SeqCst);
        self.surplus_at_ms.fetch_max(now_ms + surplus_ms, SeqCst);
    }

    /// Keeps all threads for a while under load, since a listing is made.
    pub fn keep_for_listings(&self) {
        self.surplus_at_ms.fetch_max(clock::now_ms() + LISTING_MS, SeqCst);
    }

    /// Records that a thread runs, or could not be started.
    pub fn end_start(&self) {
        self.starting.fetch_sub(1, SeqCst);
    }

    /// Whether a thread was started that has not run yet: on a busy machine, that takes a while.
    pub fn has_starting_thread(&self) -> bool {
        self.starting.load(SeqCst) > 0
    }

    /// Counts a thread that has ended.
    pub fn remove(&self) {
        self.threads.fetch_sub(1, SeqCst);
        self.counters.subtract(Counter::Threads, 1);
    }

    /// Returns the number of threads.
    pub fn threads(&self) -> usize {
        self.threads.load(SeqCst)
    }

    /// Counts an idle thread as ended, if it may end: another thread is idle, and enough threads remain. Returns
    /// whether it may.
    pub fn try_retire(&self) -> bool {
        let left = self.has_idle_thread()
            && self.threads.fetch_update(SeqCst, SeqCst, |n| (n > CORE_THREADS).then(|| n - 1)).is_ok();
        if left {
            self.counters.subtract(Counter::Threads, 1);
        }
        left
    }

    /// The same for a thread that has handled an event, at most once in each interval. A thread that is not needed takes every other
    /// event of another one, and each has to be woken for it.
    pub fn try_retire_surplus(&self) -> bool {
        if self.threads() <= CORE_THREADS {
            return false;
        }
        let (now_ms, at_ms) = (clock::now_ms(), self.surplus_at_ms.load(SeqCst));
        let next_ms = now_ms + self.surplus_ms.load(SeqCst);
        let is_surplus = now_ms >= at_ms
            && self.surplus_at_ms.compare_exchange(at_ms, next_ms, SeqCst, SeqCst).is_ok()
            && self.try_retire();
        if is_surplus {
            self.retired_at_ms.store(now_ms, SeqCst);
        }
        is_surplus
    }

    /// Counts a thread that begins to wait for an event.
    pub fn begin_waiting(&self) {
        self.waiting.fetch_add(1, SeqCst);
    }

    /// Counts a thread that stops waiting. Notifies the main thread if no other thread waits.
    pub fn end_waiting(&self) {
        if self.waiting.fetch_sub(1, SeqCst) == 1 && !self.is_monitored.swap(true, SeqCst) {
            // The write fails only if the notification is already pending.
            let _ = self.no_idle_thread.write(1);
        }
    }

    /// Returns whether a thread waits for an event.
    pub fn has_idle_thread(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// Returns the number of completed turns.
    pub fn completed_turns(&self) -> u64 {
        self.completed_turns.load(SeqCst)
    }

    /// Returns whether the pool is full and no thread is idle.
    pub fn is_saturated(&self) -> bool {
        self.threads() >= self.max_threads && !self.has_idle_thread()
    }

    /// Returns whether more than half of the possible threads exist: then some have been blocked for a while.
    pub fn is_over_half(&self) -> bool {
        self.threads() > self.max_threads / 2
    }

    /// Marks this thread as busy with long work: the stall detector ignores it. If no thread is idle, notifies the main
    /// thread, which starts another one.
    pub fn begin_long_work(&self) {
        // The stall detector identifies request threads by this name.
        let _ = prctl::set_name(LONG_WORK_NAME);
        if !self.has_idle_thread() && !self.is_monitored.swap(true, SeqCst) {
            let _ = self.no_idle_thread.write(1);
        }
    }

    /// Marks this thread as a request thread again.
    pub fn end_long_work(&self) {
        let _ = prctl::set_name(THREAD_NAME);
    }

    /// Returns the largest number of threads.
    pub fn max_threads(&self) -> usize {
        self.max_threads
    }

    /// Resets the notification of [`no_idle_thread`](ThreadPool::no_idle_thread).
    pub fn clear_notification(&self) {
        let _ = self.no_idle_thread.read();
    }

    /// Ends monitoring. Returns whether it has to continue: the last idle thread may have received an event in between.
    pub fn stop_monitoring(&self) -> bool {
        self.is_monitored.store(false, SeqCst);
        !self.has_idle_thread() && !self.is_monitored.swap(true, SeqCst)
    }

    /// Counts a completed turn.
    pub fn end_turn(&self) {
        self.completed_turns.fetch_add(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::scoreboard::Scoreboard;

    fn pool(threads: usize, max_threads: usize) -> ThreadPool {
        let pool = ThreadPool::new(max_threads, Box::leak(Box::new(Scoreboard::new(1).unwrap())).counters(0)).unwrap();
        for _ in 0..threads {
            assert!(pool.try_add());
        }
        pool
    }

    #[test]
    fn the_main_thread_is_notified_when_the_last_thread_stops_waiting() {
        let pool = pool(2, 8);
        pool.begin_waiting();
        pool.begin_waiting();
        pool.end_waiting();
        assert!(pool.no_idle_thread().read().is_err());
        pool.end_waiting();
        assert_eq!(pool.no_idle_thread().read(), Ok(1));
    }

    #[test]
    fn the_pool_grows_up_to_its_limit_and_shrinks_to_its_core() {
        let pool = pool(CORE_THREADS + 1, CORE_THREADS + 1);
        assert!(!pool.try_add());
        assert!(!pool.try_retire(), "no other thread waits");
        pool.begin_waiting();
        assert!(pool.try_retire());
        assert!(!pool.try_retire());
    }

    #[test]
    fn a_growth_soon_after_an_exit_under_load_doubles_the_interval() {
        let pool = pool(CORE_THREADS + 1, 64);
        let interval_after = |retired_at_ms, grown_at_ms| {
            pool.retired_at_ms.store(retired_at_ms, SeqCst);
            pool.surplus_at_ms.store(0, SeqCst);
            pool.keep_surplus(grown_at_ms);
            pool.surplus_at_ms.load(SeqCst) - grown_at_ms
        };
        assert_eq!(interval_after(0, 1_000), SURPLUS_MS);
        assert_eq!(interval_after(2_000, 2_001), 2 * SURPLUS_MS);
        assert_eq!(interval_after(0, 3_000), 2 * SURPLUS_MS);
        for _ in 0..10 {
            interval_after(4_000, 4_001);
        }
        assert_eq!(interval_after(5_000, 5_000 + MAX_SURPLUS_MS - 1), MAX_SURPLUS_MS);
        assert_eq!(interval_after(50_000, 50_000 + MAX_SURPLUS_MS), SURPLUS_MS);
    }

    #[test]
    fn one_thread_that_is_not_needed_exits_in_each_interval_after_the_last_growth() {
        let pool = pool(CORE_THREADS + 2, 8);
        pool.begin_waiting();
        assert!(!pool.try_retire_surplus(), "a thread was just added");
        pool.surplus_at_ms.store(clock::now_ms(), SeqCst);
        assert!(pool.try_retire_surplus());
        assert!(pool.retired_at_ms.load(SeqCst) > 0);
        assert!(!pool.try_retire_surplus(), "one has just left");
        pool.surplus_at_ms.store(clock::now_ms(), SeqCst);
        pool.keep_for_listings();
        assert!(!pool.try_retire_surplus(), "a listing is made");
        pool.surplus_at_ms.store(clock::now_ms(), SeqCst);
        assert!(pool.try_retire_surplus());
        pool.surplus_at_ms.store(clock::now_ms(), SeqCst);
        assert!(!pool.try_retire_surplus(), "the core is left");
    }
}
