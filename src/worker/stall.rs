//! The stall detector: it adds threads to a pool in which all threads are blocked.
//!
//! It runs in the main thread while no request thread is idle. If no turn ends and no request thread runs between two
//! checks, all threads are blocked, for instance by a slow disk, and it doubles their number. On a busy machine,
//! threads run, so it adds none. Once half of the possible threads are blocked, it adds threads only after
//! [`BLOCKED_MS`] without progress. Then the limits on [blocked threads](crate::service::blocking) keep the new threads
//! from the file that blocks the others.

use std::fs;

use crate::os::clock;
use crate::service::blocking::BLOCKED_MS;
use crate::service::pool::{THREAD_NAME, ThreadPool};

/// The state of monitoring a pool in which no thread is idle.
#[derive(Debug, Default)]
pub struct StallDetector {
    turns: u64,
    idle_checks: u32,
    stalled_since_ms: Option<u64>,
    interval_ms: Option<u16>,
}

/// The result of a check.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Monitoring ends.
    Idle,
    /// Check again after the interval.
    Recheck,
    /// Start this number of threads.
    Grow(usize),
}

/// The number of checks with an idle thread after which monitoring ends.
const IDLE_CHECKS: u32 = 8;

/// The longest interval between two checks, in milliseconds. The first interval is one millisecond, and each further
/// one is twice as long. At full load, checks are so rare that their cost is not measurable.
const MAX_INTERVAL_MS: u16 = 8;

impl StallDetector {
    /// Returns the milliseconds until the next check; none if the pool is not monitored.
    pub fn interval_ms(&self) -> Option<u16> {
        self.interval_ms
    }

    /// Begins monitoring, after the notification that no thread is idle.
    pub fn begin(&mut self, pool: &ThreadPool) {
        pool.clear_notification();
        *self = StallDetector {
            turns: pool.completed_turns(),
            idle_checks: 0,
            stalled_since_ms: None,
            interval_ms: Some(1),
        };
    }

    /// Checks the pool. The interval since the last check has passed.
    pub fn check(&mut self, pool: &ThreadPool) -> Verdict {
        let turns = pool.completed_turns();
        let has_moved = std::mem::replace(&mut self.turns, turns) != turns;
        self.interval_ms = self.interval_ms.map(|interval| (interval * 2).min(MAX_INTERVAL_MS));
        if has_moved {
            self.stalled_since_ms = None;
        }
        if pool.has_idle_thread() {
            self.stalled_since_ms = None;
            self.idle_checks += 1;
            if self.idle_checks < IDLE_CHECKS {
                return Verdict::Recheck;
            }
            self.idle_checks = 0;
            if pool.stop_monitoring() {
                return Verdict::Recheck;
            }
            self.interval_ms = None;
            return Verdict::Idle;
        }
        self.idle_checks = 0;
        let threads = pool.threads();
        if has_moved || threads >= pool.max_threads() || pool.has_starting_thread() {
            return Verdict::Recheck;
        }
        let now_ms = clock::now_ms();
        let stalled_since_ms = *self.stalled_since_ms.get_or_insert(now_ms);
        let is_too_early = threads >= pool.max_threads() / 2 && now_ms <= stalled_since_ms + BLOCKED_MS;
        if is_too_early || any_thread_runs() {
            return Verdict::Recheck;
        }
        // A turn that was completed while /proc was read is progress.
        if pool.completed_turns() != turns || pool.has_idle_thread() {
            return Verdict::Recheck;
        }
        // The new threads may block as well.
        self.stalled_since_ms = None;
        self.interval_ms = Some(1);
        Verdict::Grow(threads.clamp(1, pool.max_threads() - threads))
    }
}

/// Returns whether a request thread is running or runnable (proc(5), /proc/pid/stat: name and state R). Returns false
/// if /proc cannot be read.
fn any_thread_runs() -> bool {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let running = format!("({}) R", THREAD_NAME.to_string_lossy());
    tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok()).any(|stat| stat.contains(&running))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::scoreboard::Scoreboard;

    #[test]
    fn no_thread_is_added_before_the_last_one_that_was_added_runs() {
        let board = Box::leak(Box::new(Scoreboard::new(1).unwrap()));
        let pool = ThreadPool::new(8, board.counters(0)).unwrap();
        let mut detector = StallDetector::default();
        for added in 1..=3 {
            assert!(pool.try_add());
            detector.begin(&pool);
            assert_eq!(detector.check(&pool), Verdict::Recheck, "it has not run");
            pool.end_start();
            assert_eq!(detector.check(&pool), Verdict::Grow(added));
        }
    }

    #[test]
    fn monitoring_ends_when_threads_are_idle_again() {
        let board = Box::leak(Box::new(Scoreboard::new(1).unwrap()));
        let pool = ThreadPool::new(8, board.counters(0)).unwrap();
        assert!(pool.try_add());
        let mut detector = StallDetector::default();
        pool.begin_waiting();
        pool.end_waiting();
        detector.begin(&pool);
        pool.end_turn();
        assert_eq!(detector.check(&pool), Verdict::Recheck);
        pool.begin_waiting();
        let checks =
            std::iter::from_fn(|| Some(detector.check(&pool))).take_while(|verdict| *verdict == Verdict::Recheck);
        assert_eq!(checks.count(), IDLE_CHECKS as usize - 1);
        assert_eq!(detector.interval_ms(), None);
        pool.end_waiting();
        assert_eq!(pool.no_idle_thread().read(), Ok(1));
    }
}
