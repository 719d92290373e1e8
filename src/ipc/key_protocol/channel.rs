//! The way of a connection to its worker: the supervisor makes it, and sends it over a socket that the worker inherits.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, socket, socketpair,
};

use super::Role;
use super::frame::Request;
use crate::os::sys;

const FLAGS: SockFlag = SockFlag::SOCK_CLOEXEC.union(SockFlag::SOCK_NONBLOCK);

/// Creates a socket pair that keeps the limits of messages.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, FLAGS)?)
}

/// Connects to the socket of the key process at `path`. Never blocks.
pub fn connect_to(path: &Path) -> io::Result<OwnedFd> {
    let own = socket(AddressFamily::Unix, SockType::SeqPacket, FLAGS, None)?;
    connect(own.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(own)
}

/// Sends the first frame of a connection.
pub fn introduce(connection: BorrowedFd, role: Role, tag: u64) -> io::Result<()> {
    send_frame(connection, &Request::Hello { role, tag }.encode(0))
}

/// Sends a frame. Never blocks.
pub fn send_frame(connection: BorrowedFd, frame: &[u8]) -> io::Result<()> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    nix::sys::socket::send(connection.as_raw_fd(), frame, flags)?;
    Ok(())
}

/// Sends a descriptor over `socket`. Never blocks.
pub fn send_descriptor(socket: BorrowedFd, descriptor: BorrowedFd) -> io::Result<()> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    let control = [ControlMessage::ScmRights(&[descriptor.as_raw_fd()])];
    sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(b"c")], &control, flags, None)?;
    Ok(())
}

/// Receives a descriptor. Returns none at the end of `socket`; fails with [`io::ErrorKind::WouldBlock`] if there is none yet.
pub fn receive_descriptor(socket: &impl AsFd) -> io::Result<Option<OwnedFd>> {
    loop {
        let (length, mut descriptors) = sys::receive_descriptors(socket, &mut [0; 8])?;
        match descriptors.pop() {
            Some(descriptor) => return Ok(Some(descriptor)),
            None if length == 0 => return Ok(None),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_arrives_at_the_other_end() {
        let (own, theirs) = pair().unwrap();
        assert_eq!(receive_descriptor(&theirs).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let (connection, other) = pair().unwrap();
        send_descriptor(own.as_fd(), connection.as_fd()).unwrap();
        drop(connection);
        let received = receive_descriptor(&theirs).unwrap().unwrap();
        introduce(received.as_fd(), Role::Worker, 5).unwrap();
        let mut frame = [0; 64];
        let length = nix::sys::socket::recv(other.as_raw_fd(), &mut frame, MsgFlags::empty()).unwrap();
        assert_eq!(Request::decode(&frame[..length]), Some((0, Request::Hello { role: Role::Worker, tag: 5 })));
        drop(own);
        assert!(receive_descriptor(&theirs).unwrap().is_none());
    }

    #[test]
    fn a_missing_key_process_is_an_error_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let error = connect_to(&directory.path().join("socket")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
