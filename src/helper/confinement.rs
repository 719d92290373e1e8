//! What the helper may do: read the files that it receives, in what the machine has left of processor and disk time.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use super::NAME;
use crate::log;
use crate::os::{landlock, seccomp, signals, sys};

/// The nice value (sched(7)).
const NICE: i32 = 10;

/// Confines this process, which the process `supervisor` has forked: it ends with the supervisor, has no descriptor but those
/// of the log and `queue`, cannot open any path, and has a low priority where that is permitted.
pub fn confine(supervisor: Pid, queue: BorrowedFd) -> io::Result<()> {
    prctl::set_name(NAME)?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != supervisor {
        return Err(io::Error::other("the supervisor has ended"));
    }
    let mut kept: Vec<_> = log::descriptors();
    kept.push(queue.as_raw_fd());
    sys::close_others(&kept)?;
    signals::unblock_term()?;
    landlock::deny_all_paths().map_err(io::Error::other)?;
    if let Err(error) = seccomp::deny_processes_and_connections() {
        tracing::warn!("The helper process can start processes and connect sockets: {error}.");
    }
    // The packaged unit does not permit these calls, which would raise its exposure. The rate limit holds in any case.
    let _ = sys::set_low_priority(NICE);
    Ok(())
}
