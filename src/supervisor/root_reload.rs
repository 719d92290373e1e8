//! Reloads for a document root whose path leads outside the sandbox of the workers: new workers have the new sandbox.

use crate::ipc::scoreboard::{Counter, Scoreboard};
use crate::site::RootState;

/// Shortest interval between two such reloads, in milliseconds.
const INTERVAL_MS: u64 = 5_000;

/// Interval of the check for a document root that did not exist at the start, in milliseconds.
const FIRST_ROOT_CHECK_MS: u64 = 100;

/// When the next such reload is permitted. A root that stays outside, or a compromised worker that reports so, causes at most
/// one reload in [`INTERVAL_MS`].
#[derive(Debug)]
pub struct RootReload {
    /// 0 until the first reload, if there was no root at the start.
    next_ms: u64,
}

impl RootReload {
    /// Permits the first reload at once if there is no root, which is the state at the start.
    pub fn new(root: RootState, now_ms: u64) -> Self {
        RootReload { next_ms: if root == RootState::Missing { 0 } else { now_ms + INTERVAL_MS } }
    }

    /// Returns when the state of the root is to be checked, other than by the tick: soon, if there was no root at the start
    /// and is none yet that the workers can serve.
    pub fn next_check_ms(&self, board: &Scoreboard, now_ms: u64) -> u64 {
        let is_absent = board.total(Counter::RootMissing) > 0 || board.total(Counter::RootOutside) > 0;
        if self.next_ms == 0 && is_absent { now_ms + FIRST_ROOT_CHECK_MS } else { u64::MAX }
    }

    /// Returns whether the root is outside and a reload is permitted. The next one is permitted after the interval.
    pub fn is_due(&mut self, board: &Scoreboard, now_ms: u64) -> bool {
        let is_due = board.total(Counter::RootOutside) > 0 && now_ms >= self.next_ms;
        if is_due {
            self.next_ms = now_ms + INTERVAL_MS;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_that_stays_outside_causes_one_reload_in_an_interval() {
        let board = Scoreboard::new(1).unwrap();
        let mut reload = RootReload::new(RootState::Outside, 10_000);
        assert!(!reload.is_due(&board, 20_000), "the workers report nothing");
        board.counters(0).set(Counter::RootOutside, 1);
        let due = [14_999, 15_000, 15_001, 19_999, 20_000].map(|now_ms| reload.is_due(&board, now_ms));
        assert_eq!(due, [false, true, false, false, true]);
        assert_eq!(reload.next_check_ms(&board, 21_000), u64::MAX);
    }

    #[test]
    fn a_root_that_was_missing_at_the_start_is_checked_often_until_it_exists() {
        let board = Scoreboard::new(1).unwrap();
        let mut reload = RootReload::new(RootState::Missing, 10_000);
        assert_eq!(reload.next_check_ms(&board, 10_000), u64::MAX);
        board.counters(0).set(Counter::RootMissing, 1);
        assert_eq!(reload.next_check_ms(&board, 10_000), 10_100);
        board.counters(0).set(Counter::RootOutside, 1);
        assert!(reload.is_due(&board, 10_001), "at once");
        assert_eq!(reload.next_check_ms(&board, 10_002), u64::MAX);
    }
}
