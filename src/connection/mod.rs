//! A client connection: it reads a preface, if it has one, and requests, encodes responses and sends them. It is owned by one thread at a time.
//!
//! A [`ConnectionDriver`] drives it through its [phases](Phase). It uses a [`Transport`] to read and write, and the
//! [`handler`](crate::handler) to get the answer to a request.

mod drive;
pub mod harness;
pub mod pending_records;
pub mod preface;
mod read_buffer;
mod respond;
mod send_queue;
#[cfg(test)]
mod tests;
pub mod transport;

use std::borrow::Cow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;

use crate::client_limit::Permit;
use crate::ipc::scoreboard::{Counter, WorkerCounters};
use crate::listeners::Client;
use crate::log::catalog;
use crate::os::clock;
use crate::service::Service;
use crate::service::blocking::BlockingKey;

use pending_records::{PendingRecords, ReceivedMessage, ResponseSummary};
use preface::{Peer, Preface};
use read_buffer::ReadBuffer;
use send_queue::{Progress, SendQueue};
use transport::Transport;

pub use drive::{ConnectionDriver, DriveResult};
pub use respond::reject_slow_head;

/// The phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The [preface](Preface) has not arrived completely.
    Preface,
    /// It waits for the first byte of a request.
    Idle,
    /// A part of a head has arrived.
    Head,
    /// A request waits for a listing that is being made.
    Waiting,
    /// Responses are being sent.
    Sending,
    /// The last response is sent. Further input is discarded: closing a connection with unread input would reset it,
    /// which could destroy the response (RFC 9112 §9.6).
    Lingering,
}

/// The action after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterResponse {
    /// The connection stays open for the next request.
    KeepAlive,
    /// The connection is closed: the client requested that and has sent nothing more.
    Close,
    /// The output is closed; the connection is closed after the client has closed its side.
    LingeringClose,
}

/// The result of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadResult {
    /// All bytes that had arrived.
    Complete,
    /// Some bytes; more may have arrived.
    Partial,
    /// No bytes had arrived.
    WouldBlock,
    /// The end of the connection, with the reason.
    Closed(&'static str),
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    /// Must drop before `transport`: the client may reconnect as soon as it detects the close.
    _permit: Option<Permit<'static>>,
    transport: Transport,
    /// The preface that it waits for in [`Phase::Preface`].
    preface: Preface,
    peer: Peer,
    /// Its phase.
    pub phase: Phase,
    /// The action after the responses that are being sent.
    pub after_response: AfterResponse,
    /// When the phase times out, in milliseconds of [`clock::now_ms`].
    pub deadline_ms: u64,
    /// The events for which it is registered in epoll(7); none before it is registered.
    pub interest: EpollFlags,
    /// Whether a read that does not fill its buffer may leave input: the client has closed its side, or urgent data has
    /// arrived.
    pub may_have_more: bool,
    /// Whether it is the worker's probe, which no counter includes.
    pub is_probe: bool,
    /// The file, directory and client for which its last request may block a thread.
    pub blocking_key: BlockingKey,
    /// Whether sending a file is delayed until fewer threads are blocked on it.
    pub waits_for_disk: bool,
    /// The logical time of the last read.
    pub last_read_at: u64,
    /// While it is parked: bytes that were read and not yet parsed.
    pub input: Vec<u8>,
    /// While it is parked: bytes that are not yet sent.
    pub output: Vec<u8>,
    /// The progress of sending the output, and the slices of files after it.
    pub send_queue: SendQueue,
    /// The number of requests on this connection.
    pub requests: u64,
    /// The number of requests whose response is not completely sent.
    in_flight: u64,
    /// Whether the first of these has no response yet and waits for a listing.
    awaits_listing: bool,
    /// When the first of these arrived, or the last response was sent, in nanoseconds of [`clock::now_ns`].
    started_ns: u64,
    /// Whether sending the current responses had to wait for the client.
    pub has_waited: bool,
    /// The bytes of responses that the transport has accepted.
    bytes_sent: u64,
    /// While it is parked in [`Phase::Sending`]: the bytes that the client had acknowledged when the current timeout
    /// began.
    bytes_acked: u64,
    /// `bytes_sent` before the first response that is being sent.
    bytes_sent_before: u64,
    /// Records for the access log.
    pub records: PendingRecords,
    counters: WorkerCounters<'static>,
}

/// Thousands of connections may be idle.
#[cfg(not(test))]
const _: () = assert!(size_of::<Connection>() <= 512);

