//! Stopping: by a signal, or after `--idle-exit`. Requests in flight have a timeout; then the workers are killed. Before that, a
//! server with `--lame-duck` serves for a while after TERM, so that load balancers see that it stops before it does.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::Supervisor;
use super::lifecycle::DrainAction;
use crate::ipc::scoreboard::Counter;
use crate::os::clock;

/// How much longer than the workers' own timeout the supervisor waits before it kills them, in milliseconds.
const DRAIN_GRACE_MS: u64 = 2_000;

impl Supervisor {
    /// Returns whether the server has stopped: no worker is left, or a killed one does not vanish.
    pub(super) fn is_over(&self) -> bool {
        let Some(drain) = self.lifecycle.drain_action(clock::now_ms()) else { return false };
        let have_all_ended = self.workers.have_all_ended();
        if drain == DrainAction::GiveUp && !have_all_ended {
            tracing::error!("A worker survives SIGKILL, which an unresponsive disk can cause; leaving it to systemd.");
        }
        have_all_ended || drain == DrainAction::GiveUp
    }

    /// Begins to serve as a lame duck, for `--lame-duck`. Returns false if the server is to stop now: there is no such time, it is
    /// a lame duck already, or no worker has served yet.
    pub(super) fn begin_lame_duck(&mut self) -> bool {
        let (duration, now_ms) = (self.context.options.lame_duck, clock::now_ms());
        let serves = self.workers.ready() + self.workers.old_workers().count() > 0;
        let is_wanted = serves && !duration.is_zero();
        if !is_wanted || !self.lifecycle.begin_lame_duck(now_ms + duration.as_millis() as u64) {
            return false;
        }
        self.announce_stop();
        // A reload that has ended with this may have closed it.
        self.metrics.open(now_ms);
        self.next_tick_ms = 0;
        true
    }

    /// Stops at the end of the lame duck.
    pub(super) fn end_lame_duck(&mut self, now_ms: u64) {
        if self.lifecycle.lame_duck_until_ms().is_some_and(|until_ms| now_ms >= until_ms) {
            tracing::info!("The time of --lame-duck is over: completing the requests in flight.");
            self.stop();
        }
    }

    /// Says to systemd, and to those that check the health of the server, that it stops.
    fn announce_stop(&mut self) {
        self.workers.board().supervisor().set(Counter::Stopping, 1);
        self.notify.stopping();
    }

    /// Requests every worker to complete the requests in flight and to end.
    pub(super) fn stop(&mut self) {
        if self.lifecycle.lame_duck_until_ms().is_none() {
            self.announce_stop();
        }
        self.helper.kill();
        self.lifecycle.stop(drained_by_ms(self.context.stop_timeout()));
        self.next_tick_ms = 0;
        // INT first: a worker that handled TERM first would name --drain-timeout where it aborts requests.
        self.workers.signal(Signal::SIGINT);
        // Workers of earlier versions handle only TERM.
        self.workers.signal(Signal::SIGTERM);
    }

    /// Stops after `--idle-exit` without a connection. Later connections are served while the server drains, or stay in the
    /// listen queue and start the server again.
    pub(super) fn stop_when_idle(&mut self, now_ms: u64) {
        let (workers, server) = (&self.workers, &self.metrics);
        let visits = workers.board().total(Counter::Accepted).wrapping_add(server.accepted());
        let is_whole = self.lifecycle.is_serving() && workers.ready() == workers.size();
        let has_connections = !is_whole || server.is_busy() || workers.board().total(Counter::Connections) > 0;
        if self.idle.is_over(visits, has_connections, now_ms) && !self.lifecycle.is_stopping() {
            let seconds = self.context.options.idle_exit.unwrap_or_default().as_secs();
            tracing::info!(
                seconds,
                "Idle for {seconds} s (--idle-exit): exiting; the socket unit starts the server on the next connection."
            );
            self.stop();
        }
    }
}

/// Returns the deadline of workers that are now requested to end within `timeout`.
pub fn drained_by_ms(timeout: Duration) -> u64 {
    clock::now_ms() + timeout.as_millis() as u64 + DRAIN_GRACE_MS
}
