//! TLS over another transport.
//!
//! Records are read into and written from buffers of the thread, so that an idle connection has none. Only what cannot be
//! processed yet stays with the connection: an incomplete record, content that nobody has read, and records that the
//! client has to receive first.

mod handshake;
mod receive;
mod send;

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::errno::Errno;

use super::Transport;
use crate::http::Authority;
use crate::tls::session::Session;
use crate::tls::{Properties, RecordBuffer, Server};

pub use handshake::Handshake;
use send::FIRST_RECORDS;

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

    /// Returns what is below.
    pub fn wire(&mut self) -> &mut Transport {
        &mut self.wire
    }

    /// Returns whether the certificate of the connection does not have the host of `authority`, and another one does. A
    /// client may use a connection for every name of its certificate (RFC 9113 §9.1.1).
    pub fn is_misdirected(&self, authority: Authority) -> bool {
        let certificate = self.properties.as_ref().and_then(|properties| properties.certificate.as_ref());
        let Some(certificate) = certificate else { return false };
        let host = authority.host_str();
        !certificate.covers(host) && self.server.store().covers(host)
    }

    /// Returns the properties of the session after the handshake.
    pub fn properties(&self) -> Option<&Arc<Properties>> {
        self.properties.as_ref()
    }

    pub fn is_writable(&self) -> bool {
        self.wire.is_writable()
    }

    pub fn set_cork(&mut self, is_corked: bool) -> bool {
        self.wire.set_cork(is_corked)
    }

    pub fn limit_unsent(&mut self, bytes: i32) {
        self.wire.limit_unsent(bytes);
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
