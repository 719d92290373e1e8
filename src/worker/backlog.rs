//! Clients that wait in the listen queue although a worker could accept them.
//!
//! The kernel reports a connection to one worker (EPOLLEXCLUSIVE). If that worker is stopped or hangs, no other one
//! learns of it, and a worker that is full does not listen. So the main loop polls the listening sockets as well, as
//! that of every worker does. It does not act at once, which would be in vain nearly always, but [`PAUSE_MS`] later,
//! and polls again only once it has found the queue empty. A worker without clients is never woken for this, and a busy
//! one some fifty times a second.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use super::{Worker, accept, evict};
use crate::ipc::scoreboard::Counter;

/// The time for the worker that the kernel has chosen to accept a connection, in milliseconds.
const PAUSE_MS: u64 = 20;

/// The interval at which a full worker that could evict no connection checks again, in milliseconds.
const FULL_PAUSE_MS: u64 = 100;

/// The state of watching the listen queues.
#[derive(Debug, Default)]
pub struct Backlog {
    /// When to check next; none while the listening sockets are polled.
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

    /// Schedules a check: a connection waits.
    pub fn on_pending(&mut self, worker: &Worker, now_ms: u64) {
        let is_for_us = worker.gate.is_paused() && are_all_full(worker);
        self.check_at_ms = Some(if is_for_us { now_ms } else { now_ms + PAUSE_MS });
    }

    /// Checks the listen queues, if it is time to.
    pub fn check(&mut self, worker: &Worker, now_ms: u64) {
        if self.check_at_ms.is_none_or(|check_at_ms| now_ms < check_at_ms) || worker.service.is_draining() {
            return;
        }
        let mut sockets = listening_fds(worker);
        let does_wait = poll(&mut sockets, PollTimeout::ZERO).is_ok_and(|count| count > 0);
        self.check_at_ms = if !does_wait {
            None
        } else if !worker.gate.is_paused() {
            accept::requeue_listeners(worker);
            Some(now_ms + PAUSE_MS)
        } else if worker.is_full() && evict::evict_idle(worker, now_ms) == 0 {
            Some(now_ms + FULL_PAUSE_MS)
        } else {
            // Where accepting is paused for want of descriptors, the tick of the main loop resumes it.
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

/// Whether no worker has room for another connection, by the scoreboard.
fn are_all_full(worker: &Worker) -> bool {
    worker.board.total(Counter::Connections) >= worker.max_connections * worker.board.workers() as u64
}
