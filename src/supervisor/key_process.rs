//! The [key process](crate::keys), as the supervisor sees it: one connection for each worker, made here and revoked when the
//! worker ends, and one for the report on the certificates.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::Pid;

use super::certificates::CertificateReport;
use crate::config::KEYS_SOCKET;
use crate::failure;
use crate::ipc::handover::{HandoverBuilder, KeyHandover, KeyLink};
use crate::ipc::key_protocol::{Role, channel};
use crate::keys::monitor;
use crate::log::{OncePerMinute, catalog};

/// The pause after a connection could not be made, in milliseconds.
const RETRY_MS: u64 = 50;

/// The time without a connection after which that is reported, in milliseconds.
const MISSING_MS: u64 = 2_000;

/// The key process. In a server without TLS, there is none.
#[derive(Debug, Default)]
pub struct KeyProcess {
    source: Option<Source>,
    workers: Vec<WorkerLink>,
    report: CertificateReport,
    /// Since when no connection can be made.
    missing_since_ms: Option<u64>,
    warning: OncePerMinute,
}

/// How connections are made.
#[derive(Debug)]
enum Source {
    /// To the socket of systemd at this path.
    Socket(PathBuf),
    /// By the monitor, which was forked before the privileges were dropped.
    Monitor {
        pid: Pid,
        connections: OwnedFd,
        directory: PathBuf,
        /// Whether this process has the same user, and so can fork another one.
        is_replaceable: bool,
    },
}

/// The connection of a worker.
#[derive(Debug)]
struct WorkerLink {
    pid: Pid,
    /// Sends connections to the worker.
    channel: OwnedFd,
    /// A duplicate, by which it is revoked. None while there is none.
    connection: Option<OwnedFd>,
    next_attempt_ms: u64,
}

impl KeyProcess {
    /// Takes over the key process of the previous image, or starts one unless systemd does. This comes before the privileges
    /// are dropped, which `drops_privileges` announces.
    pub fn start(directory: PathBuf, previous: KeyHandover, drops_privileges: bool) -> io::Result<Self> {
        let workers = previous.links.into_iter();
        let workers = workers.map(|KeyLink { pid, channel, connection }| WorkerLink {
            pid,
            channel,
            connection,
            next_attempt_ms: 0,
        });
        let workers = workers.collect();
        let directory = std::path::absolute(&directory)?;
        let source = match (std::env::var_os(KEYS_SOCKET), previous.monitor) {
            (Some(path), _) => Source::Socket(path.into()),
            (None, Some(old)) if old.directory == directory => Source::Monitor {
                pid: old.pid,
                connections: old.connections,
                directory,
                is_replaceable: old.is_replaceable,
            },
            (None, Some(old)) if !old.is_replaceable => {
                tracing::error!(
                    "The certificates are still those in {}: this process cannot read others since it has dropped its \
                     privileges. Restart the server.",
                    old.directory.display()
                );
                let (pid, connections, directory) = (old.pid, old.connections, old.directory);
                Source::Monitor { pid, connections, directory, is_replaceable: false }
            }
            (None, _) => {
                let (pid, connections) = monitor::start(&directory)?;
                Source::Monitor { pid, connections, directory, is_replaceable: !drops_privileges }
            }
        };
        Ok(KeyProcess { source: Some(source), workers, ..KeyProcess::default() })
    }

    /// Returns what is known of the certificates; none in a server without TLS.
    pub fn report(&self) -> Option<&CertificateReport> {
        self.source.as_ref().map(|_| &self.report)
    }

    /// Returns whether no connection can be made.
    pub fn is_missing(&self, now_ms: u64) -> bool {
        self.missing_since_ms.is_some_and(|since_ms| now_ms >= since_ms + MISSING_MS)
    }

