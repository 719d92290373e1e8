//! TLS over another transport.
//!
//! Records are read into and written from buffers of the thread, so that an idle connection has none. Only what cannot be
//! processed yet stays with the connection: an incomplete record, content that nobody has read, and records that the
//! client has to receive first.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::Result;
use nix::errno::Errno;

use super::{TLS_HANDSHAKE, Transport};
use crate::os::sys;
use crate::site::File;
use crate::tls::Server;
use crate::tls::session::{Buffers, Failure, MAX_CONTENT, MAX_RECORD, Properties, RecordBuffer, Session, State, Write};

/// The content of the first records of a connection, in bytes: a record fits in one packet. A client can decrypt a record
/// only when it is complete, and at first the congestion window permits only some packets for each round trip.
const FIRST_CONTENT: usize = 1_370;

/// The number of these records: those of the first two round trips (RFC 6928: 10 packets, then 20).
const FIRST_RECORDS: u8 = 30;

/// The maximum content that is encrypted before it is sent, in bytes.
const BATCH: usize = 4 * MAX_CONTENT;

/// TLS over `wire`.
#[derive(Debug)]
pub struct Tls {
    wire: Transport,
    /// None until the first byte has arrived, and after it was found not to be TLS.
    session: Option<Session>,
    mode: Mode,
    /// The beginning of a record that is incomplete.
    incoming: Vec<u8>,
    /// Content that is not read yet.
    content: Vec<u8>,
    /// Records that are not sent yet, from `outgoing_sent` on.
    outgoing: Vec<u8>,
    outgoing_sent: usize,
    /// The length of the content in `outgoing`: accepted once it is sent.
    owed: usize,
    /// The records that may still have [`FIRST_CONTENT`].
    first_records: u8,
    /// Whether the last read has returned all bytes that had arrived.
    has_read_all: bool,
    is_output_closed: bool,
    server: &'static Server,
    properties: Option<Arc<Properties>>,
}

/// The mode of the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The handshake has not ended.
    Handshake,
    /// Content is exchanged.
    Open,
    /// The client has closed its side; `Open` for the output.
    InputClosed,
    /// The client speaks no TLS: bytes pass through unchanged.
    Clear,
    /// The session has failed.
    Failed(Errno),
}

/// The result of an attempt to complete the handshake.
#[derive(Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It is complete, or the transport needs none.
    Done,
    /// It proceeds.
    More,
    /// It waits for the client.
    Readable,
    /// It waits until the client has received more.
    Writable,
    /// The client speaks HTTP without TLS. Its bytes can be read, and the response is sent, without encryption.
    Clear,
    /// The client has closed the connection.
    Closed,
    /// It has failed. The client has an alert, and the output is to be closed.
    Failed(Failure),
}

