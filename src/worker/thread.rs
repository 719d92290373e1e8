//! A request thread: it waits for an event, handles it, and waits again.

use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};

use super::events::{Event, WAKEUP_TOKEN};
use super::takeover::Lent;
use super::{Worker, accept, park};
use crate::connection::Connection;
use crate::connection::{ConnectionDriver, DriveResult};
use crate::failure;
use crate::os::clock;
use crate::service::blocking::BlockingKey;
use crate::service::pool;

/// The idle time after which a thread may exit, in milliseconds.
const IDLE_MS: u16 = 10_000;

/// The limit of events that a thread receives in one call.
const MAX_EVENTS: usize = 64;

/// Events after which a read that does not fill its buffer may leave input: the client has closed its side, or a read
/// stops at urgent data (tcp(7)).
const PARTIAL_READ: EpollFlags =
    EpollFlags::EPOLLRDHUP.union(EpollFlags::EPOLLHUP).union(EpollFlags::EPOLLERR).union(EpollFlags::EPOLLPRI);

/// The token of the event that makes all threads exit. It differs from all descriptors and tokens of listening sockets.
const EXIT_TOKEN: u64 = u64::MAX;

/// The stack size of a thread, in bytes: enough for the components of a path and the fields of a head, with a reserve.
const STACK_BYTES: usize = 256 * 1024;

/// Starts a request thread, if the pool is not full and the system permits it.
pub fn start(worker: &'static Worker) -> bool {
    if !worker.service.pool.try_add() {
        return false;
    }
    let started = Builder::new()
        .name(pool::THREAD_NAME.to_string_lossy().into())
        .stack_size(STACK_BYTES)
        .spawn(move || run(worker));
    if let Err(error) = &started {
        worker.service.pool.end_start();
        worker.service.pool.remove();
        if worker.service.warnings.thread_start.is_due() {
            let why = failure::reason(error);
            tracing::warn!("Cannot start another request thread ({why}); raise TasksMax= or lower --max-threads.");
        }
    }
    started.is_ok()
}

fn run(worker: &'static Worker) {
    worker.service.pool.end_start();
    let slot = worker.service.blocking.add_thread();
    let mut driver = ConnectionDriver::new(worker.service.limits.request_bytes(), slot);
    let mut reports = [EpollEvent::empty(); MAX_EVENTS];
    loop {
        let Some(event) = worker.events.pop(&worker.service.pool).or_else(|| wait(worker, &mut reports)) else {
            keep_up(worker, slot);
            if worker.service.pool.try_retire() {
                return worker.service.blocking.remove_thread(slot);
            }
            continue;
        };
        match event.epoll_event.data() {
            // The event remains until all threads have exited. Other events have priority.
            EXIT_TOKEN if worker.events.is_empty() => {
                worker.service.blocking.remove_thread(slot);
                return worker.service.pool.remove();
            }
            EXIT_TOKEN | WAKEUP_TOKEN => continue,
            _ => {}
        }
        // A panic costs one connection: unwinding drops the connection, which closes it.
        if catch_unwind(AssertUnwindSafe(|| dispatch(worker, &mut driver, slot, event))).is_err() {
            driver = ConnectionDriver::new(worker.service.limits.request_bytes(), slot);
        }
        worker.service.wakeups.take().into_iter().for_each(|descriptor| park::wake(worker, descriptor));
        worker.service.blocking.end(slot);
        worker.service.pool.end_turn();
        if worker.service.sites.is_upkeep_due() {
            keep_up(worker, slot);
        }
        if worker.service.pool.try_retire_surplus() {
            return worker.service.blocking.remove_thread(slot);
        }
    }
}

/// Does what the sites need besides requests, such as reading rules. The other threads serve meanwhile.
fn keep_up(worker: &Worker, slot: Option<usize>) {
    worker.service.pool.begin_long_work();
    // It belongs to no file, directory and client.
    worker.service.blocking.begin(slot, BlockingKey::default(), clock::now_ms());
    // What a panic leaves behind is kept up the next time.
    let _ = catch_unwind(AssertUnwindSafe(|| worker.service.sites.keep_up()));
    worker.service.blocking.end(slot);
    worker.service.pool.end_long_work();
}