    /// Creates the channel of a worker that is to be forked: the end of [`KeyProcess::add_worker`], and that of the worker.
    pub fn new_channel(&self) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
        self.source.as_ref().map(|_| channel::pair()).transpose()
    }

    /// Adds a worker, and makes its connection.
    pub fn add_worker(&mut self, pid: Pid, channel: OwnedFd, now_ms: u64) {
        self.workers.push(WorkerLink { pid, channel, connection: None, next_attempt_ms: 0 });
        self.connect_missing(now_ms);
    }

    /// Revokes the connection of a worker that has ended, whatever process may have it now.
    pub fn remove_worker(&mut self, pid: Pid) {
        for link in self.workers.extract_if(.., |link| link.pid == pid) {
            link.revoke();
        }
    }

    /// Closes what a forked worker inherits: with it, it could have the signatures of others.
    pub fn close_inherited(&mut self) {
        *self = KeyProcess::default();
    }

    /// Adds everything to the handover to the next image.
    pub fn add_to<'a>(&'a self, builder: &mut HandoverBuilder<'a>) {
        if let Some(Source::Monitor { pid, connections, directory, is_replaceable }) = &self.source {
            builder.key_monitor(connections.as_fd(), *pid, *is_replaceable, directory);
        }
        for link in &self.workers {
            builder.key_channel(link.channel.as_fd(), link.pid);
            link.connection.iter().for_each(|connection| builder.key_connection(connection.as_fd(), link.pid));
        }
    }

    /// Returns what is to be polled, with the events.
    pub fn poll_sources(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let connections = self.workers.iter().filter_map(|link| link.connection.as_ref());
        // Its end only: what is in it is for the worker.
        let connections = connections.map(|connection| (connection.as_fd(), PollFlags::empty()));
        self.report.connection().map(|connection| (connection, PollFlags::POLLIN)).into_iter().chain(connections)
    }

    /// Returns when [`KeyProcess::serve`] is to be called at the latest.
    pub fn next_due_ms(&self) -> u64 {
        if self.source.is_none() {
            return u64::MAX;
        }
        let waiting = self.workers.iter().filter(|link| link.connection.is_none());
        let report_ms = if self.report.connection().is_none() { self.report.next_attempt_ms() } else { u64::MAX };
        waiting.map(|link| link.next_attempt_ms).min().unwrap_or(u64::MAX).min(report_ms)
    }

    /// Handles the messages of the key process, and makes the connections that are missing. Returns the workers that are to be
    /// replaced.
    pub fn serve(&mut self, now_ms: u64) -> Vec<Pid> {
        if self.source.is_none() {
            return Vec::new();
        }
        // Before the ends of connections: that of such a worker is not replaced.
        let violators = self.report.receive();
        for &pid in &violators {
            self.remove_worker(pid);
        }
        for link in &mut self.workers {
            link.connection.take_if(|connection| has_ended(connection));
        }
        self.connect_missing(now_ms);
        violators
    }

    /// Records the end of the monitor. Returns whether `pid` was it.
    pub fn end(&mut self, pid: Pid) -> bool {
        let Some(Source::Monitor { pid: own, connections, directory, is_replaceable }) = &mut self.source else {
            return false;
        };
        if *own != pid {
            return false;
        }
        let next = if *is_replaceable { monitor::start(directory).ok() } else { None };
        let what = if next.is_some() { "it is started again" } else { "restart the server" };
        tracing::error!(
            message_id = catalog::KEY_PROCESS_ENDED,
            how = "ended",
            lived_ms = 0,
            pause_ms = 0,
            "The monitor of the key process has ended: {what}."
        );
        if let Some((pid, socket)) = next {
            (*own, *connections) = (pid, socket);
        }
        true
    }

    /// Makes the connections that are missing. That for the report is the first: a violation of a worker comes over it.
    fn connect_missing(&mut self, now_ms: u64) {
        self.connect_report(now_ms);
        self.connect_workers(now_ms);
    }

    fn connect_workers(&mut self, now_ms: u64) {
        for index in 0..self.workers.len() {
            let link = &self.workers[index];
            if link.connection.is_some() || now_ms < link.next_attempt_ms {
                continue;
            }
            let tag = link.pid.as_raw().unsigned_abs().into();
            let connected = self.connect(Role::Worker, tag, now_ms).and_then(|connection| {
                channel::send_descriptor(self.workers[index].channel.as_fd(), connection.as_fd())?;
                Ok(connection)
            });
            let link = &mut self.workers[index];
            link.connection = connected.ok();
            link.next_attempt_ms = now_ms + RETRY_MS;
        }
    }

    fn connect_report(&mut self, now_ms: u64) {
        if self.report.connection().is_none() && now_ms >= self.report.next_attempt_ms() {
            let connection = self.connect(Role::Supervisor, 0, now_ms).ok();
            self.report.begin(connection, now_ms + RETRY_MS);
        }
    }

    /// Makes a connection. The time since which that fails is recorded, and reported.
    fn connect(&mut self, role: Role, tag: u64, now_ms: u64) -> io::Result<OwnedFd> {
        let made = self.source.as_ref().ok_or(io::ErrorKind::NotFound.into()).and_then(Source::connect);
        let made = made.and_then(|connection| channel::introduce(connection.as_fd(), role, tag).map(|()| connection));
        match &made {
            Ok(_) => self.missing_since_ms = None,
            Err(error) => {
                let since_ms = *self.missing_since_ms.get_or_insert(now_ms);
                if now_ms >= since_ms + MISSING_MS && self.warning.is_due() {
                    let why = failure::reason(error);
                    tracing::error!(
                        message_id = catalog::KEY_PROCESS_MISSING,
                        why,
                        "The key process cannot be reached ({why}), and TLS handshakes fail: start otus-httpd-keys.socket \
                         (systemctl status otus-httpd-keys.service has its log) or, without systemd, restart the server."
                    );
                }
            }
        }
        made
    }
}

