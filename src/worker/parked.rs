//! Parked connections: they wait for their client and hold no thread.
//!
//! A connection is either parked here, or lent while its thread does a [task](super::takeover), or owned by a thread. Its slot is the number of its file descriptor, so an event
//! needs no pointer to find it. If a thread owns the connection when an event arrives, the slot records the event, and
//! the kernel is asked to report it again when the connection is parked. An event can be late: its connection has
//! ended, and the slot holds a newer one. That is harmless: the newer connection is driven, its read would block, and
//! it is parked again.

use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::connection::Connection;

type Slot = Mutex<SlotState>;

/// The slot of a descriptor.
#[derive(Debug, Default)]
struct SlotState {
    connection: Option<Box<Connection>>,
    /// Whether an event arrived while the slot was empty, or its connection lent.
    has_missed_event: bool,
    /// The loan under which the connection is here; 0 if it is parked.
    loan: u64,
}

/// Slots are allocated in chunks of this size, when a descriptor needs one.
const CHUNK: usize = 1024;

/// The parked connections of a worker.
#[derive(Debug)]
pub struct ParkedConnections {
    chunks: Box<[OnceLock<Box<[Slot]>>]>,
}

impl ParkedConnections {
    /// Creates slots for descriptors below `descriptors`.
    pub fn new(descriptors: usize) -> Self {
        ParkedConnections { chunks: (0..descriptors.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() }
    }

    /// Parks a connection. `watch` makes the kernel report its next event; if its argument is true, an event was missed
    /// and must be reported too. `watch` runs while the slot is locked, so that no other thread takes the connection
    /// before it is parked. If `watch` fails, the connection is closed.
    pub fn park(&self, mut connection: Box<Connection>, watch: impl FnOnce(&mut Connection, bool) -> nix::Result<()>) {
        let Some(mut slot) = self.slot(connection.as_raw_fd() as usize) else { return };
        let has_missed = std::mem::take(&mut slot.has_missed_event);
        match watch(&mut connection, has_missed) {
            Ok(()) => {
                connection.count_parked();
                slot.connection = Some(connection);
            }
            Err(errno) => tracing::warn!("Cannot watch a connection ({errno}); it is closed."),
        }
    }

    /// Takes the connection with descriptor `fd` for an event, if it is parked. `may_have_more`: a read that does not
    /// fill its buffer may leave input.
    pub fn take(&self, fd: usize, may_have_more: bool) -> Option<Box<Connection>> {
        let mut slot = self.slot(fd)?;
        let is_parked = slot.loan == 0;
        let Some(mut connection) = slot.connection.take_if(|_| is_parked) else {
            slot.has_missed_event = true;
            return None;
        };
        connection.may_have_more |= may_have_more;
        connection.count_unparked();
        Some(connection)
    }

    /// Puts a connection here while its thread does a task, under the number `loan`. Events are recorded.
    pub fn lend(&self, connection: Box<Connection>, loan: u64) {
        let Some(mut slot) = self.slot(connection.as_raw_fd() as usize) else { return };
        (slot.connection, slot.loan) = (Some(connection), loan);
    }

    /// Takes the connection with descriptor `fd` that is here under the number `loan`: its thread continues, or another one does.
    pub fn take_lent(&self, fd: usize, loan: u64) -> Option<Box<Connection>> {
        let mut slot = self.slot(fd).filter(|slot| slot.loan == loan)?;
        slot.loan = 0;
        slot.connection.take()
    }

    /// Returns whether a connection with descriptor `fd` is parked.
    pub fn contains(&self, fd: usize) -> bool {
        self.slot(fd).is_some_and(|slot| slot.connection.is_some())
    }

    /// Takes the connections for which `is_due` is true, one after the other.
    pub fn sweep(&self, is_due: impl Fn(&mut Connection) -> bool, mut each: impl FnMut(Box<Connection>)) {
        for slot in self.chunks.iter().filter_map(OnceLock::get).flatten() {
            let mut slot = lock(slot);
            let is_parked = slot.loan == 0;
            let due = slot.connection.take_if(|connection| is_parked && is_due(connection));
            drop(slot);
            if let Some(connection) = due {
                connection.count_unparked();
                each(connection);
            }
        }
    }

    /// Takes up to `count` connections with the lowest `rank`; those without a rank stay.
    #[expect(clippy::vec_box, reason = "a parked connection is in a box, here and wherever it goes next")]
    pub fn take_lowest(&self, count: usize, rank: impl Fn(&Connection) -> Option<u64>) -> Vec<Box<Connection>> {
        let slots = self.chunks.iter().filter_map(OnceLock::get).flatten();
        let rank_of = |slot: &SlotState| rank(slot.connection.as_deref().filter(|_| slot.loan == 0)?);
        let ranked = |slot| Some((rank_of(&lock(slot))?, slot));
        let mut found: Vec<(u64, &Slot)> = slots.filter_map(ranked).collect();
        if found.len() > count {
            found.select_nth_unstable_by_key(count, |&(rank, _)| rank);
            found.truncate(count);
        }
        let take = |(before, slot)| {
            let mut slot = lock(slot);
            let connection = if rank_of(&slot) == Some(before) { slot.connection.take() } else { None }?;
            connection.count_unparked();
            Some(connection)
        };
        found.into_iter().filter_map(take).collect()
    }

    fn slot(&self, fd: usize) -> Option<MutexGuard<'_, SlotState>> {
        let chunk = self.chunks.get(fd / CHUNK)?.get_or_init(|| (0..CHUNK).map(|_| Slot::default()).collect());
        Some(lock(&chunk[fd % CHUNK]))
    }
}

/// Locks a slot. A thread that panicked while it held the lock has left the slot consistent: either empty or full.
fn lock(slot: &Slot) -> MutexGuard<'_, SlotState> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
