//! Parking a connection: it waits for its client, or for its next turn, and holds no thread.

use std::os::fd::{AsRawFd, RawFd};

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::Worker;
use crate::connection::{Connection, DriveResult};

/// The events of every connection: input, and the client's end.
const READ: EpollFlags =
    EpollFlags::EPOLLIN.union(EpollFlags::EPOLLPRI).union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLET);

/// Parks a connection until the event that it waits for. The kernel reports each change once (epoll(7),
/// edge-triggered). So a connection is registered again only for additional events, or to make the kernel report an
/// earlier change again.
pub fn park(worker: &Worker, connection: Box<Connection>, wait: DriveResult) {
    worker.parked.park(connection, |connection, has_missed| {
        let watched = connection.interest;
        // Few connections have to wait until they are writable, and every new connection is writable.
        connection.interest |= match wait {
            DriveResult::Writable | DriveResult::Yield => READ | EpollFlags::EPOLLOUT,
            // The listing may have been made before the connection was parked.
            DriveResult::Listing if has_missed => READ | EpollFlags::EPOLLOUT,
            _ => READ,
        };
        let mut event = EpollEvent::new(connection.interest, connection.as_raw_fd() as u64);
        if watched.is_empty() {
            worker.epoll.add(connection, event)
        } else if watched != connection.interest || has_missed || wait == DriveResult::Yield {
            worker.epoll.modify(connection, &mut event)
        } else {
            Ok(())
        }
    });
}

/// Parks a new connection until its first bytes arrive.
pub fn register(worker: &Worker, connection: Box<Connection>) {
    park(worker, connection, DriveResult::Readable);
}

/// Parks a connection after its last response, until `deadline_ms` or until the client closes its side.
pub fn park_lingering(worker: &Worker, mut connection: Box<Connection>, deadline_ms: u64) {
    connection.linger(deadline_ms);
    park(worker, connection, DriveResult::Readable);
}

/// Parks a connection and makes the kernel report input that has already arrived.
pub fn rearm(worker: &Worker, connection: Box<Connection>) {
    park(worker, connection, DriveResult::Yield);
}

/// Makes a request thread close a connection: closing its file may block, as reading it may.
pub fn close_on_pool(worker: &Worker, mut connection: Box<Connection>) {
    connection.shutdown();
    park(worker, connection, DriveResult::Yield);
}

/// Rearms a parked connection whose listing was made. If a thread owns the connection, the slot records the event.
pub fn wake(worker: &Worker, descriptor: RawFd) {
    if let Some(connection) = worker.parked.take(descriptor as usize, false) {
        rearm(worker, connection);
    }
}
