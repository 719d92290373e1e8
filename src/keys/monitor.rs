//! Starts the key process without systemd, and starts it again when it has ended. The monitor keeps the user that started the
//! server, such as root, and reads no key: what it forks has none of the former process.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getppid};

use super::{EXIT_AGAIN, EXIT_DONE, NAME, Source, cannot_run, run};
use crate::ipc::key_protocol::channel;
use crate::log::{self, catalog};
use crate::os::{clock, sys};

/// A key process that has lived for so long is started again at once, in milliseconds.
const LONG_MS: u64 = 1_000;

/// The pause before others are, in milliseconds: handshakes wait for two seconds.
const PAUSE_MS: u64 = 100;

/// The pause after [`MANY`] of them in succession.
const LONG_PAUSE_MS: u64 = 2_000;
const MANY: u32 = 20;

/// Forks the monitor, for the certificates in `directory`. Returns its process, and the socket over which it takes connections:
/// it ends when that is closed. Only a process that has one thread and no key may call this.
pub fn start(directory: &Path) -> io::Result<(Pid, OwnedFd)> {
    let (own, theirs) = channel::pair()?;
    let directory: PathBuf = std::path::absolute(directory)?;
    let server = getpid();
    let pid = sys::fork(|| {
        let mut kept = log::descriptors();
        kept.push(theirs.as_raw_fd());
        if prctl::set_name(NAME).is_err() || getppid() != server || sys::close_others(&kept).is_err() {
            return 1;
        }
        monitor(&directory, &theirs)
    })?;
    Ok((pid, own))
}

fn monitor(directory: &Path, connections: &OwnedFd) -> i32 {
    let mut short_lives = 0;
    loop {
        let started_ms = clock::now_ms();
        let end = match fork_one(directory, connections) {
            Ok(WaitStatus::Exited(_, EXIT_DONE)) => return EXIT_DONE,
            Ok(WaitStatus::Exited(_, EXIT_AGAIN)) => continue,
            Ok(WaitStatus::Exited(_, code)) => format!("exited with code {code}"),
            Ok(WaitStatus::Signaled(_, signal, _)) => format!("was killed by {signal}"),
            Ok(_) => "ended".into(),
            Err(error) => format!("cannot be started ({error})"),
        };
        let lived_ms = clock::now_ms() - started_ms;
        short_lives = if lived_ms >= LONG_MS { 0 } else { short_lives + 1 };
        let pause_ms = match short_lives {
            0 => 0,
            1..MANY => PAUSE_MS,
            _ => LONG_PAUSE_MS,
        };
        tracing::error!(
            message_id = catalog::KEY_PROCESS_ENDED,
            how = end,
            lived_ms,
            pause_ms,
            "The key process {end}; starting another in {pause_ms} ms. Until then, handshakes wait."
        );
        std::thread::sleep(Duration::from_millis(pause_ms));
    }
}

/// Runs one key process to its end.
fn fork_one(directory: &Path, connections: &OwnedFd) -> io::Result<WaitStatus> {
    let monitor = getpid();
    let pid = sys::fork(|| {
        if prctl::set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != monitor {
            return EXIT_DONE;
        }
        let connections = connections.as_fd().try_clone_to_owned();
        match connections.and_then(|connections| run(directory, None, Source::Server(connections))) {
            Ok(status) => status,
            Err(error) => {
                log::failure(&cannot_run(&error));
                1
            }
        }
    })?;
    loop {
        match waitpid(pid, None) {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}
