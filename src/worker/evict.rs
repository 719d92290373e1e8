//! Eviction: a worker at its connection limit closes the connections that have been idle for longest.
//!
//! A connection with a request in flight is never evicted. If none is idle, a request head that has been incomplete for
//! more than a second is rejected with 408, and a connection with such a preface or handshake is closed: otherwise clients that send
//! slowly would exclude all others until the head timeout. The search inspects every connection, so it evicts many at a time.

use std::os::fd::AsRawFd;

use super::{Worker, park};
use crate::connection;
use crate::connection::{Connection, Phase};
use crate::http::h1::parse;
use crate::ipc::scoreboard::Counter;
use crate::log::catalog;

/// The fraction of the connection limit that is evicted at a time.
const EVICT_FRACTION: u64 = 16;

/// Evicts connections, if there are any to evict. Returns their number.
pub fn evict_idle(worker: &Worker, now_ms: u64) -> usize {
    let count = (worker.max_connections / EVICT_FRACTION).max(1) as usize;
    let timeouts = &worker.service.timeouts;
    let is_quiet = |connection: &Connection| timeouts.is_quiet(connection.deadline_ms, now_ms);
    // A connection that was just opened or has just had a response is likely to send a request. It is evicted only if
    // there are no others.
    let mut found =
        worker.parked.take_lowest(count, |connection| idle_until(connection).filter(|_| is_quiet(connection)));
    if found.is_empty() {
        found = worker.parked.take_lowest(count, idle_until);
    }
    if found.is_empty() {
        let is_slow = |connection: &Connection| timeouts.is_slow_head(connection.deadline_ms, now_ms);
        found = worker.parked.take_lowest(count, |connection| {
            let is_incomplete = matches!(connection.phase, Phase::Preface | Phase::Handshake | Phase::Head);
            (is_incomplete && is_slow(connection)).then_some(connection.deadline_ms)
        });
    }
    let ended = found.into_iter().filter_map(|connection| end(worker, connection)).count();
    worker.service.counters.add(Counter::Evicted, ended as u64);
    if worker.service.warnings.connections_full.is_due() {
        let remedy = if ended > 0 {
            "the connections that were idle for longest are closed for new ones"
        } else {
            "none is idle, and new connections wait in the listen queue"
        };
        tracing::warn!(
            message_id = catalog::CONNECTIONS_FULL,
            "Connection limit reached: {remedy}. Raise --max-connections."
        );
    }
    ended
}

/// Returns the idle deadline of a connection, if it is idle.
fn idle_until(connection: &Connection) -> Option<u64> {
    let is_idle = connection.phase == Phase::Idle && parse::is_blank(&connection.input) && !connection.is_probe;
    is_idle.then_some(connection.deadline_ms)
}

/// Closes a connection, unless it has unread input.
fn end(worker: &Worker, mut connection: Box<Connection>) -> Option<()> {
    if connection.has_unread() {
        park::rearm(worker, connection);
        return None;
    }
    match connection.phase {
        _ if connection.is_http2() => connection.send_go_away(),
        Phase::Head => connection::reject_slow_head(&worker.service, &mut connection),
        Phase::Handshake => worker.service.handshakes.forget(connection.as_raw_fd()),
        _ => {}
    }
    connection.records.set_cause("closed to make room for others");
    Some(())
}
