//! What every worker counts, in memory that the supervisor reads and that survives a worker.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::http::request::Method;
use crate::sys;

/// One count or level of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Connections that were accepted.
    Accepted,
    /// Connections that were answered with a 503 at once, since their client has as many as it may.
    TurnedAway,
    /// Connections that ended without a request.
    Unused,
    /// Requests, and connections without one, that the access log is to account for.
    LogDue,
    /// Those that have a record of their own.
    LogWritten,
    /// Those that were summed.
    LogSummed,
    /// Those that the journal did not take in time.
    LogDropped,
    /// Those of the dropped whose number was told.
    LogTold,
    /// Those of the dropped that the worker has yet to tell.
    LogUntold,
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
    /// When the worker last proved that it serves: milliseconds of CLOCK_MONOTONIC.
    Beat,
    /// 1 while every request thread that there may be is busy.
    Saturated,
    /// 1 while the document root is not there.
    RootMissing,
    /// 1 while the document root's path leads to a place that the worker may not read.
    RootOutside,
    /// Workers that ended by a signal; their supervisor counts them.
    Killed,
    /// Workers that ended by themselves, and should not have; their supervisor counts them.
    Exited,
    /// Workers that were ended since they hung; their supervisor counts them.
    Hung,
    /// Connections that were ended to make room for others.
    Evicted,
    /// Listening sockets that take no connections any more.
    Deaf,
}

/// What a request asked for, as it is counted; bytes that are no request are among the others.
pub const METHODS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "other"];

/// The classes of statuses that there are, by their first digit.
pub const CLASSES: [u8; 4] = [2, 3, 4, 5];

/// The upper bounds of the classes of durations, in nanoseconds: 1, 2.5 and 5 of each power of ten from 100 microseconds to
/// 10 seconds. What takes longer has a class of its own.
pub const BOUNDS_NS: [u64; 16] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// How long answers took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Durations {
    /// How many took at most as long as each of [`BOUNDS_NS`], and longer than the bound before; the last are the others.
    pub counts: [u64; BOUNDS_NS.len() + 1],
    /// How long they took together, in nanoseconds.
    pub sum_ns: u64,
}

