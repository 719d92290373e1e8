//! The lifeline between a worker and its supervisor: a socket pair. The worker reports on it that it is ready, and
//! learns from its end of file that the supervisor is gone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

const READY: &[u8] = b"ready";

/// The supervisor's end.
#[derive(Debug)]
pub struct SupervisorEnd(OwnedFd);

/// The worker's end.
#[derive(Debug)]
pub struct WorkerEnd(OwnedFd);

/// Creates both ends. The process that forks must ensure that each side keeps only its own.
pub fn pair() -> io::Result<(SupervisorEnd, WorkerEnd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (supervisor, worker) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    Ok((SupervisorEnd(supervisor), WorkerEnd(worker)))
}

impl SupervisorEnd {
    /// Takes the end of a lifeline that the previous image has created.
    pub fn inherit(descriptor: OwnedFd) -> Self {
        SupervisorEnd(descriptor)
    }

    /// Whether the worker has reported since the last call that it is ready.
    pub fn poll_ready(&self) -> bool {
        let mut message = [0; 16];
        recv(self.0.as_raw_fd(), &mut message, MsgFlags::empty()).is_ok_and(|length| &message[..length] == READY)
    }
}

impl WorkerEnd {
    /// Reports to the supervisor that this worker is ready. A supervisor that is gone is noticed by end of file, not
    /// here.
    pub fn notify_ready(&self) {
        let _ = send(self.0.as_raw_fd(), READY, MsgFlags::MSG_NOSIGNAL);
    }
}

impl AsFd for SupervisorEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Readable once the supervisor is gone, and never before: it sends nothing.
impl AsFd for WorkerEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_reported_once() {
        let (supervisor, worker) = pair().unwrap();
        assert!(!supervisor.poll_ready());
        worker.notify_ready();
        assert!(supervisor.poll_ready());
        assert!(!supervisor.poll_ready());
        drop(worker);
        assert!(!supervisor.poll_ready());
    }
}
