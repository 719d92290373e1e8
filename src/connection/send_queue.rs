//! The send queue: the unsent rest of a connection's responses. It alternates between bytes and slices of files.

use std::collections::VecDeque;
use std::sync::Arc;

use nix::errno::Errno;

use super::transport::Transport;
use crate::site::File;

/// The maximum number of bytes that are sent in one turn; then other connections have their turn.
pub const QUANTUM_BYTES: usize = 2 * 1024 * 1024;

/// The minimum size of a file's content, in bytes, for which the socket is corked (tcp(7), TCP_CORK). Without the cork,
/// each acknowledgement triggers a packet that is not full. Below this size, those packets cost less than the two
/// system calls.
const CORK_FROM_BYTES: usize = 256 * 1024;

/// The result of an attempt to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything is sent.
    Done,
    /// More can be sent at once.
    More,
    /// More can be sent at once, after other connections.
    Yield,
    /// The client has to receive before more can be sent.
    Blocked,
    /// The connection is lost, with the reason.
    PeerGone(&'static str),
    /// The response cannot be completed because of the server, with the reason: the disk fails, or the file has
    /// changed.
    SourceFailed(String),
}

/// A slice of a file that is not completely sent.
#[derive(Debug)]
pub struct FileSlice {
    /// The file.
    pub file: Arc<File>,
    /// The offset of the next byte.
    pub offset: u64,
    /// The offset after the last byte.
    pub end: u64,
    /// Whether bytes of the file were sent, of this slice or of an earlier one.
    pub has_begun: bool,
}

/// The next part of a multipart response, after the current slice.
#[derive(Debug)]
pub struct QueuedPart {
    /// The bytes before the slice.
    pub head: Vec<u8>,
    /// The slice; none at the end of the response.
    pub slice: Option<FileSlice>,
}

/// The progress of sending the output, and the slices and parts after it.
#[derive(Debug, Default)]
pub struct SendQueue {
    /// The number of bytes of the output that are sent.
    sent: usize,
    /// The slice after the output.
    pub slice: Option<FileSlice>,
    /// The parts after the slice.
    pub parts: VecDeque<QueuedPart>,
    /// Whether the socket is corked: packets that are not full are held back.
    is_corked: bool,
}

impl SendQueue {
    /// Returns whether a slice of a file follows the output.
    pub fn has_file_part(&self) -> bool {
        self.slice.is_some() || !self.parts.is_empty()
    }

    /// Sends the rest of `output`, then of the slice, and moves the next part to the output. Returns the number of
    /// bytes sent. `is_last`: the connection ends after this. `has_waited`: sending had to wait for the client before.
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
        if self.sent < output.len() || self.slice.as_ref().is_some_and(|slice| slice.offset < slice.end) {
            return (sent, if sent < QUANTUM_BYTES { Progress::More } else { Progress::Yield });
        }
        self.sent = 0;
        let Some(part) = self.parts.pop_front() else {
            self.slice = None;
            // The end of the connection also uncorks the socket, and sends the FIN with the last packet.
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
        // A slice or the end of the connection follows. So the last packet can also hold its bytes or the FIN.
        let sent = transport.write(bytes, is_last || self.has_file_part());
        self.sent += sent.unwrap_or(0);
        sent.map_err(|errno| self.classify(transport, errno))
    }

    fn send_file(&mut self, transport: &mut Transport, has_waited: bool) -> Result<usize, Progress> {
        let Some(slice) = &mut self.slice else { return Ok(0) };
        // After a wait, the file must still be the version that was described or sent before.
        if slice.has_begun || has_waited {
            match slice.file.is_unchanged() {
                Ok(true) => {}
                Ok(false) => return Err(Progress::SourceFailed("it changed while it was sent".into())),
                Err(refusal) => return Err(Progress::SourceFailed(refusal.to_string())),
            }
        }
        slice.has_begun = true;
        let rest = (slice.end - slice.offset) as usize;
        if rest >= CORK_FROM_BYTES && !self.is_corked {
            self.is_corked = transport.set_cork(true);
        }
        // A small rest is sent in the same turn.
        let length = if rest < QUANTUM_BYTES * 3 / 2 { rest } else { QUANTUM_BYTES };
        match transport.write_file(&slice.file, slice.offset, length) {
            Ok(0) => Err(Progress::SourceFailed("it became shorter while it was sent".into())),
            Ok(sent) => {
                slice.offset += sent as u64;
                Ok(sent)
            }
            Err(errno) => Err(self.classify(transport, errno)),
        }
    }

    /// Classifies an error of sending, which may be an error of the socket or of the file. If the file can be read, it
    /// is of the socket.
    fn classify(&self, transport: &Transport, errno: Errno) -> Progress {
        if errno == Errno::EINTR {
            return Progress::More;
        }
        let is_clients = || match errno {
            Errno::EAGAIN => !transport.is_writable(),
            errno => errno == Errno::EPIPE,
        };
        let file = self.slice.as_ref().filter(|_| !is_clients());
        match (file.map(|slice| slice.file.check_readable(slice.offset)), errno) {
            (Some(Err(refusal)), _) => Progress::SourceFailed(refusal.to_string()),
            (Some(Ok(())), Errno::EAGAIN) => Progress::More,
            (None, Errno::EAGAIN) => Progress::Blocked,
            (_, Errno::EPIPE | Errno::ECONNRESET | Errno::ETIMEDOUT) => Progress::PeerGone("the client disconnected"),
            _ => Progress::SourceFailed(std::io::Error::from(errno).to_string()),
        }
    }
}
