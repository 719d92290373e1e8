//! Locks of data that a panic of a thread which holds them leaves consistent, so that poisoning is ignored; and work that one
//! thread does while the others do without.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locks for reading.
pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing.
pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Work that one thread does at a time. The flag is set while it lasts.
#[derive(Debug)]
pub struct InProgress<'f>(&'f AtomicBool);

impl<'f> InProgress<'f> {
    /// Begins the work, unless another thread does it.
    pub fn begin(flag: &'f AtomicBool) -> Option<Self> {
        (!flag.swap(true, Relaxed)).then_some(InProgress(flag))
    }
}

/// However the work ends.
impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}
