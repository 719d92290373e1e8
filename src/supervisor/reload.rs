//! Reload: this process becomes a new image of the program at its path, once that has found the settings right.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::config::unit;

/// How long the check of the settings may take, in milliseconds.
const CHECK_MS: u64 = 20_000;

/// As much is said of what is wrong with the settings, in bytes.
const REASON_BYTES: usize = 1_000;

/// What this process is an image of, and a reload executes: as it was named if that is a path, so that a link to the present
/// version stays one.
pub fn program() -> PathBuf {
    let named = std::env::args_os().next().map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| std::env::current_exe().ok()).unwrap_or_default()
}

/// A reload that may be under way.
#[derive(Debug)]
pub struct Reload {
    /// What to become: found out at the start, since an upgrade replaces the file.
    pub program: PathBuf,
    check: Option<Check>,
}

/// The program at that path, checking the settings.
#[derive(Debug)]
struct Check {
    child: Child,
    until_ms: u64,
}

impl Reload {
    /// None under way.
    pub fn new() -> Self {
        Reload { program: program(), check: None }
    }

    /// Whether the settings are being checked.
    pub fn is_under_way(&self) -> bool {
        self.check.is_some()
    }

    /// Closes what a worker has inherited and has no part in.
    pub fn forget(&mut self) {
        self.check = None;
    }

    /// Begins to check the settings; an error says why that cannot be.
    pub fn begin(&mut self, now_ms: u64) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args(std::env::args_os().skip(1)).arg("--check").env_remove("NOTIFY_SOCKET");
        command.env(unit::RELOAD_VARIABLE, "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("cannot run {} ({error})", self.program.display()))?;
        self.check = Some(Check { child, until_ms: now_ms + CHECK_MS });
        Ok(())
    }

    /// Ends a check that takes too long.
    pub fn end_overdue(&mut self, now_ms: u64) {
        if let Some(check) = self.check.as_mut().filter(|check| now_ms >= check.until_ms) {
            let _ = check.child.kill();
        }
    }

    /// What the check has found, if it is the check that has ended: an error says what is wrong.
    pub fn verdict(&mut self, end: WaitStatus) -> Option<Result<(), String>> {
        let check = self.check.take_if(|check| end.pid() == Some(Pid::from_raw(check.child.id() as i32)))?;
        Some(match end {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Exited(..) => Err(reason(check.child)),
            _ => Err(format!("the check of the configuration did not finish within {} s", CHECK_MS / 1_000)),
        })
    }
}

/// What a check that has ended wrote.
fn reason(mut check: Child) -> String {
    let mut text = String::new();
    if let Some(mut errors) = check.stderr.take() {
        // The check writes no more; whoever might have inherited the pipe is not waited for: what is there is read at once.
        let mut ready = [PollFd::new(errors.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::ZERO) == Ok(1) {
            let mut bytes = [0; REASON_BYTES];
            let length = errors.read(&mut bytes).unwrap_or(0);
            text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        }
    }
    // Warnings are not what it failed for.
    let reasons = text.lines().filter_map(|line| line.strip_prefix("otus-httpd: "));
    let reason = reasons.collect::<Vec<_>>().join(" ");
    if reason.is_empty() { "the configuration is invalid; see otus-httpd --check.".into() } else { reason }
}
