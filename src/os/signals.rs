//! Signals as something to read: blocked everywhere, delivered by signalfd(2) to the one loop that waits for them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::libc::{SIGRTMAX, SIGRTMIN};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::os::sys;

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

/// What by default ends or stops a process, and means nothing to this server: timers that it does not set, input and output
/// that it does not ask to be told of, a terminal's Ctrl-Z, a file that has reached its limit, which write(2) says as well.
/// Those by which the kernel reports a fault, and that of used-up processor time, keep their effects.
const MEANINGLESS: [Signal; 8] = [
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGIO,
    Signal::SIGPWR,
    Signal::SIGSTKFLT,
    Signal::SIGTSTP,
    Signal::SIGXFSZ,
];

/// Makes what means nothing to a server do nothing, in this process and those that it forks.
pub fn ignore_meaningless() {
    let numbers = MEANINGLESS.into_iter().map(|signal| signal as i32).chain(SIGRTMIN()..=SIGRTMAX());
    numbers.for_each(|number| sys::set_signal(number, true));
}

/// Blocks every signal that the supervisor listens to, and so keeps it from ending this process. Call it before all else:
/// one that comes during the start is heard once that is over. Workers and threads inherit it; what a worker does not listen
/// to has no effect on it. A terminal's INT goes to all of them, and tells each the same: the server stops.
pub fn block() -> io::Result<()> {
    // Whoever has started this process may have ignored it; then the kernel reaps children by itself, and nobody hears of it.
    sys::set_signal(Signal::SIGCHLD as i32, false);
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
