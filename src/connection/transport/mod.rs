//! The transport below a connection: reading and writing bytes.
//!
//! A transport counts bytes on the wire, a connection counts bytes of its responses. With encryption, the two differ.

mod plain;
#[cfg(test)]
pub(super) mod script;
mod tls;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::Result;

use crate::http::Authority;
use crate::site::File;
use crate::tls::{Properties, Server};

use plain::Plain;
pub use tls::Handshake;
use tls::Tls;

/// The first byte of a client that speaks TLS: the type of a handshake record (RFC 8446 §5.1).
pub const TLS_HANDSHAKE: u8 = 22;

/// The transport of a connection. It is an enum instead of a trait object, so that calls are direct.
#[derive(Debug)]
pub enum Transport {
    /// The socket itself.
    Plain(Plain),
    /// TLS over another transport.
    Tls(Box<Tls>),
    /// A script of results, for tests.
    #[cfg(test)]
    Script(script::Script),
}

/// Calls a method of the transport's variant.
macro_rules! each {
    ($transport:expr, $inner:ident => $call:expr) => {
        match $transport {
            Transport::Plain($inner) => $call,
            Transport::Tls($inner) => $call,
            #[cfg(test)]
            Transport::Script($inner) => $call,
        }
    };
}

impl Transport {
    /// Creates a transport without encryption over `socket`, which must not block.
    pub fn plain(socket: OwnedFd) -> Self {
        Transport::Plain(Plain::new(socket))
    }

    /// Creates TLS over `wire`.
    pub fn tls(wire: Transport, server: &'static Server) -> Self {
        Transport::Tls(Box::new(Tls::new(wire, server)))
    }

    /// Returns whether it begins with a handshake.
    pub fn has_handshake(&self) -> bool {
        matches!(self, Transport::Tls(_))
    }

    /// Returns whether a handshake has begun and is not complete.
    pub fn is_handshaking(&self) -> bool {
        matches!(self, Transport::Tls(tls) if tls.is_handshaking())
    }

    /// Continues the handshake as far as that is possible without waiting.
    pub fn handshake(&mut self) -> Handshake {
        match self {
            Transport::Tls(tls) => tls.handshake(),
            _ => Handshake::Done,
        }
    }

    /// Returns the properties of TLS after the handshake.
    pub fn properties(&self) -> Option<&Arc<Properties>> {
        match self {
            Transport::Tls(tls) => tls.properties(),
            _ => None,
        }
    }

    /// Returns whether a request for `authority` belongs on another connection.
    pub fn is_misdirected<'a>(&self, authority: impl FnOnce() -> Option<Authority<'a>>) -> bool {
        match self {
            Transport::Tls(tls) => authority().is_some_and(|authority| tls.is_misdirected(authority)),
            _ => false,
        }
    }

    /// Reads into `buffer`. Returns the number of bytes; 0 if the client has closed its side, EAGAIN if there is
    /// nothing to read.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        each!(self, inner => inner.read(buffer))
    }

    /// Reads what precedes the handshake of TLS into `buffer`.
    pub fn read_wire(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Transport::Tls(tls) => tls.wire().read(buffer),
            wire => wire.read(buffer),
        }
    }

    /// Returns what [`read_wire`](Transport::read_wire) would read, which stays there.
    pub fn peek_wire(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Transport::Plain(plain) => plain.peek(buffer),
            Transport::Tls(tls) => tls.wire().peek_wire(buffer),
            #[cfg(test)]
            Transport::Script(script) => script.peek(buffer),
        }
    }

    /// Returns whether the last read, of `length` bytes into a buffer of `size` bytes, has returned all bytes that had
    /// arrived.
    pub fn has_read_all(&self, length: usize, size: usize) -> bool {
        match self {
            Transport::Tls(tls) => tls.has_read_all(),
            _ => length < size,
        }
    }

    /// Returns whether there is something to read, or the client has closed its side.
    pub fn has_input(&self) -> bool {
        each!(self, inner => inner.has_input())
    }

    /// Writes `bytes`. Returns the number of bytes that were accepted; EAGAIN if the client has to receive first.
    /// `more`: further bytes or the end of the connection follow at once.
    pub fn write(&mut self, bytes: &[u8], more: bool) -> Result<usize> {
        each!(self, inner => inner.write(bytes, more))
    }

    /// Writes up to `length` bytes of `file`, from `offset`. Returns the number of bytes that were accepted; 0 at the
    /// end of the file.
    pub fn write_file(&mut self, file: &File, offset: u64, length: usize) -> Result<usize> {
        each!(self, inner => inner.write_file(file, offset, length))
    }

    /// Returns whether more can be sent to the client at once.
    pub fn is_writable(&self) -> bool {
        each!(self, inner => inner.is_writable())
    }

    /// Holds back packets that are not full, or sends them (tcp(7), TCP_CORK). Returns whether the transport supports
    /// that.
    pub fn set_cork(&mut self, is_corked: bool) -> bool {
        each!(self, inner => inner.set_cork(is_corked))
    }

    /// Lets the kernel accept no more than about `bytes` that it cannot send yet: what is written later can still come before the
    /// rest.
    pub fn limit_unsent(&mut self, bytes: i32) {
        match self {
            Transport::Plain(plain) => plain.limit_unsent(bytes),
            Transport::Tls(tls) => tls.limit_unsent(bytes),
            #[cfg(test)]
            Transport::Script(_) => {}
        }
    }

    /// Tells the client that the output ends here, if the transport can do that. Nothing can be written after it. Returns
    /// whether that is sent; if not, the client has to receive first.
    pub fn end_output(&mut self) -> bool {
        match self {
            Transport::Tls(tls) => tls.end_output(),
            _ => true,
        }
    }

    /// Closes the output. The client can still send.
    pub fn close_output(&mut self) {
        each!(self, inner => inner.close_output());
    }

    /// Shuts down input and output.
    pub fn shutdown(&mut self) {
        each!(self, inner => inner.shutdown());
    }

    /// Returns the bytes that were written to the wire.
    pub fn bytes_written(&self) -> u64 {
        each!(self, inner => inner.bytes_written())
    }

    /// Returns the number of bytes that the client has acknowledged.
    pub fn bytes_acknowledged(&self) -> u64 {
        each!(self, inner => inner.bytes_acknowledged())
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        each!(self, inner => inner.as_fd())
    }
}
