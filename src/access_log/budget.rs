//! How many records a second there may be, of all workers together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::ipc::scoreboard::Scoreboard;
use crate::ipc::worker_memory::reserve;

/// A worker's counter: the second in its upper bits, how many there were in the others.
const COUNT_BITS: u32 = 24;

/// The most that a second may have.
pub const MOST: u64 = (1 << COUNT_BITS) - 1;

/// So many a second. Each worker says how many it has taken, and takes what the others have left; whatever they say, it has a
/// [reserve](reserve). If two take the last one at the same time, there is one more.
#[derive(Debug)]
pub struct Budget {
    board: &'static Scoreboard,
    worker: usize,
    kind: usize,
    most: u64,
    reserve: u64,
    /// The second after the last one that was found spent, which stays so.
    spent_before: AtomicU64,
}

impl Budget {
    /// What worker number `worker` may take of `most` a second, of one of two kinds.
    pub fn new(board: &'static Scoreboard, worker: usize, kind: usize, most: u64) -> Self {
        let most = most.min(MOST);
        let reserve = reserve(most, board.workers());
        Budget { board, worker, kind, most, reserve, spent_before: AtomicU64::new(0) }
    }

    /// Whether nothing is left of what there is in `second`.
    pub fn is_spent(&self, second: u64) -> bool {
        self.most == 0
            || self.spent_before.load(Relaxed) > second
            || taken(self.own().load(Relaxed), second) >= self.allowed(second)
    }

    /// Takes one of those of `second`, if one is left.
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

    /// How many this worker may take in `second`, as far as it has to look: what the others have taken matters only beyond the
    /// reserve.
    fn allowed(&self, second: u64) -> u64 {
        if taken(self.own().load(Relaxed), second) < self.reserve {
            return self.reserve;
        }
        let others = self.board.budgets(self.kind).enumerate().filter(|(worker, _)| *worker != self.worker);
        let others = others.map(|(_, counter)| taken(counter, second)).sum();
        self.most.saturating_sub(others).max(self.reserve)
    }

    fn own(&self) -> &AtomicU64 {
        self.board.budget(self.worker, self.kind)
    }
}

/// How many a worker has taken in `second`, or in a later one: who is late takes of what there is now.
fn taken(counter: u64, second: u64) -> u64 {
    let (latest, count) = split(counter);
    if latest >= second { count } else { 0 }
}

fn split(counter: u64) -> (u64, u64) {
    (counter >> COUNT_BITS, counter & MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(workers: usize) -> &'static Scoreboard {
        Box::leak(Box::new(Scoreboard::new(workers).unwrap()))
    }

    #[test]
    fn each_second_has_its_own() {
        let budget = Budget::new(board(1), 0, 0, 2);
        assert_eq!([7, 7, 7, 8, 8, 8].map(|second| budget.take(second)), [true, true, false, true, true, false]);
        assert!(budget.is_spent(8) && !budget.is_spent(9));
        // Who is late takes of what there is now.
        assert!(!budget.take(7));
    }

    #[test]
    fn there_may_be_none() {
        let budget = Budget::new(board(1), 0, 0, 0);
        assert!(budget.is_spent(1) && !budget.take(1));
    }

    #[test]
    fn workers_share_it_and_the_kinds_do_not() {
        let board = board(2);
        let budget = |worker, kind| Budget::new(board, worker, kind, 10);
        assert_eq!((0..20).filter(|_| budget(0, 0).take(7)).count(), 10);
        assert!(!budget(1, 0).take(7) && budget(1, 1).take(7) && budget(1, 0).take(8));
    }

    #[test]
    fn a_worker_that_does_not_tell_the_truth_leaves_the_others_their_reserve() {
        let board = board(2);
        board.budget(0, 0).store(u64::MAX, Relaxed);
        let budget = Budget::new(board, 1, 0, 160);
        for second in [7, 8] {
            assert_eq!((0..200).filter(|_| budget.take(second)).count(), 10);
        }
    }
}
