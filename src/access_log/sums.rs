//! Sums of requests that are not recorded individually. They are counted without a lock.

use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crossbeam_queue::ArrayQueue;

use super::record::{Record, RecordKind};
use crate::http::Status;
use crate::http::request::Method;

/// The kinds of records, as they are logged.
const KINDS: [&str; 6] = ["GET", "HEAD", "OPTIONS", "other", "-", "-/-"];

/// Counts by kind and status; the last status stands for none.
type Counts<T> = [[T; Status::ALL.len() + 1]; KINDS.len()];

/// The number of candidates for the slowest request. Each is slower than the one before, so the last few are
/// sufficient.
const CANDIDATES: usize = 4;

/// The sums since the last report.
#[derive(Debug)]
pub struct Sums {
    is_open: AtomicBool,
    counts: Counts<AtomicU64>,
    bytes: AtomicU64,
    slowest_us: AtomicU64,
    slowest: ArrayQueue<Box<Record>>,
}

/// The sums of one report.
#[derive(Debug, Default, Clone)]
pub struct Sum {
    counts: Counts<u64>,
    /// Bytes of content that were sent.
    pub bytes: u64,
}

impl Sums {
    /// Creates empty sums.
    pub fn new() -> Self {
        Sums {
            is_open: AtomicBool::new(false),
            counts: Default::default(),
            bytes: AtomicU64::new(0),
            slowest_us: AtomicU64::new(0),
            slowest: ArrayQueue::new(CANDIDATES),
        }
    }

    /// Adds a record. Returns whether it is the first since the last report, and a record that can be reused: this one
    /// or another.
    pub fn add(&self, record: Box<Record>) -> (bool, Option<Box<Record>>) {
        self.counts[kind_index(record.kind)][status_index(record.status)].fetch_add(1, Relaxed);
        self.bytes.fetch_add(record.bytes, Relaxed);
        // The duration of a connection without a request does not describe the server.
        let is_request = record.kind != RecordKind::NoRequest;
        let is_slowest = is_request && record.duration_us >= self.slowest_us.load(Relaxed).max(1);
        let rest = if is_slowest {
            self.slowest_us.store(record.duration_us, Relaxed);
            self.slowest.force_push(record)
        } else {
            Some(record)
        };
        let is_first = !self.is_open.load(Relaxed) && !self.is_open.swap(true, Relaxed);
        (is_first, rest)
    }

    /// Returns whether there is something to report, or will be shortly.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Relaxed)
    }

    /// Takes the sums. A concurrent addition is either in this report or in the next.
    pub fn take(&self) -> Sum {
        self.is_open.store(false, Relaxed);
        self.slowest_us.store(0, Relaxed);
        let mut sum = Sum { bytes: self.bytes.swap(0, Relaxed), ..Sum::default() };
        for (count, shared) in sum.counts.iter_mut().flatten().zip(self.counts.iter().flatten()) {
            *count = shared.swap(0, Relaxed);
        }
        sum
    }

    /// Takes a candidate for the slowest request.
    pub fn slow(&self) -> Option<Box<Record>> {
        self.slowest.pop()
    }

    /// Adds a sum again that could not be reported.
    pub fn restore(&self, sum: &Sum) {
        self.bytes.fetch_add(sum.bytes, Relaxed);
        for (count, shared) in sum.counts.iter().flatten().zip(self.counts.iter().flatten()) {
            shared.fetch_add(*count, Relaxed);
        }
        self.is_open.store(true, Relaxed);
    }
}

impl Sum {
    /// Returns the number of records.
    pub fn count(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }
}

/// Every count that is not zero: `GET/200=5120 GET/304=3`.
impl Display for Sum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for (kind, counts) in KINDS.iter().zip(&self.counts) {
            for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                match Status::ALL.get(index) {
                    Some(status) => write!(f, "{gap}{kind}/{}={count}", status.code())?,
                    None => write!(f, "{gap}{kind}={count}")?,
                }
                gap = " ";
            }
        }
        Ok(())
    }
}

fn kind_index(kind: RecordKind) -> usize {
    match kind {
        RecordKind::Request(Method::Get) => 0,
        RecordKind::Request(Method::Head) => 1,
        RecordKind::Request(Method::Options) => 2,
        RecordKind::Request(Method::Other | Method::Unknown) => 3,
        RecordKind::Malformed => 4,
        RecordKind::NoRequest => 5,
    }
}

fn status_index(status: u16) -> usize {
    Status::ALL.iter().position(|known| known.code() == status).unwrap_or(Status::ALL.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: RecordKind, status: u16, bytes: u64, duration_us: u64) -> Box<Record> {
        let mut record = Box::new(Record::new());
        (record.kind, record.status, record.bytes, record.duration_us) = (kind, status, bytes, duration_us);
        record
    }

    #[test]
    fn sums_are_exact() {
        let sums = Sums::new();
        let get = RecordKind::Request(Method::Get);
        assert!(sums.add(record(get, 200, 10, 5)).0);
        assert!(!sums.add(record(get, 200, 10, 7)).0);
        for (kind, status) in [(get, 304), (RecordKind::Malformed, 400), (RecordKind::NoRequest, 0)] {
            assert!(sums.add(record(kind, status, 0, 6)).1.is_some());
        }
        let sum = sums.take();
        assert_eq!((sum.to_string().as_str(), sum.bytes), ("GET/200=2 GET/304=1 -/400=1 -/-=1", 20));
        assert_eq!(sum.count(), 5);
        let slow: Vec<_> = std::iter::from_fn(|| sums.slow()).map(|record| record.duration_us).collect();
        assert_eq!(slow, [5, 7]);
        assert!(!sums.is_open() && sums.take().count() == 0);

        sums.restore(&sum);
        sums.add(record(get, 200, 1, 1));
        assert!(sums.is_open());
        assert_eq!((sums.take().to_string().as_str(), sum.bytes), ("GET/200=3 GET/304=1 -/400=1 -/-=1", 20));
    }
}
