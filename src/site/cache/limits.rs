//! The bounds that all caches of a worker keep together, and their contents.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use rustc_hash::FxHashMap;

use super::super::lock::write;
use super::{CacheEntry, cost};

/// The length up to which the list of caches keeps those that no longer exist.
const MIN_PRUNED: usize = 16;

/// The smallest [share](CacheLimits::share_of).
const MIN_SHARE: usize = 64;

/// The bounds of memory and of open files, for the caches of all releases that a worker serves.
///
/// Two generations approximate an LRU list: an entry that is used moves to the young generation. When that reaches half of
/// the size, it becomes the old one, and the entries of the old one are dropped: in all caches at the same time, so that one
/// release takes as much as its clients use.
#[derive(Debug)]
pub struct CacheLimits {
    half: usize,
    max_open: usize,
    /// The bytes of all young generations. Like the next one, it is changed while the contents are locked.
    young_bytes: AtomicUsize,
    open: AtomicUsize,
    caches: Mutex<Registered>,
    /// The bytes that all releases keep besides files.
    pub kept_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Registered {
    caches: Vec<Weak<Contents>>,
    /// The length of the list at which those that no longer exist are removed.
    prune_at: usize,
}

/// The entries of one cache.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) generations: RwLock<Generations>,
    /// Closing a file can take as long as its disk does: no entry is dropped while this is locked.
    pub(super) open: RwLock<FxHashMap<CString, Arc<CacheEntry>>>,
}

/// The entries in memory.
#[derive(Debug, Default)]
pub(super) struct Generations {
    pub(super) young: FxHashMap<CString, Arc<CacheEntry>>,
    pub(super) old: FxHashMap<CString, Arc<CacheEntry>>,
    young_bytes: usize,
}

impl CacheLimits {
    /// Creates limits of `size` bytes and `max_open` open files for all caches.
    pub fn new(size: usize, max_open: usize) -> Arc<Self> {
        Arc::new(CacheLimits {
            half: size / 2,
            max_open,
            young_bytes: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            caches: Mutex::default(),
            kept_bytes: AtomicUsize::new(0),
        })
    }

    /// Returns the size of a generation, in bytes.
    pub(super) fn half(&self) -> usize {
        self.half
    }

    /// Returns whether files may be kept open.
    pub(super) fn may_keep_open(&self) -> bool {
        self.max_open > 0
    }

    /// Creates the contents of a cache that has these limits.
    pub(super) fn register(&self) -> Arc<Contents> {
        let contents = Arc::default();
        let mut registered = self.registered();
        if registered.caches.len() >= registered.prune_at.max(MIN_PRUNED) {
            registered.caches.retain(|cache| cache.strong_count() > 0);
            registered.prune_at = 2 * registered.caches.len();
        }
        registered.caches.push(Arc::downgrade(&contents));
        contents
    }

    /// Returns the part of `total` entries or bytes of another kind that each release may keep, by the number of caches.
    pub fn share_of(&self, total: usize) -> usize {
        (total / self.registered().caches.len().max(1)).max(MIN_SHARE)
    }

    /// Returns whether there are entries.
    #[cfg(test)]
    pub(super) fn has_entries(&self) -> bool {
        self.young_bytes.load(Relaxed) > 0 || self.open.load(Relaxed) > 0
    }

    /// Makes an entry young.
    pub(super) fn insert(&self, contents: &Contents, path: &CStr, entry: Arc<CacheEntry>) {
        let bytes = cost(path, &entry);
        if self.is_full(bytes) {
            self.age(bytes);
        }
        let mut generations = write(&contents.generations);
        let removed = generations.remove(path);
        generations.young_bytes += bytes;
        generations.young.insert(path.into(), entry);
        self.young_bytes.fetch_add(bytes, Relaxed);
        self.young_bytes.fetch_sub(removed, Relaxed);
    }

    /// Removes the entries of `path`.
    pub(super) fn remove(&self, contents: &Contents, path: &CStr) {
        let mut generations = write(&contents.generations);
        self.young_bytes.fetch_sub(generations.remove(path), Relaxed);
        drop(generations);
        let mut open = write(&contents.open);
        let closed = open.remove(path);
        self.open.fetch_sub(usize::from(closed.is_some()), Relaxed);
        drop(open);
        drop(closed);
    }

    /// Adds an entry that keeps its file open. If there are as many as may be, all others are closed first.
    pub(super) fn insert_open(&self, contents: &Contents, path: &CStr, entry: Arc<CacheEntry>) {
        if self.open.load(Relaxed) >= self.max_open {
            let closed: Vec<_> = self.existing().iter().map(|contents| self.take_open(contents)).collect();
            drop(closed);
        }
        let mut open = write(&contents.open);
        let replaced = open.insert(path.into(), entry);
        self.open.fetch_add(usize::from(replaced.is_none()), Relaxed);
        drop(open);
        drop(replaced);
    }

    /// Closes the files that `is_closed` selects.
    pub(super) fn close(&self, contents: &Contents, is_closed: impl Fn(&CacheEntry) -> bool) {
        let mut open = write(&contents.open);
        let closed: Vec<_> = open.extract_if(|_, entry| is_closed(entry)).collect();
        self.open.fetch_sub(closed.len(), Relaxed);
        drop(open);
        drop(closed);
    }

    /// Drops all entries of a cache that is no longer used.
    pub(super) fn clear(&self, contents: &Contents) {
        let mut generations = write(&contents.generations);
        self.young_bytes.fetch_sub(generations.young_bytes, Relaxed);
        let dropped = std::mem::take(&mut *generations);
        drop(generations);
        drop((dropped, self.take_open(contents)));
    }

    fn is_full(&self, bytes: usize) -> bool {
        self.young_bytes.load(Relaxed) + bytes > self.half
    }

    /// Makes the young generations of all caches old, so that there is room for `bytes`.
    fn age(&self, bytes: usize) {
        let mut dropped = Vec::new();
        let registered = self.registered();
        // Another thread may have done it meanwhile.
        if self.is_full(bytes) {
            for contents in registered.caches.iter().filter_map(Weak::upgrade) {
                let mut generations = write(&contents.generations);
                self.young_bytes.fetch_sub(std::mem::take(&mut generations.young_bytes), Relaxed);
                let young = std::mem::take(&mut generations.young);
                dropped.push(std::mem::replace(&mut generations.old, young));
            }
        }
        drop(registered);
        drop(dropped);
    }

    fn take_open(&self, contents: &Contents) -> FxHashMap<CString, Arc<CacheEntry>> {
        let mut open = write(&contents.open);
        self.open.fetch_sub(open.len(), Relaxed);
        std::mem::take(&mut *open)
    }

    fn existing(&self) -> Vec<Arc<Contents>> {
        self.registered().caches.iter().filter_map(Weak::upgrade).collect()
    }

    fn registered(&self) -> MutexGuard<'_, Registered> {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    /// Removes an entry. Returns the bytes by which the young generation has become smaller.
    fn remove(&mut self, path: &CStr) -> usize {
        self.old.remove(path);
        let bytes = self.young.remove(path).map_or(0, |entry| cost(path, &entry));
        self.young_bytes -= bytes;
        bytes
    }
}
