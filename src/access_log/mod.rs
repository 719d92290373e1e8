//! The access log: it accounts for every request, and no request waits for it.
//!
//! A request thread fills a [`Record`] of a fixed size and puts it into a bounded ring, without a lock or a system
//! call. One thread of each worker, the [`writer`], writes the records in the ring as events. Requests beyond the limit
//! of records per second are [summed](sums) instead. If the ring is full, a record is dropped and counted. So for all
//! requests that are to be logged: written + summed + dropped = served.

mod budget;
mod lost;
mod record;
mod sums;
mod text;
mod writer;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::thread::Thread;

use crossbeam_queue::ArrayQueue;

use crate::config::{AccessLogMode, LogAddress, Options};
use crate::ipc::scoreboard::{Counter, Scoreboard, WorkerCounters};
use crate::log::Destination;
use crate::{log::catalog, os::clock};

use budget::Budget;
use sums::Sums;

pub use lost::OrphanedDrops;
pub use record::{Record, RecordKind, Text};
pub use writer::Writer;

/// The limit of records that wait for the writer.
const RING_CAPACITY: usize = 4096;

/// A worker's access log.
#[derive(Debug)]
pub struct AccessLog {
    worker: usize,
    destination: Destination,
    errors_only: bool,
    with_query: bool,
    address: LogAddress,
    successes: Budget,
    errors: Budget,
    ring: ArrayQueue<Box<Record>>,
    /// Unused records, for later requests. Their number is the largest number that was in use at one time.
    free: ArrayQueue<Box<Record>>,
    sums: Sums,
    drops: Drops,
    connections: AtomicU64,
    counters: WorkerCounters<'static>,
    writer: OnceLock<Thread>,
    is_asleep: AtomicBool,
    is_ending: AtomicBool,
}

/// Dropped records that are not reported yet.
#[derive(Debug, Default)]
struct Drops {
    count: AtomicU64,
    since_us: AtomicU64,
    until_us: AtomicU64,
}

impl Drops {
    fn add(&self) {
        let now_us = clock::unix_us();
        self.until_us.store(now_us, Relaxed);
        if self.since_us.load(Relaxed) == 0 {
            self.since_us.store(now_us, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
    }
}

impl AccessLog {
    /// Creates the access log of worker number `worker`; None if it is switched off.
    pub fn of(options: &Options, worker: usize, board: &'static Scoreboard) -> Option<Self> {
        let destination = options.access_destination()?;
        Some(AccessLog {
            worker,
            destination,
            errors_only: options.access_log == AccessLogMode::Errors,
            with_query: options.log_query,
            address: options.log_address,
            successes: Budget::new(board, worker, 0, options.log_rate),
            errors: Budget::new(board, worker, 1, options.log_rate),
            ring: ArrayQueue::new(RING_CAPACITY),
            free: ArrayQueue::new(RING_CAPACITY),
            sums: Sums::new(),
            drops: Drops::default(),
            connections: AtomicU64::new(0),
            counters: board.counters(worker),
            writer: OnceLock::new(),
            is_asleep: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
        })
    }

    /// Takes the first record, in place of the writer. For tests.
    pub fn take(&self) -> Option<Box<Record>> {
        self.ring.pop()
    }

    /// Returns whether queries are logged.
    pub fn with_query(&self) -> bool {
        self.with_query
    }

    /// Returns the number of a new connection.
    pub fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Relaxed) + 1
    }

    /// Begins the record of a response to `client` with this status, at `now_ns` of the monotonic clock. From now on it is
    /// counted as due.
    pub fn begin(&self, client: Option<SocketAddr>, status: u16, now_ns: u64) -> Box<Record> {
        if !self.errors_only {
            self.counters.add(Counter::LogDue, 1);
        }
        // A request that is likely to be summed needs only its method and target.
        let is_full = !self.budget(self.errors_only || status >= 400).is_spent(second(now_ns));
        let mut record = self.free.pop().unwrap_or_default();
        record.clear();
        record.client = client.and_then(|client| anonymize(client, self.address));
        (record.status, record.is_full) = (status, is_full);
        record
    }

    /// Logs a record that is complete at `now_ns` of the monotonic clock.
    pub fn end(&self, record: Box<Record>, now_ns: u64) {
        let is_error = record.is_error();
        if self.errors_only {
            if !is_error {
                return self.recycle(record);
            }
            self.counters.add(Counter::LogDue, 1);
        }
        // An aborted response is recorded even if the record has only method and target.
        let is_recordable = record.is_full || record.is_aborted;
        if !is_recordable || !self.budget(is_error).take(second(now_ns)) {
            let (is_first, rest) = self.sums.add(record);
            rest.into_iter().for_each(|record| self.recycle(record));
            if is_first {
                self.wake();
            }
        } else if let Err(record) = self.ring.push(record) {
            // In this order: if the worker ends before `drops` counts the record, the supervisor reports it.
            self.counters.add(Counter::LogUnreported, 1);
            self.counters.add(Counter::LogDropped, 1);
            self.drops.add();
            self.recycle(record);
        } else {
            self.wake();
        }
    }

    fn budget(&self, is_error: bool) -> &Budget {
        if is_error { &self.errors } else { &self.successes }
    }

    /// Stores a record for a later request.
    fn recycle(&self, record: Box<Record>) {
        // The queue is full only after many slow clients at one time.
        drop(self.free.push(record));
    }

    /// Wakes the writer if it sleeps. It sleeps only if there is nothing to write, and writes many records at a time.
    fn wake(&self) {
        // Pairs with the writer's fence: either the writer sees the record, or this thread sees that the writer sleeps.
        fence(SeqCst);
        if self.is_asleep.load(Relaxed)
            && self.is_asleep.swap(false, Relaxed)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }
}

/// Returns the second that budgets count in.
fn second(now_ns: u64) -> u64 {
    now_ns / 1_000_000_000
}

/// Logs that records were dropped, and when.
fn report_dropped(worker: Option<usize>, dropped: u64, since_us: u64, until_us: u64) {
    let seconds = until_us.saturating_sub(since_us) as f64 / 1e6;
    let why = if worker.is_some() { "they were not taken in time" } else { "their worker has ended" };
    tracing::warn!(
        target: "access_dropped",
        message_id = catalog::RECORDS_DROPPED,
        worker,
        dropped,
        since_us,
        until_us,
        "Dropped {dropped} records of the access log within {seconds:.1} s: {why}."
    );
}

/// Returns a client's address as it is logged.
pub fn anonymize(client: SocketAddr, address: LogAddress) -> Option<SocketAddr> {
    let ip = client.ip().to_canonical();
    match address {
        LogAddress::Full => Some(SocketAddr::new(ip, client.port())),
        LogAddress::Net => Some(SocketAddr::new(network(ip), 0)),
        LogAddress::None => None,
    }
}

/// Returns the first address of the network of an address: a /24 of IPv4, a /48 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() >> 8 << 8).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_logged_as_configured() {
        for (address, full, net) in [
            ("192.0.2.7:80", "192.0.2.7:80", "192.0.2.0:0"),
            ("[::ffff:192.0.2.7]:80", "192.0.2.7:80", "192.0.2.0:0"),
            ("[2001:db8:1:2:3:4:5:6]:80", "[2001:db8:1:2:3:4:5:6]:80", "[2001:db8:1::]:0"),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            let shortened = |how| anonymize(address, how).map(|client| client.to_string());
            assert_eq!(shortened(LogAddress::Full).as_deref(), Some(full));
            assert_eq!(shortened(LogAddress::Net).as_deref(), Some(net));
            assert_eq!(shortened(LogAddress::None), None);
        }
    }
}
