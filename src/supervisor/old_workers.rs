//! Old workers, started before the last reload. They serve until the new workers are ready, and then drain.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ipc::handover::{HandoverBuilder, OldWorkerHandle};
use crate::ipc::lifeline::SupervisorEnd;
use crate::ipc::scoreboard::Scoreboard;
use std::os::fd::AsFd;

/// The old workers.
#[derive(Debug, Default)]
pub struct OldWorkers {
    workers: Vec<OldWorker>,
    /// Whether they were killed at the end of the drain timeout.
    are_overdue: bool,
}

#[derive(Debug)]
struct OldWorker {
    pid: Pid,
    /// While it is open, the worker runs.
    lifeline: SupervisorEnd,
}

impl OldWorkers {
    /// Takes over the workers that were handed over.
    pub fn new(handles: Vec<OldWorkerHandle>) -> Self {
        let old_worker =
            |OldWorkerHandle { pid, lifeline, .. }| OldWorker { pid, lifeline: SupervisorEnd::inherit(lifeline) };
        OldWorkers { workers: handles.into_iter().map(old_worker).collect(), are_overdue: false }
    }

    /// Returns their number.
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// Returns whether `pid` is one of them.
    pub fn contains(&self, pid: Pid) -> bool {
        self.workers.iter().any(|old_worker| old_worker.pid == pid)
    }

    /// Sends `signal` to each.
    pub fn signal(&self, signal: Signal) {
        for old_worker in &self.workers {
            // One that has just ended is reaped later.
            let _ = kill(old_worker.pid, signal);
        }
    }

    /// Has each refuse all further requests: its settings say no longer who gets what.
    pub fn refuse_requests(&self) {
        self.workers.iter().for_each(|old_worker| old_worker.lifeline.notify_outdated());
    }

    /// Kills each at the end of the drain timeout.
    pub fn kill_overdue(&mut self) {
        self.are_overdue = true;
        self.signal(Signal::SIGKILL);
    }

    /// Returns whether they were killed at the end of the drain timeout.
    pub fn are_overdue(&self) -> bool {
        self.are_overdue
    }

    /// Removes a worker that has ended. Returns whether it was an old worker.
    pub fn forget(&mut self, pid: Pid, board: &mut Scoreboard) -> bool {
        let Some(index) = self.workers.iter().position(|old_worker| old_worker.pid == pid) else { return false };
        self.workers.swap_remove(index);
        board.remove_old_worker(pid);
        true
    }

    /// Adds them to the handover to the next image.
    pub fn add_to<'a>(&'a self, builder: &mut HandoverBuilder<'a>, board: &Scoreboard) {
        for old_worker in &self.workers {
            // A worker whose memory could not be read has no valid index.
            builder.worker(
                old_worker.lifeline.as_fd(),
                old_worker.pid,
                board.memory_index(old_worker.pid).unwrap_or(usize::MAX),
            );
        }
    }
}
