//! The parking lot: connections that wait for their client and hold no thread.
//!
//! A connection is in the lot or with a thread, never both. Its place is its descriptor's number, so whoever takes an
//! epoll event finds it without a pointer. An event for a place that is empty, or that a newer connection has meanwhile,
//! does no harm: the newer one is tried, would block, and is parked again.

use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::connection::Connection;
use crate::scoreboard::{Counter, Slab};

type Place = Mutex<Option<Box<Connection>>>;

/// Places are made so many at a time, when a descriptor that high first comes.
const ROW: usize = 1024;

/// The parked connections of a worker.
#[derive(Debug)]
pub struct Lot {
    rows: Box<[OnceLock<Box<[Place]>>]>,
    slab: Slab,
}

impl Lot {
    /// A lot for descriptors below `descriptors`.
    pub fn new(descriptors: usize, slab: Slab) -> Self {
        Lot { rows: (0..descriptors.div_ceil(ROW)).map(|_| OnceLock::new()).collect(), slab }
    }

    /// Parks a connection. `watch` asks epoll for its next event; it runs while the place is held, so that nobody else
    /// has the connection before it is whole. If `watch` fails, the connection is closed.
    pub fn park(&self, mut connection: Box<Connection>, watch: impl FnOnce(&mut Connection) -> nix::Result<()>) {
        let Some(mut place) = self.place(connection.as_raw_fd() as usize) else { return };
        match watch(&mut connection) {
            Ok(()) => {
                *place = Some(connection);
                self.slab.add(Counter::Parked, 1);
            }
            Err(errno) => tracing::warn!("Cannot watch a connection ({errno}); it is closed."),
        }
    }

    /// Takes the connection with descriptor `fd` out, if it is here.
    pub fn take(&self, fd: usize) -> Option<Box<Connection>> {
        let connection = self.place(fd)?.take();
        if connection.is_some() {
            self.slab.subtract(Counter::Parked, 1);
        }
        connection
    }

    /// Looks at every connection, and takes out each that `is_due`, one after the other.
    pub fn sweep(&self, is_due: impl Fn(&mut Connection) -> bool, mut each: impl FnMut(Box<Connection>)) {
        for place in self.rows.iter().filter_map(OnceLock::get).flatten() {
            let due = hold(place).take_if(|connection| is_due(connection));
            if let Some(connection) = due {
                self.slab.subtract(Counter::Parked, 1);
                each(connection);
            }
        }
    }

    fn place(&self, fd: usize) -> Option<MutexGuard<'_, Option<Box<Connection>>>> {
        let row = self.rows.get(fd / ROW)?.get_or_init(|| (0..ROW).map(|_| Mutex::new(None)).collect());
        Some(hold(&row[fd % ROW]))
    }
}

/// A thread that panicked while it held a place left it empty or full, never half.
fn hold(place: &Place) -> MutexGuard<'_, Option<Box<Connection>>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