/// The buffers of a thread.
#[derive(Default)]
struct Scratch {
    input: Vec<u8>,
    file: Vec<u8>,
    records: RecordBuffer,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Tls {
    /// Creates TLS over `wire`, which waits for the handshake of a client.
    pub fn new(wire: Transport, server: &'static Server) -> Self {
        Tls {
            wire,
            session: None,
            mode: Mode::Handshake,
            incoming: Vec::new(),
            content: Vec::new(),
            outgoing: Vec::new(),
            outgoing_sent: 0,
            owed: 0,
            first_records: FIRST_RECORDS,
            has_read_all: false,
            is_output_closed: false,
            server,
            properties: None,
        }
    }

    /// Returns the properties of the session after the handshake.
    pub fn properties(&self) -> Option<&Arc<Properties>> {
        self.properties.as_ref()
    }

    /// Continues the handshake with the bytes that have arrived.
    pub fn handshake(&mut self) -> Handshake {
        if self.mode != Mode::Handshake {
            return Handshake::Done;
        }
        match self.flush(false) {
            Ok(()) => {}
            Err(Errno::EAGAIN) => return Handshake::Writable,
            Err(Errno::EINTR) => return Handshake::More,
            Err(_) => return Handshake::Closed,
        }
        if let Some(properties) = self.session.as_mut().and_then(Session::take_properties) {
            self.properties = Some(Arc::new(properties));
            let has_ended = self.session.as_ref().is_some_and(Session::has_peer_closed);
            self.mode = if has_ended { Mode::InputClosed } else { Mode::Open };
            return Handshake::Done;
        }
        SCRATCH.with_borrow_mut(|scratch| self.receive_handshake(scratch))
    }

    fn receive_handshake(&mut self, scratch: &mut Scratch) -> Handshake {
        let received = match self.receive(scratch) {
            Ok(0) => return Handshake::Closed,
            Ok(length) => length,
            Err(Errno::EAGAIN) => return Handshake::Readable,
            Err(Errno::EINTR) => return Handshake::More,
            Err(_) => return Handshake::Closed,
        };
        let length = self.incoming.len() + received;
        let input = &mut scratch.input[..length];
        if self.session.is_none() {
            match input[0] {
                TLS_HANDSHAKE => {}
                // A method, or an empty line before one.
                b'A'..=b'Z' | b'a'..=b'z' | b'\r' | b'\n' => {
                    (self.mode, self.content) = (Mode::Clear, input.to_vec());
                    return Handshake::Clear;
                }
                _ => return self.fail(Failure::NotTls, &mut scratch.records),
            }
            match Session::new(self.server) {
                Ok(session) => self.session = Some(session),
                Err(failure) => return self.fail(failure, &mut scratch.records),
            }
        }
        let Some(session) = &mut self.session else { return Handshake::Closed };
        scratch.records.clear();
        if let Err(failure) = session.count_received(received, &mut scratch.records) {
            return self.fail(failure, &mut scratch.records);
        }
        let content = &mut self.content;
        let mut buffers =
            Buffers { input, content: |bytes: &[u8]| content.extend_from_slice(bytes), output: &mut scratch.records };
        let (used, result) = session.process(&mut buffers, Write::Nothing);
        self.incoming = scratch.input[used..length].to_vec();
        match result {
            Err(failure) => self.fail(failure, &mut scratch.records),
            Ok(_) => {
                self.outgoing.extend_from_slice(scratch.records.bytes());
                Handshake::More
            }
        }
    }

    /// Sends the alert in `records` as far as that is possible without waiting.
    fn fail(&mut self, failure: Failure, records: &mut RecordBuffer) -> Handshake {
        if self.flush(true).is_ok() {
            let _ = self.wire.write(records.bytes(), true);
        }
        self.mode = Mode::Failed(Errno::EPROTO);
        (self.session, self.incoming, self.content, self.outgoing) = Default::default();
        Handshake::Failed(failure)
    }

    /// Receives behind the incomplete record, which is copied to the buffer of the thread. Returns the number of bytes
    /// that have arrived.
    fn receive(&mut self, scratch: &mut Scratch) -> Result<usize> {
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
    fn flush(&mut self, more: bool) -> Result<()> {
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

    pub fn is_writable(&self) -> bool {
        self.wire.is_writable()
    }

    pub fn set_cork(&mut self, is_corked: bool) -> bool {
        self.wire.set_cork(is_corked)
    }

    /// Tells the client that no content follows (close_notify, RFC 8446 §6.1), as far as that is possible without waiting.
    /// Without it, a client has to assume that something has truncated the connection.
    pub fn end_output(&mut self) {
        let is_open = matches!(self.mode, Mode::Open | Mode::InputClosed);
        if !is_open || std::mem::replace(&mut self.is_output_closed, true) || !self.outgoing.is_empty() {
            return;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.records.clear();
            if self.encrypt(Write::End, &mut scratch.records).is_ok() {
                // The end of the connection follows.
                let _ = self.wire.write(scratch.records.bytes(), true);
            }
        });
    }

    pub fn close_output(&mut self) {
        self.end_output();
        self.is_output_closed = true;
        self.wire.close_output();
    }

    pub fn shutdown(&mut self) {
        self.wire.shutdown();
    }

    pub fn bytes_written(&self) -> u64 {
        self.wire.bytes_written()
    }

    pub fn bytes_acknowledged(&self) -> u64 {
        self.wire.bytes_acknowledged()
    }
}

impl AsFd for Tls {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

/// The error of a write after `accepted` bytes. The next write returns it if some were accepted.
fn or_error(accepted: usize, errno: Errno) -> Result<usize> {
    if accepted > 0 { Ok(accepted) } else { Err(errno) }
}
