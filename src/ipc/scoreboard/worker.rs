//! The counters of one worker.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::counter::{GAUGES, TIMES};
use super::sites::{self, SiteSlot};
use super::{Counter, HEADER_WORDS, reports};
use crate::http::request::Method;
use crate::os::sys::ReadableCounters;

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
pub struct WorkerCounters<'m>(pub(super) &'m [AtomicU64]);

/// The layout: each [`Counter`], then requests by method and class, the buckets of durations and their sum, the requests of
/// many sites, and what one worker reports for all.
pub(super) const REQUESTS: usize = 72;
pub(super) const DURATIONS: usize = REQUESTS + METHODS.len() * CLASSES.len();
pub(super) const DURATION_SUM: usize = DURATIONS + BOUNDS_NS.len() + 1;

pub(super) const SITES: usize = DURATION_SUM + 1;

pub(super) const REPORTS: usize = SITES + sites::WORDS;

pub(super) const COUNTERS_PER_WORKER: usize = REPORTS + reports::WORDS;

impl WorkerCounters<'_> {
    /// Returns counters that no process reads.
    pub fn discard() -> WorkerCounters<'static> {
        static UNSEEN: [AtomicU64; COUNTERS_PER_WORKER] = [const { AtomicU64::new(0) }; COUNTERS_PER_WORKER];
        WorkerCounters(&UNSEEN)
    }

    /// Increases a counter.
    pub fn add(&self, counter: Counter, by: u64) {
        self.counter(counter).fetch_add(by, Relaxed);
    }

    /// Decreases a gauge.
    pub fn subtract(&self, counter: Counter, by: u64) {
        self.counter(counter).fetch_sub(by, Relaxed);
    }

    /// Sets a gauge.
    pub fn set(&self, counter: Counter, value: u64) {
        self.counter(counter).store(value, Relaxed);
    }

    /// Returns a counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counter(counter).load(Relaxed)
    }

    fn counter(&self, counter: Counter) -> &AtomicU64 {
        debug_assert!((counter as usize) < REQUESTS, "{counter:?} has the place of another figure");
        &self.0[counter as usize]
    }

    /// Adds the counts, and takes over the times, but not the gauges, of a worker that has ended.
    pub(super) fn absorb(&self, other: &ReadableCounters) {
        let is_of = |kind: &[Counter], index: usize| kind.iter().any(|counter| *counter as usize == index);
        for (index, own) in self.0[..SITES].iter().enumerate().filter(|(index, _)| !is_of(&GAUGES, *index)) {
            match other.get(HEADER_WORDS + index) {
                time if is_of(&TIMES, index) => own.fetch_max(time, Relaxed),
                count => own.fetch_add(count, Relaxed),
            };
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

    /// Counts bytes that were sent for requests of one of many sites.
    pub fn count_site_bytes(&self, slot: SiteSlot, bytes: u64) {
        sites::add(&self.0[SITES..], slot, sites::BYTES, bytes);
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
pub(super) fn unaccounted(get: impl Fn(Counter) -> u64) -> u64 {
    let accounted = [Counter::LogWritten, Counter::LogSummed, Counter::LogDropped].map(&get);
    let accounted = accounted.into_iter().fold(0, u64::saturating_add);
    get(Counter::LogDue).saturating_sub(accounted)
}
