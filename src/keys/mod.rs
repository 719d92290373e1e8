//! The key process: the only one that reads private keys. It checks certificates, hands out chains, and signs what a TLS
//! server signs. No client talks to it, and a compromised worker gets signatures for handshakes only, for as long as it runs.
//!
//! systemd starts it as a service of its own, with its own socket. Without systemd, a [`monitor`] starts it, which is forked
//! before the server drops its privileges. The supervisor makes one connection for each worker
//! ([`key_protocol`](crate::ipc::key_protocol)).
//!
//! One thread reads the directory of the [`certificates`] and accepts connections; the others respond
//! ([`connections`]). No process is ever forked from this one.

#[cfg(test)]
pub(crate) mod authority;
mod certificate;
pub mod certificates;
mod confinement;
mod connections;
mod expiry;
pub mod folder;
pub mod message;
pub mod monitor;
mod peer;
mod settings;
mod signatures;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::{Builder, available_parallelism};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::config::PACKAGED_CERTIFICATES;
use crate::failure::{self, Failure};
use crate::ipc::key_protocol::{Overview, channel};
use crate::log::{self, OncePerMinute};
use crate::os::{clock, rlimit, sys};

use certificates::Certificates;
use connections::Connections;
use peer::Peer;
use settings::SettingsVersion;

pub use certificate::{Description, describe};
pub use expiry::{Validity, date};

/// The name of the process.
const NAME: &std::ffi::CStr = c"otus-keys";

/// The exit status when the server has ended.
const EXIT_DONE: i32 = 0;

/// The exit status when another process has to go on: links lead to directories that this one may not read.
const EXIT_AGAIN: i32 = 20;

/// The most connections that are accepted at once: a process that connects in a loop must not keep certificates from being
/// read.
const MAX_ACCEPTS: usize = 64;

/// The most threads that respond.
const MAX_THREADS: usize = 16;

/// Their stack size, in bytes.
const STACK_BYTES: usize = 256 * 1024;

/// The shortest life of a process that ends with [`EXIT_AGAIN`], in milliseconds: links can change for ever.
const MIN_LIFE_MS: u64 = 5_000;

/// Where connections come from.
#[derive(Debug)]
enum Source {
    /// A listening socket of systemd, to which any process of the right group can connect.
    Listener(OwnedFd),
    /// A socket over which the server sends connections.
    Server(OwnedFd),
}

/// Runs the key process of the packaged service with the socket from systemd. The directory is `certificates`, or else that of
/// the settings file: only this setting is used, so that no other one stops the process.
pub fn run_service(certificates: Option<PathBuf>, settings: Option<&Path>) -> Failure {
    let settings = settings.filter(|_| certificates.is_none()).map(SettingsVersion::read);
    let (settings, from_file) = settings.unzip();
    let directory = certificates.or(from_file.flatten()).unwrap_or_else(|| PACKAGED_CERTIFICATES.into());
    let Some(listener) = listenfd::ListenFd::from_env().take_raw_fd(0).ok().flatten() else {
        return Failure::new(
            "The key process has no socket: systemd starts it, by otus-httpd-keys.socket; without systemd, the server does so itself.",
        );
    };
    // What the log needs is opened now: later, this process may open certificates only.
    log::descriptors();
    let result = sys::take_descriptor(listener).map_err(io::Error::from).and_then(|listener| {
        let listener = UnixListener::from(listener);
        // systemd passes it without O_NONBLOCK: accept(2) would wait, and no certificate would be read meanwhile.
        listener.set_nonblocking(true)?;
        run(&directory, settings.as_ref(), Source::Listener(listener.into()))
    });
    match result {
        Ok(status) => sys::exit_now(status),
        Err(error) => cannot_run(&error),
    }
}

/// Returns the overviews of the folders in `directory`, which this process reads itself, for a check. From then on, its memory
/// is closed to other processes of its user.
pub fn read_once(directory: &Path) -> Vec<Overview> {
    let _ = nix::sys::prctl::set_dumpable(false);
    let mut certificates = Certificates::new(directory, 1).without_reports();
    // The second time, each fault is one.
    certificates.update(0, 0);
    certificates.update(certificates::SETTLE_MS, 0);
    let (snapshot, now) = (certificates.snapshot(), i64::try_from(clock::unix_s()).unwrap_or(i64::MAX));
    (0..snapshot.folders()).filter_map(|index| snapshot.overview(index, now)).collect()
}

