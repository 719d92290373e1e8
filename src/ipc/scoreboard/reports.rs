//! What all workers see and one of them reports, such as a mistake in a file: that which sees it first.
//!
//! Each worker writes its own memory alone, so none can take the right to report from the others. It announces that it is about
//! to report, looks whether another one has reported or announced the same, and gives way to a lower number. A compromised worker
//! can at most suppress a report.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::time::Duration;

use super::{HEADER_WORDS, REPORTS, Scoreboard};

/// The number of reports that are remembered. One that was forgotten is repeated.
pub(super) const WORDS: usize = 256;

/// The bits of the state in a word; the others are those of the key.
const STATE: u64 = 3;
const ANNOUNCED: u64 = 1;
const REPORTED: u64 = 2;

/// The time for another worker to decide, in steps of a millisecond. It needs less than a microsecond, unless it is stopped.
const MAX_WAIT_MS: u32 = 50;

/// A worker that may report.
#[derive(Debug, Clone, Copy)]
pub struct Reporter {
    board: &'static Scoreboard,
    worker: usize,
}

impl Reporter {
    /// Creates that of worker number `worker`.
    pub fn new(board: &'static Scoreboard, worker: usize) -> Self {
        Reporter { board, worker }
    }

    /// Returns whether this worker is to report what has the digest `key`: no worker has done it. It may wait a moment for another.
    pub fn begin(&self, key: u64) -> bool {
        let (index, key) = (REPORTS + (key as usize / 4) % WORDS, key & !STATE);
        let word: &AtomicU64 = &self.board.counters(self.worker).0[index];
        let states = || {
            let words = self.board.memories.read(HEADER_WORDS + index).take(self.board.workers).enumerate();
            words
                .filter(|(_, word)| word & !STATE == key)
                .map(|(number, word)| (number, word & STATE))
                .collect::<Vec<_>>()
        };
        if states().iter().any(|(_, state)| *state == REPORTED) {
            return false;
        }
        word.store(key | ANNOUNCED, Relaxed);
        // Two workers do not both miss the announcement of the other.
        fence(SeqCst);
        for _ in 0..MAX_WAIT_MS {
            let states = states();
            let is_announced = |is_other: &dyn Fn(usize) -> bool| {
                states.iter().any(|(number, state)| *state == ANNOUNCED && is_other(*number))
            };
            if states.iter().any(|(_, state)| *state == REPORTED) || is_announced(&|number| number < self.worker) {
                word.store(0, Relaxed);
                return false;
            }
            if !is_announced(&|number| number > self.worker) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        word.store(key | REPORTED, Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> &'static Scoreboard {
        Box::leak(Box::new(Scoreboard::new(4).unwrap()))
    }

    #[test]
    fn one_worker_reports() {
        let board = board();
        let reporter = |worker| Reporter::new(board, worker);
        assert!(reporter(2).begin(4711));
        assert_eq!([0, 1, 2, 3].map(|worker| reporter(worker).begin(4711)), [false; 4]);
        assert!(reporter(3).begin(4711 + 4));
        assert!(reporter(1).begin(4711 + 4 * WORDS as u64), "another one in the same word");
    }

    #[test]
    fn of_workers_at_the_same_time_one_reports() {
        let board = board();
        for key in (0..4_000_u64).step_by(4) {
            let barrier = std::sync::Barrier::new(4);
            let count = std::thread::scope(|scope| {
                let begin = |worker| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        Reporter::new(board, worker).begin(key + 4)
                    })
                };
                let all: Vec<_> = (0..4).map(begin).collect();
                all.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
            });
            assert_eq!(count, 1, "{key}");
        }
    }
}
