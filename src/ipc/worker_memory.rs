//! Memory of the workers: each writes its own, and reads that of the others.
//!
//! The supervisor creates it and may write all of it. A forked worker keeps a writable mapping of its own memory only,
//! and no descriptor, so that a compromised worker cannot write the memory of others. It can write anything into its
//! own: no reader may depend on that being true.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;

use crate::os::sys::{self, ReadableCounters, WritableCounters};

/// The memories of a number of processes.
#[derive(Debug, Default)]
pub struct Memories {
    /// None in a worker, and where no other process maps them.
    descriptors: Vec<OwnedFd>,
    /// Those that this process may write.
    writable: Vec<Option<WritableCounters>>,
    readable: Vec<ReadableCounters>,
}

impl Memories {
    /// Creates `memories` memories, each of `count` zeroes.
    pub fn new(memories: usize, count: usize) -> io::Result<Self> {
        let descriptors: Vec<_> = (0..memories).map(|_| sys::counters_memory(count)).collect::<io::Result<_>>()?;
        let writable = descriptors.iter().map(|memory| WritableCounters::map(memory, count).map(Some));
        let writable = writable.collect::<io::Result<_>>()?;
        let readable = descriptors.iter().map(|memory| ReadableCounters::map(memory, count));
        let readable = readable.collect::<io::Result<_>>()?;
        Ok(Memories { descriptors, writable, readable })
    }

    /// Returns descriptors by which the next image of this process can map them.
    pub fn descriptors(&self) -> &[OwnedFd] {
        &self.descriptors
    }

    /// Closes the descriptors; from then on, only this process and its children have the memory.
    pub fn close_descriptors(&mut self) {
        self.descriptors.clear();
    }

    /// Takes the right to write all but memory number `own` from this process, which was forked for it.
    pub fn keep_only(&mut self, own: usize) {
        self.close_descriptors();
        for (number, writable) in self.writable.iter_mut().enumerate() {
            if number != own {
                *writable = None;
            }
        }
    }

    /// Returns memory number `number`, which this process must be permitted to write.
    pub fn writable(&self, number: usize) -> &[AtomicU64] {
        self.writable[number].as_deref().expect("a worker writes its own memory alone")
    }

    /// Returns counter `index` of each memory.
    pub fn read(&self, index: usize) -> impl Iterator<Item = u64> {
        self.readable.iter().map(move |counters| counters.get(index))
    }
}

/// Returns what each of `workers` workers may use of the common limit `limit` whatever the others report, so that a
/// compromised worker leaves that to the others. All together may exceed `limit` by an eighth if they use it unevenly.
/// If `limit` is less than eight for each, there is no reserve.
pub fn reserve(limit: u64, workers: usize) -> u64 {
    limit / (8 * workers as u64)
}
