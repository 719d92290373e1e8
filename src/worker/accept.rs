//! Accepting connections, and watching the listening sockets.

use std::os::fd::OwnedFd;

use nix::errno::Errno;

use super::{Worker, park};
use crate::client_limit::Permit;
use crate::connection::pending_records::PendingRecords;
use crate::connection::preface::{Peer, Preface};
use crate::connection::transport::Transport;
use crate::connection::{Connection, ConnectionDriver};
use crate::ipc::scoreboard::Counter;
use crate::listeners::{Client, Protocol, Purpose, Socket};
use crate::log::catalog;
use crate::os::{clock, sys};
use crate::{access_log, listeners};

/// Accepts a connection from `socket`. Returns none if there is no connection, or if it was rejected.
pub fn accept(worker: &Worker, driver: &mut ConnectionDriver, socket: &Socket) -> Option<Box<Connection>> {
    let Purpose::Site(protocol) = socket.purpose else { return None };
    match sys::accept(socket) {
        Ok((accepted, address)) => {
            let peer = Peer { address: address.as_ref().and_then(listeners::client) };
            let records = PendingRecords::new(worker.service.access_log);
            let Ok(permit) = permit(worker, peer.address) else {
                worker.service.counters.add(Counter::RejectedPerClient, 1);
                driver.reject(&mut transport(worker, accepted, protocol)?, peer, records);
                return None;
            };
            let (timeouts, now_ms) = (&worker.service.timeouts, clock::now_ms());
            let transport = transport(worker, accepted, protocol)?;
            let mut connection =
                Connection::new(transport, permit, peer, timeouts.idle(now_ms), records, worker.service.counters);
            connection.expect(Preface::of(protocol), timeouts.head(now_ms));
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

/// Acquires a permit for the client of a connection, if connections per client are limited. Returns an error if the
/// limit is reached.
fn permit(worker: &Worker, client: Client) -> Result<Option<Permit<'static>>, ()> {
    let Some(clients) = worker.client_limit else { return Ok(None) };
    let Some(client) = client else { return Ok(None) };
    let permit = clients.acquire(worker.number, client.ip());
    if permit.is_none() && worker.service.warnings.client_full.is_due() {
        let limit = clients.max_per_client();
        // The address is anonymized as in the access log.
        let address = access_log::anonymize(client, worker.service.log_address).map(|client| client.ip().to_string());
        let client_address = address.as_deref().unwrap_or("(not logged)");
        tracing::warn!(
            message_id = catalog::CLIENT_FULL,
            client_address,
            "Client {client_address} reached --max-per-client ({limit}); further connections get 503."
        );
    }
    permit.map(Some).ok_or(())
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
