//! Shared memory of the workers: each worker writes its own and reads that of the others.
//!
//! The supervisor creates all memories and may write them. A forked worker keeps a writable mapping of its own memory
//! only, and no descriptor. So a compromised worker cannot write the memory of another. It can write false values into
//! its own memory: no reader may depend on correct values.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;

use crate::os::sys::{self, ReadableCounters, WritableCounters};

/// The memories of a group of processes.
#[derive(Debug, Default)]
pub struct Memories {
    /// Empty in a worker, and if no other process maps the memories.
    descriptors: Vec<OwnedFd>,
    /// The memories that this process may write.
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

    /// Returns the descriptors, by which the next image of this process maps the memories.
    pub fn descriptors(&self) -> &[OwnedFd] {
        &self.descriptors
    }

    /// Closes the descriptors. From then on, only this process and its children can access the memories.
    pub fn close_descriptors(&mut self) {
        self.descriptors.clear();
    }

    /// Removes the right to write all memories except number `own` from this process, which was forked for it.
    pub fn keep_only(&mut self, own: usize) {
        self.close_descriptors();
        for (number, writable) in self.writable.iter_mut().enumerate() {
            if number != own {
                *writable = None;
            }
        }
    }

    /// Returns memory number `number`. This process must have the right to write it.
    pub fn writable(&self, number: usize) -> &[AtomicU64] {
        self.writable[number].as_deref().expect("a worker writes its own memory alone")
    }

    /// Returns all memories, for reading.
    pub fn readable(&self) -> &[ReadableCounters] {
        &self.readable
    }

    /// Returns counter `index` of each memory.
    pub fn read(&self, index: usize) -> impl Iterator<Item = u64> {
        self.readable.iter().map(move |counters| counters.get(index))
    }
}

/// Returns the reserve of each of `workers` workers: the part of the common limit `limit` that it may use whatever the
/// others report. So a compromised worker cannot take it from the others. In total, the workers may exceed `limit` by
/// an eighth if they use it unevenly. If `limit` is less than eight for each worker, there is no reserve.
pub fn reserve(limit: u64, workers: usize) -> u64 {
    limit / (8 * workers as u64)
}
