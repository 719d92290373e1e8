//! Signals as something to read: blocked everywhere, delivered by signalfd(2) to the one loop that waits for them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that a process listens to.
#[derive(Debug)]
pub struct Signals(SignalFd);

/// Blocks every signal that the supervisor or a worker listens to. Call it before anything is forked or a thread
/// started: both inherit it. A terminal's INT goes to all of them, and tells each the same: the server stops.
pub fn block() -> io::Result<()> {
    set(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD]).thread_block()?;
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
