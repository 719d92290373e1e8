//! A limit on the memory that files without a disk take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A file in memory takes whole pages.
const PAGE_BYTES: u64 = 4096;

/// The bytes that are reserved, and their limit.
#[derive(Debug)]
pub struct MemoryLimit {
    reserved: Arc<AtomicU64>,
    max_bytes: u64,
}

/// Bytes that are reserved until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    reserved: Arc<AtomicU64>,
    bytes: u64,
}

impl MemoryLimit {
    /// Creates a limit of `max_bytes`.
    pub fn new(max_bytes: u64) -> Self {
        MemoryLimit { reserved: Arc::default(), max_bytes }
    }

    /// Reserves the pages of `bytes`; none beyond the limit.
    pub fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let bytes = bytes.next_multiple_of(PAGE_BYTES);
        let take = |reserved: u64| reserved.checked_add(bytes).filter(|&reserved| reserved <= self.max_bytes);
        self.reserved.fetch_update(SeqCst, SeqCst, take).ok()?;
        Some(Reservation { reserved: self.reserved.clone(), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.reserved.fetch_sub(self.bytes, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pages_are_reserved_up_to_the_limit_and_released() {
        let limit = MemoryLimit::new(3 * PAGE_BYTES);
        let first = limit.reserve(1).unwrap();
        let _second = limit.reserve(PAGE_BYTES + 1).unwrap();
        assert!(limit.reserve(1).is_none() && limit.reserve(u64::MAX - PAGE_BYTES).is_none());
        drop(first);
        assert!(limit.reserve(PAGE_BYTES).is_some());
    }
}
