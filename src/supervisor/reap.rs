//! Children that have ended: the only place that calls waitpid(2).
//!
//! The pid of a child stays its own, at worst as that of a zombie, until waitpid(2) has returned it. The table that the child
//! is in drops it at once here. So no signal goes to another process that was given the same pid, wherever kill(2) is
//! called, on kernels without pidfd_send_signal(2) as well.

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::Supervisor;
use crate::os::clock;

impl Supervisor {
    /// Reaps every child that has ended, and passes its exit status on by the kind of child. A child that is in no
    /// table is an orphan (the supervisor is the first process of a container), a hung worker that was abandoned, or
    /// the helper of the image before a reload.
    pub(super) fn reap(&mut self) {
        while let Some(end) = next_end() {
            let Some(pid) = end.pid() else { continue };
            let now_ms = clock::now_ms();
            let is_stopping = self.lifecycle.is_stopping();
            // Before anything shows that it has ended.
            if self.workers.has_crashed(pid, end, is_stopping) {
                self.ticket_keys.renew(now_ms);
            }
            self.keys.remove_worker(pid);
            self.logins.remove_worker(pid);
            if self.workers.forget_old(pid) || self.workers.end(pid, end, now_ms, is_stopping) {
                continue;
            }
            if self.helper.end(pid, end, now_ms) || self.keys.end(pid) || self.logins.end(pid, end, now_ms) {
                continue;
            }
            if let Some(verdict) = self.check.take_verdict(end) {
                self.end_check(verdict);
            }
        }
    }
}

/// Returns how the next child has ended; None if none has.
fn next_end() -> Option<WaitStatus> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return None,
            Ok(end) => return Some(end),
            Err(Errno::EINTR) => {}
            Err(errno) => {
                tracing::error!("waitpid failed ({errno}).");
                return None;
            }
        }
    }
}
