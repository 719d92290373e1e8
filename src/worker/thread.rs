//! A request thread: waits for an event, serves it, waits again.

use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Builder;

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};

use super::Worker;
use super::connection::Connection;
use super::crew;
use super::notes::Notes;
use super::ready::{BELL, Event};
use super::turn::{Desk, Wait};
use crate::clients::Seat;
use crate::scoreboard::Counter;
use crate::sockets::{Client, Socket};
use crate::{access, catalog, clock, failure, sockets, sys};

/// A thread that has found nothing to do for so long may leave, in milliseconds.
const IDLE_MS: u16 = 10_000;

/// How many events a thread takes at once.
const EVENTS: usize = 64;

/// What every connection is watched for: bytes of the client, and its end.
const READ: EpollFlags =
    EpollFlags::EPOLLIN.union(EpollFlags::EPOLLPRI).union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLET);

/// What says that a read that leaves room may not have taken all: an end stands behind it, or urgent data (tcp(7)), at which
/// a read stops.
const MORE: EpollFlags =
    EpollFlags::EPOLLRDHUP.union(EpollFlags::EPOLLHUP).union(EpollFlags::EPOLLERR).union(EpollFlags::EPOLLPRI);

/// The event that lets every thread leave; no descriptor and no listening socket has this datum.
const LEAVE: u64 = u64::MAX;

/// Deep enough for a path's components and a head's fields on the stack, with room to spare.
const STACK_BYTES: usize = 256 * 1024;

/// Starts a request thread, if the crew may have another and the system lets it.
pub fn start(worker: &'static Worker) -> bool {
    if !worker.crew.join() {
        return false;
    }
    let started =
        Builder::new().name(crew::NAME.to_string_lossy().into()).stack_size(STACK_BYTES).spawn(move || run(worker));
    if let Err(error) = &started {
        worker.crew.leave();
        if worker.complaints.threads.is_due() {
            let why = failure::reason(error);
            tracing::warn!("Cannot start another request thread ({why}); raise TasksMax= or lower --max-threads.");
        }
    }
    started.is_ok()
}

fn run(worker: &'static Worker) {
    let place = worker.blocked.join();
    let mut desk = Desk::new(worker.limits.request_bytes(), place);
    let mut reports = [EpollEvent::empty(); EVENTS];
    loop {
        let Some(event) = worker.ready.take(&worker.crew).or_else(|| wait(worker, &mut reports)) else {
            worker.site.rest();
            if worker.crew.may_leave() {
                return worker.blocked.part(place);
            }
            continue;
        };
        match event.report.data() {
            // It stays until all have left, and what else came with it goes first.
            LEAVE if worker.ready.is_empty() => {
                worker.blocked.part(place);
                return worker.crew.leave();
            }
            LEAVE | BELL => continue,
            _ => {}
        }
        // A panic costs the one connection that it happened on: unwinding drops, and so closes it.
        if catch_unwind(AssertUnwindSafe(|| take(worker, &mut desk, event))).is_err() {
            desk = Desk::new(worker.limits.request_bytes(), place);
        }
        worker.blocked.leave(place);
        worker.crew.end_turn();
        if worker.site.is_tired() {
            worker.site.rest();
        }
    }
}

/// Asks the kernel for events, and waits for one if there is nothing else to do; none if that takes long. Further ones are
/// left for whoever is next.
fn wait(worker: &Worker, reports: &mut [EpollEvent]) -> Option<Event> {
    loop {
        worker.crew.begin_waiting();
        if let Some(left) = worker.ready.take(&worker.crew) {
            worker.crew.end_waiting();
            return Some(left);
        }
        let is_idle = worker.ready.is_empty();
        let timeout = if is_idle { EpollTimeout::from(IDLE_MS) } else { EpollTimeout::ZERO };
        let before = worker.moments.latest();
        let count = loop {
            match worker.epoll.wait(reports, timeout) {
                // The worker was stopped and continues (signal(7)).
                Err(Errno::EINTR) => {}
                result => break result.unwrap_or(0),
            }
        };
        worker.crew.end_waiting();
        if is_idle && count == 0 {
            return None;
        }
        let moment = worker.moments.next();
        worker.ready.leave(reports[..count].iter().map(|&report| Event { report, moment, before }));
        if let Some(event) = worker.ready.take(&worker.crew) {
            return Some(event);
        }
    }
}

