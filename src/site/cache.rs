//! The file cache: small files in memory, and medium ones open for a short time. It is bounded, and never stale: each use
//! compares the file's version with the disk's. Requests that had begun to arrive before a check share its result.
//!
//! Writes through a memory mapping are seen once the kernel has updated the file's times (mmap(2)).

mod limits;

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use rustc_hash::FxHashMap;

use super::file::File;
use super::lock::read;
use super::resource::Resource;
use super::root::Root;
use super::version::{FileVersion, since_epoch_ns};
use crate::os::clock;

pub use limits::CacheLimits;
use limits::Contents;

/// The largest file that is kept open, in bytes. For larger ones opening costs little compared to sending, and the kernel's
/// readahead works better if each response has its own open file.
const MAX_OPEN_BYTES: u64 = 1024 * 1024;

/// The time for which comparing the file's version is enough, in milliseconds. Then the path is opened again, below the
/// root: it may lead to the same file outside of it by then.
const TTL_MS: u64 = 1_000;

/// The size of an entry besides its content, in bytes.
const ENTRY_OVERHEAD: usize = 160;

/// The times of a request, as readings of a [`LogicalClock`](crate::os::clock::LogicalClock).
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// A time at which the request had begun to arrive: a check of the disk from then on is recent enough.
    pub began: u64,
    /// The latest time.
    pub now: u64,
}

impl Freshness {
    /// After every check of the disk so far.
    pub const NOW: Freshness = Freshness { began: u64::MAX, now: 0 };
}

/// The file cache of one release. What it may take is in the [limits](CacheLimits) of all caches.
///
/// The maps' hash function is fast and not keyed: the keys are paths of existing files, which clients cannot choose.
#[derive(Debug)]
pub struct Cache {
    limits: Arc<CacheLimits>,
    contents: Arc<Contents>,
}

/// A file of a cache.
#[derive(Debug)]
struct CacheEntry {
    resource: Arc<Resource>,
    opened_ms: AtomicU64,
    /// The time of the last check of the disk, as in [`Freshness`].
    checked_at: AtomicU64,
}

impl Cache {
    /// Creates a cache that shares `limits` with others.
    pub fn new(limits: &Arc<CacheLimits>) -> Self {
        Cache { limits: limits.clone(), contents: limits.register() }
    }

    /// Returns the file at `path`, if it is cached and unchanged on the disk. `now_ms` is the time of the request.
    pub fn get(&self, path: &CStr, root: &Root, freshness: Freshness, now_ms: u64) -> Option<Arc<Resource>> {
        let (entry, is_old) = self.lookup(path)?;
        if !entry.is_current(path, root, freshness, now_ms) {
            self.remove(path);
            return None;
        }
        if is_old {
            self.limits.insert(&self.contents, path, entry.clone());
        }
        Some(entry.resource.clone())
    }

    /// Returns whether a file whose content was read can be cached.
    pub fn fits_in_memory(&self, version: &FileVersion, now: SystemTime) -> bool {
        version.identity.is_settled(since_epoch_ns(now))
            && ENTRY_OVERHEAD + version.size() as usize <= self.limits.half() / 8
    }

    /// Caches a file that was just opened, unless it is too large.
    pub fn put(&self, path: &CStr, resource: &Arc<Resource>) {
        let opened_ms = AtomicU64::new(clock::now_ms());
        let entry = Arc::new(CacheEntry { resource: resource.clone(), opened_ms, checked_at: AtomicU64::new(0) });
        if resource.is_in_memory() {
            self.limits.insert(&self.contents, path, entry);
        } else if resource.version.size() <= MAX_OPEN_BYTES && self.limits.may_keep_open() {
            self.limits.insert_open(&self.contents, path, entry);
        }
    }

    /// Closes the files that have been open for longer than [`TTL_MS`].
    pub fn close_stale(&self) {
        let now_ms = clock::now_ms();
        if !read(&self.contents.open).is_empty() {
            self.limits.close(&self.contents, |entry| !entry.is_fresh(now_ms));
        }
    }

    /// Removes the file at `path`.
    pub fn remove(&self, path: &CStr) {
        self.limits.remove(&self.contents, path);
    }

    /// Removes the files with these devices and inodes, under all paths.
    pub fn remove_files(&self, files: &[(u64, u64)]) {
        if files.is_empty() {
            return;
        }
        let is_one = |entry: &CacheEntry| {
            let identity = &entry.resource.version.identity;
            files.contains(&(identity.device, identity.inode))
        };
        let paths_in = |entries: &FxHashMap<CString, Arc<CacheEntry>>| {
            entries.iter().filter(|(_, entry)| is_one(entry)).map(|(path, _)| path.clone()).collect::<Vec<_>>()
        };
        let mut paths = paths_in(&read(&self.contents.open));
        let generations = read(&self.contents.generations);
        paths.extend([&generations.young, &generations.old].into_iter().flat_map(paths_in));
        drop(generations);
        paths.iter().for_each(|path| self.remove(path));
    }

    fn lookup(&self, path: &CStr) -> Option<(Arc<CacheEntry>, bool)> {
        let generations = read(&self.contents.generations);
        let young = generations.young.get(path).map(|entry| (entry.clone(), false));
        let in_memory = young.or_else(|| generations.old.get(path).map(|entry| (entry.clone(), true)));
        in_memory.or_else(|| read(&self.contents.open).get(path).map(|entry| (entry.clone(), false)))
    }
}

impl CacheEntry {
    fn is_fresh(&self, now_ms: u64) -> bool {
        now_ms < self.opened_ms.load(Relaxed) + TTL_MS
    }

    fn is_current(&self, path: &CStr, root: &Root, freshness: Freshness, now_ms: u64) -> bool {
        let is_fresh = self.is_fresh(now_ms);
        if is_fresh && freshness.began <= self.checked_at.load(Relaxed) {
            return true;
        }
        let is_same = if is_fresh {
            root.stat(path).is_ok_and(|stat| FileVersion::from(&stat) == self.resource.version)
        } else {
            // A file that is kept open is opened again by the caller, who can then cache it in memory.
            self.resource.is_in_memory()
                && File::open(root, path).is_ok_and(|file| file.version() == self.resource.version)
        };
        if is_same && !is_fresh {
            self.opened_ms.store(now_ms, Relaxed);
        }
        if is_same {
            // This may overwrite a later check by another thread, and then there is one more check.
            self.checked_at.store(freshness.now, Relaxed);
        }
        is_same
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.limits.clear(&self.contents);
    }
}

fn cost(path: &CStr, entry: &CacheEntry) -> usize {
    ENTRY_OVERHEAD + path.count_bytes() + entry.resource.bytes()
}

#[cfg(test)]
mod tests;
