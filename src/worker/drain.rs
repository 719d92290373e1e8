//! Draining: a worker that is to stop accepts no more connections and completes the requests in flight. It loses no
//! connection.

use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Worker, accept, park, thread};
use crate::connection::{Connection, Phase};
use crate::http::h1::parse;
use crate::ipc::scoreboard::Counter;

/// The state of draining.
#[derive(Debug)]
pub struct Drain {
    until_ms: u64,
    /// The option that sets the deadline.
    option: &'static str,
    /// Readable; registered in epoll to make the threads exit.
    exit: Option<EventFd>,
}

impl Drain {
    /// Stops accepting. Every further response is the last of its connection.
    pub fn begin(worker: &Worker) -> Self {
        worker.service.start_draining();
        worker.gate.shut(&worker.epoll);
        accept::drain_accept_queue(worker);
        Drain { until_ms: u64::MAX, option: "", exit: None }
    }

    /// Limits the time of draining to `timeout`, which `option` sets. The earliest deadline applies.
    pub fn limit(&mut self, now_ms: u64, timeout: Duration, option: &'static str) {
        let until_ms = now_ms + timeout.as_millis() as u64;
        if until_ms < self.until_ms {
            (self.until_ms, self.option) = (until_ms, option);
        }
    }

    /// Closes idle connections. Returns whether the worker can exit.
    pub fn is_over(&mut self, worker: &'static Worker, now_ms: u64) -> bool {
        if now_ms >= self.until_ms {
            report_aborted(worker, self.option);
            worker.parked.sweep(|_| true, |connection| connection.leak_until_exit("the server stopped"));
            return true;
        }
        worker
            .parked
            .sweep(|connection| connection.is_http2_due(true, now_ms), |connection| park::rearm(worker, connection));
        let is_due = |connection: &mut Connection| !connection.is_http2() && is_idle(worker, connection, now_ms);
        worker.parked.sweep(is_due, |mut connection| {
            connection.records.set_cause("the server stops");
            park::park_lingering(worker, connection, worker.service.timeouts.drain_linger(now_ms));
        });
        if worker.service.counters.get(Counter::Connections) > 0 {
            return false;
        }
        self.have_threads_exited(worker)
    }

    /// Makes the threads exit, each after its turn: a thread may hold an event of a listening socket that it has not
    /// handled yet. If there is a connection afterwards, starts a thread that serves it.
    fn have_threads_exited(&mut self, worker: &'static Worker) -> bool {
        if self.exit.is_none() {
            self.exit = EventFd::from_value_and_flags(1, EfdFlags::EFD_CLOEXEC).ok();
            let are_woken = self.exit.as_ref().is_some_and(|exit| thread::wake_all_to_exit(worker, exit).is_ok());
            return !are_woken;
        }
        if worker.service.pool.threads() > 0 {
            return false;
        }
        // Closing it removes it from epoll.
        self.exit = None;
        let is_over = worker.service.counters.get(Counter::Connections) == 0;
        if !is_over {
            thread::start(worker);
        }
        is_over
    }
}

/// Returns whether no request has begun to arrive or is likely to. A request that has arrived unread still gets its
/// response.
fn is_idle(worker: &Worker, connection: &Connection, now_ms: u64) -> bool {
    let (timeouts, deadline_ms) = (&worker.service.timeouts, connection.deadline_ms);
    let is_idle = match connection.phase {
        // As a head that has begun, a handshake that has begun has its own timeout.
        Phase::Handshake if connection.is_handshaking() => false,
        Phase::Preface | Phase::Handshake => connection.input.is_empty() && timeouts.is_slow_head(deadline_ms, now_ms),
        Phase::Idle => parse::is_blank(&connection.input) && timeouts.is_quiet(deadline_ms, now_ms),
        _ => false,
    };
    is_idle && !connection.has_unread()
}

fn report_aborted(worker: &Worker, option: &str) {
    let in_flight = worker.service.counters.get(Counter::InFlight);
    if in_flight > 0 {
        tracing::warn!(in_flight, "Requests in flight took longer than {option}; {in_flight} aborted.");
    }
}
