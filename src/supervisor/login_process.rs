//! The [login process](crate::logins), as the supervisor sees it: started with the server, started again when it ends, and one
//! connection for each worker, made here and revoked when the worker ends.
//!
//! Old workers keep the login process of their time until they end, unless a reload has changed who gets what: then it ends when
//! the new workers are ready.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, getpid};

use super::Supervisor;
use super::backoff::Backoff;
use crate::digest::Digest;
use crate::ipc::handover::{HandoverBuilder, LoginHandover, OldLoginProcess};
use crate::ipc::key_protocol::channel;
use crate::ipc::login_protocol::FailureMemory;
use crate::log::catalog;
use crate::logins;
use crate::os::sys;

/// The login process. Without files of users, there is none.
#[derive(Debug)]
pub struct LoginProcess {
    files: Vec<PathBuf>,
    child: Option<Child>,
    backoff: Backoff,
    workers: Vec<WorkerLink>,
    /// The failed logins of clients. None in a worker.
    failures: Option<FailureMemory>,
    /// Those of old workers.
    old: Vec<OldLoginProcess>,
    /// Whether the settings of old workers were others.
    has_other_settings: bool,
}

#[derive(Debug)]
struct Child {
    pid: Pid,
    started_ms: u64,
    /// Sends the connections of workers to it.
    server: OwnedFd,
}

/// The connection of a worker.
#[derive(Debug)]
struct WorkerLink {
    pid: Pid,
    /// Sends connections to the worker.
    channel: OwnedFd,
    /// A duplicate, by which it is revoked. None while there is none.
    connection: Option<OwnedFd>,
}

impl LoginProcess {
    /// Creates the process for these files, which is not started yet, and takes over those of old workers. `settings` is the
    /// [digest](crate::access::digest) of the settings.
    pub fn new(files: Vec<PathBuf>, settings: Digest, previous: LoginHandover) -> io::Result<Self> {
        let failures = previous.failures.and_then(|memory| FailureMemory::from_memory(memory).ok());
        let failures = failures.map_or_else(FailureMemory::new, Ok)?;
        let has_other_settings = failures.replace_settings(settings)?;
        for process in &previous.processes {
            // It gets no more connections, and ends with those that it has.
            let _ = shutdown(process.server.as_raw_fd(), Shutdown::Both);
        }
        Ok(LoginProcess {
            files,
            child: None,
            backoff: Backoff::new(),
            workers: Vec::new(),
            failures: Some(failures),
            old: previous.processes,
            has_other_settings,
        })
    }

    /// Ends the processes of old workers if their settings were others. Returns whether they were.
    pub fn end_outdated(&mut self) -> bool {
        if self.has_other_settings {
            for process in &self.old {
                // One that has just ended is reaped later.
                let _ = kill(process.pid, Signal::SIGKILL);
            }
        }
        self.has_other_settings
    }

    /// Adds everything to the handover to the next image.
    pub fn add_to<'a>(&'a self, builder: &mut HandoverBuilder<'a>) {
        self.failures.iter().for_each(|failures| builder.login_failures(failures.descriptor()));
        let own = self.child.iter().map(|child| (&child.server, child.pid));
        let old = self.old.iter().map(|process| (&process.server, process.pid));
        own.chain(old).for_each(|(server, pid)| builder.login_process(server.as_fd(), pid));
    }

    /// Creates the channel of a worker that is to be forked: the end of [`LoginProcess::add_worker`], and that of the worker.
    pub fn new_channel(&self) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
        (!self.files.is_empty()).then(channel::pair).transpose()
    }

    /// Returns the number of files.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Adds a worker, and makes its connection.
    pub fn add_worker(&mut self, pid: Pid, channel: OwnedFd) {
        self.workers.push(WorkerLink { pid, channel, connection: None });
        self.connect_workers();
    }

    /// Revokes the connection of a worker that has ended, whatever process may have it now.
    pub fn remove_worker(&mut self, pid: Pid) {
        for link in self.workers.extract_if(.., |link| link.pid == pid) {
            if let Some(connection) = link.connection {
                // One that the login process has closed is revoked.
                let _ = shutdown(connection.as_raw_fd(), Shutdown::Both);
            }
        }
    }

    /// Closes what a forked worker inherits: with it, it could have the connections of others.
    pub fn close_inherited(&mut self) {
        (self.child, self.workers, self.failures, self.old) = (None, Vec::new(), None, Vec::new());
    }

    /// Returns when the process is to be started.
    pub fn next_due_ms(&self) -> u64 {
        if self.files.is_empty() || self.child.is_some() { u64::MAX } else { self.backoff.due_ms() }
    }

    /// Records the end of the process. Returns whether `pid` was it.
    pub fn end(&mut self, pid: Pid, end: WaitStatus, now_ms: u64) -> bool {
        if self.old.extract_if(.., |process| process.pid == pid).count() > 0 {
            return true;
        }
        let Some(child) = self.child.take_if(|child| child.pid == pid) else { return false };
        let how = match end {
            WaitStatus::Exited(_, code) => format!("exited with code {code}"),
            WaitStatus::Signaled(_, signal, _) => format!("was killed by {signal}"),
            _ => "ended".to_string(),
        };
        let lived_ms = now_ms - child.started_ms;
        let pause_ms = self.backoff.delay(now_ms, lived_ms);
        self.workers.iter_mut().for_each(|link| link.connection = None);
        tracing::error!(
            message_id = catalog::LOGIN_PROCESS_ENDED,
            login_pid = pid.as_raw(),
            how,
            lived_ms,
            pause_ms,
            "The login process (pid {pid}) {how}; starting another in {pause_ms} ms. Until then, requests that need a password get 503."
        );
        true
    }

    /// Makes the connections that are missing.
    fn connect_workers(&mut self) {
        let Some(child) = &self.child else { return };
        for link in self.workers.iter_mut().filter(|link| link.connection.is_none()) {
            let connected = channel::pair().and_then(|(own, theirs)| {
                channel::send_descriptor(child.server.as_fd(), theirs.as_fd())?;
                channel::send_descriptor(link.channel.as_fd(), own.as_fd())?;
                Ok(own)
            });
            match connected {
                Ok(connection) => link.connection = Some(connection),
                Err(error) => tracing::error!("A worker has no connection to the login process ({error})."),
            }
        }
    }
}

impl Supervisor {
    /// Starts the login process if it is due.
    pub(super) fn start_logins(&mut self, now_ms: u64) {
        if now_ms < self.logins.next_due_ms() || self.logins.files.is_empty() {
            return;
        }
        let started = channel::pair().and_then(|(own, theirs)| {
            let failures = self.logins.failures.as_ref().ok_or(io::ErrorKind::NotFound)?;
            let supervisor = getpid();
            let pid = sys::fork(|| {
                // All that owns descriptors and is dropped: the process closes what it does not know (sys::close_others).
                let mut shared = self.workers.take_shared();
                (shared.helper, shared.client_limit, shared.keys, shared.ticket_keys) = (None, None, None, None);
                self.ticket_keys.close_inherited();
                let status = logins::run(supervisor, &theirs, &self.logins.files, failures);
                // Its descriptors are closed.
                std::mem::forget(shared);
                status
            })?;
            Ok((pid, own))
        });
        match started {
            Ok((pid, server)) => {
                self.logins.child = Some(Child { pid, started_ms: now_ms, server });
                self.logins.connect_workers();
            }
            Err(error) => {
                tracing::error!("Cannot start the login process ({error}); retrying.");
                self.logins.backoff.delay(now_ms, 0);
            }
        }
    }
}
