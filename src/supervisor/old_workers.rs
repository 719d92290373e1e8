//! Workers that an image of the supervisor before has started. They serve until those of this image do, and then end what
//! is in flight.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ipc::handover::{HandoverBuilder, InheritedWorker};
use crate::ipc::lifeline::SupervisorEnd;
use crate::ipc::scoreboard::Scoreboard;
use std::os::fd::AsFd;

/// The workers of images before.
#[derive(Debug, Default)]
pub struct OldWorkers(Vec<OldWorker>);

#[derive(Debug)]
struct OldWorker {
    pid: Pid,
    /// As long as it is there, the worker goes on.
    lifeline: SupervisorEnd,
}

impl OldWorkers {
    /// Those that were left.
    pub fn new(inherited: Vec<InheritedWorker>) -> Self {
        let old_worker =
            |InheritedWorker { pid, lifeline, .. }| OldWorker { pid, lifeline: SupervisorEnd::inherit(lifeline) };
        OldWorkers(inherited.into_iter().map(old_worker).collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Sends `signal` to each.
    pub fn signal(&self, signal: Signal) {
        for old_worker in &self.0 {
            // One that has just ended will be reaped.
            let _ = kill(old_worker.pid, signal);
        }
    }

    /// Forgets one that has ended. Says whether it was one.
    pub fn forget(&mut self, pid: Pid, board: &mut Scoreboard) -> bool {
        let Some(index) = self.0.iter().position(|old_worker| old_worker.pid == pid) else { return false };
        self.0.swap_remove(index);
        board.end_past(pid);
        true
    }

    /// Leaves them to the next image.
    pub fn add_to<'a>(&'a self, builder: &mut HandoverBuilder<'a>, board: &Scoreboard) {
        for old_worker in &self.0 {
            // One whose memory could not be read has none.
            builder.worker(
                old_worker.lifeline.as_fd(),
                old_worker.pid,
                board.place(old_worker.pid).unwrap_or(usize::MAX),
            );
        }
    }
}