impl Source {
    /// Makes a connection, which is a part of the queue of the key process until that accepts it. Never blocks.
    fn connect(&self) -> io::Result<OwnedFd> {
        match self {
            Source::Socket(path) => channel::connect_to(path),
            Source::Monitor { connections, .. } => {
                let (own, theirs) = channel::pair()?;
                channel::send_descriptor(connections.as_fd(), theirs.as_fd())?;
                Ok(own)
            }
        }
    }
}

impl WorkerLink {
    fn revoke(&self) {
        if let Some(connection) = &self.connection {
            // One that the key process has closed is revoked.
            let _ = shutdown(connection.as_raw_fd(), Shutdown::Both);
        }
    }
}

/// Returns whether the key process has closed a connection.
fn has_ended(connection: &OwnedFd) -> bool {
    let mut source = [PollFd::new(connection.as_fd(), PollFlags::empty())];
    poll(&mut source, PollTimeout::ZERO) == Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::key_protocol::frame::Request;
    use nix::sys::socket::{
        AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept, bind, listen, recv, socket,
    };

    #[test]
    fn the_connection_for_reports_is_made_before_that_of_a_worker() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&listener, Backlog::new(8).unwrap()).unwrap();
        let mut keys = KeyProcess { source: Some(Source::Socket(path)), ..KeyProcess::default() };
        let (own, _theirs) = channel::pair().unwrap();
        keys.add_worker(Pid::from_raw(77), own, 0);
        for expected in
            [Request::Hello { role: Role::Supervisor, tag: 0 }, Request::Hello { role: Role::Worker, tag: 77 }]
        {
            let connection = accept(listener.as_raw_fd()).unwrap();
            let mut frame = [0; 64];
            let length = recv(connection, &mut frame, MsgFlags::empty()).unwrap();
            assert_eq!(Request::decode(&frame[..length]), Some((0, expected)));
            nix::unistd::close(connection).unwrap();
        }
    }
}
