//! One client's connection: what is left to read, to send and to wait for. It belongs to one thread at a time.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::EpollFlags;
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};

use super::Worker;
use super::input::Input;
use super::notes::{Answer, Notes, Question};
use crate::catalog;
use crate::clients::Seat;
use crate::clock;
use crate::scoreboard::{Counter, Slab};
use crate::site::File;
use crate::sys;

/// How much of a file is sent in one turn, in bytes: others come next.
const SPAN_CHUNK: u64 = 2 * 1024 * 1024;

/// From so many bytes on, what is sent of a file is corked. Else each acknowledgement that comes meanwhile pushes out a packet
/// that is not full; for less, that costs less than the two system calls.
const CORKED: u64 = 256 * 1024;

/// send(2): more follows at once, so a packet that is not full can wait for it. nix does not name it.
const MSG_MORE: MsgFlags = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits for the first byte of a request.
    Idle,
    /// A part of a head has come.
    Head,
    /// An answer is on its way.
    Sending,
    /// The last answer is sent; what the client still sends is dropped, lest a reset destroy the answer on its way
    /// (RFC 9112 §9.6).
    Lingering,
}

/// What follows when everything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The next request.
    Continue,
    /// The end, at once: the client asked for it and has sent nothing more.
    Close,
    /// The end, once the client has ended too.
    Linger,
}

/// How an attempt to move bytes ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// All that there was to do is done.
    Done,
    /// More can be done at once.
    More,
    /// More can be done at once, but others come first.
    Enough,
    /// The client has to do something first.
    Blocked,
    /// The connection is of no use any more. The text says why.
    Broken(&'static str),
    /// The answer cannot be ended, for a fault on this side: a disk that fails, a file that changed. The text says why.
    Failed(String),
}

/// What is still to be sent of a file.
#[derive(Debug)]
pub struct Span {
    /// The file.
    pub file: Arc<File>,
    /// The next byte to send.
    pub offset: u64,
    /// One behind the last byte to send.
    pub end: u64,
    /// Whether a part of the file has been sent, of this span or of one before.
    pub has_begun: bool,
}

/// What follows when a span is sent: the next part of an answer in several.
#[derive(Debug)]
pub struct Part {
    /// The bytes before the span.
    pub head: Vec<u8>,
    /// The span; the end of the answer has none.
    pub span: Option<Span>,
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    /// Dropped first: a client that has seen the end may come again at once.
    _seat: Option<Seat>,
    socket: OwnedFd,
    /// What it is doing.
    pub phase: Phase,
    /// What follows the answer that is on its way.
    pub then: Then,
    /// When its patience ends, in milliseconds of [`clock::now_ms`](crate::clock::now_ms).
    pub deadline_ms: u64,
    /// What epoll reports of it; nothing as long as it does not know it.
    pub watched: EpollFlags,
    /// Whether a read that leaves room may not have taken all: the client's end or urgent data came once.
    pub reads_on: bool,
    /// The moment after the last reading.
    pub received: u64,
    /// While it is parked: what was read and not yet parsed.
    pub input: Vec<u8>,
    /// While it is parked: what is not yet sent.
    pub output: Vec<u8>,
    /// How much of the output is sent.
    pub sent: usize,
    /// What follows the output.
    pub span: Option<Span>,
    /// What follows the span.
    pub parts: VecDeque<Part>,
    /// Requests that were answered on this connection.
    pub requests: u64,
    /// Requests that are answered and not yet wholly sent.
    in_flight: u64,
    /// When the first of these had arrived, or the last answer was sent, in nanoseconds of [`clock::now_ns`].
    since_ns: u64,
    /// Whether the answer that is on its way has had to wait for the client.
    pub has_waited: bool,
    /// Whether only full packets leave.
    is_corked: bool,
    /// Bytes handed to the kernel since it was opened.
    handed: u64,
    /// While it is parked in [`Phase::Sending`]: how many of them the client had taken when its present span of time began.
    taken: u64,
    /// Bytes that were handed to it before the first answer that is on its way.
    handed_before: u64,
    /// What the access log is to be told.
    pub notes: Notes,
    slab: Slab,
}

impl Connection {
    /// A connection that was just accepted, with its seat if its client's are counted.
    pub fn new(socket: OwnedFd, seat: Option<Seat>, deadline_ms: u64, notes: Notes, slab: Slab) -> Self {
        slab.add(Counter::Connections, 1);
        slab.add(Counter::Accepted, 1);
        Connection {
            socket,
            phase: Phase::Idle,
            then: Then::Continue,
            deadline_ms,
            watched: EpollFlags::empty(),
            reads_on: false,
            received: 0,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            span: None,
            parts: VecDeque::new(),
            requests: 0,
            in_flight: 0,
            since_ns: 0,
            has_waited: false,
            is_corked: false,
            handed: 0,
            taken: 0,
            handed_before: 0,
            notes,
            slab,
            _seat: seat,
        }
    }

