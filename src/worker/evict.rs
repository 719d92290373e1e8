//! Room for new clients in a worker that is full: it ends the connections that have been idle for longest.
//!
//! One with a request on its way is never ended. If nothing is idle, heads that have been on their way for over a second are
//! answered with a 408, for whoever sends them slowly would else shut everybody out until the head timeout. Many are ended at
//! a time: to find them, every connection is looked at.

use super::{Worker, park};
use crate::connection;
use crate::connection::{Connection, Phase};
use crate::http::h1::parse;
use crate::ipc::scoreboard::Counter;
use crate::log::catalog;

/// Which part of the connections that there may be is ended at a time.
const EVICT_FRACTION: u64 = 16;

/// Ends some connections, if any may be; returns how many.
pub fn evict_idle(worker: &Worker, now_ms: u64) -> usize {
    let count = (worker.max_connections / EVICT_FRACTION).max(1) as usize;
    let timeouts = &worker.service.timeouts;
    let is_quiet = |connection: &Connection| timeouts.is_quiet(connection.deadline_ms, now_ms);
    // One that was opened or answered just now is likely to ask next: it goes only if all are so.
    let mut found =
        worker.parked.take_lowest(count, |connection| idle_until(connection).filter(|_| is_quiet(connection)));
    if found.is_empty() {
        found = worker.parked.take_lowest(count, idle_until);
    }
    if found.is_empty() {
        let is_slow = |connection: &Connection| timeouts.is_slow_head(connection.deadline_ms, now_ms);
        found = worker.parked.take_lowest(count, |connection| {
            (connection.phase == Phase::Head && is_slow(connection)).then_some(connection.deadline_ms)
        });
    }
    let ended = found.into_iter().filter_map(|connection| end(worker, connection)).count();
    worker.service.counters.add(Counter::Evicted, ended as u64);
    if worker.service.warnings.connections_full.is_due() {
        let remedy = if ended > 0 {
            "those that were idle for longest are closed for new ones"
        } else {
            "none is idle, and further ones wait"
        };
        tracing::warn!(
            message_id = catalog::CONNECTIONS_FULL,
            "The worker has as many connections as it may; {remedy}. Raise --max-connections."
        );
    }
    ended
}

/// Until when a connection may be idle, if it is.
fn idle_until(connection: &Connection) -> Option<u64> {
    let is_idle = connection.phase == Phase::Idle && parse::is_blank(&connection.input) && !connection.is_probe;
    is_idle.then_some(connection.deadline_ms)
}

/// Ends a connection, unless something has come on it.
fn end(worker: &Worker, mut connection: Box<Connection>) -> Option<()> {
    if connection.has_unread() {
        park::rearm(worker, connection);
        return None;
    }
    if connection.phase == Phase::Head {
        connection::reject_slow_head(&worker.service, &mut connection);
    }
    connection.records.set_cause("closed to make room for others");
    Some(())
}
