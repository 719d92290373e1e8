//! The writer: a worker's thread that writes its access log, and may block on the journal.

use std::io;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use tracing::Level;

use super::AccessLog;
use super::record::{Record, RecordKind, Text};
use super::sums::Sum;
use super::text::{self, Stamp};
use crate::http::{Coding, Scheme};
use crate::ipc::scoreboard::Counter;
use crate::log::{Destination, Sink};

/// The interval between two batches while there are records: to wake the thread for each would cost more than the record.
const BATCH_INTERVAL: Duration = Duration::from_millis(20);

/// The interval between two attempts to write to a journal that does not accept records.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// The interval between two reports of sums and dropped records.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The time that a worker that ends waits for its writer.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

const STACK_BYTES: usize = 256 * 1024;

/// The handle of a worker's writer, for its main thread.
#[derive(Debug)]
pub struct Writer {
    access: &'static AccessLog,
    end: Receiver<()>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(access: &'static AccessLog) -> io::Result<Self> {
        let (sender, end) = channel();
        let thread_state = WriterThread {
            access,
            sink: Sink::for_access(access.destination),
            warnings: Sink::for_warnings(access.destination),
            stamp: Stamp::default(),
            line: String::new(),
            retry: None,
            slowest: None,
            reported_at: Instant::now(),
        };
        let thread = Builder::new().name("log".into()).stack_size(STACK_BYTES);
        let thread = thread.spawn(move || thread_state.run(&sender))?;
        let _ = access.writer.set(thread.thread().clone());
        Ok(Writer { access, end })
    }

    /// Lets the writer write the remaining records, for at most [`SHUTDOWN_GRACE`].
    pub fn finish(self) {
        self.access.is_ending.store(true, SeqCst);
        if let Some(thread) = self.access.writer.get() {
            thread.unpark();
        }
        // The thread sends nothing: the channel is closed when it ends.
        let _ = self.end.recv_timeout(SHUTDOWN_GRACE);
    }
}

/// The state of the thread.
struct WriterThread {
    access: &'static AccessLog,
    sink: Sink,
    warnings: Sink,
    stamp: Stamp,
    line: String,
    /// A record that the journal did not accept, to be retried.
    retry: Option<Box<Record>>,
    /// The slowest of the summed requests.
    slowest: Option<Box<Record>>,
    /// The time of the last report of sums and dropped records.
    reported_at: Instant,
}

impl WriterThread {
    fn run(mut self, _end: &Sender<()>) {
        loop {
            // Read before the ring, so that no record that was added before the end is missed.
            let is_ending = self.access.is_ending.load(SeqCst);
            let has_written = self.write_records();
            let is_due = is_ending || self.reported_at.elapsed() >= REPORT_INTERVAL;
            let is_stuck = (is_due && !self.report()) || self.retry.is_some();
            match (is_stuck, is_ending, has_written) {
                (true, ..) => thread::park_timeout(RETRY_INTERVAL),
                (_, true, _) => return,
                (.., true) => thread::sleep(BATCH_INTERVAL),
                _ => self.sleep(),
            }
        }
    }

    /// Writes the records in the ring until one is not accepted. Returns whether any was written.
    fn write_records(&mut self) -> bool {
        let mut has_written = false;
        while let Some(record) = self.retry.take().or_else(|| self.access.ring.pop()) {
            if !self.write(&record) {
                self.retry = Some(record);
                break;
            }
            self.access.counters.add(Counter::LogWritten, 1);
            self.access.recycle(record);
            has_written = true;
        }
        has_written
    }

    /// Sleeps until there is something to write or to report.
    fn sleep(&mut self) {
        let access = self.access;
        access.is_asleep.store(true, Relaxed);
        // Pairs with the fence in `wake`.
        fence(SeqCst);
        let has_to_report = access.sums.is_open() || access.drops.count.load(Relaxed) > 0;
        if !access.ring.is_empty() || access.is_ending.load(Relaxed) {
            // There is something to write.
        } else if has_to_report {
            thread::park_timeout(REPORT_INTERVAL.saturating_sub(self.reported_at.elapsed()));
        } else {
            thread::park();
            // The first summed request begins a new interval.
            self.reported_at = Instant::now();
        }
        access.is_asleep.store(false, Relaxed);
    }

    /// Reports dropped records and sums. Returns whether everything was accepted.
    fn report(&mut self) -> bool {
        self.reported_at = Instant::now();
        self.report_drops() && self.report_sum()
    }

