//! One client's connection: what is left to read, to send and to wait for. It belongs to one thread at a time.

mod drive;
pub mod harness;
pub mod pending_records;
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
use crate::log::catalog;
use crate::os::clock;
use crate::service::Service;
use crate::service::blocking::BlockingKey;

use pending_records::{PendingRecords, ReceivedMessage, ResponseSummary};
use read_buffer::ReadBuffer;
use send_queue::{Progress, SendQueue};
use transport::Transport;

pub use drive::{ConnectionDriver, Next};
pub use respond::reject_slow_head;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits for the first byte of a request.
    Idle,
    /// A part of a head has come.
    Head,
    /// A request waits until a listing was made.
    Waiting,
    /// An answer is on its way.
    Sending,
    /// The last answer is sent; what the client still sends is dropped, lest a reset destroy the answer on its way
    /// (RFC 9112 §9.6).
    Lingering,
}

/// What follows when everything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterResponse {
    /// The next request.
    KeepAlive,
    /// The end, at once: the client asked for it and has sent nothing more.
    Close,
    /// The end, once the client has ended too.
    LingeringClose,
}

/// What an attempt to read brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// All that there was.
    All,
    /// A part; there may be more.
    Part,
    /// Nothing yet.
    Nothing,
    /// The end of the connection. The text says why.
    End(&'static str),
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    /// Dropped first: a client that has seen the end may come again at once.
    _permit: Option<Permit<'static>>,
    transport: Transport,
    /// What it is doing.
    pub phase: Phase,
    /// What follows the answer that is on its way.
    pub after_response: AfterResponse,
    /// When its patience ends, in milliseconds of [`clock::now_ms`](crate::os::clock::now_ms).
    pub deadline_ms: u64,
    /// What epoll reports of it; nothing as long as it does not know it.
    pub interest: EpollFlags,
    /// Whether a read that leaves room may not have taken all: the client's end or urgent data came once.
    pub may_have_more: bool,
    /// Whether it is the worker's own, and counted nowhere.
    pub is_probe: bool,
    /// What its last request was for.
    pub subject: BlockingKey,
    /// Whether what is still to be sent of a file waits until fewer threads are blocked by it.
    pub waits_for_disk: bool,
    /// The moment after the last reading.
    pub last_read_at: u64,
    /// While it is parked: what was read and not yet parsed.
    pub input: Vec<u8>,
    /// While it is parked: what is not yet sent.
    pub output: Vec<u8>,
    /// How much of the output is sent, and what follows it.
    pub send_queue: SendQueue,
    /// Requests that were answered on this connection.
    pub requests: u64,
    /// Requests that are answered and not yet wholly sent.
    in_flight: u64,
    /// Whether the first of these is not answered yet: it waits until a listing was made.
    is_begun: bool,
    /// When the first of these had arrived, or the last answer was sent, in nanoseconds of [`clock::now_ns`].
    started_ns: u64,
    /// Whether the answer that is on its way has had to wait for the client.
    pub has_waited: bool,
    /// Bytes handed to the kernel since it was opened.
    bytes_sent: u64,
    /// While it is parked in [`Phase::Sending`]: how many of them the client had taken when its present span of time began.
    bytes_acked: u64,
    /// Bytes that were handed to it before the first answer that is on its way.
    bytes_sent_before: u64,
    /// What the access log is to be told.
    pub records: PendingRecords,
    counters: WorkerCounters<'static>,
}

