//! A request thread: waits for an event, serves it, waits again.

use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};

use super::Worker;
use super::connection::Connection;
use super::drive::{ConnectionDriver, Next};
use super::events::{Event, WAKEUP_TOKEN};
use super::pending_records::PendingRecords;
use super::pool;
use crate::client_limit::Permit;
use crate::ipc::scoreboard::Counter;
use crate::listeners::{Client, Socket};
use crate::{access_log, failure, listeners, log::catalog, os::clock, os::sys};

/// A thread that has found nothing to do for so long may leave, in milliseconds.
const IDLE_MS: u16 = 10_000;

/// How many events a thread takes at once.
const MAX_EVENTS: usize = 64;

/// What every connection is watched for: bytes of the client, and its end.
const READ: EpollFlags =
    EpollFlags::EPOLLIN.union(EpollFlags::EPOLLPRI).union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLET);

/// What says that a read that leaves room may not have taken all: an end stands behind it, or urgent data (tcp(7)), at which
/// a read stops.
const PARTIAL_READ: EpollFlags =
    EpollFlags::EPOLLRDHUP.union(EpollFlags::EPOLLHUP).union(EpollFlags::EPOLLERR).union(EpollFlags::EPOLLPRI);

/// The event that lets every thread leave; no descriptor and no listening socket has this datum.
const EXIT_TOKEN: u64 = u64::MAX;

/// Deep enough for a path's components and a head's fields on the stack, with room to spare.
const STACK_BYTES: usize = 256 * 1024;

/// Starts a request thread, if the crew may have another and the system lets it.
pub fn start(worker: &'static Worker) -> bool {
    if !worker.pool.try_add() {
        return false;
    }
    let started = Builder::new()
        .name(pool::THREAD_NAME.to_string_lossy().into())
        .stack_size(STACK_BYTES)
        .spawn(move || run(worker));
    if let Err(error) = &started {
        worker.pool.remove();
        if worker.warnings.thread_start.is_due() {
            let why = failure::reason(error);
            tracing::warn!("Cannot start another request thread ({why}); raise TasksMax= or lower --max-threads.");
        }
    }
    started.is_ok()
}

fn run(worker: &'static Worker) {
    let place = worker.blocking.add_thread();
    let mut driver = ConnectionDriver::new(worker.limits.request_bytes(), place);
    let mut reports = [EpollEvent::empty(); MAX_EVENTS];
    loop {
        let Some(event) = worker.events.pop(&worker.pool).or_else(|| wait(worker, &mut reports)) else {
            worker.site.close_stale();
            if worker.pool.try_retire() {
                return worker.blocking.remove_thread(place);
            }
            continue;
        };
        match event.epoll_event.data() {
            // It stays until all have left, and what else came with it goes first.
            EXIT_TOKEN if worker.events.is_empty() => {
                worker.blocking.remove_thread(place);
                return worker.pool.remove();
            }
            EXIT_TOKEN | WAKEUP_TOKEN => continue,
            _ => {}
        }
        // A panic costs the one connection that it happened on: unwinding drops, and so closes it.
        if catch_unwind(AssertUnwindSafe(|| dispatch(worker, &mut driver, event))).is_err() {
            driver = ConnectionDriver::new(worker.limits.request_bytes(), place);
        }
        worker.blocking.end(place);
        worker.pool.end_turn();
        if worker.site.needs_upkeep() {
            worker.site.close_stale();
        }
    }
}

/// Asks the kernel for events, and waits for one if there is nothing else to do; none if that takes long. Further ones are
/// left for whoever is next.
fn wait(worker: &Worker, reports: &mut [EpollEvent]) -> Option<Event> {
    loop {
        worker.pool.begin_waiting();
        if let Some(left) = worker.events.pop(&worker.pool) {
            worker.pool.end_waiting();
            return Some(left);
        }
        let is_idle = worker.events.is_empty();
        let timeout = if is_idle { EpollTimeout::from(IDLE_MS) } else { EpollTimeout::ZERO };
        let before = worker.clock.latest();
        let count = loop {
            match worker.epoll.wait(reports, timeout) {
                // The worker was stopped and continues (signal(7)).
                Err(Errno::EINTR) => {}
                result => break result.unwrap_or(0),
            }
        };
        worker.pool.end_waiting();
        if is_idle && count == 0 {
            return None;
        }
        let moment = worker.clock.tick();
        worker.events.push_all(reports[..count].iter().map(|&report| Event {
            epoll_event: report,
            happened_by: moment,
            polled_after: before,
        }));
        if let Some(event) = worker.events.pop(&worker.pool) {
            return Some(event);
        }
    }
}

