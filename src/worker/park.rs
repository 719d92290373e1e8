//! Parking a connection: it waits for its client, or for its next turn, and holds no thread.

use std::os::fd::{AsRawFd, RawFd};

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::Worker;
use crate::connection::{Connection, Next};

/// What every connection is watched for: bytes of the client, and its end.
const READ: EpollFlags =
    EpollFlags::EPOLLIN.union(EpollFlags::EPOLLPRI).union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLET);

/// Parks a connection for what it waits for. The kernel reports each change once (epoll(7), edge-triggered), so that a
/// connection is made known to it only when that is new; to do so again makes it report what there is already.
pub fn park(worker: &Worker, connection: Box<Connection>, wait: Next) {
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

/// Parks a connection that is new, for its first bytes.
pub fn register(worker: &Worker, connection: Box<Connection>) {
    park(worker, connection, Next::Readable);
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

/// Rearms a parked connection whose listing was made. If a thread has it, that thread is told by the slot.
pub fn wake(worker: &Worker, descriptor: RawFd) {
    if let Some(connection) = worker.parked.take(descriptor as usize, false) {
        rearm(worker, connection);
    }
}
