//! The scoreboard: the counters of each worker, in memory that the supervisor reads and that outlives the worker.

mod sites;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::unistd::Pid;

use crate::http::request::Method;
use crate::ipc::worker_memory::Memories;
use crate::os::sys::ReadableCounters;

pub use sites::{ByClass, MAX_SITES, SiteRequests, SiteSlot};

/// A counter or gauge of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Connections that were accepted.
    Accepted,
    /// Connections that were rejected with 503 because their client has reached --max-per-client.
    RejectedPerClient,
    /// Connections that ended without a request.
    Unused,
    /// Requests, and connections without one, that the access log has to account for.
    LogDue,
    /// Requests and connections with a record of their own.
    LogWritten,
    /// Requests and connections that were summarized.
    LogSummed,
    /// Requests and connections whose record was dropped: the journal was too slow.
    LogDropped,
    /// Dropped records that were reported in the log.
    LogReported,
    /// Dropped records that the worker has not reported yet.
    LogUnreported,
    /// Bytes of responses that the kernel has accepted.
    BytesSent,
    /// Requests whose response the kernel has not completely accepted.
    InFlight,
    /// Open connections.
    Connections,
    /// Parked connections.
    Parked,
    /// Request threads.
    Threads,
    /// The time of the last heartbeat, in milliseconds of CLOCK_MONOTONIC.
    Heartbeat,
    /// 1 while all request threads are busy.
    Saturated,
    /// 1 while the document root does not exist.
    RootMissing,
    /// 1 while the path of the document root leads to a directory that the worker may not read.
    RootOutside,
    /// Workers that were ended by a signal; counted by the supervisor.
    Killed,
    /// Workers that exited unexpectedly; counted by the supervisor.
    Exited,
    /// Workers that were killed because they were hung; counted by the supervisor.
    Hung,
    /// Connections that were evicted for new ones.
    Evicted,
    /// Listening sockets that have failed.
    FailedListeners,
    /// Messages of the server that could not be logged.
    MessagesDropped,
    /// Notifications that systemd did not receive; counted by the supervisor.
    NotificationsDropped,
    /// Files that were read for the digest of their content.
    HashedFiles,
    /// Bytes that were read for digests.
    HashedBytes,
    /// Requests for which a precompressed variant was not used because it is not the file.
    RejectedVariants,
    /// Files that were compressed for the memory of the server.
    CompressedFiles,
    /// Bytes of these files.
    CompressedBytes,
    /// Requests that were answered with such a result.
    CompressedHits,
    /// Full TLS handshakes, of version 1.2.
    Tls12Full,
    /// TLS handshakes that resumed a session, of version 1.2.
    Tls12Resumed,
    /// Full TLS handshakes, of version 1.3.
    Tls13Full,
    /// TLS handshakes that resumed a session, of version 1.3.
    Tls13Resumed,
    /// TLS handshakes that ended with an alert of the client.
    TlsFailedAlert,
    /// TLS handshakes during which the client disconnected.
    TlsFailedClosed,
    /// TLS handshakes without common parameters.
    TlsFailedParameters,
    /// TLS handshakes that violated the protocol, or had too long a hello.
    TlsFailedMalformed,
    /// TLS handshakes for a name that no certificate has.
    TlsFailedName,
    /// Connections without TLS to a socket for TLS.
    TlsFailedNotTls,
    /// TLS handshakes without a common application protocol.
    TlsFailedAlpn,
    /// TLS handshakes for which the server had no signature, or failed otherwise.
    TlsFailedServer,
    /// TLS handshakes that did not end before their timeout.
    TlsFailedTimeout,
    /// Signatures by the key process.
    Signatures,
    /// Signatures that the key process did not make.
    SignaturesFailed,
    /// The time that threads waited for signatures, in nanoseconds.
    SignatureWaitNs,
    /// Requests of workers that the key process has refused; counted by the supervisor.
    KeyRequestsRefused,
}

/// The reasons for which TLS handshakes fail, as they are in metrics.
pub const HANDSHAKE_FAILURES: [(&str, Counter); 9] = [
    ("alert", Counter::TlsFailedAlert),
    ("alpn", Counter::TlsFailedAlpn),
    ("closed", Counter::TlsFailedClosed),
    ("malformed", Counter::TlsFailedMalformed),
    ("name", Counter::TlsFailedName),
    ("not_tls", Counter::TlsFailedNotTls),
    ("parameters", Counter::TlsFailedParameters),
    ("server", Counter::TlsFailedServer),
    ("timeout", Counter::TlsFailedTimeout),
];

/// The methods by which requests are counted. A malformed request counts as other.
pub const METHODS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "other"];

/// The classes of status codes, by their first digit.
pub const CLASSES: [u8; 4] = [2, 3, 4, 5];

/// The upper bounds of the buckets of the duration histogram, in nanoseconds: 1, 2.5 and 5 of each power of ten from
/// 100 microseconds to 10 seconds. A last bucket holds longer durations.
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

/// The durations of responses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Durations {
    /// The number of durations in each bucket, up to its bound in [`BOUNDS_NS`] and above the bound before. The last
    /// bucket has no bound.
    pub counts: [u64; BOUNDS_NS.len() + 1],
    /// Their sum, in nanoseconds.
    pub sum_ns: u64,
}

