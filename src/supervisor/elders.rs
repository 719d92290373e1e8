//! Workers that an image of the supervisor before has started. They serve until those of this image do, and then end what
//! is in flight.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::handover::{Estate, Heir};
use crate::lifeline::SupervisorEnd;
use crate::scoreboard::Scoreboard;
use std::os::fd::AsFd;

/// The workers of images before.
#[derive(Debug, Default)]
pub struct Elders(Vec<Elder>);

#[derive(Debug)]
struct Elder {
    pid: Pid,
    /// As long as it is there, the worker goes on.
    lifeline: SupervisorEnd,
}

impl Elders {
    /// Those that were left.
    pub fn new(heirs: Vec<Heir>) -> Self {
        let elder = |Heir { pid, lifeline, .. }| Elder { pid, lifeline: SupervisorEnd::inherit(lifeline) };
        Elders(heirs.into_iter().map(elder).collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Sends `signal` to each.
    pub fn signal(&self, signal: Signal) {
        for elder in &self.0 {
            // One that has just ended will be reaped.
            let _ = kill(elder.pid, signal);
        }
    }

    /// Forgets one that has ended. Says whether it was one.
    pub fn forget(&mut self, pid: Pid, board: &mut Scoreboard) -> bool {
        let Some(index) = self.0.iter().position(|elder| elder.pid == pid) else { return false };
        self.0.swap_remove(index);
        board.end_past(pid);
        true
    }

    /// Leaves them to the next image.
    pub fn leave_to<'a>(&'a self, estate: &mut Estate<'a>, board: &Scoreboard) {
        for elder in &self.0 {
            // One whose memory could not be read has none.
            estate.worker(elder.lifeline.as_fd(), elder.pid, board.place(elder.pid).unwrap_or(usize::MAX));
        }
    }
}
