//! What is on its way to a client: bytes, then a part of a file, and so on by turns.

use std::collections::VecDeque;
use std::sync::Arc;

use nix::errno::Errno;

use super::transport::Transport;
use crate::site::File;

/// How much of a file is sent in one turn, in bytes: others come next.
const QUANTUM_BYTES: usize = 2 * 1024 * 1024;

/// From so many bytes on, what is sent of a file is corked. Else each acknowledgement that comes meanwhile pushes out a packet
/// that is not full; for less, that costs less than the two system calls.
const CORK_FROM_BYTES: usize = 256 * 1024;

/// How an attempt to send ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// All is sent.
    Done,
    /// More can be sent at once.
    More,
    /// More can be sent at once, but others come first.
    Yield,
    /// The client has to make room first.
    Blocked,
    /// The connection is of no use any more. The text says why.
    PeerGone(&'static str),
    /// The answer cannot be ended, for a fault on this side: a disk that fails, a file that changed. The text says why.
    SourceFailed(String),
}

/// What is still to be sent of a file.
#[derive(Debug)]
pub struct FileSlice {
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
pub struct QueuedPart {
    /// The bytes before the span.
    pub head: Vec<u8>,
    /// The span; the end of the answer has none.
    pub slice: Option<FileSlice>,
}

/// How far the output of a connection is sent, and what follows it.
#[derive(Debug, Default)]
pub struct SendQueue {
    /// How much of the output is sent.
    sent: usize,
    /// What follows the output.
    pub slice: Option<FileSlice>,
    /// What follows the span.
    pub parts: VecDeque<QueuedPart>,
    /// Whether only full packets leave.
    is_corked: bool,
}

impl SendQueue {
    /// Whether anything follows the output.
    pub fn has_file_part(&self) -> bool {
        self.slice.is_some() || !self.parts.is_empty()
    }

    /// Sends what is left of `output`, then of the span, and makes the next part the output; tells how many bytes went out.
    /// `is_last`: the end of the connection follows at once. `has_waited`: what was sent before is more than a moment ago.
    pub fn send(
        &mut self,
        transport: &mut Transport,
        output: &mut Vec<u8>,
        is_last: bool,
        has_waited: bool,
    ) -> (usize, Progress) {
        let rest = &output[self.sent..];
        let attempt = if rest.is_empty() {
            self.send_file(transport, has_waited)
        } else {
            self.send_bytes(transport, rest, is_last)
        };
        let sent = match attempt {
            Ok(sent) => sent,
            Err(progress) => return (0, progress),
        };
        if self.sent < output.len() || self.slice.as_ref().is_some_and(|span| span.offset < span.end) {
            return (sent, if sent < QUANTUM_BYTES { Progress::More } else { Progress::Yield });
        }
        self.sent = 0;
        let Some(part) = self.parts.pop_front() else {
            self.slice = None;
            // The end of a connection takes the cork out as well, and then its FIN needs no packet of its own.
            if self.is_corked && !is_last {
                self.is_corked = !transport.set_cork(false);
            }
            return (sent, Progress::Done);
        };
        *output = part.head;
        self.slice = part.slice;
        (sent, Progress::More)
    }

    fn send_bytes(&mut self, transport: &mut Transport, bytes: &[u8], is_last: bool) -> Result<usize, Progress> {
        // What follows is the file, or at once the end, whose FIN then needs no packet of its own.
        let sent = transport.write(bytes, is_last || self.has_file_part());
        self.sent += sent.unwrap_or(0);
        sent.map_err(|errno| self.classify(transport, errno))
    }

    fn send_file(&mut self, transport: &mut Transport, has_waited: bool) -> Result<usize, Progress> {
        let Some(span) = &mut self.slice else { return Ok(0) };
        // What comes next must belong to what was said or sent before, if that is more than a moment ago.
        if span.has_begun || has_waited {
            match span.file.is_unchanged() {
                Ok(true) => {}
                Ok(false) => return Err(Progress::SourceFailed("it changed while it was sent".into())),
                Err(refusal) => return Err(Progress::SourceFailed(refusal.to_string())),
            }
        }
        span.has_begun = true;
        let rest = (span.end - span.offset) as usize;
        if rest >= CORK_FROM_BYTES && !self.is_corked {
            self.is_corked = transport.set_cork(true);
        }
        // A rest that is small is not worth a turn of its own.
        let length = if rest < QUANTUM_BYTES * 3 / 2 { rest } else { QUANTUM_BYTES };
        match transport.write_file(&span.file, span.offset, length) {
            Ok(0) => Err(Progress::SourceFailed("it became shorter while it was sent".into())),
            Ok(sent) => {
                span.offset += sent as u64;
                Ok(sent)
            }
            Err(errno) => Err(self.classify(transport, errno)),
        }
    }

    /// What an error in sending means. It may be the client's or the file's, and a file that can be read is not to blame.
    fn classify(&self, transport: &Transport, errno: Errno) -> Progress {
        if errno == Errno::EINTR {
            return Progress::More;
        }
        let is_clients = || match errno {
            Errno::EAGAIN => !transport.is_writable(),
            errno => errno == Errno::EPIPE,
        };
        let file = self.slice.as_ref().filter(|_| !is_clients());
        match (file.map(|span| span.file.probe(span.offset)), errno) {
            (Some(Err(refusal)), _) => Progress::SourceFailed(refusal.to_string()),
            (Some(Ok(())), Errno::EAGAIN) => Progress::More,
            (None, Errno::EAGAIN) => Progress::Blocked,
            (_, Errno::EPIPE | Errno::ECONNRESET | Errno::ETIMEDOUT) => Progress::PeerGone("the client is gone"),
            _ => Progress::SourceFailed(std::io::Error::from(errno).to_string()),
        }
    }
}
