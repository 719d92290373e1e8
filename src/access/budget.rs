//! How many records a second there may be, of all workers together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter in memory that the workers share: the second in its upper bits, how many there were in the others.
const COUNT_BITS: u32 = 24;

/// The most that a second may have.
pub const MOST: u64 = (1 << COUNT_BITS) - 1;

/// So many a second, and no more.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    counter: &'static AtomicU64,
    most: u64,
}

impl Budget {
    /// One of `most` a second, which are counted in `counter`.
    pub fn new(counter: &'static AtomicU64, most: u64) -> Self {
        Budget { counter, most: most.min(MOST) }
    }

    /// Whether nothing is left of what there is in `second`.
    pub fn is_spent(&self, second: u64) -> bool {
        let (latest, count) = split(self.counter.load(Relaxed));
        self.most == 0 || (latest >= second && count >= self.most)
    }

    /// Takes one of those of `second`, if one is left.
    pub fn take(&self, second: u64) -> bool {
        if self.is_spent(second) {
            return false;
        }
        let next = |counter| match split(counter) {
            (latest, count) if latest >= second => (count < self.most).then_some(latest << COUNT_BITS | (count + 1)),
            _ => Some(second << COUNT_BITS | 1),
        };
        self.counter.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

fn split(counter: u64) -> (u64, u64) {
    (counter >> COUNT_BITS, counter & MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(most: u64) -> Budget {
        Budget::new(Box::leak(Box::new(AtomicU64::new(0))), most)
    }

    #[test]
    fn each_second_has_its_own() {
        let budget = budget(2);
        assert_eq!([7, 7, 7, 8, 8, 8].map(|second| budget.take(second)), [true, true, false, true, true, false]);
        assert!(budget.is_spent(8) && !budget.is_spent(9));
        // Who is late takes of what there is now.
        assert!(!budget.take(7));
    }

    #[test]
    fn there_may_be_none() {
        assert!(budget(0).is_spent(1) && !budget(0).take(1));
    }
}
