//! The scoreboard: the counters of each worker, in memory that the supervisor reads and that outlives the worker.

mod counter;
mod reports;
mod sites;
mod worker;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::unistd::Pid;

use crate::ipc::worker_memory::Memories;
use crate::os::sys::ReadableCounters;

pub use counter::{Counter, HANDSHAKE_FAILURES, PROXY_REJECTIONS};
pub use reports::Reporter;
pub use sites::{BYTES, MAX_SITES, SiteCounts, SiteSlot, SiteTotals};
pub use worker::{BOUNDS_NS, CLASSES, Durations, METHODS, WorkerCounters};

use worker::{COUNTERS_PER_WORKER, DURATION_SUM, DURATIONS, REPORTS, REQUESTS, SITES, unaccounted};

/// The counters of all workers, and those of old workers that the last [`handover`](crate::ipc::handover) passed on.
/// Each worker has memory of its own, and so have the supervisor and the helper.
#[derive(Debug, Default)]
pub struct Scoreboard {
    /// The memory of each worker, then those of the supervisor and the helper.
    memories: Memories,
    workers: usize,
    /// Old workers, started before the last reload, that have not ended.
    old_workers: Vec<OldWorkerCounters>,
}

/// The counters of an old worker.
#[derive(Debug)]
struct OldWorkerCounters {
    worker: Pid,
    memory: OwnedFd,
    counters: ReadableCounters,
}

/// The version of the layout. Memory with another layout is not read. Increase it when the meaning of a counter
/// changes.
const LAYOUT: u64 = 12;

/// The maximum of the option --workers.
pub const MAX_WORKERS: usize = 1024;

/// The memories besides those of the workers: the supervisor's and the helper's.
const EXTRA_MEMORIES: usize = 2;

/// How far a time of another process may be ahead, in milliseconds: it has read the clock later.
const AHEAD_MS: u64 = 1_000;

/// The words before the counters: the layout, and the use of each budget by the worker.
const HEADER_WORDS: usize = 8;
const BUDGET_OFFSET: usize = 1;

impl Scoreboard {
    /// Creates a scoreboard for `workers` workers. All counters are zero.
    pub fn new(workers: usize) -> io::Result<Self> {
        let memories = Memories::new(workers + EXTRA_MEMORIES, HEADER_WORDS + COUNTERS_PER_WORKER)?;
        (0..workers + EXTRA_MEMORIES).for_each(|number| memories.writable(number)[0].store(LAYOUT, Relaxed));
        Ok(Scoreboard { memories, workers, old_workers: Vec::new() })
    }

    /// Adds the counters of an old worker, if `memory` can be read.
    pub fn add_old_worker(&mut self, worker: Pid, memory: OwnedFd) {
        if let Some(counters) = read_memory(&memory) {
            self.old_workers.push(OldWorkerCounters { worker, memory, counters });
        }
    }

    /// Adds the counts in `memory`, to which no process writes any more. If it cannot be read, counting starts at zero.
    pub fn take_over(&self, memory: &OwnedFd) {
        if let Some(counters) = read_memory(memory) {
            self.supervisor().absorb(&counters);
        }
    }

    /// Adds the counts of an old worker that has ended to those of the supervisor.
    pub fn remove_old_worker(&mut self, worker: Pid) {
        if let Some(index) = self.old_worker_index(worker) {
            let counters = self.old_workers.swap_remove(index).counters;
            self.supervisor().absorb(&counters);
            let dropped = unaccounted(|counter| counters.get(HEADER_WORDS + counter as usize));
            self.supervisor().add(Counter::LogDropped, dropped);
        }
    }

    /// Removes everything that the helper does not need from this process, which was forked for it.
    pub fn keep_only_helper(&mut self) {
        self.keep_only(self.workers + 1);
    }

    /// Removes everything that worker number `worker` does not need from this process, which was forked for it.
    pub fn keep_only(&mut self, worker: usize) {
        self.old_workers.clear();
        self.memories.keep_only(worker);
    }

    /// Returns the memories: those of the workers by number, those of the supervisor and the helper, those of old workers.
    pub fn memories(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.memories
            .descriptors()
            .iter()
            .chain(self.old_workers.iter().map(|old_worker| &old_worker.memory))
            .map(|memory| memory.as_fd())
    }

    /// Returns the index of the memory of an old worker.
    pub fn memory_index(&self, worker: Pid) -> Option<usize> {
        self.old_worker_index(worker).map(|index| self.workers + EXTRA_MEMORIES + index)
    }

