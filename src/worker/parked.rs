//! The parking lot: connections that wait for their client and hold no thread.
//!
//! A connection is in the lot or with a thread, never both. Its place is its descriptor's number, so whoever takes an
//! epoll event finds it without a pointer. An event for a connection that is with a thread is noted at its place, and the
//! kernel is asked for it again when the connection is parked. One for a connection that has ended, and whose place a newer
//! one has, does no harm: the newer one is tried, would block, and is parked again.

use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::connection::Connection;

type Slot = Mutex<SlotState>;

/// A connection's place.
#[derive(Debug, Default)]
struct SlotState {
    connection: Option<Box<Connection>>,
    /// Whether an event came while it was empty.
    has_missed_event: bool,
}

/// Places are made so many at a time, when a descriptor that high first comes.
const CHUNK: usize = 1024;

/// The parked connections of a worker.
#[derive(Debug)]
pub struct ParkedConnections {
    chunks: Box<[OnceLock<Box<[Slot]>>]>,
}

impl ParkedConnections {
    /// A lot for descriptors below `descriptors`.
    pub fn new(descriptors: usize) -> Self {
        ParkedConnections { chunks: (0..descriptors.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect() }
    }

    /// Parks a connection. `watch` sees to it that epoll reports its next event, and that which the connection has missed
    /// if it is told so; it runs while the place is held, so that nobody else has the connection before it is whole. If
    /// `watch` fails, the connection is closed.
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

    /// Takes the connection with descriptor `fd` out for an event, if it is here. `reads_on` says that one read may not take
    /// all that is there.
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

    /// Whether a connection with descriptor `fd` is here.
    pub fn contains(&self, fd: usize) -> bool {
        self.slot(fd).is_some_and(|spot| spot.connection.is_some())
    }

    /// Looks at every connection, and takes out each that `is_due`, one after the other.
    pub fn sweep(&self, is_due: impl Fn(&mut Connection) -> bool, mut each: impl FnMut(Box<Connection>)) {
        for place in self.chunks.iter().filter_map(OnceLock::get).flatten() {
            let due = lock(place).connection.take_if(|connection| is_due(connection));
            if let Some(connection) = due {
                connection.count_unparked();
                each(connection);
            }
        }
    }

    /// Takes out the `count` connections, or as many as there are, with the least `rank`; those without one stay.
    #[expect(clippy::vec_box, reason = "a parked connection is in a box, here and wherever it goes next")]
    pub fn take_lowest(&self, count: usize, rank: impl Fn(&Connection) -> Option<u64>) -> Vec<Box<Connection>> {
        let places = self.chunks.iter().filter_map(OnceLock::get).flatten();
        let ranked = |place| Some((rank(lock(place).connection.as_deref()?)?, place));
        let mut found: Vec<(u64, &Slot)> = places.filter_map(ranked).collect();
        if found.len() > count {
            found.select_nth_unstable_by_key(count, |&(rank, _)| rank);
            found.truncate(count);
        }
        let take = |(before, place)| {
            let connection = lock(place).connection.take_if(|connection| rank(connection) == Some(before))?;
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

/// A thread that panicked while it held a place left it empty or full, never half.
fn lock(place: &Slot) -> MutexGuard<'_, SlotState> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
