//! Clients that wait in the listen queue though somebody could take them: the keeper looks after them.
//!
//! The kernel wakes one worker for a connection (EPOLLEXCLUSIVE). If that one is stopped or hangs, nobody else hears of it; and
//! a worker that is full does not listen. So the keeper waits for the listening sockets as well, with every other worker's.
//! It does not look at once, which would be in vain nearly always, but [`PAUSE_MS`] later, and waits for them again only when
//! it has found the queue empty. A worker to which nobody connects is never woken for this, and one to which many do some
//! fifty times a second.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use super::{Worker, accept, evict};
use crate::ipc::scoreboard::Counter;

/// How long a connection gets to be taken by whomever the kernel has woken for it, in milliseconds.
const PAUSE_MS: u64 = 20;

/// After how many milliseconds a full worker looks again that could end no connection.
const FULL_PAUSE_MS: u64 = 100;

/// The keeper's watch over the listen queues.
#[derive(Debug, Default)]
pub struct Backlog {
    /// When to look; none while the keeper waits for a connection.
    look_ms: Option<u64>,
}

impl Backlog {
    /// The listening sockets that the keeper is to wait for.
    pub fn poll_fds<'w>(&self, worker: &'w Worker) -> Vec<PollFd<'w>> {
        if self.look_ms.is_some() || worker.service.is_draining() { Vec::new() } else { listening_fds(worker) }
    }

    /// In how many milliseconds to look, if then.
    pub fn next_check_ms(&self, now_ms: u64) -> Option<u64> {
        Some(self.look_ms?.saturating_sub(now_ms))
    }

    /// A connection has come.
    pub fn on_pending(&mut self, worker: &Worker, now_ms: u64) {
        let is_for_us = worker.gate.is_paused() && are_all_full(worker);
        self.look_ms = Some(if is_for_us { now_ms } else { now_ms + PAUSE_MS });
    }

    /// Looks, if it is time to.
    pub fn check(&mut self, worker: &Worker, now_ms: u64) {
        if self.look_ms.is_none_or(|look_ms| now_ms < look_ms) || worker.service.is_draining() {
            return;
        }
        let mut sockets = listening_fds(worker);
        let does_wait = poll(&mut sockets, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        self.look_ms = if !does_wait {
            None
        } else if !worker.gate.is_paused() {
            accept::requeue_listeners(worker);
            Some(now_ms + PAUSE_MS)
        } else if worker.is_full() && evict::evict_idle(worker, now_ms) == 0 {
            Some(now_ms + FULL_PAUSE_MS)
        } else {
            // One that is closed for want of descriptors is opened by the keeper's tick.
            if worker.gate.is_full() {
                accept::resume_accepting(worker);
            }
            Some(now_ms + PAUSE_MS)
        };
    }
}

fn listening_fds(worker: &Worker) -> Vec<PollFd<'_>> {
    worker.gate.active_sockets().into_iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect()
}

/// Whether no worker has room for another connection, as far as this one knows.
fn are_all_full(worker: &Worker) -> bool {
    worker.board.total(Counter::Connections) >= worker.max_connections * worker.board.workers() as u64
}