    fn old_worker_index(&self, worker: Pid) -> Option<usize> {
        self.old_workers.iter().position(|old_worker| old_worker.worker == worker)
    }

    /// Returns the counters of worker number `worker`, from 0. Only that worker and the supervisor may call this.
    pub fn counters(&self, worker: usize) -> WorkerCounters<'_> {
        WorkerCounters(&self.memories.writable(worker)[HEADER_WORDS..])
    }

    /// Returns the counters of the supervisor.
    pub fn supervisor(&self) -> WorkerCounters<'_> {
        self.counters(self.workers)
    }

    /// Returns the counters of the helper.
    pub fn helper(&self) -> WorkerCounters<'_> {
        self.counters(self.workers + 1)
    }

    /// Returns the use of a budget by worker number `worker`.
    pub fn budget(&self, worker: usize, kind: usize) -> &AtomicU64 {
        &self.memories.writable(worker)[BUDGET_OFFSET + kind]
    }

    /// Returns the use of a budget by each worker, as the worker reports it.
    pub fn budgets(&self, kind: usize) -> impl Iterator<Item = u64> {
        self.memories.read(BUDGET_OFFSET + kind)
    }

    /// Returns whether the server stops, according to the supervisor.
    pub fn is_stopping(&self) -> bool {
        let supervisor = self.memories.readable().get(self.workers);
        supervisor.is_some_and(|counters| counters.get(HEADER_WORDS + Counter::Stopping as usize) > 0)
    }

    /// Returns the number of workers.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Returns the sum of a counter over all workers.
    pub fn total(&self, counter: Counter) -> u64 {
        self.sum(counter as usize)
    }

    /// Returns the number of dropped records that no running worker will report.
    pub fn unreported(&self) -> u64 {
        // The order matters: a worker increases LogDropped first, and LogReported last.
        let dropped = self.total(Counter::LogDropped);
        let unreported = self.total(Counter::LogUnreported);
        dropped.saturating_sub(unreported.saturating_add(self.total(Counter::LogReported)))
    }

    /// Returns the number of requests of all workers.
    pub fn requests(&self) -> u64 {
        (REQUESTS..DURATIONS).map(|index| self.sum(index)).fold(0, u64::wrapping_add)
    }

    /// Returns the number of requests of one of [`METHODS`] and one of [`CLASSES`], both by index.
    pub fn requests_of(&self, method: usize, class: usize) -> u64 {
        self.sum(REQUESTS + method * CLASSES.len() + class)
    }

    /// Returns the largest value of a gauge among the workers that started with this image.
    pub fn largest(&self, counter: Counter) -> u64 {
        self.memories.read(HEADER_WORDS + counter as usize).max().unwrap_or(0)
    }

    /// Returns the newest value of a time, at most `now_ms`. One in the future does not count: a compromised worker may write any.
    pub fn newest(&self, counter: Counter, now_ms: u64) -> u64 {
        let index = HEADER_WORDS + counter as usize;
        let old_workers = self.old_workers.iter().map(|old_worker| old_worker.counters.get(index));
        let times = self.memories.read(index).chain(old_workers);
        times.filter(|time| *time <= now_ms + AHEAD_MS).max().unwrap_or(0).min(now_ms)
    }

    /// Returns what is counted of many sites.
    pub fn site_totals(&self) -> SiteTotals {
        let mut sum = SiteTotals::default();
        let old_workers = self.old_workers.iter().map(|old_worker| &old_worker.counters);
        for memory in self.memories.readable().iter().chain(old_workers) {
            sites::read(|index| memory.get(HEADER_WORDS + SITES + index), &mut sum);
        }
        sum
    }

    /// Returns the durations of all responses.
    pub fn durations(&self) -> Durations {
        let counts = std::array::from_fn(|index| self.sum(DURATIONS + index));
        Durations { counts, sum_ns: self.sum(DURATION_SUM) }
    }

    fn sum(&self, index: usize) -> u64 {
        let old_workers = self.old_workers.iter().map(|old_worker| old_worker.counters.get(HEADER_WORDS + index));
        self.memories.read(HEADER_WORDS + index).chain(old_workers).fold(0, u64::wrapping_add)
    }
}

/// Maps the memory of a previous image as counters, if it has this layout.
fn read_memory(memory: &OwnedFd) -> Option<ReadableCounters> {
    ReadableCounters::map(memory, HEADER_WORDS + COUNTERS_PER_WORKER).ok().filter(|counters| counters.get(0) == LAYOUT)
}

#[cfg(test)]
mod tests;