impl Connection {
    /// A connection that was just accepted, with its seat if its client's are counted.
    pub fn new(
        transport: Transport,
        permit: Option<Permit<'static>>,
        deadline_ms: u64,
        records: PendingRecords,
        counters: WorkerCounters<'static>,
    ) -> Self {
        counters.add(Counter::Connections, 1);
        counters.add(Counter::Accepted, 1);
        Connection {
            transport,
            phase: Phase::Idle,
            after_response: AfterResponse::KeepAlive,
            deadline_ms,
            interest: EpollFlags::empty(),
            may_have_more: false,
            is_probe: false,
            subject: BlockingKey::default(),
            waits_for_disk: false,
            last_read_at: 0,
            input: Vec::new(),
            output: Vec::new(),
            send_queue: SendQueue::default(),
            requests: 0,
            in_flight: 0,
            is_begun: false,
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

    /// It waits for its client, and no thread has it.
    pub fn count_parked(&self) {
        self.counters.add(Counter::Parked, 1);
    }

    /// A thread has it again.
    pub fn count_unparked(&self) {
        self.counters.subtract(Counter::Parked, 1);
    }

    /// Reads what is there.
    pub fn read(&mut self, input: &mut ReadBuffer) -> Reading {
        let room = input.spare();
        let size = room.len();
        match self.transport.read(room) {
            Ok(0) => Reading::End("the client ended"),
            Ok(length) => {
                input.filled(length);
                // A read that left room has, but for that, taken all there was.
                if length == size || self.may_have_more { Reading::Part } else { Reading::All }
            }
            Err(Errno::EAGAIN) => Reading::Nothing,
            Err(Errno::EINTR) => Reading::Part,
            Err(_) => Reading::End("the client is gone"),
        }
    }

    /// Sends what is left of `output`, then what follows it, and makes the next part the output.
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

    /// Begins with a request that has arrived, or goes on with one that has waited; says whether it has. Requests that came
    /// together begin together.
    pub fn begin_response(&mut self) -> bool {
        if std::mem::take(&mut self.is_begun) {
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

    /// Leaves a request for later: it waits, or if it is `behind` others that were answered, it is as if it had not arrived.
    pub fn defer_response(&mut self, behind: bool) {
        if behind {
            self.requests -= 1;
            self.in_flight -= 1;
            self.counters.subtract(Counter::InFlight, 1);
        } else {
            self.is_begun = true;
        }
    }

    /// Counts and notes an answer that is now to be sent.
    pub fn count_response(&mut self, question: ReceivedMessage, response: &ResponseSummary) {
        self.counters.count_request(question.method(), response.status);
        self.records.add(question, self.requests, self.started_ns, response);
    }

    /// Counts the answers that are now wholly sent, or whose client is gone.
    fn end_responses(&mut self, is_whole: bool) {
        let answers = std::mem::take(&mut self.in_flight);
        if answers > 0 {
            let now_ns = clock::now_ns();
            let duration_ns = now_ns.saturating_sub(self.started_ns);
            self.counters.subtract(Counter::InFlight, answers);
            self.counters.count_answers(answers, duration_ns);
            self.records.end_answers(self.bytes_sent - self.bytes_sent_before, is_whole, now_ns, duration_ns);
            self.started_ns = now_ns;
        }
    }

    /// When the last answer was sent, in milliseconds of [`clock::now_ms`].
    pub fn last_response_ms(&self) -> u64 {
        self.started_ns / 1_000_000
    }

    /// Begins to wait for a client that has not taken all that was sent. Its time, until `deadline_ms`, runs on from when
    /// this answer first had to wait.
    pub fn wait_for_client(&mut self, deadline_ms: u64) {
        if !self.has_waited {
            self.has_waited = true;
            self.deadline_ms = deadline_ms;
            self.bytes_acked = self.transport.bytes_acknowledged();
        }
    }

    /// Gives a client that is waited for another span of time, if it has taken at least `bytes` in the last one, or all
    /// that there was: then it is this side that is slow.
    pub fn check_min_rate(&mut self, bytes: u64, deadline_ms: u64) {
        let taken = self.transport.bytes_acknowledged();
        if taken >= self.bytes_acked + bytes || taken == self.transport.bytes_written() {
            self.bytes_acked = taken;
            self.deadline_ms = deadline_ms;
        }
    }

    /// Whether the client has sent something that is not yet read, or has ended.
    pub fn has_unread(&self) -> bool {
        self.transport.has_input()
    }

    /// Tells the client that nothing more will come, and waits until `deadline_ms` that it ends too.
    pub fn linger(&mut self, deadline_ms: u64) {
        self.transport.close_output();
        self.phase = Phase::Lingering;
        self.deadline_ms = deadline_ms;
    }

    /// Ends it from this side: whoever has its next turn finds it over.
    pub fn shutdown(&mut self) {
        self.transport.shutdown();
        self.phase = Phase::Lingering;
        self.deadline_ms = u64::MAX;
    }

    /// Says why an answer could not be ended, once a minute: the fault is on this side.
    pub fn report_failure(&mut self, service: &Service, why: String) {
        let Some(span) = self.send_queue.slice.as_ref().filter(|_| service.warnings.file_failed.is_due()) else {
            return self.report_aborted(why);
        };
        let (path, offset) = (span.file.path(), span.offset);
        let path = path.escape_debug();
        tracing::warn!(
            message_id = catalog::FILE_FAILED,
            %path,
            offset,
            "Cannot send \"{path}\" to its end, from byte {offset} on: {why}. Said once a minute."
        );
        self.records.set_cause(why);
    }

    /// Says why an answer did not arrive whole.
    pub fn report_aborted(&mut self, why: impl Into<Cow<'static, str>>) {
        let why = why.into();
        match &self.send_queue.slice {
            Some(span) => tracing::debug!(offset = span.offset, end = span.end, "download cut: {why}"),
            None => tracing::debug!("answer cut: {why}"),
        }
        self.records.set_cause(why);
    }

    /// Sends a last answer as far as it goes without waiting.
    pub fn send_last(&mut self, answer: &[u8]) {
        let sent = self.transport.write(answer, false).unwrap_or(0);
        self.bytes_sent += sent as u64;
        self.counters.add(Counter::BytesSent, sent as u64);
        self.end_responses(sent == answer.len());
    }

    /// Leaves it to the end of the process, which closes it: the file that it sends may hang in closing.
    pub fn leak_until_exit(mut self: Box<Self>, why: &'static str) {
        self.records.set_cause(why);
        self.end();
        std::mem::forget(self);
    }

    /// Counts and notes its end.
    fn end(&mut self) {
        self.counters.subtract(Counter::Connections, 1);
        self.end_responses(false);
        if self.requests == 0 {
            self.counters.add(Counter::Unused, 1);
            self.records.end_without_request();
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
