//! Warnings that clients can cause. Each kind is logged at most once a minute, so that clients can neither flood the
//! journal nor slow the server down.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::os::clock;

const INTERVAL_MS: u64 = 60_000;

/// The warnings of a worker.
#[derive(Debug, Default)]
pub struct RateLimitedWarnings {
    /// The connection limit is reached.
    pub connections_full: OncePerMinute,
    /// A client has reached --max-per-client.
    pub client_full: OncePerMinute,
    /// No descriptor is left for another connection.
    pub descriptors_exhausted: OncePerMinute,
    /// A thread could not be started.
    pub thread_start: OncePerMinute,
    /// All request threads are busy.
    pub threads_busy: OncePerMinute,
    /// A file cannot be served because of an error of the server.
    pub file_failed: OncePerMinute,
}

/// The time of the last log entry, in milliseconds of [`clock::now_ms`]; 0 if there is none.
#[derive(Debug, Default)]
pub struct OncePerMinute(AtomicU64);

impl OncePerMinute {
    /// Returns whether the warning may be logged now.
    pub fn is_due(&self) -> bool {
        self.is_due_at(clock::now_ms())
    }

    fn is_due_at(&self, now_ms: u64) -> bool {
        let due = |last| (last == 0 || last + INTERVAL_MS <= now_ms).then_some(now_ms.max(1));
        self.0.fetch_update(Relaxed, Relaxed, due).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_due_at_first_and_once_a_minute() {
        let seldom = OncePerMinute::default();
        let due: Vec<_> =
            [0, 1, 59_999, 60_001, 60_002, 130_000].into_iter().filter(|&now| seldom.is_due_at(now)).collect();
        assert_eq!(due, [0, 60_001, 130_000]);
    }
}