    fn report_drops(&mut self) -> bool {
        let (counters, drops) = (self.access.counters, &self.access.drops);
        let count = drops.count.swap(0, Relaxed);
        if count == 0 {
            return true;
        }
        let (since_us, until_us) = (drops.since_us.swap(0, Relaxed), drops.until_us.load(Relaxed));
        let worker = Some(self.access.worker);
        let is_reported = self.warnings.write(|| super::report_dropped(worker, count, since_us, until_us));
        if is_reported {
            counters.add(Counter::LogReported, count);
            counters.subtract(Counter::LogUnreported, count);
        } else {
            drops.since_us.store(since_us, Relaxed);
            drops.count.fetch_add(count, Relaxed);
        }
        is_reported
    }

    fn report_sum(&mut self) -> bool {
        let sums = &self.access.sums;
        while let Some(record) = sums.slow() {
            match &mut self.slowest {
                Some(slowest) if slowest.duration_us > record.duration_us => self.access.recycle(record),
                slowest => slowest.replace(record).into_iter().for_each(|faster| self.access.recycle(faster)),
            }
        }
        let sum = sums.take();
        let is_reported = sum.count() == 0 || self.write_sum(&sum);
        if is_reported {
            self.slowest.take().into_iter().for_each(|record| self.access.recycle(record));
            self.access.counters.add(Counter::LogSummed, sum.count());
        } else {
            sums.restore(&sum);
        }
        is_reported
    }

    fn write(&mut self, record: &Record) -> bool {
        self.line.clear();
        text::combined(&mut self.line, record, &mut self.stamp);
        // JSON lines have all of this in their fields, and must be short: a pipe accepts up to 4 KiB atomically.
        let message = (self.access.destination == Destination::Journal).then_some(self.line.as_str());
        let field = |text| text::field(record, text);
        let is_request = matches!(record.kind, RecordKind::Request(_));
        let (method, target) = (field(Text::Method), field(Text::Target).filter(|_| is_request));
        let line = field(Text::Target).filter(|_| !is_request && message.is_none());
        let (host, referer, user_agent) = (field(Text::Host), field(Text::Referer), field(Text::UserAgent));
        let user = field(Text::User);
        let (tls, tls_name) = (record.tls, field(Text::TlsName));
        let (tls_version, tls_cipher) = (tls.map(|tls| tls.version), tls.map(|tls| tls.cipher));
        let tls_group = tls.map(|tls| tls.group).filter(|group| !group.is_empty());
        let tls_resumed = tls.map(|tls| if tls.is_resumed { "yes" } else { "no" });
        let http_scheme = record.is_https.then(|| Scheme::Https.as_str());
        let proxy_authority = field(Text::ProxyAuthority);
        let http_version = (record.stream > 0).then(|| record.version.number());
        let (range, cause) = (field(Text::Range), field(Text::Cause));
        let status = (record.status > 0).then_some(record.status);
        let address = record.client.map(|client| client.ip().to_string());
        let port = record.client.map(|client| client.port()).filter(|port| *port > 0);
        let encoding = (record.coding != Coding::Identity).then(|| record.coding.token());
        let request = (record.request > 0).then_some(record.request);
        let stream = (record.stream > 0).then_some(record.stream);
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: "access",
                    Level::$level,
                    message,
                    http_method = method,
                    http_target = target,
                    http_version,
                    http_scheme,
                    http_status = status,
                    http_host = host,
                    http_referer = referer,
                    http_user_agent = user_agent,
                    http_user = user,
                    http_line = line,
                    client_address = address,
                    client_port = port,
                    bytes_sent = record.bytes,
                    duration_us = record.duration_us,
                    worker = self.access.worker,
                    connection = record.connection,
                    request,
                    stream,
                    range,
                    encoding,
                    tls_version,
                    tls_cipher,
                    tls_group,
                    tls_name,
                    tls_resumed,
                    proxy_authority,
                    cause,
                )
            };
        }
        self.sink.write(|| match record.status {
            500.. => event!(ERROR),
            400.. => event!(WARN),
            _ => event!(INFO),
        })
    }

    fn write_sum(&mut self, sum: &Sum) -> bool {
        let (worker, requests, bytes) = (self.access.worker, sum.count(), sum.bytes);
        let slowest_us = self.slowest.as_ref().map(|record| record.duration_us);
        let slowest_target = self.slowest.as_ref().and_then(|record| text::field(record, Text::Target));
        let counts = sum.to_string();
        self.sink.write(|| {
            tracing::info!(
                target: "access_sum",
                worker,
                requests,
                counts,
                bytes_sent = bytes,
                slowest_us,
                slowest_target,
                "Worker {worker} summed {requests} further requests: {counts}; {bytes} bytes, the slowest {} us.",
                slowest_us.unwrap_or(0)
            );
        })
    }
}