fn dispatch(worker: &Worker, driver: &mut ConnectionDriver, event: Event) {
    let datum = event.epoll_event.data();
    let connection = match worker.gate.socket(datum) {
        Some(socket) => accept(worker, driver, socket),
        None => worker.parked.take(datum as usize, event.epoll_event.events().intersects(PARTIAL_READ)),
    };
    let Some(mut connection) = connection else { return };
    let moment = arrival(&event, &connection);
    match driver.drive(worker, &mut connection, moment) {
        Next::Close => {
            drop(connection);
            if worker.gate.is_paused() && !worker.is_full() {
                resume_accepting(worker);
            }
        }
        wait => park(worker, connection, wait),
    }
}

/// By which moment what the client has sent had begun to arrive; the last of all moments if the event does not tell. It
/// tells nothing of a connection that was accepted after it, nor if it was for room to send, nor if an earlier turn has
/// already read what it was for.
fn arrival(event: &Event, connection: &Connection) -> u64 {
    let is_new = connection.interest.is_empty();
    let is_for_bytes = event.epoll_event.events().contains(EpollFlags::EPOLLIN);
    if !is_new && is_for_bytes && connection.last_read_at <= event.polled_after { event.happened_by } else { u64::MAX }
}

/// Parks a connection for what it waits for. The kernel reports each change once (epoll(7), edge-triggered), so that a
/// connection is made known to it only when that is new; to do so again makes it report what there is already.
fn park(worker: &Worker, connection: Box<Connection>, wait: Next) {
    worker.parked.park(connection, |connection, has_missed| {
        let watched = connection.interest;
        // Few have ever to wait for room, and each has some at first.
        connection.interest |= match wait {
            Next::Writable | Next::Yield => READ | EpollFlags::EPOLLOUT,
            // The listing may have been made before it was parked.
            Next::Listing if has_missed => READ | EpollFlags::EPOLLOUT,
            _ => READ,
        };
        let mut event = EpollEvent::new(connection.interest, connection.as_raw_fd() as u64);
        if watched.is_empty() {
            worker.epoll.add(connection, event)
        } else if watched != connection.interest || has_missed || wait == Next::Yield {
            worker.epoll.modify(connection, &mut event)
        } else {
            Ok(())
        }
    });
}

fn accept(worker: &Worker, driver: &mut ConnectionDriver, socket: &Socket) -> Option<Box<Connection>> {
    match sys::accept(socket) {
        Ok((accepted, address)) => {
            let client = address.as_ref().and_then(listeners::client);
            let records = PendingRecords::new(worker.access_log, client);
            let Ok(permit) = permit(worker, client) else {
                worker.counters.add(Counter::RejectedPerClient, 1);
                driver.reject(&accepted, records);
                return None;
            };
            let deadline_ms = worker.timeouts.idle(clock::now_ms());
            let mut connection = Connection::new(accepted, permit, deadline_ms, records, worker.counters);
            connection.subject = worker.blocking.subject_of_client(client);
            if worker.has_more_than_its_share() {
                report_listener_error(worker.gate.requeue_behind_other_workers(&worker.epoll));
            }
            if worker.is_full() {
                // If somebody waits then, the keeper makes room.
                worker.gate.pause_full(&worker.epoll);
            }
            if worker.gate.clear_failure(socket) {
                worker.counters.set(Counter::FailedListeners, worker.gate.failed_sockets() as u64);
            }
            Some(Box::new(connection))
        }
        Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
            // The keeper opens it again after a moment; until then nothing spins.
            if worker.gate.pause(&worker.epoll) && worker.warnings.descriptors_exhausted.is_due() {
                tracing::warn!(
                    message_id = catalog::DESCRIPTORS_EXHAUSTED,
                    "Out of file descriptors or memory; new connections wait. Raise LimitNOFILE= in the unit."
                );
            }
            None
        }
        Err(errno @ (Errno::EINVAL | Errno::EBADF | Errno::ENOTSOCK | Errno::EOPNOTSUPP)) => {
            // The keeper tries it again after a moment; until then nothing spins.
            if worker.gate.suspend(&worker.epoll, socket) {
                tracing::error!(
                    "The listening socket {} takes no connections any more ({errno}): something has shut it down. Restart the socket unit, or the server if it has none.",
                    socket.address
                );
            }
            worker.counters.set(Counter::FailedListeners, worker.gate.failed_sockets() as u64);
            None
        }
        // Another worker was first, or the client has left again.
        Err(_) => None,
    }
}