/// Returns an event, and queues all others that are reported with it. Returns none if there was no event for
/// [`IDLE_MS`].
fn wait(worker: &Worker, reports: &mut [EpollEvent]) -> Option<Event> {
    loop {
        worker.service.pool.begin_waiting();
        if let Some(event) = worker.events.pop(&worker.service.pool) {
            worker.service.pool.end_waiting();
            return Some(event);
        }
        let is_idle = worker.events.is_empty();
        let timeout = if is_idle { EpollTimeout::from(IDLE_MS) } else { EpollTimeout::ZERO };
        let polled_at = worker.service.clock.latest();
        let count = loop {
            match worker.epoll.wait(reports, timeout) {
                // The process was stopped and continued (signal(7)).
                Err(Errno::EINTR) => {}
                result => break result.unwrap_or(0),
            }
        };
        worker.service.pool.end_waiting();
        if is_idle && count == 0 {
            return None;
        }
        let reported_at = worker.service.clock.tick();
        let events = reports[..count].iter().map(|&report| Event { epoll_event: report, reported_at, polled_at });
        if let Some(event) = worker.events.push_and_pop(events, &worker.service.pool) {
            return Some(event);
        }
    }
}

fn dispatch(worker: &Worker, driver: &mut ConnectionDriver, slot: Option<usize>, event: Event) {
    let token = event.epoll_event.data();
    let connection = match worker.gate.socket(token) {
        Some(socket) => accept::accept(worker, driver, socket),
        None => worker.parked.take(token as usize, event.epoll_event.events().intersects(PARTIAL_READ)),
    };
    let Some(mut connection) = connection else { return };
    let arrived_at = arrival(&event, &connection);
    let mut next = driver.drive(&worker.service, &mut connection, arrived_at);
    while next == DriveResult::Task {
        let Some(still_owned) = do_task(worker, driver, slot, connection) else { return };
        (connection, next) = still_owned;
    }
    match next {
        DriveResult::Close => {
            drop(connection);
            if worker.gate.is_paused() && !worker.is_full() {
                accept::resume_accepting(worker);
            }
        }
        next => park::park(worker, connection, next),
    }
}

/// Does a task of a stream of `connection`, which is lent meanwhile. Returns the connection with the result of its next turn; none if
/// another thread drives it.
fn do_task(
    worker: &Worker,
    driver: &mut ConnectionDriver,
    slot: Option<usize>,
    connection: Box<Connection>,
) -> Option<(Box<Connection>, DriveResult)> {
    let assignment = driver.take_task()?;
    let descriptor = connection.as_raw_fd();
    let lent = Lent::new(worker, slot, connection);
    // It drops before the loan ends.
    let (task, unfinished) = assignment.begin();
    let result = driver.run_task(&worker.service, task);
    let connection = match lent {
        Ok(lent) => lent.take_back(),
        Err(connection) => Some(connection),
    };
    let Some(mut connection) = connection else {
        unfinished.deliver(result);
        worker.service.wakeups.push_all([descriptor]);
        return None;
    };
    let next = driver.resume(&worker.service, &mut connection, result);
    Some((connection, next))
}

/// Returns a logical time by which the input of the connection had begun to arrive. Returns the largest time if that is
/// unknown: the connection was accepted after the event, the event is for sending, or an earlier turn has read the
/// input.
fn arrival(event: &Event, connection: &Connection) -> u64 {
    let is_new = connection.interest.is_empty();
    let is_readable = event.epoll_event.events().contains(EpollFlags::EPOLLIN);
    if !is_new && is_readable && connection.last_read_at <= event.polled_at { event.reported_at } else { u64::MAX }
}

/// Makes every thread exit once it finds no other event. `exit` is readable.
pub fn wake_all_to_exit(worker: &Worker, exit: &impl AsFd) -> nix::Result<()> {
    worker.epoll.add(exit, EpollEvent::new(EpollFlags::EPOLLIN, EXIT_TOKEN))
}
