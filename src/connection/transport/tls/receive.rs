//! Receiving: records from the wire, and their content.

use nix::Result;
use nix::errno::Errno;

use super::{Mode, SCRATCH, Scratch, Tls};
use crate::tls::session::{Buffers, MAX_RECORD, State, Write};

impl Tls {
    /// Receives behind the incomplete record, which is copied to the buffer of the thread. Returns the number of bytes
    /// that have arrived.
    pub(super) fn receive(&mut self, scratch: &mut Scratch) -> Result<usize> {
        scratch.input.resize(MAX_RECORD, 0);
        let begin = self.incoming.len();
        let room = scratch.input.get_mut(begin..).filter(|room| !room.is_empty()).ok_or(Errno::EPROTO)?;
        let size = room.len();
        let length = self.wire.read(room)?;
        scratch.input[..begin].copy_from_slice(&self.incoming);
        self.has_read_all = length < size;
        Ok(length)
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if !self.content.is_empty() {
            return Ok(self.read_content(buffer));
        }
        match self.mode {
            // Input after the last response is discarded.
            _ if self.is_output_closed => self.wire.read(buffer),
            Mode::Handshake => Err(Errno::EAGAIN),
            Mode::InputClosed => Ok(0),
            Mode::Failed(errno) => Err(errno),
            Mode::Clear => {
                let length = self.wire.read(buffer)?;
                self.has_read_all = length < buffer.len();
                Ok(length)
            }
            Mode::Open => SCRATCH.with_borrow_mut(|scratch| self.read_records(buffer, scratch)),
        }
    }

    /// Reads the content that was decrypted before.
    fn read_content(&mut self, buffer: &mut [u8]) -> usize {
        let length = self.content.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.content[..length]);
        self.content.drain(..length);
        if self.content.is_empty() {
            self.content = Vec::new();
        }
        // The socket was not read.
        self.has_read_all = false;
        length
    }

    fn read_records(&mut self, buffer: &mut [u8], scratch: &mut Scratch) -> Result<usize> {
        let received = self.receive(scratch)?;
        if received == 0 {
            return Ok(0);
        }
        let Some(session) = &mut self.session else { return Err(Errno::EPROTO) };
        let length = self.incoming.len() + received;
        let rest = &mut self.content;
        let mut filled = 0;
        let content = |bytes: &[u8]| {
            let direct = bytes.len().min(buffer.len() - filled);
            buffer[filled..filled + direct].copy_from_slice(&bytes[..direct]);
            rest.extend_from_slice(&bytes[direct..]);
            filled += direct;
        };
        scratch.records.clear();
        let mut buffers = Buffers { input: &mut scratch.input[..length], content, output: &mut scratch.records };
        let (used, result) = session.process(&mut buffers, Write::Nothing);
        self.incoming = scratch.input[used..length].to_vec();
        if !scratch.records.bytes().is_empty() {
            // An alert, for example. There are few: rustls limits what makes it respond.
            self.outgoing.extend_from_slice(scratch.records.bytes());
            let _ = self.flush(false);
        }
        match result {
            Ok(State::Closed) => self.mode = Mode::InputClosed,
            Ok(_) => {}
            Err(_) => self.mode = Mode::Failed(Errno::EPROTO),
        }
        self.has_read_all &= self.content.is_empty() && self.mode == Mode::Open;
        match (filled, self.mode) {
            (0, Mode::InputClosed) => Ok(0),
            (0, Mode::Failed(errno)) => Err(errno),
            // An incomplete record, or one without content. More may have arrived since.
            (0, _) => Err(Errno::EINTR),
            (filled, _) => Ok(filled),
        }
    }

    /// Returns whether the last read has returned all bytes that had arrived.
    pub fn has_read_all(&self) -> bool {
        self.has_read_all
    }

    pub fn has_input(&self) -> bool {
        !self.content.is_empty() || self.wire.has_input()
    }
}