impl Connection {
    /// Creates an accepted connection, with its permit if connections per client are limited.
    pub fn new(
        transport: Transport,
        permit: Option<Permit<'static>>,
        peer: Peer,
        deadline_ms: u64,
        records: PendingRecords,
        counters: WorkerCounters<'static>,
    ) -> Self {
        counters.add(Counter::Connections, 1);
        counters.add(Counter::Accepted, 1);
        Connection {
            transport,
            preface: Preface::None,
            peer,
            phase: Phase::Idle,
            after_response: AfterResponse::KeepAlive,
            deadline_ms,
            interest: EpollFlags::empty(),
            may_have_more: false,
            is_probe: false,
            blocking_key: BlockingKey::default(),
            waits_for_disk: false,
            last_read_at: 0,
            input: Vec::new(),
            output: Vec::new(),
            send_queue: SendQueue::default(),
            requests: 0,
            in_flight: 0,
            awaits_listing: false,
            started_ns: 0,
            has_waited: false,
            bytes_sent: 0,
            bytes_acked: 0,
            bytes_sent_before: 0,
            records,
            counters,
            _permit: permit,
        }
    }

    /// Waits for `preface` before the first request, until `deadline_ms`. There is nothing to wait for if it is none.
    pub fn expect(&mut self, preface: Preface, deadline_ms: u64) {
        if preface != Preface::None {
            (self.preface, self.phase, self.deadline_ms) = (preface, Phase::Preface, deadline_ms);
        }
    }

    /// Ends the preface: requests come from `peer`, and the first is expected until `deadline_ms`.
    fn end_preface(&mut self, peer: Peer, deadline_ms: u64) {
        (self.preface, self.phase, self.deadline_ms) = (Preface::None, Phase::Idle, deadline_ms);
        self.peer = peer;
    }

    /// Returns the client at the other end. A request takes its client's address from here.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Counts it as parked.
    pub fn count_parked(&self) {
        self.counters.add(Counter::Parked, 1);
    }

    /// Counts it as owned by a thread.
    pub fn count_unparked(&self) {
        self.counters.subtract(Counter::Parked, 1);
    }

    /// Reads the bytes that have arrived.
    pub fn read(&mut self, input: &mut ReadBuffer) -> ReadResult {
        let room = input.spare();
        let size = room.len();
        match self.transport.read(room) {
            Ok(0) => ReadResult::Closed("the client closed the connection"),
            Ok(length) => {
                input.filled(length);
                // A read that does not fill the buffer has returned everything, with that exception.
                if length == size || self.may_have_more { ReadResult::Partial } else { ReadResult::Complete }
            }
            Err(Errno::EAGAIN) => ReadResult::WouldBlock,
            Err(Errno::EINTR) => ReadResult::Partial,
            Err(_) => ReadResult::Closed("the client disconnected"),
        }
    }

    /// Sends the rest of `output`, then the slice after it, and moves the next part to the output.
    pub fn send(&mut self, output: &mut Vec<u8>) -> Progress {
        let is_last = self.after_response != AfterResponse::KeepAlive;
        let (sent, progress) = self.send_queue.send(&mut self.transport, output, is_last, self.has_waited);
        self.bytes_sent += sent as u64;
        self.counters.add(Counter::BytesSent, sent as u64);
        if progress == Progress::Done {
            self.end_responses(true);
        }
        progress
    }

    /// Counts a request that has arrived. Requests that arrived together begin together. Returns true if the request
    /// has waited for a listing and was counted before.
    pub fn begin_response(&mut self) -> bool {
        if std::mem::take(&mut self.awaits_listing) {
            return true;
        }
        if self.in_flight == 0 {
            self.started_ns = clock::now_ns();
            self.bytes_sent_before = self.bytes_sent;
        }
        self.requests += 1;
        self.in_flight += 1;
        self.counters.add(Counter::InFlight, 1);
        false
    }

    /// Defers a request that waits for a listing. If it is `behind` responses that are not yet sent, it is counted
    /// later.
    pub fn defer_response(&mut self, behind: bool) {
        if behind {
            self.requests -= 1;
            self.in_flight -= 1;
            self.counters.subtract(Counter::InFlight, 1);
        } else {
            self.awaits_listing = true;
        }
    }

    /// Counts a response to `client` that is about to be sent, and begins its record.
    pub fn count_response(&mut self, message: ReceivedMessage, client: Client, response: &ResponseSummary) {
        self.counters.count_request(message.method(), response.status);
        self.records.add(message, client, self.requests, self.started_ns, response);
    }

