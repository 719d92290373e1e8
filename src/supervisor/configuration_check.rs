//! The check of the configuration before a reload: a process of the program at the supervisor's path.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::config::unit;

/// The timeout of the check, in milliseconds.
const CHECK_MS: u64 = 20_000;

/// The longest error message of a check, in bytes.
const REASON_BYTES: usize = 1_000;

/// Returns the path of the running program, which a reload executes. A path is kept as it was given, so that a link to
/// the current version is followed again.
pub fn program() -> PathBuf {
    let named = std::env::args_os().next().map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| std::env::current_exe().ok()).unwrap_or_default()
}

/// The check of the configuration, if one is in progress.
#[derive(Debug)]
pub struct ConfigurationCheck {
    /// The program, determined at the start: an upgrade replaces the file.
    pub program: PathBuf,
    running: Option<Running>,
}

/// A process of that program that validates the configuration.
#[derive(Debug)]
struct Running {
    child: Child,
    until_ms: u64,
}

impl ConfigurationCheck {
    /// Creates the state without a check.
    pub fn new() -> Self {
        ConfigurationCheck { program: program(), running: None }
    }

    /// Closes the descriptors that a forked child inherits and does not need.
    pub fn close_inherited(&mut self) {
        self.running = None;
    }

    /// Starts validating the configuration. An error says why that is impossible.
    pub fn begin(&mut self, now_ms: u64) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args(std::env::args_os().skip(1)).arg("--check").env_remove("NOTIFY_SOCKET");
        command.env(unit::RELOAD_VARIABLE, "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("cannot run {} ({error})", self.program.display()))?;
        self.running = Some(Running { child, until_ms: now_ms + CHECK_MS });
        Ok(())
    }

    /// Ends a check that exceeds its timeout.
    pub fn end_overdue(&mut self, now_ms: u64) {
        if let Some(running) = self.running.as_mut().filter(|running| now_ms >= running.until_ms) {
            let _ = running.child.kill();
        }
    }

    /// Returns the result of the check, if it is the child that has ended. An error says what is wrong.
    pub fn take_verdict(&mut self, end: WaitStatus) -> Option<Result<(), String>> {
        let running = self.running.take_if(|running| end.pid() == Some(Pid::from_raw(running.child.id() as i32)))?;
        Some(match end {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Exited(..) => Err(reason(running.child)),
            _ => Err(format!("the check of the configuration did not finish within {} s", CHECK_MS / 1_000)),
        })
    }
}

/// Returns what a check that has ended wrote.
fn reason(mut check: Child) -> String {
    let mut text = String::new();
    if let Some(mut errors) = check.stderr.take() {
        // The check writes no more. Another process may have inherited the pipe; it is not waited for. Only the bytes
        // that are already written are read.
        let mut ready = [PollFd::new(errors.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::ZERO) == Ok(1) {
            let mut bytes = [0; REASON_BYTES];
            let length = errors.read(&mut bytes).unwrap_or(0);
            text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        }
    }
    // Warnings are not the cause of the failure.
    let reasons = text.lines().filter_map(|line| line.strip_prefix("otus-httpd: "));
    let reason = reasons.collect::<Vec<_>>().join(" ");
    if reason.is_empty() { "the configuration is invalid; see otus-httpd --check.".into() } else { reason }
}
