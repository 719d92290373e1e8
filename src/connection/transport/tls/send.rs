//! Sending: content as records, in batches.

use nix::Result;
use nix::errno::Errno;

use super::{Mode, SCRATCH, Tls};
use crate::os::sys;
use crate::site::File;
use crate::tls::RecordBuffer;
use crate::tls::session::{Buffers, MAX_CONTENT, Write};

/// The content of the first records of a connection, in bytes: a record fits in one packet. A client can decrypt a record
/// only when it is complete, and at first the congestion window permits only some packets for each round trip.
const FIRST_CONTENT: usize = 1_370;

/// The number of these records: those of the first two round trips (RFC 6928: 10 packets, then 20).
pub(super) const FIRST_RECORDS: u8 = 30;

/// The maximum content that is encrypted before it is sent, in bytes.
const BATCH: usize = 4 * MAX_CONTENT;

impl Tls {
    /// Writes content. If the client receives only a part of its records, none of their content is accepted yet: the next
    /// call must be for the same content, and accepts it once the rest is sent.
    pub fn write(&mut self, content: &[u8], more: bool) -> Result<usize> {
        if self.mode == Mode::Clear {
            return self.wire.write(content, more);
        }
        if let Some(accepted) = self.begin_write(more)? {
            return Ok(accepted);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut accepted = 0;
            for batch in content.chunks(BATCH) {
                let more = more || accepted + batch.len() < content.len();
                match self.send_batch(batch, more, &mut scratch.records) {
                    Ok(()) => accepted += batch.len(),
                    Err(errno) => return or_error(accepted, errno),
                }
            }
            Ok(accepted)
        })
    }

    pub fn write_file(&mut self, file: &File, offset: u64, length: usize) -> Result<usize> {
        if self.mode == Mode::Clear {
            return self.wire.write_file(file, offset, length);
        }
        if let Some(accepted) = self.begin_write(true)? {
            return Ok(accepted);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.file.resize(BATCH, 0);
            let mut accepted = 0;
            while accepted < length {
                let size = BATCH.min(length - accepted);
                let result = match sys::read_at(file, &mut scratch.file[..size], offset + accepted as u64, 0) {
                    Ok(0) => return Ok(accepted),
                    Ok(read) => {
                        let more = accepted + read < length;
                        self.send_batch(&scratch.file[..read], more, &mut scratch.records).map(|()| read)
                    }
                    Err(errno) => Err(errno),
                };
                match result {
                    Ok(sent) => accepted += sent,
                    Err(errno) => return or_error(accepted, errno),
                }
            }
            Ok(accepted)
        })
    }

    /// Sends the records of an earlier write. Returns the content that is accepted by that.
    fn begin_write(&mut self, more: bool) -> Result<Option<usize>> {
        match self.mode {
            Mode::Open | Mode::InputClosed if !self.is_output_closed => {}
            Mode::Failed(errno) => return Err(errno),
            _ => return Err(Errno::EPIPE),
        }
        self.flush(more)?;
        let owed = std::mem::take(&mut self.owed);
        Ok((owed > 0).then_some(owed))
    }

    /// Encrypts and sends `content`. If not all of it is sent, the rest stays in `outgoing`.
    fn send_batch(&mut self, mut content: &[u8], more: bool, records: &mut RecordBuffer) -> Result<()> {
        records.clear();
        let length = content.len();
        while !content.is_empty() {
            let is_first = self.first_records > 0;
            self.first_records -= u8::from(is_first);
            let (record, rest) =
                content.split_at(content.len().min(if is_first { FIRST_CONTENT } else { MAX_CONTENT }));
            self.encrypt(Write::Content(record), records)?;
            content = rest;
        }
        let (sent, errno) = match self.wire.write(records.bytes(), more) {
            Ok(sent) if sent == records.bytes().len() => return Ok(()),
            Ok(sent) => (sent, Errno::EAGAIN),
            Err(errno) => (0, errno),
        };
        if !matches!(errno, Errno::EAGAIN | Errno::EINTR) {
            // The records are lost, so that the client could not decrypt any later ones.
            self.mode = Mode::Failed(errno);
            return Err(errno);
        }
        self.outgoing = records.bytes()[sent..].to_vec();
        self.owed = length;
        Err(errno)
    }

    fn encrypt(&mut self, write: Write, records: &mut RecordBuffer) -> Result<()> {
        let session = self.session.as_mut().ok_or(Errno::EPROTO)?;
        let content = &mut self.content;
        let mut buffers = Buffers {
            input: &mut self.incoming,
            content: |bytes: &[u8]| content.extend_from_slice(bytes),
            output: records,
        };
        let (used, result) = session.process(&mut buffers, write);
        self.incoming.drain(..used);
        if result.is_err() {
            self.mode = Mode::Failed(Errno::EPROTO);
            return Err(Errno::EPROTO);
        }
        Ok(())
    }

    /// Sends the records that are not sent yet.
    pub(super) fn flush(&mut self, more: bool) -> Result<()> {
        while self.outgoing_sent < self.outgoing.len() {
            match self.wire.write(&self.outgoing[self.outgoing_sent..], more) {
                Ok(sent) => self.outgoing_sent += sent,
                Err(errno) => {
                    if !matches!(errno, Errno::EAGAIN | Errno::EINTR) {
                        self.mode = Mode::Failed(errno);
                    }
                    return Err(errno);
                }
            }
        }
        (self.outgoing, self.outgoing_sent) = (Vec::new(), 0);
        Ok(())
    }

    /// Tells the client that no content follows (close_notify, RFC 8446 §6.1). Without it, a client has to assume that something
    /// has truncated the connection. Returns whether that is sent; if not, the client has to receive first.
    pub fn end_output(&mut self) -> bool {
        if !matches!(self.mode, Mode::Open | Mode::InputClosed) {
            return true;
        }
        // While content is owed, the output ends in the middle of a response.
        if !std::mem::replace(&mut self.is_output_closed, true) && self.owed == 0 {
            SCRATCH.with_borrow_mut(|scratch| {
                scratch.records.clear();
                if self.encrypt(Write::End, &mut scratch.records).is_ok() {
                    self.outgoing.extend_from_slice(scratch.records.bytes());
                }
            });
        }
        // The end of the connection follows.
        !matches!(self.flush(true), Err(Errno::EAGAIN | Errno::EINTR))
    }

    pub fn close_output(&mut self) {
        self.end_output();
        self.is_output_closed = true;
        self.wire.close_output();
    }
}

/// Returns the result of a write that has failed after `accepted` bytes. If some were accepted, the next write returns the
/// error.
fn or_error(accepted: usize, errno: Errno) -> Result<usize> {
    if accepted > 0 { Ok(accepted) } else { Err(errno) }
}
