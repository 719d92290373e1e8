//! What the login process may do: read the directories of the files of users, and compare passwords.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use super::NAME;
use crate::log;
use crate::os::{landlock, seccomp, signals, sys};

/// Confines this process, which the process `supervisor` has forked: it ends with the supervisor, has no descriptor but those
/// of the log and `server`, can open only what is in the directories of `files`, and no other process of its user can read
/// its memory.
pub fn confine(supervisor: Pid, server: BorrowedFd, files: &[PathBuf]) -> io::Result<()> {
    prctl::set_name(NAME)?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != supervisor {
        return Err(io::Error::other("the supervisor has ended"));
    }
    let mut kept: Vec<_> = log::descriptors();
    kept.push(server.as_raw_fd());
    sys::close_others(&kept)?;
    signals::unblock_term()?;
    // No core dump, no ptrace(2), and /proc/PID is root's.
    prctl::set_dumpable(false)?;
    let directories: Vec<_> = directories(files).into_iter().collect();
    landlock::allow_reading(&directories).map_err(io::Error::other)?;
    if let Err(error) = seccomp::deny_processes_and_connections() {
        tracing::warn!("The login process can start processes and connect sockets: {error}.");
    }
    Ok(())
}

/// Returns the directories of the files, and of the files to which they lead by links: a file is replaced by renaming another
/// one to its name.
fn directories(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| path.parent().map(Path::to_path_buf);
    let real = files.iter().filter_map(|file| file.canonicalize().ok()).filter_map(|file| parent(&file));
    files.iter().filter_map(|file| parent(file)).chain(real).collect()
}