fn take(worker: &Worker, desk: &mut Desk, event: Event) {
    let datum = event.report.data();
    let connection = match worker.door.socket(datum) {
        Some(socket) => accept(worker, desk, socket),
        None => worker.lot.take(datum as usize, event.report.events().intersects(MORE)),
    };
    let Some(mut connection) = connection else { return };
    let moment = arrival(&event, &connection);
    match desk.serve(worker, &mut connection, moment) {
        Wait::Over => {
            drop(connection);
            if worker.door.is_closed() && !worker.is_full() {
                open_door(worker);
            }
        }
        wait => park(worker, connection, wait),
    }
}

/// By which moment what the client has sent had begun to arrive; the last of all moments if the event does not tell. It
/// tells nothing of a connection that was accepted after it, nor if it was for room to send, nor if an earlier turn has
/// already read what it was for.
fn arrival(event: &Event, connection: &Connection) -> u64 {
    let is_new = connection.watched.is_empty();
    let is_for_bytes = event.report.events().contains(EpollFlags::EPOLLIN);
    if !is_new && is_for_bytes && connection.received <= event.before { event.moment } else { u64::MAX }
}

/// Parks a connection for what it waits for. The kernel reports each change once (epoll(7), edge-triggered), so that a
/// connection is made known to it only when that is new; to do so again makes it report what there is already.
fn park(worker: &Worker, connection: Box<Connection>, wait: Wait) {
    worker.lot.park(connection, |connection, has_missed| {
        let watched = connection.watched;
        // Few have ever to wait for room, and each has some at first.
        connection.watched |= match wait {
            Wait::Writable | Wait::Turn => READ | EpollFlags::EPOLLOUT,
            // The listing may have been made before it was parked.
            Wait::Listing if has_missed => READ | EpollFlags::EPOLLOUT,
            _ => READ,
        };
        let mut event = EpollEvent::new(connection.watched, connection.as_raw_fd() as u64);
        if watched.is_empty() {
            worker.epoll.add(connection, event)
        } else if watched != connection.watched || has_missed || wait == Wait::Turn {
            worker.epoll.modify(connection, &mut event)
        } else {
            Ok(())
        }
    });
}

fn accept(worker: &Worker, desk: &mut Desk, socket: &Socket) -> Option<Box<Connection>> {
    match sys::accept(socket) {
        Ok((accepted, address)) => {
            let client = address.as_ref().and_then(sockets::client);
            let notes = Notes::new(worker.access, client);
            let Ok(seat) = seat(worker, client) else {
                worker.slab.add(Counter::TurnedAway, 1);
                desk.turn_away(&accepted, notes);
                return None;
            };
            let deadline_ms = worker.patience.idle(clock::now_ms());
            let mut connection = Connection::new(accepted, seat, deadline_ms, notes, worker.slab);
            connection.subject = worker.blocked.nothing_yet(client);
            if worker.has_more_than_its_share() {
                report_door(worker.door.step_back(&worker.epoll));
            }
            if worker.is_full() {
                // If somebody waits then, the keeper makes room.
                worker.door.close_full(&worker.epoll);
            }
            if worker.door.works(socket) {
                worker.slab.set(Counter::Deaf, worker.door.failed() as u64);
            }
            Some(Box::new(connection))
        }
        Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
            // The keeper opens it again after a moment; until then nothing spins.
            if worker.door.close(&worker.epoll) && worker.complaints.exhausted.is_due() {
                tracing::warn!(
                    message_id = catalog::DESCRIPTORS_EXHAUSTED,
                    "Out of file descriptors or memory; new connections wait. Raise LimitNOFILE= in the unit."
                );
            }
            None
        }
        Err(errno @ (Errno::EINVAL | Errno::EBADF | Errno::ENOTSOCK | Errno::EOPNOTSUPP)) => {
            // The keeper tries it again after a moment; until then nothing spins.
            if worker.door.rest(&worker.epoll, socket) {
                tracing::error!(
                    "The listening socket {} takes no connections any more ({errno}): something has shut it down. Restart the socket unit, or the server if it has none.",
                    socket.address
                );
            }
            worker.slab.set(Counter::Deaf, worker.door.failed() as u64);
            None
        }
        // Another worker was first, or the client has left again.
        Err(_) => None,
    }
}

