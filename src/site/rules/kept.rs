//! What is kept about the paths of a site, which clients choose: bounded in bytes, for each site and for all together.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

use rustc_hash::FxHashMap;

use super::super::cache::CacheLimits;
use super::super::lock::{read, write};

/// The limit for one site, in bytes.
const MAX_SITE_BYTES: usize = 4 << 20;

/// The limit for all sites of a worker together, in bytes.
const MAX_BYTES: usize = 8 << 20;

/// What is kept about a path.
pub trait Kept {
    /// The memory that it takes, in bytes.
    fn bytes(&self) -> usize;
}

/// What is kept about the paths of a site. If there is no room, all of it is discarded.
#[derive(Debug)]
pub struct KeptPaths<T> {
    paths: RwLock<FxHashMap<Box<[u8]>, Arc<T>>>,
    /// The bytes that it takes; at least those of all entries.
    bytes: AtomicUsize,
    limits: Arc<CacheLimits>,
}

impl<T: Kept> KeptPaths<T> {
    /// Creates the paths of a site.
    pub fn new(limits: &Arc<CacheLimits>) -> Self {
        KeptPaths { paths: RwLock::default(), bytes: AtomicUsize::new(0), limits: limits.clone() }
    }

    /// Returns what is kept about `path`.
    pub fn get(&self, path: &[u8]) -> Option<Arc<T>> {
        read(&self.paths).get(path).cloned()
    }

    /// Keeps `value`, if it has room when nothing else is kept about this site.
    pub fn insert(&self, path: &[u8], value: &Arc<T>) {
        let bytes = path.len() + value.bytes();
        if self.take(bytes) || self.take(bytes) {
            write(&self.paths).insert(path.into(), value.clone());
        }
    }
}

impl<T> KeptPaths<T> {
    /// Takes room for `bytes` more. If there is none, discards everything and returns false.
    pub fn take(&self, bytes: usize) -> bool {
        let own = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        let all = self.limits.kept_bytes.fetch_add(bytes, Relaxed) + bytes;
        let has_room = own <= self.limits.share_of(MAX_BYTES).min(MAX_SITE_BYTES) && all <= MAX_BYTES;
        if !has_room {
            self.clear();
        }
        has_room
    }

    fn clear(&self) {
        let mut paths = write(&self.paths);
        self.limits.kept_bytes.fetch_sub(self.bytes.swap(0, Relaxed), Relaxed);
        let discarded = std::mem::take(&mut *paths);
        drop(paths);
        drop(discarded);
    }
}

impl<T> Drop for KeptPaths<T> {
    fn drop(&mut self) {
        self.limits.kept_bytes.fetch_sub(*self.bytes.get_mut(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::cache::Cache;
    use super::*;

    struct Bytes(usize);

    impl Kept for Bytes {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    fn fill(paths: &KeptPaths<Bytes>, count: usize) {
        for number in 0..count {
            paths.insert(&number.to_ne_bytes(), &Arc::new(Bytes(10_000)));
        }
    }

    #[test]
    fn a_site_has_a_limit_of_its_own() {
        let limits = CacheLimits::new(1 << 20, 0);
        let paths = KeptPaths::new(&limits);
        for count in 0..1_000_usize {
            paths.insert(&count.to_ne_bytes(), &Arc::new(Bytes(10_000)));
            assert!(paths.get(&count.to_ne_bytes()).is_some());
            assert!(limits.kept_bytes.load(Relaxed) <= MAX_SITE_BYTES);
            assert!(read(&paths.paths).len() <= MAX_SITE_BYTES / 10_000);
        }
        paths.insert(b"large", &Arc::new(Bytes(MAX_SITE_BYTES)));
        assert!(paths.get(b"large").is_none() && limits.kept_bytes.load(Relaxed) == 0);
        fill(&paths, 3);
        drop(paths);
        assert_eq!(limits.kept_bytes.load(Relaxed), 0);
    }

    #[test]
    fn all_sites_have_one_limit() {
        let limits = CacheLimits::new(1 << 20, 0);
        let sites: Vec<_> = (0..20).map(|_| KeptPaths::new(&limits)).collect();
        for paths in sites.iter().chain(&sites) {
            fill(paths, 100);
            assert!(limits.kept_bytes.load(Relaxed) <= MAX_BYTES);
        }
        let _caches: Vec<_> = (0..64).map(|_| Cache::new(&limits)).collect();
        let paths = KeptPaths::new(&limits);
        drop(sites);
        fill(&paths, 1_000);
        assert!(limits.kept_bytes.load(Relaxed) <= MAX_BYTES / 64);
    }
}
