//! The keys of session tickets: a new one every few hours, and all new ones when a worker may have been compromised.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::ipc::ticket_keys::{TicketKeyReader, TicketKeys};
use crate::os::clock;

/// The keys, if there is a listening socket for TLS.
#[derive(Debug, Default)]
pub struct TicketKeyRotation {
    /// None in a worker that was just forked.
    keys: Option<TicketKeys>,
}

impl TicketKeyRotation {
    /// Takes over the keys of the previous image, or creates some. Returns as well what the workers get: without /proc, that is
    /// nothing, and they make no tickets.
    pub fn new(previous: Option<OwnedFd>) -> io::Result<(Self, Option<TicketKeyReader>)> {
        let keys = previous.and_then(|memory| TicketKeys::from_memory(memory).ok());
        let keys = keys.map_or_else(|| TicketKeys::new(clock::now_ms()), Ok)?;
        let reader = keys.reader();
        if let Err(error) = &reader {
            tracing::warn!("No TLS session is resumed, since its keys cannot be protected ({error}): mount /proc.");
        }
        let reader = reader.ok();
        Ok((TicketKeyRotation { keys: Some(keys) }, reader))
    }

    /// Unmaps what a forked process inherits and must not have: it could choose the keys.
    pub fn close_inherited(&mut self) {
        self.keys = None;
    }

    /// Returns the memory of the keys, to hand it over.
    pub fn memory(&self) -> Option<BorrowedFd<'_>> {
        self.keys.as_ref().map(TicketKeys::memory)
    }

    /// Adds a key if the last one is old enough.
    pub fn rotate(&self, now_ms: u64) {
        let due = self.keys.as_ref().filter(|keys| keys.due_ms() <= now_ms);
        report(due.map_or(Ok(()), |keys| keys.rotate(now_ms)));
    }

    /// Replaces all keys, which an attacker may have read in a worker. Until that succeeds, no session is resumed.
    pub fn renew(&self, now_ms: u64) {
        report(self.keys.as_ref().map_or(Ok(()), |keys| keys.renew(now_ms)));
    }
}

fn report(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!("Cannot create a key for TLS session tickets ({error}); retrying.");
    }
}
