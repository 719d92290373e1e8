//! A warning that a client could cause at will: it is logged once a minute at most.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::os::clock;

const INTERVAL_MS: u64 = 60_000;

/// When a warning was last logged, in milliseconds of [`clock::now_ms`]; 0 is never.
#[derive(Debug, Default)]
pub struct OncePerMinute(AtomicU64);

impl OncePerMinute {
    /// Whether the warning may be logged now.
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
