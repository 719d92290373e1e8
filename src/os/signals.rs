//! Signals as events: they are blocked in all threads, and the loop that waits for them reads them from a signalfd(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::libc::{SIGRTMAX, SIGRTMIN};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::os::sys;

/// The signals that a process reads.
#[derive(Debug)]
pub struct Signals(SignalFd);

/// The signals that the supervisor reads.
pub const FOR_SUPERVISOR: [Signal; 9] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGCHLD,
    // Other servers use them to reopen logs, to upgrade, and to add or end a worker. The default action of each ends or
    // stops a process.
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// The signals that a worker reads.
pub const FOR_WORKER: [Signal; 2] = [Signal::SIGTERM, Signal::SIGINT];

/// Signals whose default action ends or stops a process, and which have no meaning for this server: timers that it does
/// not set, notifications of input and output that it does not request, Ctrl-Z in a terminal, a file at its size limit
/// (write(2) also reports that). The signals of faults and of exceeded processor time keep their effects.
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

/// Ignores the signals that have no meaning, in this process and its children.
pub fn ignore_meaningless() {
    let numbers = MEANINGLESS.into_iter().map(|signal| signal as i32).chain(SIGRTMIN()..=SIGRTMAX());
    numbers.for_each(|number| sys::set_signal(number, true));
}

/// Blocks every signal that the supervisor reads, so that none ends this process. Call it first: a signal during the
/// start is handled after it. Workers and threads inherit the mask; a signal that a worker does not read has no effect
/// on it. INT from a terminal goes to all of them, and means the same to each: the server stops.
pub fn block() -> io::Result<()> {
    // If the parent process ignored it, the kernel would reap the children itself, without a report.
    sys::set_signal(Signal::SIGCHLD as i32, false);
    set(&FOR_SUPERVISOR).thread_block()?;
    Ok(())
}

/// Restores the default effects of signals, for a process that does not serve.
pub fn unblock() -> io::Result<()> {
    set(&FOR_SUPERVISOR).thread_unblock()?;
    Ok(())
}

/// Restores the default effect of TERM only: it ends this process.
pub fn unblock_term() -> io::Result<()> {
    set(&[Signal::SIGTERM]).thread_unblock()?;
    Ok(())
}

impl Signals {
    /// Reads `signals`, which are blocked.
    pub fn listen(signals: &[Signal]) -> io::Result<Self> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Signals(SignalFd::with_flags(&set(signals), flags)?))
    }

    /// Returns the next signal.
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
