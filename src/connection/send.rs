//! Sending: the responses of a connection, its timeout, and what follows the last of them.

use std::borrow::Cow;
use std::ops::ControlFlow::{self, Break, Continue};

use super::driver::{ConnectionDriver, DriveResult};
use super::send_queue::Progress;
use super::{AfterResponse, Connection, Phase};
use crate::ipc::scoreboard::Counter;
use crate::log::catalog;
use crate::os::clock;
use crate::service::Service;

impl ConnectionDriver {
    pub(super) fn send(&mut self, service: &Service, connection: &mut Connection) -> ControlFlow<DriveResult> {
        match connection.send(&mut self.output) {
            Progress::More => Continue(()),
            Progress::Yield => Break(self.yield_turn(service, connection)),
            Progress::Blocked => {
                connection.wait_for_client(service.timeouts.send(clock::now_ms()));
                Break(DriveResult::Writable)
            }
            Progress::PeerGone(why) => {
                connection.report_aborted(why);
                Break(DriveResult::Close)
            }
            Progress::SourceFailed(why) => {
                connection.report_failure(service, why);
                Break(DriveResult::Close)
            }
            Progress::Done => self.end_responses(service, connection),
        }
    }

    /// Ends the responses after all of them were sent.
    pub(super) fn end_responses(&mut self, service: &Service, connection: &mut Connection) -> ControlFlow<DriveResult> {
        self.output.clear();
        match connection.after_response {
            AfterResponse::KeepAlive => {
                connection.phase = Phase::Idle;
                connection.deadline_ms = service.timeouts.idle(connection.last_response_ms());
            }
            AfterResponse::Close | AfterResponse::LingeringClose if !connection.transport.end_output() => {
                connection.wait_for_client(service.timeouts.send(clock::now_ms()));
                return Break(DriveResult::Writable);
            }
            AfterResponse::Close if self.input.unread().is_empty() && !connection.has_waited => {
                return Break(DriveResult::Close);
            }
            AfterResponse::Close | AfterResponse::LingeringClose => {
                connection.linger(service.timeouts.linger(clock::now_ms()));
            }
        }
        Continue(())
    }

    pub(super) fn yield_turn(&self, service: &Service, connection: &mut Connection) -> DriveResult {
        if connection.phase == Phase::Sending {
            connection.wait_for_client(service.timeouts.send(clock::now_ms()));
        }
        DriveResult::Yield
    }
}

impl Connection {
    /// Sends the rest of `output`, then the slice after it, and moves the next part to the output.
    pub fn send(&mut self, output: &mut Vec<u8>) -> Progress {
        let is_last = self.after_response != AfterResponse::KeepAlive;
        let (sent, progress) = self.send_queue.send(&mut self.transport, output, is_last, self.has_waited);
        self.count_sent(sent as u64);
        if progress == Progress::Done {
            self.end_responses(true);
        }
        progress
    }

    /// Sends the last response as far as that is possible without waiting.
    pub fn send_last(&mut self, answer: &[u8]) {
        let sent = self.transport.write(answer, false).unwrap_or(0);
        self.count_sent(sent as u64);
        self.end_responses(sent == answer.len());
    }

    /// Counts bytes that the transport has accepted. Those of responses to pipelined requests count for the site of the last.
    pub(super) fn count_sent(&mut self, bytes: u64) {
        self.bytes_sent += bytes;
        self.counters.add(Counter::BytesSent, bytes);
        if let Some(site) = self.site {
            self.counters.count_site_bytes(site, bytes);
        }
    }

    /// Counts and records the responses that are completely sent, or whose connection ends.
    pub(super) fn end_responses(&mut self, is_complete: bool) {
        let responses = std::mem::take(&mut self.in_flight);
        if responses > 0 {
            let now_ns = clock::now_ns();
            let duration_ns = now_ns.saturating_sub(self.started_ns);
            self.counters.subtract(Counter::InFlight, responses);
            self.counters.count_responses(responses, duration_ns);
            self.records.end_responses(self.bytes_sent - self.bytes_sent_before, is_complete, now_ns, duration_ns);
            self.started_ns = now_ns;
            self.request_permits.clear();
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
        // A client of HTTP/2 is also slow if it does not extend the windows.
        let is_server_slow = acknowledged == self.transport.bytes_written()
            && !self.http2.as_ref().is_some_and(|http2| http2.waits_for_windows());
        if acknowledged >= self.bytes_acked + bytes || is_server_slow {
            self.bytes_acked = acknowledged;
            self.deadline_ms = deadline_ms;
        }
    }

    /// Closes the output, and waits until `deadline_ms` for the client to close its side.
    pub fn linger(&mut self, deadline_ms: u64) {
        self.transport.close_output();
        self.phase = Phase::Lingering;
        self.deadline_ms = deadline_ms;
    }

    /// Logs at most once a minute why a response could not be completed: an error of the server.
    pub fn report_failure(&mut self, service: &Service, why: String) {
        let Some(slice) = self.send_queue.slice.as_ref().filter(|_| service.warnings.file_failed.is_due()) else {
            return self.report_aborted(why);
        };
        // The path begins with a slash, as in a request.
        let (path, offset) = (format!("/{}", slice.file.path().to_string_lossy()), slice.offset);
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
}