/// A seat for the client of a connection, if clients are counted; an error if it has as many connections as it may.
fn permit(worker: &Worker, client: Client) -> Result<Option<Permit<'static>>, ()> {
    let Some(clients) = worker.client_limit else { return Ok(None) };
    let Some(client) = client else { return Ok(None) };
    let permit = clients.acquire(worker.number, client.ip());
    if permit.is_none() && worker.warnings.client_full.is_due() {
        let most = clients.max_per_client();
        // No more is told of it than in the access log.
        let told = access_log::anonymize(client, worker.log_address).map(|client| client.ip().to_string());
        let client_address = told.as_deref().unwrap_or("(not told)");
        tracing::warn!(
            message_id = catalog::CLIENT_FULL,
            client_address,
            "Client {client_address} has {most} connections, as many as one client may; further ones get 503. Raise --max-per-client."
        );
    }
    permit.map(Some).ok_or(())
}

/// Parks a connection that is new, for its first bytes.
pub fn register(worker: &Worker, connection: Box<Connection>) {
    park(worker, connection, Next::Readable);
}

/// Takes the connections for which the kernel has woken this worker and that no thread will find any more, since the
/// door is closed by now: it woke no other worker for them. There is one a thread at most.
pub fn drain_accept_queue(worker: &Worker) {
    let mut driver = ConnectionDriver::new(worker.limits.request_bytes(), None);
    for socket in worker.gate.sockets() {
        for _ in 0..worker.pool.threads() {
            let Some(connection) = accept(worker, &mut driver, socket) else { break };
            register(worker, connection);
        }
    }
}

/// Parks a connection from which nothing more is wanted than its end, until `deadline_ms`.
pub fn park_lingering(worker: &Worker, mut connection: Box<Connection>, deadline_ms: u64) {
    connection.linger(deadline_ms);
    park(worker, connection, Next::Readable);
}

/// Has epoll report what is there to be read, again if it has: not every read that leaves room has taken all.
pub fn rearm(worker: &Worker, connection: Box<Connection>) {
    park(worker, connection, Next::Yield);
}

/// Leaves it to a thread to close a connection: the file that it sends may hang in closing as in reading.
pub fn close_on_pool(worker: &Worker, mut connection: Box<Connection>) {
    connection.shutdown();
    park(worker, connection, Next::Yield);
}

/// Lets every thread leave that finds no other event. `exit` is readable.
pub fn wake_all_to_exit(worker: &Worker, exit: &impl AsFd) -> nix::Result<()> {
    worker.epoll.add(exit, EpollEvent::new(EpollFlags::EPOLLIN, EXIT_TOKEN))
}

/// Watches the listening sockets again.
pub fn resume_accepting(worker: &Worker) {
    report_listener_error(worker.gate.resume(&worker.epoll));
}

/// Has the kernel report the connections that wait for nobody.
pub fn requeue_listeners(worker: &Worker) {
    report_listener_error(worker.gate.requeue_behind_other_workers(&worker.epoll));
}

/// Tries listening sockets again that failed.
pub fn retry_listeners(worker: &Worker) {
    report_listener_error(worker.gate.retry_suspended(&worker.epoll));
}

fn report_listener_error(result: nix::Result<()>) {
    if let Err(errno) = result {
        tracing::error!("Cannot watch the listening sockets ({errno}).");
    }
}
