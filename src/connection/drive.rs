//! A thread's turn with a connection: everything that can be done for it without waiting.

use super::pending_records::PendingRecords;
use super::read_buffer::ReadBuffer;
use super::respond::{self, Scratch};
use super::send_queue::Progress;
use super::transport::Transport;
use super::{AfterResponse, Connection, Phase, Reading};
use crate::http::Refusal;
use crate::http::h1::parse;
use crate::os::clock;
use crate::service::Service;
use crate::site::Freshness;

/// How often a thread reads or sends for one connection before it looks after the others: no client, however fast,
/// keeps a thread for itself.
const MAX_STEPS: usize = 32;

/// Answers to pipelined requests are sent together up to so many bytes.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// What a thread keeps from one turn to the next.
#[derive(Debug)]
pub struct ConnectionDriver {
    input: ReadBuffer,
    output: Vec<u8>,
    scratch: Scratch,
    /// By this moment the next request had begun to arrive.
    arrival_began: u64,
    /// By this moment all that was read had arrived; 0 as long as nothing was read in this turn.
    arrival_ended: u64,
}

/// What a connection waits for after a turn.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Bytes of the client.
    Readable,
    /// Room for bytes to the client.
    Writable,
    /// Nothing but its next turn: others come first.
    Yield,
    /// That the listing was made which it has asked for.
    Listing,
    /// That the keeper has its file tried again: too many threads are blocked by it.
    Disk,
    /// Nothing any more.
    Close,
}

impl ConnectionDriver {
    /// A desk for reading requests of up to `request_bytes`, of the thread at `place` in [`BlockingLimits`](crate::service::blocking::BlockingLimits).
    pub fn new(request_bytes: usize, place: Option<usize>) -> Self {
        ConnectionDriver {
            input: ReadBuffer::new(request_bytes),
            output: Vec::new(),
            scratch: Scratch::new(place),
            arrival_began: 0,
            arrival_ended: 0,
        }
    }

    /// Goes on with `connection` where it stopped, until it has to wait. What it waited for had happened by `moment`.
    pub fn drive(&mut self, service: &Service, connection: &mut Connection, moment: u64) -> Next {
        (self.arrival_began, self.arrival_ended) = (moment, 0);
        connection.waits_for_disk = false;
        self.input.load(&connection.input);
        self.output.clear();
        if !connection.output.is_empty() {
            self.output = std::mem::take(&mut connection.output);
        }
        let wait = match connection.phase {
            Phase::Sending
                if connection.send_queue.has_file_part() && self.exceeds_blocking_limit(service, connection) =>
            {
                connection.waits_for_disk = true;
                connection.wait_for_client(service.timeouts.send(clock::now_ms()));
                Next::Disk
            }
            _ => self.advance(service, connection),
        };
        connection.last_read_at = connection.last_read_at.max(self.arrival_ended);
        if wait != Next::Close {
            connection.input = self.input.unread().to_vec();
            if connection.phase == Phase::Sending {
                connection.output = std::mem::take(&mut self.output);
            }
        }
        wait
    }

    /// Answers a client that may have no further connection, as far as that goes without waiting.
    pub fn reject(&mut self, transport: &mut Transport, records: PendingRecords) {
        self.input.clear();
        // What has come is read, lest a reset destroy the answer.
        let length = transport.read(self.input.spare()).unwrap_or(0);
        self.input.filled(length);
        self.output.clear();
        respond::reject_connection(self.input.unread(), records, &mut self.output, &mut self.scratch, |answer| {
            transport.write(answer, false).unwrap_or(0)
        });
    }

    /// Whether going on with a file would be one thread too many that it blocks; if not, it may block this one.
    fn exceeds_blocking_limit(&self, service: &Service, connection: &Connection) -> bool {
        let now_ms = clock::now_ms();
        let (place, subject) = (self.scratch.handler.slot, connection.subject);
        service.blocking.begin(place, subject, now_ms);
        let is_blocked = service.pool.is_over_half() && service.blocking.exceeded(subject, now_ms).is_some();
        if is_blocked {
            service.blocking.end(place);
        }
        is_blocked
    }

    fn advance(&mut self, service: &Service, connection: &mut Connection) -> Next {
        let mut is_readable = true;
        for _ in 0..MAX_STEPS {
            match connection.phase {
                Phase::Sending => match connection.send(&mut self.output) {
                    Progress::More => {}
                    Progress::Yield => break,
                    Progress::Blocked => {
                        connection.wait_for_client(service.timeouts.send(clock::now_ms()));
                        return Next::Writable;
                    }
                    Progress::PeerGone(why) => {
                        connection.report_aborted(why);
                        return Next::Close;
                    }
                    Progress::SourceFailed(why) => {
                        connection.report_failure(service, why);
                        return Next::Close;
                    }
                    Progress::Done => {
                        self.output.clear();
                        match connection.after_response {
                            AfterResponse::KeepAlive => {
                                connection.phase = Phase::Idle;
                                connection.deadline_ms = service.timeouts.idle(connection.last_response_ms());
                            }
                            AfterResponse::Close if self.input.unread().is_empty() && !connection.has_waited => {
                                return Next::Close;
                            }
                            AfterResponse::Close | AfterResponse::LingeringClose => {
                                connection.linger(service.timeouts.linger(clock::now_ms()));
                            }
                        }
                    }
                },
                Phase::Lingering => {
                    self.input.clear();
                    match connection.read(&mut self.input) {
                        Reading::End(_) => return Next::Close,
                        Reading::Nothing => return Next::Readable,
                        Reading::All | Reading::Part => {}
                    }
                }
                Phase::Idle | Phase::Head | Phase::Waiting => {
                    self.respond(service, connection);
                    if connection.phase == Phase::Waiting {
                        return Next::Listing;
                    }
                    if connection.phase == Phase::Sending {
                        continue;
                    }
                    if !is_readable {
                        return Next::Readable;
                    }
                    let reading = connection.read(&mut self.input);
                    self.record_arrival(service);
                    match reading {
                        Reading::Part => {}
                        Reading::All => is_readable = false,
                        Reading::Nothing => return Next::Readable,
                        Reading::End(why) => {
                            tracing::debug!("closed: {why}");
                            connection.records.set_cause(why);
                            return Next::Close;
                        }
                    }
                }
            }
        }
        if connection.phase == Phase::Sending {
            connection.wait_for_client(service.timeouts.send(clock::now_ms()));
        }
        Next::Yield
    }

    /// Of what the first reading of a turn brought, the beginning had arrived before; of further ones, nothing.
    fn record_arrival(&mut self, service: &Service) {
        let now = service.clock.tick();
        self.arrival_began = if self.arrival_ended == 0 { self.arrival_began.min(now) } else { now };
        self.arrival_ended = now;
    }

    /// Answers the requests that have arrived whole, and says what the connection now does.
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
        let phase = if !self.output.is_empty() {
            Phase::Sending
        } else if waits {
            Phase::Waiting
        } else if parse::is_blank(self.input.unread()) {
            Phase::Idle
        } else {
            Phase::Head
        };
        if phase == Phase::Head && connection.phase == Phase::Idle {
            // A head's time runs from its first bytes and is not renewed by those that follow.
            connection.deadline_ms = service.timeouts.head(clock::now_ms());
        }
        if phase == Phase::Waiting && connection.phase != Phase::Waiting {
            connection.deadline_ms = service.timeouts.send(clock::now_ms());
        }
        connection.phase = phase;
    }
}