/// A seat for the client of a connection, if clients are counted; an error if it has as many connections as it may.
fn seat(worker: &Worker, client: Client) -> Result<Option<Seat<'static>>, ()> {
    let Some(clients) = worker.clients else { return Ok(None) };
    let Some(client) = client else { return Ok(None) };
    let seat = clients.seat(worker.number, client.ip());
    if seat.is_none() && worker.complaints.clients.is_due() {
        let most = clients.most();
        // No more is told of it than in the access log.
        let told = access::shorten(client, worker.log_address).map(|client| client.ip().to_string());
        let client_address = told.as_deref().unwrap_or("(not told)");
        tracing::warn!(
            message_id = catalog::CLIENT_FULL,
            client_address,
            "Client {client_address} has {most} connections, as many as one client may; further ones get 503. Raise --max-per-client."
        );
    }
    seat.map(Some).ok_or(())
}

/// Parks a connection that is new, for its first bytes.
pub fn welcome(worker: &Worker, connection: Box<Connection>) {
    park(worker, connection, Wait::Readable);
}

/// Takes the connections for which the kernel has woken this worker and that no thread will find any more, since the
/// door is closed by now: it woke no other worker for them. There is one a thread at most.
pub fn take_in(worker: &Worker) {
    let mut desk = Desk::new(worker.limits.request_bytes(), None);
    for socket in worker.door.sockets() {
        for _ in 0..worker.crew.threads() {
            let Some(connection) = accept(worker, &mut desk, socket) else { break };
            welcome(worker, connection);
        }
    }
}

/// Parks a connection from which nothing more is wanted than its end, until `deadline_ms`.
pub fn park_lingering(worker: &Worker, mut connection: Box<Connection>, deadline_ms: u64) {
    connection.linger(deadline_ms);
    park(worker, connection, Wait::Readable);
}

/// Has epoll report what is there to be read, again if it has: not every read that leaves room has taken all.
pub fn remind(worker: &Worker, connection: Box<Connection>) {
    park(worker, connection, Wait::Turn);
}

/// Leaves it to a thread to close a connection: the file that it sends may hang in closing as in reading.
pub fn dispose(worker: &Worker, mut connection: Box<Connection>) {
    connection.hang_up();
    park(worker, connection, Wait::Turn);
}

/// Lets every thread leave that finds no other event. `exit` is readable.
pub fn dismiss(worker: &Worker, exit: &impl AsFd) -> nix::Result<()> {
    worker.epoll.add(exit, EpollEvent::new(EpollFlags::EPOLLIN, LEAVE))
}

/// Watches the listening sockets again.
pub fn open_door(worker: &Worker) {
    report_door(worker.door.open(&worker.epoll));
}

/// Has the kernel report the connections that wait for nobody.
pub fn listen_again(worker: &Worker) {
    report_door(worker.door.step_back(&worker.epoll));
}

/// Tries listening sockets again that failed.
pub fn retry_door(worker: &Worker) {
    report_door(worker.door.retry(&worker.epoll));
}

fn report_door(result: nix::Result<()>) {
    if let Err(errno) = result {
        tracing::error!("Cannot watch the listening sockets ({errno}).");
    }
}
