//! The TLS state of a connection: it converts records into content and back, and does no I/O.

use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{Error, HandshakeKind, ProtocolVersion};

use super::failure::Failure;
use super::hello_header::HelloHeader;
use super::properties::{Properties, VERSION_12, VERSION_13};
use super::records::RecordBuffer;
use super::selection::{Selected, Selection};
use super::store::NoCertificate;
use super::{Server, provider};

/// The maximum length of a record, in bytes: header, content, and what TLS 1.2 allows for encryption (RFC 5246 §6.2.3).
pub const MAX_RECORD: usize = 5 + MAX_CONTENT + 2048;

/// The maximum content of a record, in bytes (RFC 8446 §5.1).
pub const MAX_CONTENT: usize = 16 * 1024;

/// The maximum length of the client's first flight, in bytes with the headers of its records. A hello with post-quantum
/// keys has less than 2 KiB.
pub const MAX_HELLO: usize = 16 * 1024;

/// The maximum length of all flights of the client in a handshake, in bytes: a hello, another one after a
/// HelloRetryRequest, and what ends the handshake.
const MAX_HANDSHAKE: usize = 2 * MAX_HELLO;

/// The maximum length of the records without content after the handshake, in bytes, since the last one with content. rustls
/// limits successive empty records, and KeyUpdates since the last record for the application, even if that is empty: a
/// client that alternates these has no limit there.
const MAX_WITHOUT_CONTENT: usize = 4 * 1024;

/// A fatal alert without encryption: unrecognized_name (RFC 6066 §3). rustls sends access_denied in its place.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The same: handshake_failure (RFC 8446 §6.2), for a client that supports the signature of no certificate.
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

/// The same: decode_error, for a hello that is too long.
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// The type of a record with messages of a handshake.
const RECORD_OF_HANDSHAKE: u8 = 22;

/// The TLS state of a connection.
pub struct Session {
    connection: UnbufferedServerConnection,
    /// During the handshake.
    handshake: Option<Handshake>,
    has_peer_closed: bool,
    /// The length of the records since the last one with content, in bytes.
    without_content: usize,
}

struct Handshake {
    selection: Arc<Selection>,
    /// The bytes that have arrived.
    received: usize,
    header: HelloHeader,
    /// Whether the server has replied to a complete hello.
    has_replied: bool,
}

/// What a session does after its input was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The handshake needs more input.
    Handshaking,
    /// Content can be exchanged.
    Established,
    /// The client has closed its side.
    Closed,
}

/// The input and output of a call.
pub struct Buffers<'b, F> {
    /// Records of the client; the last one may be incomplete.
    pub input: &'b mut [u8],
    /// Receives the content of records.
    pub content: F,
    /// Receives records for the client.
    pub output: &'b mut RecordBuffer,
}

/// What to encrypt.
#[derive(Debug, Clone, Copy)]
pub enum Write<'c> {
    /// Nothing.
    Nothing,
    /// Content of one record: at most [`MAX_CONTENT`].
    Content(&'c [u8]),
    /// The end of the output (close_notify).
    End,
}

impl Session {
    /// Creates a session that waits for a ClientHello.
    pub fn new(server: &Server) -> Result<Self, Failure> {
        let selection = Arc::new(Selection::new(server.store()));
        let connection = UnbufferedServerConnection::new(server.config(&selection)).map_err(|_| Failure::Internal)?;
        Ok(Session {
            connection,
            handshake: Some(Handshake { selection, received: 0, header: HelloHeader::default(), has_replied: false }),
            has_peer_closed: false,
            without_content: 0,
        })
    }

    /// Counts bytes that have arrived during the handshake. Fails if there are too many, or if the hello announces too many.
    pub fn count_received(&mut self, received: &[u8], output: &mut RecordBuffer) -> Result<(), Failure> {
        let Some(handshake) = &mut self.handshake else { return Ok(()) };
        handshake.received += received.len();
        let is_announced = handshake.header.message_length(received).is_some_and(|length| length > MAX_HELLO);
        if is_announced || handshake.received > if handshake.has_replied { MAX_HANDSHAKE } else { MAX_HELLO } {
            // After a reply, records are encrypted, and the connection is closed without an alert.
            if !handshake.has_replied {
                output.append(&DECODE_ERROR);
            }
            return Err(Failure::LargeHello);
        }
        Ok(())
    }

    /// Returns whether another session can process `input` in place of this one, after the key of the certificate was unknown:
    /// it is the whole hello in one record, and the client has nothing yet. A hello in several records was moved together by
    /// rustls, and after a HelloRetryRequest the client expects this session.
    pub fn is_replaceable(&self, input: &[u8]) -> bool {
        let handshake = self.handshake.as_ref().filter(|handshake| !handshake.has_replied);
        handshake.is_some_and(|handshake| handshake.received == input.len()) && is_hello_in_one_record(input)
    }

