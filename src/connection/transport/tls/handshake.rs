//! The handshake: the first byte decides whether the client speaks TLS.

use std::sync::Arc;

use nix::errno::Errno;

use super::{Mode, SCRATCH, Scratch, Tls};
use crate::connection::transport::TLS_HANDSHAKE;
use crate::tls::session::{Buffers, Session, Write};
use crate::tls::{Failure, RecordBuffer};

/// The most new certificates that a client is given in one handshake. Each is replaced after it was selected.
const MAX_REPLACEMENTS: usize = 3;

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

impl Tls {
    /// Returns whether the handshake has begun and is not complete.
    pub fn is_handshaking(&self) -> bool {
        self.mode == Mode::Handshake && self.session.is_some()
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
        // The records there are those of another connection.
        scratch.records.clear();
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
        if let Err(failure) = session.count_received(&input[length - received..], &mut scratch.records) {
            return self.fail(failure, &mut scratch.records);
        }
        let content = &mut self.content;
        let mut buffers =
            Buffers { input, content: |bytes: &[u8]| content.extend_from_slice(bytes), output: &mut scratch.records };
        let (mut used, mut result) = session.process(&mut buffers, Write::Nothing);
        // The certificate was replaced, and the key process has started since: it knows the new key only. The client has no
        // certificate yet, and gets the new one.
        for _ in 0..MAX_REPLACEMENTS {
            if result != Err(Failure::UnknownKey) || !session.is_replaceable(buffers.input) {
                break;
            }
            self.server.update();
            buffers.output.clear();
            result = Session::new(self.server).and_then(|next| {
                *session = next;
                session.count_received(buffers.input, buffers.output)?;
                let (length, result) = session.process(&mut buffers, Write::Nothing);
                used = length;
                result
            });
        }
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
}
