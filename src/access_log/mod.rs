//! The access log: every request is accounted for, and none waits for that.
//!
//! A request thread fills a [`Record`], of a fixed size, and leaves it in a bounded ring: no lock, no system call. One thread
//! of each worker, the [`writer`], writes what is in the ring as events. Beyond so many records a second a request is
//! [summed](sums) instead. What finds the ring full is dropped and counted. So, of all that is to be logged:
//! written + summed + dropped = served.

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
pub use record::{Record, Subject};
pub use writer::Writer;

/// How many records wait for the writer at most.
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
    /// Records that nobody uses: as many as ever waited at once.
    free: ArrayQueue<Box<Record>>,
    sums: Sums,
    drops: Drops,
    connections: AtomicU64,
    counters: WorkerCounters<'static>,
    writer: OnceLock<Thread>,
    is_asleep: AtomicBool,
    is_ending: AtomicBool,
}

/// Records that were dropped, and whose number is not yet told.
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
    /// That of worker number `worker`, if there is to be one.
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

    /// What stands behind a `?` is to be told.
    pub fn with_query(&self) -> bool {
        self.with_query
    }

    /// A client, as far as it is to be told who it is; and the number of its connection.
    pub fn connection_id(&self, client: Option<SocketAddr>) -> (Option<SocketAddr>, u64) {
        let client = client.and_then(|client| anonymize(client, self.address));
        (client, self.connections.fetch_add(1, Relaxed) + 1)
    }

    /// A record for an answer with this status, which begins at `now_ns` of the monotonic clock. It is due from now on.
    pub fn begin(&self, status: u16, now_ns: u64) -> Box<Record> {
        if !self.errors_only {
            self.counters.add(Counter::LogDue, 1);
        }
        // A request that is likely to be summed needs no more than its name.
        let is_full = !self.budget(self.errors_only || status >= 400).is_spent(second(now_ns));
        let mut record = self.free.pop().unwrap_or_default();
        record.clear();
        (record.status, record.is_full) = (status, is_full);
        record
    }

    /// Takes a record that is complete at `now_ns` of the monotonic clock.
    pub fn end(&self, record: Box<Record>, now_ns: u64) {
        let is_error = record.is_error();
        if self.errors_only {
            if !is_error {
                return self.recycle(record);
            }
            self.counters.add(Counter::LogDue, 1);
        }
        // That an answer was cut is worth a record, even one that has no more than its name.
        let may_be_recorded = record.is_full || record.is_aborted;
        if !may_be_recorded || !self.budget(is_error).take(second(now_ns)) {
            let (is_first, rest) = self.sums.add(record);
            rest.into_iter().for_each(|record| self.recycle(record));
            if is_first {
                self.wake();
            }
        } else if let Err(record) = self.ring.push(record) {
            // In this order: the writer tells what it finds last, and the supervisor what is not found first.
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

    /// Keeps a record for another request.
    fn recycle(&self, record: Box<Record>) {
        // There are more than ever wait only after a crowd of slow clients.
        drop(self.free.push(record));
    }

    /// Wakes the writer if it sleeps. It sleeps only when there is nothing to do, and writes many records at a time.
    fn wake(&self) {
        // Pairs with that of the writer: either it sees what was left, or this sees that it sleeps.
        fence(SeqCst);
        if self.is_asleep.load(Relaxed)
            && self.is_asleep.swap(false, Relaxed)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }
}

/// The second that budgets count by.
fn second(now_ns: u64) -> u64 {
    now_ns / 1_000_000_000
}

/// Says that records were dropped, and when.
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

/// A client's address as far as it is to be told.
pub fn anonymize(client: SocketAddr, address: LogAddress) -> Option<SocketAddr> {
    let ip = client.ip().to_canonical();
    match address {
        LogAddress::Full => Some(SocketAddr::new(ip, client.port())),
        LogAddress::Net => Some(SocketAddr::new(network(ip), 0)),
        LogAddress::None => None,
    }
}

/// The first address of the network that an address is in: a /24 of IPv4, a /48 of IPv6.
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
    fn an_address_is_told_as_far_as_it_may_be() {
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
