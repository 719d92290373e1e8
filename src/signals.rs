//! Signals as something to read: blocked everywhere, delivered by signalfd(2) to the one loop that waits for them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that a process listens to.
#[derive(Debug)]
pub struct Signals(SignalFd);

/// What the supervisor listens to.
pub const FOR_SUPERVISOR: [Signal; 9] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGCHLD,
    // What other servers take for orders: to reopen logs, to upgrade, to add or end a worker. By default each ends or stops
    // a process.
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// What a worker listens to.
pub const FOR_WORKER: [Signal; 2] = [Signal::SIGTERM, Signal::SIGINT];

/// Blocks every signal that the supervisor listens to, and so keeps it from ending this process. Call it before all else:
/// one that comes during the start is heard once that is over. Workers and threads inherit it; what a worker does not listen
/// to has no effect on it. A terminal's INT goes to all of them, and tells each the same: the server stops.
pub fn block() -> io::Result<()> {
    set(&FOR_SUPERVISOR).thread_block()?;
    Ok(())
}

/// Gives signals their default effects again, for a process that does not serve.
pub fn unblock() -> io::Result<()> {
    set(&FOR_SUPERVISOR).thread_unblock()?;
    Ok(())
}

impl Signals {
    /// Listens to `signals`, which are blocked.
    pub fn listen(signals: &[Signal]) -> io::Result<Self> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Signals(SignalFd::with_flags(&set(signals), flags)?))
    }

    /// The next signal that has come.
    pub fn next(&self) -> Option<Signal> {
        let info = self.0.read_signal().ok().flatten()?;
        Signal::try_from(info.ssi_signo as i32).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn set(signals: &[Signal]) -> SigSet {
    signals.iter().copied().collect()
}