/// Counters of one worker, in cache lines of their own.
#[derive(Debug, Clone, Copy)]
pub struct Slab(&'static [AtomicU64]);

/// Where a slab has what: each [`Counter`], then requests by method and class, then durations and their sum.
const REQUESTS: usize = 24;
const DURATIONS: usize = REQUESTS + METHODS.len() * CLASSES.len();
const DURATION_SUM: usize = DURATIONS + BOUNDS_NS.len() + 1;

/// Room for the counters of a worker: whole cache lines, so that neighbours do not share one.
const SLAB: usize = (DURATION_SUM + 1).next_multiple_of(8);

impl Slab {
    /// Counters that nobody reads.
    pub fn unseen() -> Self {
        static UNSEEN: [AtomicU64; SLAB] = [const { AtomicU64::new(0) }; SLAB];
        Slab(&UNSEEN)
    }

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

    /// Adds the counts, but not the levels, of workers that have all ended.
    fn take_in(&self, other: &Slab) {
        other.clear_levels();
        for (own, others) in self.0.iter().zip(other.0) {
            own.fetch_add(others.load(Relaxed), Relaxed);
        }
    }

    /// Counts a request by what it asked for and the status that it gets.
    pub fn count_request(&self, method: Method, status: u16) {
        let method = match method {
            Method::Get => 0,
            Method::Head => 1,
            Method::Options => 2,
            Method::Other | Method::Unknown => 3,
        };
        let class = (usize::from(status) / 100).clamp(2, 5) - 2;
        self.0[REQUESTS + method * CLASSES.len() + class].fetch_add(1, Relaxed);
    }

    /// Counts answers that took so long each.
    pub fn count_answers(&self, count: u64, each_ns: u64) {
        let class = BOUNDS_NS.iter().position(|&bound| each_ns <= bound).unwrap_or(BOUNDS_NS.len());
        self.0[DURATIONS + class].fetch_add(count, Relaxed);
        self.0[DURATION_SUM].fetch_add(count * each_ns, Relaxed);
    }

    /// Counts as dropped what a worker that has ended has not accounted for.
    pub fn settle_log(&self) {
        use Counter::{LogDropped, LogDue, LogSummed, LogWritten};
        let accounted = [LogWritten, LogSummed, LogDropped].map(|counter| self.get(counter));
        let accounted = accounted.into_iter().fold(0, u64::saturating_add);
        self.add(LogDropped, self.get(LogDue).saturating_sub(accounted));
    }

    /// Forgets the levels of a worker that ended; what it counted stays.
    pub fn clear_levels(&self) {
        use Counter::{
            Beat, Connections, Deaf, InFlight, LogUntold, Parked, RootMissing, RootOutside, Saturated, Threads,
        };
        for level in
            [InFlight, Connections, Parked, Threads, Beat, Saturated, LogUntold, Deaf, RootMissing, RootOutside]
        {
            self.set(level, 0);
        }
    }
}

/// The counters of all workers, and what was counted by the workers of images before (see [`handover`](crate::handover)).
/// Their memory holds: the layout's number and what the workers share, the history, and each worker's counters, a slab for
/// each.
#[derive(Debug, Clone)]
pub struct Scoreboard {
    memory: Arc<OwnedFd>,
    shared: &'static [AtomicU64],
    history: Slab,
    slabs: Vec<Slab>,
    /// Boards whose workers are not all gone.
    past: Vec<Past>,
}

/// A scoreboard of an image before.
#[derive(Debug, Clone)]
pub struct Past {
    memory: Arc<OwnedFd>,
    slabs: Vec<Slab>,
}

/// Changes with the meaning of the counters: a board of another layout is not read.
const LAYOUT: u64 = 4;

/// As many workers as there may be, by their option.
pub const MOST_WORKERS: usize = 1024;

/// Slabs before the workers': the layout's and the history.
const FRONT: usize = 2;

impl Scoreboard {
    /// A scoreboard for `workers` workers, all zero.
    pub fn new(workers: usize) -> io::Result<Self> {
        let (memory, counters) = sys::counters_to_keep((FRONT + workers) * SLAB)?;
        counters[0].store(LAYOUT, Relaxed);
        let mut slabs: Vec<_> = counters.chunks_exact(SLAB).map(Slab).collect();
        let slabs = slabs.split_off(FRONT);
        let history = Slab(&counters[SLAB..2 * SLAB]);
        let shared = &counters[..SLAB];
        Ok(Scoreboard { memory: Arc::new(memory), shared, history, slabs, past: Vec::new() })
    }

    /// Takes over what was counted on boards of images before; `has_workers` says whether one, counted from 0, still has.
    /// Boards that cannot be read are left out: then counting begins anew.
    pub fn take_over(&mut self, boards: Vec<OwnedFd>, has_workers: impl Fn(usize) -> bool) {
        for (index, memory) in boards.into_iter().enumerate() {
            let most = (FRONT + MOST_WORKERS) * SLAB;
            let counters = sys::map_counters(&memory, most).unwrap_or_default();
            let is_known =
                counters.len() >= FRONT * SLAB && counters.first().is_some_and(|layout| layout.load(Relaxed) == LAYOUT);
            let slabs = if is_known { counters[SLAB..].chunks_exact(SLAB).map(Slab).collect() } else { Vec::new() };
            if has_workers(index) {
                self.past.push(Past { memory: Arc::new(memory), slabs });
            } else {
                slabs.iter().for_each(|slab| self.history.take_in(slab));
            }
        }
    }

    /// The memory of this board, and of those before it that still have workers.
    pub fn memories(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(&self.memory).chain(self.past.iter().map(|past| &past.memory)).map(|memory| memory.as_fd())
    }

    /// The counters of worker number `worker`, from 0.
    pub fn slab(&self, worker: usize) -> Slab {
        self.slabs[worker]
    }

    /// The counters of a worker of a past board.
    pub fn past_slab(&self, past: usize, worker: usize) -> Option<Slab> {
        // Its first slab is its history.
        self.past.get(past)?.slabs.get(worker + 1).copied()
    }

    /// How much of what there may be each second is used, of two kinds: for all workers together.
    pub fn budgets(&self) -> [&'static AtomicU64; 2] {
        [&self.shared[1], &self.shared[2]]
    }

    /// How many workers it is for.
    pub fn workers(&self) -> usize {
        self.slabs.len()
    }

    /// The sum over all workers.
    pub fn total(&self, counter: Counter) -> u64 {
        self.sum(counter as usize)
    }

    /// How many records were dropped of which no living worker will tell.
    pub fn untold(&self) -> u64 {
        // In this order: a worker counts what it drops here first, and what it has told here last.
        let dropped = self.total(Counter::LogDropped);
        let untold = self.total(Counter::LogUntold);
        dropped.saturating_sub(untold.saturating_add(self.total(Counter::LogTold)))
    }

    /// How many requests all workers have answered.
    pub fn requests(&self) -> u64 {
        (REQUESTS..DURATIONS).map(|index| self.sum(index)).fold(0, u64::wrapping_add)
    }

    /// How many there were of one of [`METHODS`] and one of [`CLASSES`], both by their index.
    pub fn requests_of(&self, method: usize, class: usize) -> u64 {
        self.sum(REQUESTS + method * CLASSES.len() + class)
    }

    /// How long the answers of all workers took.
    pub fn durations(&self) -> Durations {
        let counts = std::array::from_fn(|index| self.sum(DURATIONS + index));
        Durations { counts, sum_ns: self.sum(DURATION_SUM) }
    }

    fn sum(&self, index: usize) -> u64 {
        let past = self.past.iter().flat_map(|past| &past.slabs);
        let all = self.slabs.iter().chain([&self.history]).chain(past);
        all.map(|slab| slab.0[index].load(Relaxed)).fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_levels_are_forgotten() {
        let board = Scoreboard::new(2).unwrap();
        board.slab(0).add(Counter::Accepted, 2);
        board.slab(1).add(Counter::Accepted, 3);
        board.slab(1).add(Counter::InFlight, 1);
        assert_eq!(board.total(Counter::Accepted), 5);
        board.slab(1).clear_levels();
        assert_eq!(board.total(Counter::InFlight), 0);
        assert_eq!(board.total(Counter::Accepted), 5);
    }

    #[test]
    fn requests_are_counted_by_method_and_class() {
        let board = Scoreboard::new(2).unwrap();
        for (method, status) in [(Method::Get, 200), (Method::Get, 206), (Method::Unknown, 501), (Method::Head, 304)] {
            board.slab(0).count_request(method, status);
            board.slab(1).count_request(method, status);
        }
        assert_eq!((board.requests(), board.requests_of(0, 0)), (8, 4));
        assert_eq!((board.requests_of(1, 1), board.requests_of(3, 3), board.requests_of(0, 1)), (2, 2, 0));
    }

    #[test]
    fn a_bound_belongs_to_the_durations_below_it() {
        let board = Scoreboard::new(1).unwrap();
        for (count, each_ns) in [(1, 0), (2, 100_000), (3, 100_001), (4, u64::MAX >> 8)] {
            board.slab(0).count_answers(count, each_ns);
        }
        let durations = board.durations();
        assert_eq!((durations.counts[0], durations.counts[1], durations.counts[16]), (3, 3, 4));
        assert_eq!(durations.counts.iter().sum::<u64>(), 10);
    }

    #[test]
    fn what_was_counted_before_is_taken_over() {
        let memories = |board: &Scoreboard| board.memories().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
        let first = Scoreboard::new(2).unwrap();
        first.slab(1).add(Counter::Accepted, 2);
        first.slab(1).add(Counter::InFlight, 1);
        // Its workers go on,
        let mut second = Scoreboard::new(1).unwrap();
        second.take_over(memories(&first), |_| true);
        second.slab(0).add(Counter::Accepted, 10);
        first.slab(0).add(Counter::Accepted, 1);
        assert_eq!((second.total(Counter::Accepted), second.total(Counter::InFlight)), (13, 1));
        second.past_slab(0, 1).unwrap().clear_levels();
        assert_eq!(second.total(Counter::InFlight), 0);
        assert!(second.past_slab(0, 2).is_none() && second.past_slab(1, 0).is_none());
        // and then are gone, as are those of the second.
        let mut third = Scoreboard::new(1).unwrap();
        second.slab(0).add(Counter::InFlight, 1);
        third.take_over(memories(&second), |_| false);
        assert_eq!((third.total(Counter::Accepted), third.total(Counter::InFlight)), (13, 0));
        assert_eq!(third.memories().count(), 1);
    }
}
