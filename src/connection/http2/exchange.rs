//! The accounting of one request of HTTP/2, which ends exactly once, wherever the request is by then.

use std::borrow::Cow;

use crate::access_log::{AccessLog, Record};
use crate::client_limit::Permit;
use crate::http::request::Method;
use crate::ipc::scoreboard::{Counter, SiteSlot, WorkerCounters};
use crate::os::clock;

/// The status in the record of a request that was cancelled before it had an answer. nginx logs the same one.
pub const CANCELLED: u16 = 499;

/// A request in flight, from its arrival until its response was sent, or will not be. Dropping it counts and records its end.
#[derive(Debug)]
pub struct Exchange {
    counters: WorkerCounters<'static>,
    access_log: Option<&'static AccessLog>,
    /// The stream.
    pub stream: u32,
    /// When it arrived, in nanoseconds of [`clock::now_ns`].
    pub started_ns: u64,
    /// The number of the request on its connection.
    pub number: u64,
    record: Option<Box<Record>>,
    site: Option<SiteSlot>,
    /// The permit for it, if requests of its client are limited.
    pub permit: Option<Permit<'static>>,
    /// The bytes of content that the transport has accepted, or will have accepted when what is queued was sent.
    pub content_bytes: u64,
    is_complete: bool,
    /// When it ended, in nanoseconds of the clock, if that is known.
    ended_ns: Option<u64>,
    cause: Option<Cow<'static, str>>,
}

impl Exchange {
    /// Begins the accounting of request number `number` of a connection.
    pub fn begin(
        counters: WorkerCounters<'static>,
        access_log: Option<&'static AccessLog>,
        stream: u32,
        number: u64,
        started_ns: u64,
    ) -> Self {
        counters.add(Counter::InFlight, 1);
        Exchange {
            counters,
            access_log,
            stream,
            started_ns,
            number,
            record: None,
            site: None,
            permit: None,
            content_bytes: 0,
            is_complete: false,
            ended_ns: None,
            cause: None,
        }
    }

    /// Counts the answer, with its record if there is an access log.
    pub fn answer(&mut self, method: Method, status: u16, site: Option<SiteSlot>, record: Option<Box<Record>>) {
        self.counters.count_request(method, status);
        if let Some(site) = site {
            self.counters.count_site_request(site, status);
        }
        (self.site, self.record) = (site, record);
    }

    /// Marks the response as completely sent.
    pub fn complete(&mut self) {
        self.is_complete = true;
    }

    /// Sets when it ends, in nanoseconds of [`clock::now_ns`]. It ends when it drops.
    pub fn end_at(&mut self, now_ns: u64) {
        self.ended_ns = Some(now_ns);
    }

    /// Sets why the response is not completely sent, unless a cause is known already.
    pub fn set_cause(&mut self, cause: impl Into<Cow<'static, str>>) {
        self.cause.get_or_insert_with(|| cause.into());
    }

    /// The connection ends before all was sent that is queued: for each stream, `unsent` has bytes of content.
    pub fn abort(&mut self, cause: &str, unsent: &[(u32, u64)]) {
        let of_stream = unsent.iter().filter(|(stream, _)| *stream == self.stream);
        self.content_bytes -= of_stream.map(|(_, bytes)| bytes).sum::<u64>();
        self.is_complete = false;
        self.set_cause(cause.to_owned());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now_ns = self.ended_ns.unwrap_or_else(clock::now_ns);
        let duration_ns = now_ns.saturating_sub(self.started_ns);
        self.counters.subtract(Counter::InFlight, 1);
        self.counters.count_responses(1, duration_ns);
        if let Some(site) = self.site {
            self.counters.count_site_bytes(site, self.content_bytes);
        }
        let (Some(access_log), Some(mut record)) = (self.access_log, self.record.take()) else { return };
        record.bytes = self.content_bytes;
        record.duration_us = duration_ns / 1_000;
        record.ended_s = clock::unix_s();
        record.is_aborted = !self.is_complete;
        if record.is_aborted {
            record.set_cause(self.cause.as_deref().unwrap_or("the connection ended"));
        }
        access_log.end(record, now_ns);
    }
}
