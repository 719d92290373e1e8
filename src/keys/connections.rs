//! The connections to the key process, and its responses. Each thread takes one request of one connection at a time, in the
//! order in which the connections became ready: a worker that sends many requests delays the others by one request each.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{MsgFlags, recv};
use rustls::SignatureScheme;

use super::certificates::Snapshot;
use super::message;
use super::peer::Peer;
use crate::ipc::key_protocol::frame::{self, Request, Response};
use crate::ipc::key_protocol::{KeyId, Role, channel};
use crate::log::{OncePerMinute, catalog};
use crate::os::clock;

/// The most connections. Each worker has one.
const MAX_CONNECTIONS: usize = 8_192;

/// Longer than any request.
const MAX_REQUEST_BYTES: usize = 512;

/// The most violations that are kept for their supervisors. Beyond it, the oldest one is dropped.
const MAX_VIOLATIONS: usize = 256;

/// A connection is reported once, and again after its request was handled.
const ONCE: EpollFlags = EpollFlags::EPOLLIN.union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLONESHOT);

/// The connections.
#[derive(Debug)]
pub struct Connections {
    epoll: Epoll,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Set by a supervisor that begins: after a reload, the certificates are read at once.
    reread: EventFd,
    /// The violations that were not yet sent: the process of the supervisor, and the tag of the worker.
    violations: Mutex<VecDeque<(i32, u64)>>,
    version_warning: OncePerMinute,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    peer: Peer,
    introduction: OnceLock<(Role, u64)>,
    /// The generation of certificates that the worker has.
    known: AtomicU64,
}