/// The counters of one worker.
#[derive(Debug, Clone, Copy)]
pub struct WorkerCounters<'m>(&'m [AtomicU64]);

/// The layout: each [`Counter`], then requests by method and class, the buckets of durations and their sum, and the requests of
/// many sites.
const REQUESTS: usize = 64;
const DURATIONS: usize = REQUESTS + METHODS.len() * CLASSES.len();
const DURATION_SUM: usize = DURATIONS + BOUNDS_NS.len() + 1;

const SITES: usize = DURATION_SUM + 1;

const COUNTERS_PER_WORKER: usize = SITES + sites::WORDS;

/// The gauges: their values end with the worker.
const GAUGES: [Counter; 10] = [
    Counter::InFlight,
    Counter::Connections,
    Counter::Parked,
    Counter::Threads,
    Counter::Heartbeat,
    Counter::Saturated,
    Counter::LogUnreported,
    Counter::FailedListeners,
    Counter::RootMissing,
    Counter::RootOutside,
];

impl WorkerCounters<'_> {
    /// Returns counters that no process reads.
    pub fn discard() -> WorkerCounters<'static> {
        static UNSEEN: [AtomicU64; COUNTERS_PER_WORKER] = [const { AtomicU64::new(0) }; COUNTERS_PER_WORKER];
        WorkerCounters(&UNSEEN)
    }

    /// Increases a counter.
    pub fn add(&self, counter: Counter, by: u64) {
        self.0[counter as usize].fetch_add(by, Relaxed);
    }

    /// Decreases a gauge.
    pub fn subtract(&self, counter: Counter, by: u64) {
        self.0[counter as usize].fetch_sub(by, Relaxed);
    }

    /// Sets a gauge.
    pub fn set(&self, counter: Counter, value: u64) {
        self.0[counter as usize].store(value, Relaxed);
    }

    /// Returns a counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Relaxed)
    }

    /// Adds the counts, but not the gauges, of a worker that has ended.
    fn absorb(&self, other: &ReadableCounters) {
        let is_gauge = |index: usize| GAUGES.iter().any(|gauge| *gauge as usize == index);
        for (index, own) in self.0[..SITES].iter().enumerate().filter(|(index, _)| !is_gauge(*index)) {
            own.fetch_add(other.get(HEADER_WORDS + index), Relaxed);
        }
        sites::absorb(&self.0[SITES..], |index| other.get(HEADER_WORDS + SITES + index));
    }

    /// Returns where the requests of one of many sites are counted.
    pub fn site_slot(&self, name: &str) -> SiteSlot {
        sites::slot(&self.0[SITES..], name)
    }

    /// Counts a request of one of many sites by status code.
    pub fn count_site_request(&self, slot: SiteSlot, status: u16) {
        sites::add(&self.0[SITES..], slot, class(status), 1);
    }

    /// Counts a request by method and status code.
    pub fn count_request(&self, method: Method, status: u16) {
        let method = match method {
            Method::Get => 0,
            Method::Head => 1,
            Method::Options => 2,
            Method::Other | Method::Unknown => 3,
        };
        self.0[REQUESTS + method * CLASSES.len() + class(status)].fetch_add(1, Relaxed);
    }

    /// Counts responses that took `each_ns` each.
    pub fn count_responses(&self, count: u64, each_ns: u64) {
        let class = BOUNDS_NS.iter().position(|&bound| each_ns <= bound).unwrap_or(BOUNDS_NS.len());
        self.0[DURATIONS + class].fetch_add(count, Relaxed);
        self.0[DURATION_SUM].fetch_add(count * each_ns, Relaxed);
    }

    /// Counts the records that a worker which has ended did not account for as dropped.
    pub fn count_lost_records(&self) {
        self.add(Counter::LogDropped, unaccounted(|counter| self.get(counter)));
    }

    /// Clears the gauges of a worker that has ended; its counts stay.
    pub fn clear_gauges(&self) {
        GAUGES.iter().for_each(|gauge| self.set(*gauge, 0));
    }
}

/// Returns the index of the class of a status code in [`CLASSES`].
fn class(status: u16) -> usize {
    (usize::from(status) / 100).clamp(2, 5) - 2
}

/// Returns the number of records that are due but not accounted for, according to the counters that `get` reads.
fn unaccounted(get: impl Fn(Counter) -> u64) -> u64 {
    let accounted = [Counter::LogWritten, Counter::LogSummed, Counter::LogDropped].map(&get);
    let accounted = accounted.into_iter().fold(0, u64::saturating_add);
    get(Counter::LogDue).saturating_sub(accounted)
}

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
const LAYOUT: u64 = 8;

/// The maximum of the option --workers.
pub const MAX_WORKERS: usize = 1024;

/// The memories besides those of the workers: the supervisor's and the helper's.
const EXTRA_MEMORIES: usize = 2;

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

    /// Returns the requests of many sites.
    pub fn site_requests(&self) -> SiteRequests {
        let mut sum = SiteRequests::default();
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