    /// It waits for its client, and no thread has it.
    pub fn count_parked(&self) {
        self.slab.add(Counter::Parked, 1);
    }

    /// A thread has it again.
    pub fn count_unparked(&self) {
        self.slab.subtract(Counter::Parked, 1);
    }

    /// Reads what is there.
    pub fn read(&self, input: &mut Input) -> Progress {
        let room = input.room();
        let size = room.len();
        match recv(self.as_raw_fd(), room, MsgFlags::empty()) {
            Ok(0) => Progress::Broken("the client ended"),
            Ok(length) => {
                input.filled(length);
                // A read that left room has, but for that, taken all there was.
                if length == size || self.reads_on { Progress::More } else { Progress::Done }
            }
            Err(Errno::EAGAIN) => Progress::Blocked,
            Err(Errno::EINTR) => Progress::More,
            Err(_) => Progress::Broken("the client is gone"),
        }
    }

    /// Sends what is left of `output`, then of the file, and makes the next part the output.
    pub fn send(&mut self, output: &mut Vec<u8>) -> Progress {
        let rest = &output[self.sent..];
        let has_waited = self.has_waited;
        let mut has_had_enough = false;
        let result = if !rest.is_empty() {
            // What follows is the file, or at once the end, whose FIN then needs no packet of its own.
            let more = self.span.is_some() || !self.parts.is_empty() || self.then != Then::Continue;
            let more = if more { MSG_MORE } else { MsgFlags::empty() };
            send(self.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL | more).inspect(|length| self.sent += length)
        } else if let Some(span) = &mut self.span {
            // What comes next must belong to what was said or sent before, if that is more than a moment ago.
            if span.has_begun || has_waited {
                match span.file.is_unchanged() {
                    Ok(true) => {}
                    Ok(false) => return Progress::Failed("it changed while it was sent".into()),
                    Err(refusal) => return Progress::Failed(refusal.to_string()),
                }
            }
            span.has_begun = true;
            let mut offset = span.offset as i64;
            let rest = span.end - span.offset;
            // A rest that is small is not worth a turn of its own.
            let length = if rest < SPAN_CHUNK * 3 / 2 { rest } else { SPAN_CHUNK };
            if rest >= CORKED && !self.is_corked {
                // A unix socket has no packets.
                self.is_corked = sys::set_cork(&self.socket, true).is_ok();
            }
            let result = sendfile(&self.socket, span.file.as_ref(), Some(&mut offset), length as usize);
            if result == Ok(0) {
                return Progress::Failed("it became shorter while it was sent".into());
            }
            span.offset += result.unwrap_or(0) as u64;
            has_had_enough = result.is_ok_and(|sent| sent as u64 >= SPAN_CHUNK);
            result
        } else {
            Ok(0)
        };
        match result {
            Ok(length) => {
                self.handed += length as u64;
                self.slab.add(Counter::BytesSent, length as u64);
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return self.stop(errno),
        }
        let rest = self.span.as_ref().map_or(0, |span| span.end - span.offset);
        if self.sent < output.len() || rest > 0 {
            return if has_had_enough { Progress::Enough } else { Progress::More };
        }
        match self.parts.pop_front() {
            Some(part) => {
                *output = part.head;
                self.sent = 0;
                self.span = part.span;
                Progress::More
            }
            None => self.finish_sending(),
        }
    }

    /// What an error in sending means. It may be the client's or the file's, and a file that can be read is not to blame.
    fn stop(&self, errno: Errno) -> Progress {
        let is_clients = || match errno {
            Errno::EAGAIN => !self.has_room(),
            errno => errno == Errno::EPIPE,
        };
        let file = self.span.as_ref().filter(|_| !is_clients());
        match (file.map(|span| span.file.probe(span.offset)), errno) {
            (Some(Err(refusal)), _) => Progress::Failed(refusal.to_string()),
            (Some(Ok(())), Errno::EAGAIN) => Progress::More,
            (None, Errno::EAGAIN) => Progress::Blocked,
            (_, Errno::EPIPE | Errno::ECONNRESET | Errno::ETIMEDOUT) => Progress::Broken("the client is gone"),
            _ => Progress::Failed(std::io::Error::from(errno).to_string()),
        }
    }

    /// Whether the client's side takes more now. If not, the kernel will report that it does.
    fn has_room(&self) -> bool {
        let mut socket = [PollFd::new(self.as_fd(), PollFlags::POLLOUT)];
        poll(&mut socket, PollTimeout::ZERO) != Ok(0)
    }

    fn finish_sending(&mut self) -> Progress {
        self.sent = 0;
        self.span = None;
        // The end of a connection takes the cork out as well, and then the FIN needs no packet of its own.
        if self.is_corked && self.then == Then::Continue {
            self.is_corked = sys::set_cork(&self.socket, false).is_err();
        }
        self.end_answers(true);
        Progress::Done
    }

    /// Begins with a request that has arrived. Requests that came together begin together.
    pub fn begin_answer(&mut self) {
        if self.in_flight == 0 {
            self.since_ns = clock::now_ns();
            self.handed_before = self.handed;
        }
        self.requests += 1;
        self.in_flight += 1;
        self.slab.add(Counter::InFlight, 1);
    }

    /// Counts and notes an answer that is now to be sent.
    pub fn count_answer(&mut self, question: Question, answer: &Answer) {
        self.slab.count_request(question.method(), answer.status);
        self.notes.add(question, self.requests, self.since_ns, answer);
    }

    /// Counts the answers that are now wholly sent, or whose client is gone.
    fn end_answers(&mut self, is_whole: bool) {
        let answers = std::mem::take(&mut self.in_flight);
        if answers > 0 {
            let now_ns = clock::now_ns();
            let duration_ns = now_ns.saturating_sub(self.since_ns);
            self.slab.subtract(Counter::InFlight, answers);
            self.slab.count_answers(answers, duration_ns);
            self.notes.end_answers(self.handed - self.handed_before, is_whole, now_ns, duration_ns);
            self.since_ns = now_ns;
        }
    }

    /// When the last answer was sent, in milliseconds of [`clock::now_ms`].
    pub fn answered_ms(&self) -> u64 {
        self.since_ns / 1_000_000
    }

    /// Begins to wait for a client that has not taken all that was sent. Its time, until `deadline_ms`, runs on from when
    /// this answer first had to wait.
    pub fn wait_for_client(&mut self, deadline_ms: u64) {
        if !self.has_waited {
            self.has_waited = true;
            self.deadline_ms = deadline_ms;
            self.taken = self.taken_so_far();
        }
    }

    /// Gives a client that is waited for another span of time, if it has taken at least `bytes` in the last one, or all
    /// that there was: then it is this side that is slow.
    pub fn renew_patience(&mut self, bytes: u64, deadline_ms: u64) {
        let taken = self.taken_so_far();
        if taken >= self.taken + bytes || taken == self.handed {
            self.taken = taken;
            self.deadline_ms = deadline_ms;
        }
    }

    fn taken_so_far(&self) -> u64 {
        self.handed.saturating_sub(sys::bytes_in_flight(self).unwrap_or(0) as u64)
    }

    /// Whether the client has sent something that is not yet read, or has ended.
    pub fn has_unread(&self) -> bool {
        recv(self.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK) != Err(Errno::EAGAIN)
    }

    /// Tells the client that nothing more will come, and waits until `deadline_ms` that it ends too.
    pub fn linger(&mut self, deadline_ms: u64) {
        // A client that is gone needs no telling.
        let _ = shutdown(self.as_raw_fd(), Shutdown::Write);
        self.phase = Phase::Lingering;
        self.deadline_ms = deadline_ms;
    }

    /// Ends it from this side: whoever has its next turn finds it over.
    pub fn hang_up(&mut self) {
        let _ = shutdown(self.as_raw_fd(), Shutdown::Both);
        self.phase = Phase::Lingering;
        self.deadline_ms = u64::MAX;
    }

    /// Says why an answer could not be ended, once a minute: the fault is on this side.
    pub fn report_failure(&mut self, worker: &Worker, why: String) {
        let Some(span) = self.span.as_ref().filter(|_| worker.complaints.files.is_due()) else {
            return self.report_cut(why);
        };
        let (path, offset) = (span.file.path(), span.offset);
        tracing::warn!(
            message_id = catalog::FILE_FAILED,
            path,
            offset,
            "Cannot send \"{}\" to its end, from byte {offset} on: {why}. Said once a minute.",
            path.escape_debug()
        );
        self.notes.explain(why);
    }

    /// Says why an answer did not arrive whole.
    pub fn report_cut(&mut self, why: impl Into<Cow<'static, str>>) {
        let why = why.into();
        match &self.span {
            Some(span) => tracing::debug!(offset = span.offset, end = span.end, "download cut: {why}"),
            None => tracing::debug!("answer cut: {why}"),
        }
        self.notes.explain(why);
    }

    /// Sends a last answer as far as it goes without waiting.
    pub fn send_last(&mut self, answer: &[u8]) {
        let sent = send(self.as_raw_fd(), answer, MsgFlags::MSG_NOSIGNAL).unwrap_or(0);
        self.handed += sent as u64;
        self.slab.add(Counter::BytesSent, sent as u64);
        self.end_answers(sent == answer.len());
    }

    /// Leaves it to the end of the process, which closes it: the file that it sends may hang in closing.
    pub fn abandon(mut self: Box<Self>, why: &'static str) {
        self.notes.explain(why);
        self.end();
        std::mem::forget(self);
    }

    /// Counts and notes its end.
    fn end(&mut self) {
        self.slab.subtract(Counter::Connections, 1);
        self.end_answers(false);
        if self.requests == 0 {
            self.slab.add(Counter::Unused, 1);
            self.notes.end_unused();
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
        self.socket.as_fd()
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