/// How a request ends that is not one of TLS.
struct Violation(&'static str);

impl Connections {
    /// Creates an empty table.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let reread = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let (open, snapshot, violations, version_warning) = Default::default();
        Ok(Connections { epoll, open, next: AtomicU64::new(1), snapshot, reread, violations, version_warning })
    }

    /// Returns what becomes readable when the certificates are to be read at once.
    pub fn reread_event(&self) -> BorrowedFd<'_> {
        self.reread.as_fd()
    }

    /// Returns whether they are, once.
    pub fn take_reread(&self) -> bool {
        self.reread.read().is_ok()
    }

    /// Adds a connection.
    pub fn add(&self, socket: OwnedFd, peer: Peer) {
        let mut open = self.open();
        if open.len() >= MAX_CONNECTIONS {
            tracing::error!("A connection to the key process was closed: there are {MAX_CONNECTIONS} already.");
            return;
        }
        let number = self.next.fetch_add(1, Relaxed);
        let connection = Connection { socket, peer, introduction: OnceLock::new(), known: AtomicU64::new(0) };
        let connection = open.entry(number).insert_entry(Arc::new(connection));
        if let Err(errno) = self.epoll.add(connection.get().socket.as_fd(), EpollEvent::new(ONCE, number)) {
            tracing::error!("A connection to the key process was closed ({}).", errno.desc());
            connection.remove();
        }
    }

    /// Replaces the certificates, and tells the supervisors.
    pub fn publish(&self, snapshot: Snapshot) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        let frame = Response::Changed.encode(0);
        for supervisor in self.supervisors() {
            // One that does not read gets the state when it requests it.
            let _ = channel::send_frame(supervisor.socket.as_fd(), &frame);
        }
    }

    /// Returns the earliest generation of certificates that a worker may have; the largest number if there is no worker.
    pub fn known(&self) -> u64 {
        let open = self.open();
        let workers = open.values().filter(|connection| connection.is_of(Role::Worker));
        workers.map(|connection| connection.known.load(Relaxed)).min().unwrap_or(u64::MAX)
    }

    /// Handles requests for ever.
    pub fn serve(&self) {
        loop {
            self.serve_next();
        }
    }

    /// Waits for the next request, and handles it.
    fn serve_next(&self) {
        let mut events = [EpollEvent::empty()];
        if let Ok(1) = self.epoll.wait(&mut events, EpollTimeout::NONE) {
            self.serve_one(events[0].data());
        }
    }

    fn serve_one(&self, number: u64) {
        let Some(connection) = self.open().get(&number).cloned() else { return };
        match self.handle(&connection) {
            Ok(true) => {
                let event = &mut EpollEvent::new(ONCE, number);
                if self.epoll.modify(connection.socket.as_fd(), event).is_ok() {
                    return;
                }
            }
            Ok(false) => {}
            Err(Violation(why)) => self.report(&connection, why),
        }
        self.open().remove(&number);
    }

    /// Handles one request. Returns whether the connection goes on.
    fn handle(&self, connection: &Connection) -> Result<bool, Violation> {
        let mut frame = [0; MAX_REQUEST_BYTES];
        // The length is that of the whole message, also of one that does not fit.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let frame = match recv(connection.socket.as_raw_fd(), &mut frame, flags) {
            Ok(0) => return Ok(false),
            Ok(length) => frame.get(..length).ok_or(Violation("a request that is too long"))?,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(true),
            Err(_) => return Ok(false),
        };
        let Some((number, request)) = Request::decode(frame) else { return self.refuse(connection, frame) };
        let response = self.respond(connection, request)?;
        // Those that were found while it had no connection, or did not read.
        if connection.is_of(Role::Supervisor) {
            self.send_violations(connection);
        }
        let Some(response) = response else { return Ok(true) };
        match channel::send_frame(connection.socket.as_fd(), &response.encode(number)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(Violation("requests without reading responses"))
            }
            Err(_) => Ok(false),
        }
    }

    /// Ends a connection whose frame is none of this version of the protocol.
    fn refuse(&self, connection: &Connection, frame: &[u8]) -> Result<bool, Violation> {
        let is_first = connection.introduction.get().is_none();
        let Some(theirs) = frame::other_version(frame).filter(|_| is_first) else {
            return Err(Violation("a malformed request"));
        };
        // The server tries again soon.
        if self.version_warning.is_due() {
            tracing::error!(
                "The server and the key process have different versions of their protocol, {theirs} and {}, and TLS \
                 handshakes fail: one of them still runs the program before an upgrade. Restart both (systemctl restart \
                 otus-httpd-keys.service otus-httpd.service; without systemd, the server).",
                frame::VERSION
            );
        }
        Ok(false)
    }

    fn respond(&self, connection: &Connection, request: Request) -> Result<Option<Response>, Violation> {
        let role = connection.introduction.get().map(|(role, _)| *role);
        let snapshot = || self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Some(match (request, role) {
            (Request::Hello { role, tag }, None) if connection.peer.may_be(role) => {
                let _ = connection.introduction.set((role, tag));
                if role == Role::Supervisor {
                    // It fails only if the counter is at its end: then it is set.
                    let _ = self.reread.write(1);
                }
                return Ok(None);
            }
            (Request::Catalog { known }, Some(role)) => {
                let snapshot = snapshot();
                if role == Role::Worker {
                    connection.known.store(known, Relaxed);
                }
                if known == snapshot.generation {
                    Response::Unchanged
                } else {
                    Response::Summary { generation: snapshot.generation, count: snapshot.certificates.len() as u32 }
                }
            }
            (Request::Certificate { generation, index }, Some(Role::Worker)) => {
                let snapshot = snapshot();
                let certificate = snapshot.certificates.get(index as usize);
                let certificate = certificate.filter(|_| generation == snapshot.generation);
                certificate.map_or(Response::Missing, |certificate| Response::Certificate(certificate.clone()))
            }
            (Request::Sign { id, scheme, message }, Some(Role::Worker)) => sign(&snapshot(), &id, scheme, &message)?,
            (Request::Overview { index }, Some(Role::Supervisor | Role::Check)) => {
                let now = i64::try_from(clock::unix_s()).unwrap_or(i64::MAX);
                snapshot().overview(index as usize, now).map_or(Response::Missing, Response::Overview)
            }
            _ => return Err(Violation("a request that it may not make")),
        }))
    }

    /// Reports a process that is no worker of this server any more, whatever it runs.
    fn report(&self, connection: &Connection, why: &str) {
        let worker = connection.introduction.get().filter(|(role, _)| *role == Role::Worker);
        let tag = worker.map(|(_, tag)| *tag);
        let worker_pid = tag.unwrap_or(connection.peer.pid.unsigned_abs().into());
        tracing::error!(
            message_id = catalog::KEY_REQUEST_REFUSED,
            worker_pid,
            why,
            "The key process has refused {why} of process {worker_pid}, as only a compromised worker makes: its connection \
             is closed, and the worker is replaced."
        );
        if let Some(tag) = tag {
            let mut violations = self.violations();
            if violations.len() == MAX_VIOLATIONS {
                violations.pop_front();
            }
            violations.push_back((connection.peer.pid, tag));
            drop(violations);
            self.supervisors().iter().for_each(|supervisor| self.send_violations(supervisor));
        }
    }

    /// Sends the violations of its workers to a supervisor. Those that cannot be sent are kept.
    fn send_violations(&self, supervisor: &Connection) {
        self.violations().retain(|&(pid, tag)| {
            let frame = || Response::Violation { tag }.encode(0);
            pid != supervisor.peer.pid || channel::send_frame(supervisor.socket.as_fd(), &frame()).is_err()
        });
    }

    fn supervisors(&self) -> Vec<Arc<Connection>> {
        self.open().values().filter(|connection| connection.is_of(Role::Supervisor)).cloned().collect()
    }

    fn violations(&self) -> MutexGuard<'_, VecDeque<(i32, u64)>> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn is_of(&self, role: Role) -> bool {
        self.introduction.get().is_some_and(|(own, _)| *own == role)
    }
}

/// Signs a message of TLS.
fn sign(snapshot: &Snapshot, id: &KeyId, scheme: u16, message: &[u8]) -> Result<Response, Violation> {
    let other = Violation("a signature of something other than a TLS handshake");
    // A key that was replaced is no violation; such a message is one with any key.
    let Some((kind, key)) = snapshot.key(id) else {
        return if message::has_form_of_tls(message) { Ok(Response::Missing) } else { Err(other) };
    };
    if !message::is_tls(*kind, scheme, message) {
        return Err(other);
    }
    let signer = key.choose_scheme(&[SignatureScheme::from(scheme)]);
    let signature = signer.and_then(|signer| signer.sign(message).ok());
    Ok(signature.map_or(Response::Missing, Response::Signature))
}

#[cfg(test)]
mod tests;
