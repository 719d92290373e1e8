//! A thread's turn with a connection: everything that can be done for it without waiting.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{MsgFlags, recv, send};

use super::Worker;
use super::connection::{Connection, Phase, Reading, Then};
use super::exchange::{self, Scratch};
use super::input::Input;
use super::notes::Notes;
use super::outgoing::Progress;
use crate::clock;
use crate::http::{Refusal, request};
use crate::site::Asked;

/// How often a thread reads or sends for one connection before it looks after the others: no client, however fast,
/// keeps a thread for itself.
const STEPS: usize = 32;

/// Answers to pipelined requests are sent together up to so many bytes.
const OUTPUT_BYTES: usize = 64 * 1024;

/// What a thread keeps from one turn to the next.
#[derive(Debug)]
pub struct Desk {
    input: Input,
    output: Vec<u8>,
    scratch: Scratch,
    /// By this moment the next request had begun to arrive.
    began: u64,
    /// By this moment all that was read had arrived; 0 as long as nothing was read in this turn.
    received: u64,
}

/// What a connection waits for after a turn.
#[derive(Debug, PartialEq, Eq)]
pub enum Wait {
    /// Bytes of the client.
    Readable,
    /// Room for bytes to the client.
    Writable,
    /// Nothing but its next turn: others come first.
    Turn,
    /// That the listing was made which it has asked for.
    Listing,
    /// That the keeper has its file tried again: too many threads are blocked by it.
    Disk,
    /// Nothing any more.
    Over,
}

impl Desk {
    /// A desk for reading requests of up to `request_bytes`, of the thread at `place` in [`Blocked`](super::blocked::Blocked).
    pub fn new(request_bytes: usize, place: Option<usize>) -> Self {
        Desk {
            input: Input::new(request_bytes),
            output: Vec::new(),
            scratch: Scratch::of(place),
            began: 0,
            received: 0,
        }
    }

    /// Goes on with `connection` where it stopped, until it has to wait. What it waited for had happened by `moment`.
    pub fn serve(&mut self, worker: &Worker, connection: &mut Connection, moment: u64) -> Wait {
        (self.began, self.received) = (moment, 0);
        connection.is_held = false;
        self.input.load(&connection.input);
        self.output.clear();
        if !connection.output.is_empty() {
            self.output = std::mem::take(&mut connection.output);
        }
        let wait = match connection.phase {
            Phase::Sending if connection.outgoing.goes_on() && self.is_blocked(worker, connection) => {
                connection.is_held = true;
                connection.wait_for_client(worker.patience.send(clock::now_ms()));
                Wait::Disk
            }
            _ => self.advance(worker, connection),
        };
        connection.received = connection.received.max(self.received);
        if wait != Wait::Over {
            connection.input = self.input.unread().to_vec();
            if connection.phase == Phase::Sending {
                connection.output = std::mem::take(&mut self.output);
            }
        }
        wait
    }

    /// Answers a client that may have no further connection, as far as that goes without waiting.
    pub fn turn_away(&mut self, socket: &OwnedFd, notes: Notes) {
        self.input.clear();
        // What has come is read, lest a reset destroy the answer.
        let length = recv(socket.as_raw_fd(), self.input.room(), MsgFlags::empty()).unwrap_or(0);
        self.input.filled(length);
        self.output.clear();
        exchange::turn_away(self.input.unread(), notes, &mut self.output, &mut self.scratch, |answer| {
            send(socket.as_raw_fd(), answer, MsgFlags::MSG_NOSIGNAL).unwrap_or(0)
        });
    }

    /// Whether going on with a file would be one thread too many that it blocks; if not, it may block this one.
    fn is_blocked(&self, worker: &Worker, connection: &Connection) -> bool {
        let now_ms = clock::now_ms();
        let (place, subject) = (self.scratch.place, connection.subject);
        worker.blocked.enter(place, subject, now_ms);
        let is_blocked = worker.crew.is_strained() && worker.blocked.is_too_much(subject, now_ms).is_some();
        if is_blocked {
            worker.blocked.leave(place);
        }
        is_blocked
    }

