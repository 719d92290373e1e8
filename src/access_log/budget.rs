//! The limit of records per second, of all workers together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::ipc::scoreboard::Scoreboard;
use crate::ipc::worker_memory::reserve;

/// The bits of a worker's counter that hold the number of records; the upper bits hold the second.
const COUNT_BITS: u32 = 24;

/// The largest limit per second.
pub const MAX: u64 = (1 << COUNT_BITS) - 1;

/// A limit per second. Each worker publishes the number of records that it has used, and may use the rest that the
/// others leave. Independently of the others, it has a [reserve](reserve). If two workers use the last record at the
/// same time, the limit is exceeded by one.
#[derive(Debug)]
pub struct Budget {
    board: &'static Scoreboard,
    worker: usize,
    kind: usize,
    limit: u64,
    reserve: u64,
    /// The second after the last one that was spent.
    spent_before: AtomicU64,
}

impl Budget {
    /// Creates the budget of worker number `worker` for a limit per second, of one of two kinds.
    pub fn new(board: &'static Scoreboard, worker: usize, kind: usize, limit: u64) -> Self {
        let limit = limit.min(MAX);
        let reserve = reserve(limit, board.workers());
        Budget { board, worker, kind, limit, reserve, spent_before: AtomicU64::new(0) }
    }

    /// Returns whether nothing is left in `second`.
    pub fn is_spent(&self, second: u64) -> bool {
        self.limit == 0
            || self.spent_before.load(Relaxed) > second
            || taken(self.own().load(Relaxed), second) >= self.allowed(second)
    }

    /// Takes one record of `second`; returns false if none is left.
    pub fn take(&self, second: u64) -> bool {
        if self.is_spent(second) {
            return false;
        }
        let allowed = self.allowed(second);
        let next = |counter| match split(counter) {
            (latest, count) if latest >= second => (count < allowed).then_some(latest << COUNT_BITS | (count + 1)),
            _ => Some(second << COUNT_BITS | 1),
        };
        let is_taken = self.own().fetch_update(Relaxed, Relaxed, next).is_ok();
        if !is_taken {
            self.spent_before.fetch_max(second + 1, Relaxed);
        }
        is_taken
    }

    /// Returns how many records this worker may take in `second`. Reads the counters of the others only beyond the reserve.
    fn allowed(&self, second: u64) -> u64 {
        if taken(self.own().load(Relaxed), second) < self.reserve {
            return self.reserve;
        }
        let others = self.board.budgets(self.kind).enumerate().filter(|(worker, _)| *worker != self.worker);
        let others = others.map(|(_, counter)| taken(counter, second)).sum();
        self.limit.saturating_sub(others).max(self.reserve)
    }

    fn own(&self) -> &AtomicU64 {
        self.board.budget(self.worker, self.kind)
    }
}

/// Returns how many records a worker has taken in `second`, or in a later one: a late thread takes from the current second.
fn taken(counter: u64, second: u64) -> u64 {
    let (latest, count) = split(counter);
    if latest >= second { count } else { 0 }
}

fn split(counter: u64) -> (u64, u64) {
    (counter >> COUNT_BITS, counter & MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(workers: usize) -> &'static Scoreboard {
        Box::leak(Box::new(Scoreboard::new(workers).unwrap()))
    }

    #[test]
    fn each_second_has_a_budget() {
        let budget = Budget::new(board(1), 0, 0, 2);
        assert_eq!([7, 7, 7, 8, 8, 8].map(|second| budget.take(second)), [true, true, false, true, true, false]);
        assert!(budget.is_spent(8) && !budget.is_spent(9));
        // A late thread takes from the current second.
        assert!(!budget.take(7));
    }

    #[test]
    fn a_budget_of_zero_is_always_spent() {
        let budget = Budget::new(board(1), 0, 0, 0);
        assert!(budget.is_spent(1) && !budget.take(1));
    }

    #[test]
    fn workers_share_a_budget_and_kinds_do_not() {
        let board = board(2);
        let budget = |worker, kind| Budget::new(board, worker, kind, 10);
        assert_eq!((0..20).filter(|_| budget(0, 0).take(7)).count(), 10);
        assert!(!budget(1, 0).take(7) && budget(1, 1).take(7) && budget(1, 0).take(8));
    }

    #[test]
    fn a_worker_with_false_counters_leaves_the_others_their_reserve() {
        let board = board(2);
        board.budget(0, 0).store(u64::MAX, Relaxed);
        let budget = Budget::new(board, 1, 0, 160);
        for second in [7, 8] {
            assert_eq!((0..200).filter(|_| budget.take(second)).count(), 10);
        }
    }
}
