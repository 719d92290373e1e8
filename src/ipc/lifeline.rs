//! The lifeline between a worker and its supervisor: a socket pair. The worker uses it to report that it is ready, and the
//! supervisor to report that a reload has changed who gets what. Each side detects the death of the other by the end of file.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

const READY: &[u8] = b"ready";
const OUTDATED: &[u8] = b"outdated";

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
        has_message(&self.0, READY)
    }

    /// Reports to the worker that its settings of access are not those of the server any more. It stops, and refuses all
    /// further requests. Workers of earlier versions only stop.
    pub fn notify_outdated(&self) {
        let _ = send(self.0.as_raw_fd(), OUTDATED, MsgFlags::MSG_NOSIGNAL);
    }
}

impl WorkerEnd {
    /// Reports to the supervisor that this worker is ready. Errors are ignored: if the supervisor has ended, the worker
    /// detects the end of file.
    pub fn notify_ready(&self) {
        let _ = send(self.0.as_raw_fd(), READY, MsgFlags::MSG_NOSIGNAL);
    }

    /// Returns whether the supervisor has reported that the settings of access are others.
    pub fn is_outdated(&self) -> bool {
        has_message(&self.0, OUTDATED)
    }
}

/// Receives a message, if there is one. Returns whether it is the expected one.
fn has_message(end: &OwnedFd, expected: &[u8]) -> bool {
    let mut message = [0; 16];
    recv(end.as_raw_fd(), &mut message, MsgFlags::empty()).is_ok_and(|length| &message[..length] == expected)
}

impl AsFd for SupervisorEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Readable once the worker is to stop: the supervisor has ended, or reports that the worker is outdated.
impl AsFd for WorkerEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_received_once() {
        let (supervisor, worker) = pair().unwrap();
        assert!(!supervisor.poll_ready());
        worker.notify_ready();
        assert!(supervisor.poll_ready());
        assert!(!supervisor.poll_ready());
        assert!(!worker.is_outdated());
        supervisor.notify_outdated();
        assert!(worker.is_outdated() && !worker.is_outdated());
        drop(worker);
        assert!(!supervisor.poll_ready());
    }
}
