//! The lifeline between a worker and its supervisor: a socket pair. The worker uses it to report that it is ready. Each
//! side detects the death of the other by the end of file.

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
    /// Takes over the end of a lifeline that the previous image created.
    pub fn inherit(descriptor: OwnedFd) -> Self {
        SupervisorEnd(descriptor)
    }

    /// Returns whether the worker has reported that it is ready since the last call.
    pub fn poll_ready(&self) -> bool {
        let mut message = [0; 16];
        recv(self.0.as_raw_fd(), &mut message, MsgFlags::empty()).is_ok_and(|length| &message[..length] == READY)
    }
}

impl WorkerEnd {
    /// Reports to the supervisor that this worker is ready. Errors are ignored: if the supervisor has ended, the worker
    /// detects the end of file.
    pub fn notify_ready(&self) {
        let _ = send(self.0.as_raw_fd(), READY, MsgFlags::MSG_NOSIGNAL);
    }
}

impl AsFd for SupervisorEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Readable once the supervisor has ended, and never before, since the supervisor sends nothing.
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
