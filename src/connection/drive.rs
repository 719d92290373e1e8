//! A turn of a connection: a thread drives it as far as that is possible without waiting.

use std::ops::ControlFlow::{self, Break, Continue};

use super::pending_records::PendingRecords;
use super::preface::{Parsed, Peer};
use super::read_buffer::ReadBuffer;
use super::respond::{self, Scratch};
use super::send_queue::Progress;
use super::transport::Transport;
use super::{AfterResponse, Connection, Phase, ReadResult};
use crate::http::Refusal;
use crate::http::h1::parse;
use crate::os::clock;
use crate::service::Service;
use crate::site::Freshness;

/// The limit of reads and writes in a turn, so that a fast client does not occupy a thread.
const MAX_STEPS: usize = 32;

/// Responses to pipelined requests are sent together up to this size, in bytes.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// The buffers of a thread, for one connection after the other.
#[derive(Debug)]
pub struct ConnectionDriver {
    input: ReadBuffer,
    output: Vec<u8>,
    scratch: Scratch,
    /// A logical time at which the next request had begun to arrive.
    arrival_began: u64,
    /// A logical time at which all bytes that were read had arrived; 0 while nothing was read in this turn.
    arrival_ended: u64,
}

/// The result of a turn: what the connection waits for, or that it ends.
#[derive(Debug, PartialEq, Eq)]
pub enum DriveResult {
    /// Bytes from the client.
    Readable,
    /// Space in the send buffer.
    Writable,
    /// Its next turn, after other connections.
    Yield,
    /// A listing that is being made.
    Listing,
    /// A retry by the main loop: too many threads are blocked on the file.
    Disk,
    /// The connection ends.
    Close,
}

impl ConnectionDriver {
    /// Creates the buffers for requests of up to `request_bytes`. `slot` is the thread's in
    /// [`BlockingLimits`](crate::service::blocking::BlockingLimits).
    pub fn new(request_bytes: usize, slot: Option<usize>) -> Self {
        ConnectionDriver {
            input: ReadBuffer::new(request_bytes),
            output: Vec::new(),
            scratch: Scratch::new(slot),
            arrival_began: 0,
            arrival_ended: 0,
        }
    }

    /// Drives `connection` until it has to wait. The event that it waited for had happened by the logical
    /// time `reported_at`.
    pub fn drive(&mut self, service: &Service, connection: &mut Connection, reported_at: u64) -> DriveResult {
        (self.arrival_began, self.arrival_ended) = (reported_at, 0);
        connection.waits_for_disk = false;
        self.input.load(&connection.input);
        self.output.clear();
        if !connection.output.is_empty() {
            self.output = std::mem::take(&mut connection.output);
        }
        let sends_file = connection.phase == Phase::Sending && connection.send_queue.has_file_part();
        let slot = self.scratch.handler.slot;
        let next = if sends_file && service.begin_blocking(slot, connection.blocking_key).is_err() {
            connection.waits_for_disk = true;
            connection.wait_for_client(service.timeouts.send(clock::now_ms()));
            DriveResult::Disk
        } else {
            self.advance(service, connection)
        };
        connection.last_read_at = connection.last_read_at.max(self.arrival_ended);
        if next != DriveResult::Close {
            connection.input = self.input.unread().to_vec();
            if connection.phase == Phase::Sending {
                connection.output = std::mem::take(&mut self.output);
            }
        }
        next
    }

    /// Rejects a connection beyond the limit of its client, as far as that is possible without waiting.
    pub fn reject(&mut self, transport: &mut Transport, peer: Peer, records: PendingRecords) {
        self.input.clear();
        // If input were unread, closing the connection would reset it and destroy the response.
        let length = transport.read(self.input.spare()).unwrap_or(0);
        self.input.filled(length);
        self.output.clear();
        respond::reject_connection(self.input.unread(), peer, records, &mut self.output, &mut self.scratch, |output| {
            transport.write(output, false).unwrap_or(0)
        });
    }

    fn advance(&mut self, service: &Service, connection: &mut Connection) -> DriveResult {
        let mut may_have_input = true;
        for _ in 0..MAX_STEPS {
            let step = match connection.phase {
                Phase::Preface => self.read_preface(service, connection, &mut may_have_input),
                Phase::Sending => self.send(service, connection),
                Phase::Lingering => self.discard_input(connection),
                Phase::Idle | Phase::Head | Phase::Waiting => {
                    self.read_and_respond(service, connection, &mut may_have_input)
                }
            };
            if let Break(next) = step {
                return next;
            }
        }
        self.yield_turn(service, connection)
    }

    fn yield_turn(&self, service: &Service, connection: &mut Connection) -> DriveResult {
        if connection.phase == Phase::Sending {
            connection.wait_for_client(service.timeouts.send(clock::now_ms()));
        }
        DriveResult::Yield
    }