    /// Processes input, then encrypts `write` if the session is established. Returns the length of the input that is to be
    /// removed. After a failure, the output contains the alert for the client.
    pub fn process<F: FnMut(&[u8])>(
        &mut self,
        buffers: &mut Buffers<F>,
        mut write: Write,
    ) -> (usize, Result<State, Failure>) {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut buffers.input[used..]);
            let mut end = None;
            let (mut consumed, mut has_content) = (discard, false);
            match state {
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(Ok(record)) = records.next_record() {
                        (buffers.content)(record.payload);
                        consumed += record.discard;
                        has_content |= !record.payload.is_empty();
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut record)) => {
                    if let Err(EncodeError::InsufficientSize(error)) = record.encode(&mut []) {
                        let length = record.encode(buffers.output.spare(error.required_size)).unwrap_or(0);
                        buffers.output.filled(length);
                    }
                }
                // The buffer is sent by the caller.
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => match std::mem::replace(&mut write, Write::Nothing) {
                    Write::Nothing => end = Some(Ok(State::Established)),
                    write => {
                        end = Some(encrypt(&mut traffic, write, buffers.output).map(|()| State::Established));
                    }
                },
                Ok(ConnectionState::PeerClosed) => self.has_peer_closed = true,
                Ok(ConnectionState::Closed) => end = Some(Ok(State::Closed)),
                // There is no early data, as the configuration permits none.
                Ok(_) => end = Some(Ok(State::Handshaking)),
                Err(error) => end = Some(Err(self.fail(error, buffers.output))),
            }
            used += consumed;
            let is_silent = self.handshake.is_none() && !has_content;
            self.without_content = if is_silent { self.without_content + consumed } else { 0 };
            if self.without_content > MAX_WITHOUT_CONTENT {
                end = Some(Err(Failure::Malformed));
            }
            if let Some(result) = end {
                return (used, result.map(|state| self.end_turn(state, buffers.output)));
            }
        }
    }

    /// Returns whether the handshake has ended.
    pub fn is_established(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// Returns whether the client has closed its side (close_notify).
    pub fn has_peer_closed(&self) -> bool {
        self.has_peer_closed
    }

    /// Returns the properties of the session, once: after the handshake.
    pub fn take_properties(&mut self) -> Option<Properties> {
        let handshake = self.handshake.take_if(|_| !self.connection.is_handshaking())?;
        let selected = handshake.selection.take();
        let (name, certificate) =
            selected.map_or((None, None), |Selected { name, certificate }| (name, certificate.ok()));
        let connection = &self.connection;
        let group = connection.negotiated_key_exchange_group().and_then(|group| group.name().as_str());
        Some(Properties {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => VERSION_13,
                _ => VERSION_12,
            },
            cipher: connection.negotiated_cipher_suite().map_or("", |cipher| provider::cipher_name(cipher.suite())),
            group: group.unwrap_or_default(),
            name,
            is_http2: connection.alpn_protocol() == Some(super::HTTP2),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate,
        })
    }

    fn end_turn(&mut self, state: State, output: &RecordBuffer) -> State {
        if let Some(handshake) = &mut self.handshake {
            handshake.has_replied |= !output.bytes().is_empty();
        }
        if self.has_peer_closed { State::Closed } else { state }
    }

    /// Appends the alert for `error` to the output. Returns the failure.
    fn fail(&mut self, error: Error, output: &mut RecordBuffer) -> Failure {
        let selected = self.handshake.as_ref().and_then(|handshake| handshake.selection.take());
        let missing = match (&error, selected) {
            // rustls names no reason if there is no certificate.
            (Error::General(_), Some(Selected { certificate: Err(reason), .. })) => Some(reason),
            _ => None,
        };
        match missing {
            Some(NoCertificate::UnknownName) => {
                output.append(&UNRECOGNIZED_NAME);
                return Failure::UnknownName;
            }
            Some(NoCertificate::NoSignatureScheme) => {
                output.append(&HANDSHAKE_FAILURE);
                return Failure::NoCommonParameters;
            }
            None => {}
        }
        // The alert is in the queue of the connection. While there is one, rustls does not access the input.
        while self.connection.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(mut record)) = self.connection.process_tls_records(&mut []).state
            && let Err(EncodeError::InsufficientSize(needed)) = record.encode(&mut [])
        {
            let length = record.encode(output.spare(needed.required_size)).unwrap_or(0);
            output.filled(length);
        }
        Failure::of(&error)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("is_established", &self.is_established()).finish_non_exhaustive()
    }
}

/// Returns whether the first record of `input` has a complete ClientHello.
fn is_hello_in_one_record(input: &[u8]) -> bool {
    let Some((&[RECORD_OF_HANDSHAKE, _, _, high, low], rest)) = input.split_first_chunk() else { return false };
    let record = rest.get(..u16::from_be_bytes([high, low]).into()).unwrap_or_default();
    let Some(&[_, high, middle, low]) = record.first_chunk() else { return false };
    record.len() >= 4 + u32::from_be_bytes([0, high, middle, low]) as usize
}

fn encrypt(
    traffic: &mut WriteTraffic<'_, ServerConnectionData>,
    write: Write,
    output: &mut RecordBuffer,
) -> Result<(), Failure> {
    let mut attempt = |space: &mut [u8]| match write {
        Write::Content(content) => traffic.encrypt(content, space),
        Write::End | Write::Nothing => traffic.queue_close_notify(space),
    };
    let length = match attempt(output.allocated()) {
        Err(EncryptError::InsufficientSize(needed)) => attempt(output.spare(needed.required_size)),
        result => result,
    };
    output.filled(length.map_err(|_| Failure::Internal)?);
    Ok(())
}
