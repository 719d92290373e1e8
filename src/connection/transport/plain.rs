//! A socket without encryption: recv(2), send(2) and sendfile(2).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};

use crate::os::sys;
use crate::site::File;

/// send(2): more data follows at once, so a packet that is not full can wait for it. nix does not define this flag.
const MSG_MORE: MsgFlags = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);

/// A socket that does not block.
#[derive(Debug)]
pub struct Plain {
    socket: OwnedFd,
    written: u64,
}

impl Plain {
    /// Wraps a connected socket.
    pub fn new(socket: OwnedFd) -> Self {
        Plain { socket, written: 0 }
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        recv(self.socket.as_raw_fd(), buffer, MsgFlags::empty())
    }

    /// Returns bytes that have arrived, which a later read returns again.
    pub fn peek(&mut self, buffer: &mut [u8]) -> Result<usize> {
        recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_PEEK)
    }

    pub fn has_input(&self) -> bool {
        recv(self.socket.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK) != Err(Errno::EAGAIN)
    }

    pub fn write(&mut self, bytes: &[u8], more: bool) -> Result<usize> {
        let more = if more { MSG_MORE } else { MsgFlags::empty() };
        let result = send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL | more);
        self.written += result.unwrap_or(0) as u64;
        result
    }

    pub fn write_file(&mut self, file: &File, offset: u64, length: usize) -> Result<usize> {
        let result = sendfile(&self.socket, file, Some(&mut (offset as i64)), length);
        self.written += result.unwrap_or(0) as u64;
        result
    }

    pub fn is_writable(&self) -> bool {
        let mut socket = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
        poll(&mut socket, PollTimeout::ZERO) != Ok(0)
    }

    /// A unix socket has no packets to hold back.
    pub fn set_cork(&mut self, is_corked: bool) -> bool {
        sys::set_cork(&self.socket, is_corked).is_ok()
    }

    /// A unix socket has no such limit.
    pub fn limit_unsent(&mut self, bytes: i32) {
        let _ = sys::set_max_unsent(&self.socket, bytes);
    }

    pub fn close_output(&mut self) {
        // If the client has disconnected, there is nothing to shut down.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
    }

    pub fn shutdown(&mut self) {
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }

    pub fn bytes_written(&self) -> u64 {
        self.written
    }

    pub fn bytes_acknowledged(&self) -> u64 {
        self.written.saturating_sub(sys::bytes_in_flight(&self.socket).unwrap_or(0) as u64)
    }
}

impl AsFd for Plain {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
