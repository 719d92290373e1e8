//! The keys of session tickets: a new one every few hours, and all new ones when a worker may have been compromised. With
//! `--ticket-keys`, they are those of a file that several machines have, which is read again every few seconds.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use crate::config::ticket_keys;
use crate::failure::Failure;
use crate::ipc::ticket_keys::{TicketKey, TicketKeyReader, TicketKeys};
use crate::os::clock;

/// The interval at which a file of keys is read, in milliseconds. It is read rather than compared by its times, so that a change is
/// seen that was made while it was read.
const READ_MS: u64 = 5_000;

/// The keys, if there is a listening socket for TLS.
#[derive(Debug, Default)]
pub struct TicketKeyRotation {
    /// None in a worker that was just forked.
    keys: Option<TicketKeys>,
    /// The file that they are from, if they are not random.
    file: Option<KeyFile>,
}

/// A file of keys that was read.
#[derive(Debug)]
struct KeyFile {
    path: &'static Path,
    next_read_ms: u64,
    /// The failure that was reported last.
    report: Option<String>,
}

/// A file of keys, and what is in it at the start.
pub struct SharedKeys {
    path: &'static Path,
    keys: Vec<TicketKey>,
}

impl SharedKeys {
    /// Reads the keys in `path`.
    pub fn open(path: &'static Path) -> Result<Self, Failure> {
        Ok(SharedKeys { path, keys: ticket_keys::read(path)? })
    }
}

impl TicketKeyRotation {
    /// Takes over the keys of the previous image, or creates some; shared ones replace them. Returns as well what the workers get: without /proc, that is
    /// nothing, and they make no tickets.
    pub fn new(previous: Option<OwnedFd>, shared: Option<SharedKeys>) -> io::Result<(Self, Option<TicketKeyReader>)> {
        let keys = previous.and_then(|memory| TicketKeys::from_memory(memory).ok());
        let keys = keys.map_or_else(|| TicketKeys::new(clock::now_ms()), Ok)?;
        let reader = keys.reader();
        if let Err(error) = &reader {
            tracing::warn!("No TLS session is resumed, since its keys cannot be protected ({error}): mount /proc.");
        }
        let reader = reader.ok();
        let file = shared.map(|SharedKeys { path, keys: shared }| {
            keys.share(&shared);
            KeyFile { path, next_read_ms: clock::now_ms() + READ_MS, report: None }
        });
        Ok((TicketKeyRotation { keys: Some(keys), file }, reader))
    }

    /// Unmaps what a forked process inherits and must not have: it could choose the keys.
    pub fn close_inherited(&mut self) {
        self.keys = None;
    }

    /// Returns the memory of the keys, to hand it over.
    pub fn memory(&self) -> Option<BorrowedFd<'_>> {
        self.keys.as_ref().map(TicketKeys::memory)
    }

    /// Adds a key if the last one is old enough, or reads the file again.
    pub fn rotate(&mut self, now_ms: u64) {
        match (&self.keys, &mut self.file) {
            (Some(keys), Some(file)) => file.read(keys, now_ms),
            (Some(keys), None) if keys.due_ms() <= now_ms => report(keys.rotate(now_ms)),
            _ => {}
        }
    }

    /// Replaces all keys, which an attacker may have read in a worker. Until that succeeds, no session is resumed. Shared keys stay,
    /// since only a person can replace them on all machines.
    pub fn renew(&self, now_ms: u64) {
        match (&self.keys, &self.file) {
            (Some(_), Some(file)) => tracing::warn!(
                "A worker has ended that could read the keys in {}. If it may have been compromised, replace them on every machine.",
                file.path.display()
            ),
            (Some(keys), None) => report(keys.renew(now_ms)),
            (None, _) => {}
        }
    }
}

impl KeyFile {
    /// Reads the file, if that is due. One that cannot be used changes nothing, and is reported once.
    fn read(&mut self, keys: &TicketKeys, now_ms: u64) {
        if now_ms < self.next_read_ms {
            return;
        }
        self.next_read_ms = now_ms + READ_MS;
        let path = self.path.display();
        match ticket_keys::read(self.path) {
            Ok(shared) => {
                self.report = None;
                if keys.share(&shared) {
                    tracing::info!(%path, "The keys of session tickets in {path} have changed; keys: {}.", shared.len());
                }
            }
            Err(failure) => {
                let sentence = failure.to_string();
                if self.report.as_ref() != Some(&sentence) {
                    tracing::warn!(%path, "{sentence} Until then, the keys stay as they were.");
                    self.report = Some(sentence);
                }
            }
        }
    }
}

fn report(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!("Cannot create a key for TLS session tickets ({error}); retrying.");
    }
}
