//! Parked connections: they wait for their client and hold no thread.
//!
//! A connection is parked here or owned by a thread, never both. Its slot is the number of its descriptor, so that an
//! event finds it without a pointer. An event for a connection that a thread owns is recorded in the slot, and the
//! kernel is asked for it again when the connection is parked. An event for a connection that has ended, and whose slot
//! holds a newer one, is harmless: the newer one is driven, would block, and is parked again.

use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::connection::Connection;

type Slot = Mutex<SlotState>;

/// The slot of a descriptor.
#[derive(Debug, Default)]
struct SlotState {
    connection: Option<Box<Connection>>,
    /// Whether an event came while the slot was empty.
    has_missed_event: bool,
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

    /// Parks a connection. `watch` has the kernel report its next event, and one that was missed if its argument is
    /// true. It runs while the slot is locked, so that no other thread takes the connection before it is parked. If it
    /// fails, the connection is closed.
    pub fn park(&self, mut connection: Box<Connection>, watch: impl FnOnce(&mut Connection, bool) -> nix::Result<()>) {
        let Some(mut spot) = self.slot(connection.as_raw_fd() as usize) else { return };
        let has_missed = std::mem::take(&mut spot.has_missed_event);
        match watch(&mut connection, has_missed) {
            Ok(()) => {
                connection.count_parked();
                spot.connection = Some(connection);
            }
            Err(errno) => tracing::warn!("Cannot watch a connection ({errno}); it is closed."),
        }
    }

    /// Takes the connection with descriptor `fd` for an event, if it is parked. `reads_on`: a read that does not fill
    /// its buffer may leave input.
    pub fn take(&self, fd: usize, reads_on: bool) -> Option<Box<Connection>> {
        let mut spot = self.slot(fd)?;
        let Some(mut connection) = spot.connection.take() else {
            spot.has_missed_event = true;
            return None;
        };
        connection.may_have_more |= reads_on;
        connection.count_unparked();
        Some(connection)
    }

    /// Whether a connection with descriptor `fd` is parked.
    pub fn contains(&self, fd: usize) -> bool {
        self.slot(fd).is_some_and(|spot| spot.connection.is_some())
    }

    /// Takes each connection that `is_due`, one after the other.
    pub fn sweep(&self, is_due: impl Fn(&mut Connection) -> bool, mut each: impl FnMut(Box<Connection>)) {
        for slot in self.chunks.iter().filter_map(OnceLock::get).flatten() {
            let due = lock(slot).connection.take_if(|connection| is_due(connection));
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
        let ranked = |slot| Some((rank(lock(slot).connection.as_deref()?)?, slot));
        let mut found: Vec<(u64, &Slot)> = slots.filter_map(ranked).collect();
        if found.len() > count {
            found.select_nth_unstable_by_key(count, |&(rank, _)| rank);
            found.truncate(count);
        }
        let take = |(before, slot)| {
            let connection = lock(slot).connection.take_if(|connection| rank(connection) == Some(before))?;
            connection.count_unparked();
            Some(connection)
        };
        found.into_iter().filter_map(take).collect()
    }

    fn slot(&self, fd: usize) -> Option<MutexGuard<'_, SlotState>> {
        let row = self.chunks.get(fd / CHUNK)?.get_or_init(|| (0..CHUNK).map(|_| Slot::default()).collect());
        Some(lock(&row[fd % CHUNK]))
    }
}

/// Locks a slot. A thread that panicked while it held the lock left the slot empty or full, never between.
fn lock(slot: &Slot) -> MutexGuard<'_, SlotState> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
