//! Accepting connections, and watching the listening sockets.

use std::os::fd::OwnedFd;

use nix::errno::Errno;

use super::{Worker, park};
use crate::config::Http2Mode;
use crate::connection::pending_records::PendingRecords;
use crate::connection::preface::{Peer, Preface};
use crate::connection::transport::Transport;
use crate::connection::{Connection, ConnectionDriver};
use crate::ipc::scoreboard::Counter;
use crate::listeners;
use crate::listeners::{Protocol, Purpose, Socket};
use crate::log::catalog;
use crate::os::{clock, sys};

/// Accepts a connection from `socket`. Returns none if there is no connection, or if it was rejected.
pub fn accept(worker: &Worker, driver: &mut ConnectionDriver, socket: &Socket) -> Option<Box<Connection>> {
    let Purpose::Site(protocol) = socket.purpose else { return None };
    match sys::accept(socket) {
        Ok((accepted, address)) => {
            let peer = Peer::accepted(address.as_ref().and_then(listeners::client));
            let preface = Preface::of(protocol, worker.service.clients.is_trusted_peer(peer.address));
            let records = PendingRecords::new(worker.service.access_log);
            // The preface names the client that counts.
            let permit = if preface == Preface::None { worker.service.admit(peer.address) } else { Ok(None) };
            let Ok(permit) = permit else {
                worker.service.counters.add(Counter::RejectedPerClient, 1);
                driver.reject(&mut transport(worker, accepted, protocol)?, peer, records);
                return None;
            };
            let (timeouts, now_ms) = (&worker.service.timeouts, clock::now_ms());
            let transport = transport(worker, accepted, protocol)?;
            let mut connection =
                Connection::new(transport, permit, peer, timeouts.idle(now_ms), records, worker.service.counters);
            connection.may_be_http2 = match worker.http2 {
                Http2Mode::Off => false,
                Http2Mode::On => !protocol.tls && (protocol.proxy || peer.address.is_none()),
                Http2Mode::Cleartext => !protocol.tls,
            };
            connection.expect(preface, timeouts.head(now_ms));
            if worker.has_above_average_connections() {
                requeue_listeners(worker);
            }
            if worker.is_full() {
                // If further clients wait, the main loop evicts idle connections.
                worker.gate.pause_full(&worker.epoll);
            }
            if worker.gate.clear_failure(socket) {
                worker.service.counters.set(Counter::FailedListeners, worker.gate.failed_sockets() as u64);
            }
            Some(Box::new(connection))
        }
        Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
            // The main loop resumes accepting after a tick; until then, no thread is woken for the socket.
            if worker.gate.pause(&worker.epoll) && worker.service.warnings.descriptors_exhausted.is_due() {
                tracing::warn!(
                    message_id = catalog::DESCRIPTORS_EXHAUSTED,
                    "Out of file descriptors or memory; new connections wait. Raise LimitNOFILE= in the unit."
                );
            }
            None
        }
        Err(errno @ (Errno::EINVAL | Errno::EBADF | Errno::ENOTSOCK | Errno::EOPNOTSUPP)) => {
            // The main loop retries the socket after a tick; until then, no thread is woken for it.
            if worker.gate.suspend(&worker.epoll, socket) {
                tracing::error!(
                    "The listening socket {} accepts no connections any more ({errno}): something has shut it down. Restart the socket unit, or the server if it has none.",
                    socket.address
                );
            }
            worker.service.counters.set(Counter::FailedListeners, worker.gate.failed_sockets() as u64);
            None
        }
        // Another worker has accepted the connection, or the client has closed it.
        Err(_) => None,
    }
}

/// Returns the transport of a connection. Returns none on a socket for TLS if this worker has no TLS.
fn transport(worker: &Worker, accepted: OwnedFd, protocol: Protocol) -> Option<Transport> {
    let plain = Transport::plain(accepted);
    if protocol.tls { Some(Transport::tls(plain, worker.tls?)) } else { Some(plain) }
}

/// Accepts the connections that the kernel has reported to this worker only. After accepting has stopped, no thread
/// handles them. There is at most one for each thread.
pub fn drain_accept_queue(worker: &Worker) {
    let mut driver = ConnectionDriver::new(worker.service.limits.request_bytes(), None);
    for socket in worker.gate.sockets() {
        for _ in 0..worker.service.pool.threads() {
            let Some(connection) = accept(worker, &mut driver, socket) else { break };
            park::register(worker, connection);
        }
    }
}

/// Watches the listening sockets again.
pub fn resume_accepting(worker: &Worker) {
    report_listener_error(worker.gate.resume(&worker.epoll));
}

/// Makes the kernel report waiting connections again, to other workers first.
pub fn requeue_listeners(worker: &Worker) {
    report_listener_error(worker.gate.requeue_behind_other_workers(&worker.epoll));
}

/// Watches failed listening sockets again.
pub fn retry_listeners(worker: &Worker) {
    report_listener_error(worker.gate.retry_suspended(&worker.epoll));
}

fn report_listener_error(result: nix::Result<()>) {
    if let Err(errno) = result {
        tracing::error!("Cannot watch the listening sockets ({errno}).");
    }
}
