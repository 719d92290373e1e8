//! Memory of the workers: each writes its own, and reads the others'.
//!
//! The supervisor makes it and may write all of it. A worker that was forked keeps a writable mapping of its own memory alone,
//! and no descriptor, so that whoever gets hold of it cannot write what other workers say. What it says of itself it can
//! choose: whoever reads it must not depend on its being true.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;

use crate::os::sys::{self, ReadableCounters, WritableCounters};

/// The memories of a number of processes.
#[derive(Debug, Default)]
pub struct Memories {
    /// None in a worker, nor where nobody else is to map them.
    descriptors: Vec<OwnedFd>,
    /// Those that this process may write.
    writable: Vec<Option<WritableCounters>>,
    readable: Vec<ReadableCounters>,
}

impl Memories {
    /// `memories` of them, each of `count` zeroes.
    pub fn new(memories: usize, count: usize) -> io::Result<Self> {
        let descriptors: Vec<_> = (0..memories).map(|_| sys::counters_memory(count)).collect::<io::Result<_>>()?;
        let writable = descriptors.iter().map(|memory| WritableCounters::map(memory, count).map(Some));
        let writable = writable.collect::<io::Result<_>>()?;
        let readable = descriptors.iter().map(|memory| ReadableCounters::map(memory, count));
        let readable = readable.collect::<io::Result<_>>()?;
        Ok(Memories { descriptors, writable, readable })
    }

    /// Descriptors by which another image of this process can map them.
    pub fn descriptors(&self) -> &[OwnedFd] {
        &self.descriptors
    }

    /// Closes the descriptors; only this process, and those that it forks, have them then.
    pub fn close_descriptors(&mut self) {
        self.descriptors.clear();
    }

    /// Leaves this process, which was forked for it, nothing to write but memory number `own`.
    pub fn keep_only(&mut self, own: usize) {
        self.close_descriptors();
        for (number, writable) in self.writable.iter_mut().enumerate() {
            if number != own {
                *writable = None;
            }
        }
    }

    /// Memory number `number`, which must be one that this process may write.
    pub fn writable(&self, number: usize) -> &[AtomicU64] {
        self.writable[number].as_deref().expect("a worker writes its own memory alone")
    }

    /// Counter `index` of each memory.
    pub fn read(&self, index: usize) -> impl Iterator<Item = u64> {
        self.readable.iter().map(move |counters| counters.get(index))
    }
}

/// What each of `workers` workers may have of `most` that all have together, whatever the others say, so that one which does not
/// tell the truth leaves the others that much. All together may have an eighth more than `most` if they use it unevenly. Where
/// `most` is less than eight for each, there is no reserve.
pub fn reserve(most: u64, workers: usize) -> u64 {
    most / (8 * workers as u64)
}
