//! The request threads: how many there are, and the rule that starts and ends them.
//!
//! All of them wait for events of the same epoll instance; whoever gets one serves it from beginning to end. When none
//! waits any more, the keeper is alarmed and watches: if for a moment no turn ends and no thread is running either, all of
//! them are blocked (on a slow disk, say), and it starts as many again. A machine that is merely busy has running threads
//! and gets no more of them. Nor does one of which half of the threads that there may be are blocked, before nothing at all
//! has moved for [`BLOCKED_MS`]: then those that follow know what blocks the others ([`blocked`](super::blocking)), and leave it
//! alone. Threads beyond the first few leave when they have been idle for a while.

use std::ffi::CStr;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl;

use super::blocking::BLOCKED_MS;
use crate::ipc::scoreboard::{Counter, WorkerCounters};
use crate::os::clock;

/// Threads that stay. A second one would be woken for nothing at every other event, which costs a tenth of what a request
/// does; when this one blocks, the keeper has another one ready within milliseconds.
pub const CORE_THREADS: usize = 1;

/// What a request thread is called, so that it is told apart from the worker's others.
pub const THREAD_NAME: &CStr = c"request";

/// What a request thread is called while it does work that takes long.
const LONG_WORK_NAME: &CStr = c"listing";

/// The request threads of a worker.
#[derive(Debug)]
pub struct ThreadPool {
    max_threads: usize,
    threads: AtomicUsize,
    waiting: AtomicUsize,
    turns_ended: AtomicU64,
    no_idle_thread: EventFd,
    is_monitored: AtomicBool,
    counters: WorkerCounters<'static>,
}

impl ThreadPool {
    /// A crew of no threads yet, and of `most` at most.
    pub fn new(most: usize, counters: WorkerCounters<'static>) -> nix::Result<Self> {
        let alarm = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(ThreadPool {
            max_threads: most,
            threads: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            turns_ended: AtomicU64::new(0),
            no_idle_thread: alarm,
            is_monitored: AtomicBool::new(false),
            counters,
        })
    }

    /// Readable when the keeper should watch.
    pub fn no_idle_thread(&self) -> &EventFd {
        &self.no_idle_thread
    }

    /// Counts a thread that is to be started, if there may be another.
    pub fn try_add(&self) -> bool {
        let joined = self.threads.fetch_update(SeqCst, SeqCst, |n| (n < self.max_threads).then_some(n + 1)).is_ok();
        if joined {
            self.counters.add(Counter::Threads, 1);
        }
        joined
    }

    /// Counts a thread that ends.
    pub fn remove(&self) {
        self.threads.fetch_sub(1, SeqCst);
        self.counters.subtract(Counter::Threads, 1);
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads.load(SeqCst)
    }

    /// Lets a thread that found nothing to do for long leave, if another waits and enough stay.
    pub fn try_retire(&self) -> bool {
        let left = self.has_idle_thread()
            && self.threads.fetch_update(SeqCst, SeqCst, |n| (n > CORE_THREADS).then(|| n - 1)).is_ok();
        if left {
            self.counters.subtract(Counter::Threads, 1);
        }
        left
    }

    /// A thread begins to wait for an event.
    pub fn begin_waiting(&self) {
        self.waiting.fetch_add(1, SeqCst);
    }

    /// A thread has an event, or gave up waiting for one.
    pub fn end_waiting(&self) {
        if self.waiting.fetch_sub(1, SeqCst) == 1 && !self.is_monitored.swap(true, SeqCst) {
            // An event counter that cannot be raised is raised already.
            let _ = self.no_idle_thread.write(1);
        }
    }

    /// Whether a thread waits for an event.
    pub fn has_idle_thread(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// How many turns have ended.
    pub fn turns_ended(&self) -> u64 {
        self.turns_ended.load(SeqCst)
    }

    /// Whether there are as many threads as there may be, and none of them waits.
    pub fn is_saturated(&self) -> bool {
        self.threads() >= self.max_threads && !self.has_idle_thread()
    }

    /// Whether there are so many threads that some have been blocked for a while.
    pub fn is_over_half(&self) -> bool {
        self.threads() > self.max_threads / 2
    }

    /// A thread begins with work that takes long: it counts as none that serves others, and if no other waits for them, the
    /// keeper is to start one at once.
    pub fn begin_long_work(&self) {
        // What is called otherwise does not run as a request thread.
        let _ = prctl::set_name(LONG_WORK_NAME);
        if !self.has_idle_thread() && !self.is_monitored.swap(true, SeqCst) {
            let _ = self.no_idle_thread.write(1);
        }
    }

    /// It is one of the threads again that serve.
    pub fn end_long_work(&self) {
        let _ = prctl::set_name(THREAD_NAME);
    }

    /// A thread has ended its turn.
    pub fn end_turn(&self) {
        self.turns_ended.fetch_add(1, SeqCst);
    }
}

/// The keeper's watch over a crew of which no thread waits.
#[derive(Debug, Default)]
pub struct StallDetector {
    turns: u64,
    idle_checks: u32,
    stalled_since_ms: Option<u64>,
    interval_ms: Option<u16>,
}

/// What a look at the crew showed.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody need watch.
    Idle,
    /// Look again soon.
    Recheck,
    /// So many threads are to be started.
    Grow(usize),
}