fn cannot_run(error: &io::Error) -> Failure {
    let why = failure::reason(error);
    Failure::new(format!("The key process cannot run ({why}): raise the limits on memory, threads and descriptors."))
}

/// Runs until the server has ended, or another process has to go on. Returns the exit status. `settings` has the directory.
fn run(directory: &Path, settings: Option<&SettingsVersion>, source: Source) -> io::Result<i32> {
    nix::sys::prctl::set_name(NAME)?;
    rlimit::raise_limit();
    let started_ms = clock::now_ms();
    let confinement = confinement::confine(directory, matches!(source, Source::Listener(_)));
    let connections: &'static Connections = Box::leak(Box::new(Connections::new()?));
    let mut certificates = Certificates::new(directory, clock::unix_us());
    certificates.update(started_ms, u64::MAX);
    connections.publish(certificates.snapshot());
    for number in 0..available_parallelism().map_or(1, usize::from).min(MAX_THREADS) {
        Builder::new().name(format!("signer-{number}")).stack_size(STACK_BYTES).spawn(|| connections.serve())?;
    }
    let mut due_ms = 0;
    let refusals = OncePerMinute::default();
    loop {
        let now_ms = clock::now_ms();
        let is_reread = connections.take_reread();
        if is_reread && settings.is_some_and(SettingsVersion::is_outdated) {
            tracing::info!(
                "The key process is replaced: the settings file has changed, which may name another directory of certificates."
            );
            return Ok(EXIT_AGAIN);
        }
        if now_ms >= due_ms || is_reread {
            if certificates.update(now_ms, connections.known()) {
                connections.publish(certificates.snapshot());
            }
            certificates.report_dates(now_ms, i64::try_from(clock::unix_s()).unwrap_or(i64::MAX));
            if now_ms > started_ms + MIN_LIFE_MS && confinement.is_outdated(directory) {
                tracing::info!(
                    "The key process is replaced: links of certificates lead to directories that it may not read."
                );
                return Ok(EXIT_AGAIN);
            }
            due_ms = clock::now_ms() + certificates.pause_ms();
        }
        wait(&[source.as_fd(), connections.reread_event()], due_ms.saturating_sub(clock::now_ms()));
        if !source.accept(connections, &refusals) {
            return Ok(EXIT_DONE);
        }
    }
}

fn wait(sources: &[BorrowedFd], pause_ms: u64) {
    let mut sources: Vec<_> = sources.iter().map(|source| PollFd::new(*source, PollFlags::POLLIN)).collect();
    // Interrupted: the sources are looked at all the same.
    let _ = poll(&mut sources, PollTimeout::try_from(pause_ms).unwrap_or(PollTimeout::MAX));
}

impl Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Source::Listener(socket) | Source::Server(socket) => socket.as_fd(),
        }
    }

    /// Accepts connections. Returns false when there cannot be any others.
    fn accept(&self, connections: &Connections, refusals: &OncePerMinute) -> bool {
        for _ in 0..MAX_ACCEPTS {
            let accepted = match self {
                Source::Listener(listener) => sys::accept(listener).map(|(connection, _)| Some(connection)),
                Source::Server(server) => channel::receive_descriptor(server)
                    .map_err(|error| nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or_default())),
            };
            let connection = match accepted {
                Ok(Some(connection)) => connection,
                Ok(None) => return false,
                Err(_) => return true,
            };
            let peer = match self {
                Source::Listener(_) => Peer::of(&connection),
                Source::Server(_) => Peer::server(&connection),
            };
            match peer {
                Some(peer) => connections.add(connection, peer),
                None if refusals.is_due() => tracing::warn!(
                    "A connection to the key process was closed: it is neither of otus-httpd.service or an instance, nor of root."
                ),
                None => {}
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_are_accepted_in_turn_with_the_reading_of_certificates() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let _clients: Vec<_> =
            (0..MAX_ACCEPTS + 10).map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap()).collect();
        let source = Source::Listener(listener.try_clone().unwrap().into());
        let (connections, refusals) = (Connections::new().unwrap(), OncePerMinute::default());
        assert!(source.accept(&connections, &refusals));
        assert_eq!(std::iter::from_fn(|| listener.accept().ok()).count(), 10);
        assert!(source.accept(&connections, &refusals), "there is none now");
    }
}