    fn advance(&mut self, worker: &Worker, connection: &mut Connection) -> Wait {
        let mut is_readable = true;
        for _ in 0..STEPS {
            match connection.phase {
                Phase::Sending => match connection.send(&mut self.output) {
                    Progress::More => {}
                    Progress::Enough => break,
                    Progress::Blocked => {
                        connection.wait_for_client(worker.patience.send(clock::now_ms()));
                        return Wait::Writable;
                    }
                    Progress::Broken(why) => {
                        connection.report_cut(why);
                        return Wait::Over;
                    }
                    Progress::Failed(why) => {
                        connection.report_failure(worker, why);
                        return Wait::Over;
                    }
                    Progress::Done => {
                        self.output.clear();
                        match connection.then {
                            Then::Continue => {
                                connection.phase = Phase::Idle;
                                connection.deadline_ms = worker.patience.idle(connection.answered_ms());
                            }
                            Then::Close if self.input.unread().is_empty() && !connection.has_waited => {
                                return Wait::Over;
                            }
                            Then::Close | Then::Linger => {
                                connection.linger(worker.patience.linger(clock::now_ms()));
                            }
                        }
                    }
                },
                Phase::Lingering => {
                    self.input.clear();
                    match connection.read(&mut self.input) {
                        Reading::End(_) => return Wait::Over,
                        Reading::Nothing => return Wait::Readable,
                        Reading::All | Reading::Part => {}
                    }
                }
                Phase::Idle | Phase::Head | Phase::Waiting => {
                    self.answer(worker, connection);
                    if connection.phase == Phase::Waiting {
                        return Wait::Listing;
                    }
                    if connection.phase == Phase::Sending {
                        continue;
                    }
                    if !is_readable {
                        return Wait::Readable;
                    }
                    let reading = connection.read(&mut self.input);
                    self.note_arrival(worker);
                    match reading {
                        Reading::Part => {}
                        Reading::All => is_readable = false,
                        Reading::Nothing => return Wait::Readable,
                        Reading::End(why) => {
                            tracing::debug!("closed: {why}");
                            connection.notes.explain(why);
                            return Wait::Over;
                        }
                    }
                }
            }
        }
        if connection.phase == Phase::Sending {
            connection.wait_for_client(worker.patience.send(clock::now_ms()));
        }
        Wait::Turn
    }

    /// Of what the first reading of a turn brought, the beginning had arrived before; of further ones, nothing.
    fn note_arrival(&mut self, worker: &Worker) {
        let now = worker.moments.next();
        self.began = if self.received == 0 { self.began.min(now) } else { now };
        self.received = now;
    }

    /// Answers the requests that have arrived whole, and says what the connection now does.
    fn answer(&mut self, worker: &Worker, connection: &mut Connection) {
        connection.then = Then::Continue;
        connection.has_waited = false;
        let mut waits = false;
        while connection.then == Then::Continue
            && !connection.outgoing.goes_on()
            && self.output.len() < OUTPUT_BYTES
            && connection.notes.have_room()
        {
            let mut storage = request::storage();
            match request::parse(self.input.unread(), &mut storage, &worker.limits) {
                Ok(None) => break,
                Ok(Some(request)) => {
                    let length = request.length;
                    let asked = Asked { began: self.began, now: worker.moments.latest() };
                    let output = &mut self.output;
                    if !exchange::answer(worker, &request, asked, connection, output, &mut self.scratch) {
                        waits = true;
                        break;
                    }
                    self.input.consume(length);
                    self.began = self.began.max(self.received);
                }
                Err(refusal) => {
                    if refusal == Refusal::UnknownVersion && request::lower_version(self.input.unread_mut()) {
                        continue;
                    }
                    let bytes = self.input.unread();
                    exchange::refuse(worker, &refusal, bytes, connection, &mut self.output, &mut self.scratch);
                }
            }
        }
        let phase = if !self.output.is_empty() {
            Phase::Sending
        } else if waits {
            Phase::Waiting
        } else if request::is_blank(self.input.unread()) {
            Phase::Idle
        } else {
            Phase::Head
        };
        if phase == Phase::Head && connection.phase == Phase::Idle {
            // A head's time runs from its first bytes and is not renewed by those that follow.
            connection.deadline_ms = worker.patience.head(clock::now_ms());
        }
        if phase == Phase::Waiting && connection.phase != Phase::Waiting {
            connection.deadline_ms = worker.patience.send(clock::now_ms());
        }
        connection.phase = phase;
    }
}