/// The watch ends after so many looks at which a thread waited.
const IDLE_CHECKS: u32 = 8;

/// The longest pause between two looks, in milliseconds. The first is one millisecond, each further one twice as long: a
/// worker at full load is looked at seldom enough to cost nothing.
const MAX_INTERVAL_MS: u16 = 8;

impl StallDetector {
    /// After how many milliseconds the keeper is to look again, if it is to look at all.
    pub fn interval_ms(&self) -> Option<u16> {
        self.interval_ms
    }

    /// Begins when the alarm rings.
    pub fn begin(&mut self, pool: &ThreadPool) {
        let _ = pool.no_idle_thread.read();
        *self = StallDetector {
            turns: pool.turns_ended.load(SeqCst),
            idle_checks: 0,
            stalled_since_ms: None,
            interval_ms: Some(1),
        };
    }

    /// Looks, a pause after the last look.
    pub fn check(&mut self, pool: &ThreadPool) -> Verdict {
        let turns = pool.turns_ended.load(SeqCst);
        let has_moved = std::mem::replace(&mut self.turns, turns) != turns;
        self.interval_ms = self.interval_ms.map(|pause| (pause * 2).min(MAX_INTERVAL_MS));
        if has_moved {
            self.stalled_since_ms = None;
        }
        if pool.waiting.load(SeqCst) > 0 {
            self.stalled_since_ms = None;
            self.idle_checks += 1;
            if self.idle_checks < IDLE_CHECKS {
                return Verdict::Recheck;
            }
            pool.is_monitored.store(false, SeqCst);
            self.idle_checks = 0;
            // The last thread may have stopped waiting just before that, and not have rung.
            if pool.waiting.load(SeqCst) == 0 && !pool.is_monitored.swap(true, SeqCst) {
                return Verdict::Recheck;
            }
            self.interval_ms = None;
            return Verdict::Idle;
        }
        self.idle_checks = 0;
        let threads = pool.threads.load(SeqCst);
        if has_moved || threads >= pool.max_threads {
            return Verdict::Recheck;
        }
        let now_ms = clock::now_ms();
        let still_since_ms = *self.stalled_since_ms.get_or_insert(now_ms);
        let is_too_soon = threads >= pool.max_threads / 2 && now_ms <= still_since_ms + BLOCKED_MS;
        if is_too_soon || any_thread_runs() {
            return Verdict::Recheck;
        }
        // A turn that ended while /proc was read was no standstill.
        if pool.turns_ended.load(SeqCst) != turns || pool.waiting.load(SeqCst) > 0 {
            return Verdict::Recheck;
        }
        // These may block as well.
        self.stalled_since_ms = None;
        self.interval_ms = Some(1);
        Verdict::Grow(threads.clamp(1, pool.max_threads - threads))
    }
}

/// Whether any request thread runs or is about to (proc(5), /proc/pid/stat, name and state R). Where /proc cannot be read,
/// no.
fn any_thread_runs() -> bool {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let running = format!("({}) R", THREAD_NAME.to_string_lossy());
    tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok()).any(|stat| stat.contains(&running))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::scoreboard::Scoreboard;

    fn crew(threads: usize, most: usize) -> ThreadPool {
        let pool = ThreadPool::new(most, Box::leak(Box::new(Scoreboard::new(1).unwrap())).counters(0)).unwrap();
        for _ in 0..threads {
            assert!(pool.try_add());
        }
        pool
    }

    #[test]
    fn the_alarm_rings_when_the_last_thread_stops_waiting() {
        let pool = crew(2, 8);
        pool.begin_waiting();
        pool.begin_waiting();
        pool.end_waiting();
        assert!(pool.no_idle_thread().read().is_err());
        pool.end_waiting();
        assert_eq!(pool.no_idle_thread().read(), Ok(1));
    }

    #[test]
    fn it_grows_up_to_its_bound_only_and_shrinks_to_those_that_stay() {
        let pool = crew(CORE_THREADS + 1, CORE_THREADS + 1);
        assert!(!pool.try_add());
        assert!(!pool.try_retire(), "nobody else waits");
        pool.begin_waiting();
        assert!(pool.try_retire());
        assert!(!pool.try_retire());
    }

    #[test]
    fn a_watch_ends_when_threads_wait_again() {
        let pool = crew(1, 8);
        let mut watch = StallDetector::default();
        pool.begin_waiting();
        pool.end_waiting();
        watch.begin(&pool);
        pool.end_turn();
        assert_eq!(watch.check(&pool), Verdict::Recheck);
        pool.begin_waiting();
        let looks = std::iter::from_fn(|| Some(watch.check(&pool))).take_while(|look| *look == Verdict::Recheck);
        assert_eq!(looks.count(), IDLE_CHECKS as usize - 1);
        assert_eq!(watch.interval_ms(), None);
        pool.end_waiting();
        assert_eq!(pool.no_idle_thread().read(), Ok(1));
    }
}
