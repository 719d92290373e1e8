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
    number: usize,
    /// Which of the past boards it counts on.
    board: usize,
}

impl Elders {
    /// Those that were left; `place` says which past board one of those that were left has become.
    pub fn new(heirs: Vec<Heir>, place: impl Fn(usize) -> usize) -> Self {
        let elder = |Heir { pid, number, lifeline, board }| Elder {
            pid,
            number,
            lifeline: SupervisorEnd::inherit(lifeline),
            board: place(board),
        };
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
    pub fn forget(&mut self, pid: Pid, board: &Scoreboard) -> bool {
        let Some(index) = self.0.iter().position(|elder| elder.pid == pid) else { return false };
        let elder = self.0.swap_remove(index);
        if let Some(slab) = board.past_slab(elder.board, elder.number) {
            slab.clear_levels();
            slab.settle_log();
        }
        true
    }

    /// Leaves them to the next image, whose boards before the past ones are `newer`.
    pub fn leave_to<'a>(&'a self, estate: &mut Estate<'a>, newer: usize) {
        for elder in &self.0 {
            estate.worker(elder.lifeline.as_fd(), elder.pid, elder.number, newer + elder.board);
        }
    }
}
