//! Connections that wait in the listen queue although a worker could accept them.
//!
//! The kernel reports a connection to one worker (EPOLLEXCLUSIVE). If that worker is stopped or hangs, the others are
//! not notified. A full worker does not watch the listening sockets at all. For both cases, the main loop of each
//! worker polls the listening sockets too. It acts only [`PAUSE_MS`] after a connection has arrived, since by then the
//! connection is nearly always accepted. It polls again once it has found the queue empty. This never wakes a worker
//! without clients, and wakes a busy worker some fifty times a second.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use super::{Worker, accept, evict};
use crate::ipc::scoreboard::Counter;

/// The time that the notified worker has to accept a connection, in milliseconds.
const PAUSE_MS: u64 = 20;

/// The interval of checks while the worker is full and could evict no connection, in milliseconds.
const FULL_PAUSE_MS: u64 = 100;

/// The state of monitoring the listen queues.
#[derive(Debug, Default)]
pub struct Backlog {
    /// The time of the next check; none while the listening sockets are polled.
    check_at_ms: Option<u64>,
}

impl Backlog {
    /// Returns the listening sockets to poll.
    pub fn poll_fds<'w>(&self, worker: &'w Worker) -> Vec<PollFd<'w>> {
        if self.check_at_ms.is_some() || worker.service.is_draining() { Vec::new() } else { listening_fds(worker) }
    }

    /// Returns the milliseconds until the next check, if one is due.
    pub fn next_check_ms(&self, now_ms: u64) -> Option<u64> {
        Some(self.check_at_ms?.saturating_sub(now_ms))
    }

    /// Schedules a check of the listen queues, in which a connection waits.
    pub fn on_pending(&mut self, worker: &Worker, now_ms: u64) {
        let all_are_full = worker.gate.is_paused() && are_all_full(worker);
        self.check_at_ms = Some(if all_are_full { now_ms } else { now_ms + PAUSE_MS });
    }

    /// Checks the listen queues, if a check is due.
    pub fn check(&mut self, worker: &Worker, now_ms: u64) {
        if self.check_at_ms.is_none_or(|check_at_ms| now_ms < check_at_ms) || worker.service.is_draining() {
            return;
        }
        let mut sockets = listening_fds(worker);
        let is_pending = poll(&mut sockets, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        self.check_at_ms = if !is_pending {
            None
        } else if !worker.gate.is_paused() {
            accept::requeue_listeners(worker);
            Some(now_ms + PAUSE_MS)
        } else if worker.is_full() && evict::evict_idle(worker, now_ms) == 0 {
            Some(now_ms + FULL_PAUSE_MS)
        } else {
            // If accepting is paused for lack of descriptors, the tick of the main loop resumes it.
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

/// Returns whether all workers are at their connection limit, by the scoreboard.
fn are_all_full(worker: &Worker) -> bool {
    worker.board.total(Counter::Connections) >= worker.max_connections * worker.board.workers() as u64
}