    /// Counts and records the responses that are completely sent, or whose connection ends.
    fn end_responses(&mut self, is_complete: bool) {
        let responses = std::mem::take(&mut self.in_flight);
        if responses > 0 {
            let now_ns = clock::now_ns();
            let duration_ns = now_ns.saturating_sub(self.started_ns);
            self.counters.subtract(Counter::InFlight, responses);
            self.counters.count_responses(responses, duration_ns);
            self.records.end_responses(self.bytes_sent - self.bytes_sent_before, is_complete, now_ns, duration_ns);
            self.started_ns = now_ns;
        }
    }

    /// Returns when the last response was sent, in milliseconds of [`clock::now_ms`].
    pub fn last_response_ms(&self) -> u64 {
        self.started_ns / 1_000_000
    }

    /// Starts the timeout for a client that has to receive more. It lasts from the first wait of this response until
    /// `deadline_ms`.
    pub fn wait_for_client(&mut self, deadline_ms: u64) {
        if !self.has_waited {
            self.has_waited = true;
            self.deadline_ms = deadline_ms;
            self.bytes_acked = self.transport.bytes_acknowledged();
        }
    }

    /// Extends the timeout if the client has acknowledged at least `bytes` since it began. Also extends it if the
    /// client has acknowledged everything, since then the server is the slow side.
    pub fn check_min_rate(&mut self, bytes: u64, deadline_ms: u64) {
        let acknowledged = self.transport.bytes_acknowledged();
        if acknowledged >= self.bytes_acked + bytes || acknowledged == self.transport.bytes_written() {
            self.bytes_acked = acknowledged;
            self.deadline_ms = deadline_ms;
        }
    }

    /// Returns whether there is unread input, or the client has closed its side.
    pub fn has_unread(&self) -> bool {
        self.transport.has_input()
    }

    /// Closes the output, and waits until `deadline_ms` for the client to close its side.
    pub fn linger(&mut self, deadline_ms: u64) {
        self.transport.close_output();
        self.phase = Phase::Lingering;
        self.deadline_ms = deadline_ms;
    }

    /// Shuts the connection down. The next thread that drives it closes it.
    pub fn shutdown(&mut self) {
        self.transport.shutdown();
        self.phase = Phase::Lingering;
        self.deadline_ms = u64::MAX;
    }

    /// Logs at most once a minute why a response could not be completed: an error of the server.
    pub fn report_failure(&mut self, service: &Service, why: String) {
        let Some(slice) = self.send_queue.slice.as_ref().filter(|_| service.warnings.file_failed.is_due()) else {
            return self.report_aborted(why);
        };
        // The path begins with a slash, as in a request.
        let (path, offset) = (format!("/{}", slice.file.path()), slice.offset);
        let path = path.escape_debug();
        tracing::warn!(
            message_id = catalog::FILE_FAILED,
            %path,
            offset,
            "Cannot send \"{path}\" completely, from byte {offset}: {why}. Logged once a minute."
        );
        self.records.set_cause(why);
    }

    /// Records why a response was aborted.
    pub fn report_aborted(&mut self, why: impl Into<Cow<'static, str>>) {
        let why = why.into();
        match &self.send_queue.slice {
            Some(slice) => tracing::debug!(offset = slice.offset, end = slice.end, "download aborted: {why}"),
            None => tracing::debug!("response aborted: {why}"),
        }
        self.records.set_cause(why);
    }

    /// Sends the last response as far as that is possible without waiting.
    pub fn send_last(&mut self, answer: &[u8]) {
        let sent = self.transport.write(answer, false).unwrap_or(0);
        self.bytes_sent += sent as u64;
        self.counters.add(Counter::BytesSent, sent as u64);
        self.end_responses(sent == answer.len());
    }

    /// Leaves the connection open until the process exits, since closing its file could hang.
    pub fn leak_until_exit(mut self: Box<Self>, why: &'static str) {
        self.records.set_cause(why);
        self.end();
        std::mem::forget(self);
    }

    /// Counts and records its end.
    fn end(&mut self) {
        self.counters.subtract(Counter::Connections, 1);
        self.end_responses(false);
        if self.requests == 0 {
            self.counters.add(Counter::Unused, 1);
            self.records.end_without_request(self.peer.address);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.transport.as_fd().as_raw_fd()
    }
}