    fn send(&mut self, service: &Service, connection: &mut Connection) -> ControlFlow<DriveResult> {
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
    fn end_responses(&mut self, service: &Service, connection: &mut Connection) -> ControlFlow<DriveResult> {
        self.output.clear();
        match connection.after_response {
            AfterResponse::KeepAlive => {
                connection.phase = Phase::Idle;
                connection.deadline_ms = service.timeouts.idle(connection.last_response_ms());
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

    fn discard_input(&mut self, connection: &mut Connection) -> ControlFlow<DriveResult> {
        self.input.clear();
        match connection.read(&mut self.input) {
            ReadResult::Closed(_) => Break(DriveResult::Close),
            ReadResult::WouldBlock => Break(DriveResult::Readable),
            ReadResult::Complete | ReadResult::Partial => Continue(()),
        }
    }

    /// Ends the preface if it has arrived, or reads if it is incomplete.
    fn read_preface(
        &mut self,
        service: &Service,
        connection: &mut Connection,
        may_have_input: &mut bool,
    ) -> ControlFlow<DriveResult> {
        match connection.preface.parse(self.input.unread(), connection.peer) {
            Parsed::Done { consumed, peer } => {
                self.input.consume(consumed);
                connection.end_preface(peer, service.timeouts.idle(clock::now_ms()));
                Continue(())
            }
            Parsed::NeedMore if *may_have_input => self.read(service, connection, may_have_input),
            Parsed::NeedMore => Break(DriveResult::Readable),
            Parsed::Rejected(why) => {
                tracing::debug!("closed: {why}");
                connection.records.set_cause(why);
                Break(DriveResult::Close)
            }
        }
    }

    /// Responds to the requests that have arrived, or reads if there are none. `may_have_input` becomes false after a
    /// read that has returned all input.
    fn read_and_respond(
        &mut self,
        service: &Service,
        connection: &mut Connection,
        may_have_input: &mut bool,
    ) -> ControlFlow<DriveResult> {
        self.respond(service, connection);
        match connection.phase {
            Phase::Waiting => Break(DriveResult::Listing),
            Phase::Sending => Continue(()),
            _ if !*may_have_input => Break(DriveResult::Readable),
            _ => self.read(service, connection, may_have_input),
        }
    }

    /// Reads the bytes that have arrived. `may_have_input` becomes false if these are all.
    fn read(
        &mut self,
        service: &Service,
        connection: &mut Connection,
        may_have_input: &mut bool,
    ) -> ControlFlow<DriveResult> {
        let reading = connection.read(&mut self.input);
        self.record_arrival(service);
        match reading {
            ReadResult::Partial => Continue(()),
            ReadResult::Complete => {
                *may_have_input = false;
                Continue(())
            }
            ReadResult::WouldBlock => Break(DriveResult::Readable),
            ReadResult::Closed(why) => {
                tracing::debug!("closed: {why}");
                connection.records.set_cause(why);
                Break(DriveResult::Close)
            }
        }
    }

    /// Records when the bytes of a read had arrived. The first read of a turn may return bytes from before the turn;
    /// later reads return only newer bytes.
    fn record_arrival(&mut self, service: &Service) {
        let now = service.clock.tick();
        self.arrival_began = if self.arrival_ended == 0 { self.arrival_began.min(now) } else { now };
        self.arrival_ended = now;
    }

    /// Responds to the complete requests that have arrived, and sets the phase of the connection.
    fn respond(&mut self, service: &Service, connection: &mut Connection) {
        connection.after_response = AfterResponse::KeepAlive;
        connection.has_waited = false;
        let mut waits = false;
        while connection.after_response == AfterResponse::KeepAlive
            && !connection.send_queue.has_file_part()
            && self.output.len() < MAX_OUTPUT_BYTES
            && connection.records.has_room()
        {
            let mut storage = parse::storage();
            match parse::parse(self.input.unread(), &mut storage, &service.limits) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    let length = message.length;
                    let freshness = Freshness { began: self.arrival_began, now: service.clock.latest() };
                    let output = &mut self.output;
                    if !respond::respond(service, &message, freshness, connection, output, &mut self.scratch) {
                        waits = true;
                        break;
                    }
                    self.input.consume(length);
                    self.arrival_began = self.arrival_began.max(self.arrival_ended);
                }
                Err(refusal) => {
                    if refusal == Refusal::UnknownVersion && parse::lower_version(self.input.unread_mut()) {
                        continue;
                    }
                    let bytes = self.input.unread();
                    respond::reject(service, refusal, bytes, connection, &mut self.output, &mut self.scratch);
                }
            }
        }
        self.set_phase(service, connection, waits);
    }

    /// Sets the phase after the requests that arrived were handled, and the deadline of that phase.
    fn set_phase(&self, service: &Service, connection: &mut Connection, waits: bool) {
        let phase = if !self.output.is_empty() {
            Phase::Sending
        } else if waits {
            Phase::Waiting
        } else if parse::is_blank(self.input.unread()) {
            Phase::Idle
        } else {
            Phase::Head
        };
        match phase {
            // The head timeout begins with the first bytes of a head; later bytes do not extend it.
            Phase::Head if connection.phase == Phase::Idle => {
                connection.deadline_ms = service.timeouts.head(clock::now_ms());
            }
            Phase::Waiting if connection.phase != Phase::Waiting => {
                connection.deadline_ms = service.timeouts.send(clock::now_ms());
            }
            _ => {}
        }
        connection.phase = phase;
    }
}
