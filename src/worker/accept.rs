//! Accepting connections, and the listening sockets that are watched for them.

use nix::errno::Errno;

use super::{Worker, park};
use crate::client_limit::Permit;
use crate::connection::pending_records::PendingRecords;
use crate::connection::transport::Transport;
use crate::connection::{Connection, ConnectionDriver};
use crate::ipc::scoreboard::Counter;
use crate::listeners::{Client, Socket};
use crate::log::catalog;
use crate::os::{clock, sys};
use crate::{access_log, listeners};

/// Accepts a connection from `socket`, if there is one; none either if it was rejected.
pub fn accept(worker: &Worker, driver: &mut ConnectionDriver, socket: &Socket) -> Option<Box<Connection>> {
    match sys::accept(socket) {
        Ok((accepted, address)) => {
            let client = address.as_ref().and_then(listeners::client);
            let records = PendingRecords::new(worker.service.access_log, client);
            let Ok(permit) = permit(worker, client) else {
                worker.service.counters.add(Counter::RejectedPerClient, 1);
                driver.reject(&mut Transport::plain(accepted), records);
                return None;
            };
            let deadline_ms = worker.service.timeouts.idle(clock::now_ms());
            let mut connection =
                Connection::new(Transport::plain(accepted), permit, deadline_ms, records, worker.service.counters);
            connection.subject = worker.service.blocking.subject_of_client(client);
            if worker.has_more_than_its_share() {
                report_listener_error(worker.gate.requeue_behind_other_workers(&worker.epoll));
            }
            if worker.is_full() {
                // If somebody waits then, the keeper makes room.
                worker.gate.pause_full(&worker.epoll);
            }
            if worker.gate.clear_failure(socket) {
                worker.service.counters.set(Counter::FailedListeners, worker.gate.failed_sockets() as u64);
            }
            Some(Box::new(connection))
        }
        Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
            // The keeper opens it again after a moment; until then nothing spins.
            if worker.gate.pause(&worker.epoll) && worker.service.warnings.descriptors_exhausted.is_due() {
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
            worker.service.counters.set(Counter::FailedListeners, worker.gate.failed_sockets() as u64);
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
    if permit.is_none() && worker.service.warnings.client_full.is_due() {
        let most = clients.max_per_client();
        // No more is told of it than in the access log.
        let told = access_log::anonymize(client, worker.service.log_address).map(|client| client.ip().to_string());
        let client_address = told.as_deref().unwrap_or("(not told)");
        tracing::warn!(
            message_id = catalog::CLIENT_FULL,
            client_address,
            "Client {client_address} has {most} connections, as many as one client may; further ones get 503. Raise --max-per-client."
        );
    }
    permit.map(Some).ok_or(())
}

/// Takes the connections for which the kernel has woken this worker and that no thread will find any more, since the
/// door is closed by now: it woke no other worker for them. There is one a thread at most.
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
