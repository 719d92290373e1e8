//! The keys of session tickets: a new one every few hours, and all new ones when a worker may have been compromised.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::Supervisor;
use crate::ipc::ticket_keys::{TicketKeyReader, TicketKeys};
use crate::os::clock;

/// The keys, if there is a listening socket for TLS.
#[derive(Debug, Default)]
pub struct TicketKeyRotation {
    /// None in a worker that was just forked.
    keys: Option<TicketKeys>,
}

impl TicketKeyRotation {
    /// Takes over the keys of the previous image, or creates some. Returns as well what the workers get.
    pub fn new(previous: Option<OwnedFd>) -> io::Result<(Self, TicketKeyReader)> {
        let keys = previous.and_then(|memory| TicketKeys::from_memory(memory).ok());
        let keys = keys.map_or_else(|| TicketKeys::new(clock::now_ms()), Ok)?;
        let reader = keys.reader()?;
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
    fn rotate(&self, now_ms: u64) {
        let due = self.keys.as_ref().filter(|keys| keys.due_ms() <= now_ms);
        report(due.map_or(Ok(()), |keys| keys.rotate(now_ms)));
    }

    /// Replaces all keys.
    fn renew(&self, now_ms: u64) {
        report(self.keys.as_ref().map_or(Ok(()), |keys| keys.renew(now_ms)));
    }
}

fn report(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!("Cannot replace the keys of TLS session tickets ({error}); retrying.");
    }
}

impl Supervisor {
    /// Adds a key if the last one is old enough. If a worker has crashed, replaces all keys: an attacker may have caused
    /// that, and may have read the keys before.
    pub(super) fn update_ticket_keys(&mut self, now_ms: u64) {
        if self.workers.take_crashed() {
            self.ticket_keys.renew(now_ms);
        }
        self.ticket_keys.rotate(now_ms);
    }
}
