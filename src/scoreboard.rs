//! What every worker counts, in memory that the supervisor reads and that survives a worker.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::sys;

/// One count or level of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Requests answered, with whatever status.
    Requests,
    /// Bytes handed to the kernel for clients.
    BytesSent,
    /// Requests whose answer is not yet wholly handed to the kernel.
    InFlight,
    /// Connections that are open.
    Connections,
    /// Connections that wait and hold no thread.
    Parked,
    /// Request threads.
    Threads,
    /// When the keeper last said that it lives: milliseconds of CLOCK_MONOTONIC.
    Beat,
}

/// Counters of one worker, in cache lines of their own.
#[derive(Debug, Clone, Copy)]
pub struct Slab(&'static [AtomicU64]);

/// Room for the counters of a worker: two cache lines, so that neighbours do not share one.
const SLAB: usize = 16;

impl Slab {
    /// Raises a counter.
    pub fn add(&self, counter: Counter, by: u64) {
        self.0[counter as usize].fetch_add(by, Relaxed);
    }

    /// Lowers a level.
    pub fn subtract(&self, counter: Counter, by: u64) {
        self.0[counter as usize].fetch_sub(by, Relaxed);
    }

    /// Sets a level.
    pub fn set(&self, counter: Counter, value: u64) {
        self.0[counter as usize].store(value, Relaxed);
    }

    /// Reads a counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Relaxed)
    }

    /// Forgets the levels of a worker that ended; what it counted stays.
    pub fn clear_levels(&self) {
        use Counter::{Beat, Connections, InFlight, Parked, Threads};
        for level in [InFlight, Connections, Parked, Threads, Beat] {
            self.set(level, 0);
        }
    }
}

/// The counters of all workers.
#[derive(Debug, Clone)]
pub struct Scoreboard(Vec<Slab>);

impl Scoreboard {
    /// A scoreboard for `workers` workers, all zero.
    pub fn new(workers: usize) -> io::Result<Self> {
        let counters = sys::shared_counters(workers * SLAB)?;
        Ok(Scoreboard(counters.chunks_exact(SLAB).map(Slab).collect()))
    }

    /// The counters of worker number `worker`, from 0.
    pub fn slab(&self, worker: usize) -> Slab {
        self.0[worker]
    }

    /// How many workers it is for.
    pub fn workers(&self) -> usize {
        self.0.len()
    }

    /// The sum over all workers.
    pub fn total(&self, counter: Counter) -> u64 {
        self.0.iter().map(|slab| slab.get(counter)).fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_levels_are_forgotten() {
        let board = Scoreboard::new(2).unwrap();
        board.slab(0).add(Counter::Requests, 2);
        board.slab(1).add(Counter::Requests, 3);
        board.slab(1).add(Counter::InFlight, 1);
        assert_eq!(board.total(Counter::Requests), 5);
        board.slab(1).clear_levels();
        assert_eq!(board.total(Counter::InFlight), 0);
        assert_eq!(board.total(Counter::Requests), 5);
    }
}
