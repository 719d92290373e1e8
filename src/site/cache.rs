//! Small files in memory: bounded, and not stale, since every use compares the file's identity with the disk's. Requests
//! that were all there before the disk was looked at share that look.
//!
//! What is written through a memory mapping shows when the kernel notes it in the file's times (mmap(2)), not before.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use super::Asked;
use super::file::{File, Identity, Stored};
use super::root::Root;
use crate::clock;

/// The largest file that is kept, in bytes. Beyond it, sendfile(2) costs less than copying.
const LARGEST: u64 = 32 * 1024;

/// A file that was written to this recently is not kept: a second write within one tick of the file system's clock would
/// leave its identity as it was. Two seconds is the coarsest clock of a file system in use.
const SETTLED: Duration = Duration::from_secs(2);

/// How long a look at the file's identity is enough, in milliseconds. Then the path is opened again, beneath the root: it
/// may meanwhile lead to the same file outside.
const TRUST_MS: u64 = 1_000;

/// What an entry costs besides its bytes.
const OVERHEAD: usize = 160;

/// The files of one worker that are in memory.
///
/// Two generations stand in for a list by age: what is used moves to the young one; when that is half of the size, it
/// becomes the old one, and what was left in the old one is forgotten.
#[derive(Debug)]
pub struct Cache {
    half: usize,
    generations: RwLock<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<CString, Arc<Entry>>,
    old: HashMap<CString, Arc<Entry>>,
    young_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    stored: Arc<Stored>,
    opened_ms: AtomicU64,
    /// The moment of the last look at the disk.
    looked: AtomicU64,
}

impl Cache {
    /// A cache of at most `size` bytes.
    pub fn new(size: usize) -> Self {
        Cache { half: size / 2, generations: RwLock::default() }
    }

    /// The file at `path`, if it is here and the disk still has the same.
    pub fn get(&self, path: &CStr, root: &Root, asked: Asked) -> Option<Arc<Stored>> {
        let (entry, is_old) = self.look_up(path)?;
        if !entry.is_current(path, root, asked) {
            self.forget(path);
            return None;
        }
        if is_old {
            self.insert(path, entry.clone());
        }
        Some(entry.stored.clone())
    }

    /// Whether `file` is one to keep.
    pub fn wants(&self, file: &File, now: SystemTime) -> bool {
        let Identity { size, mtime_ns, ctime_ns, .. } = file.identity();
        let settled = now - SETTLED;
        let settled_ns = settled.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_nanos() as i128);
        size <= LARGEST && OVERHEAD + size as usize <= self.half / 8 && mtime_ns.max(ctime_ns) < settled_ns
    }

    /// Keeps `stored`, which was opened just now.
    pub fn put(&self, path: &CStr, stored: &Arc<Stored>) {
        let opened_ms = AtomicU64::new(clock::now_ms());
        self.insert(path, Arc::new(Entry { stored: stored.clone(), opened_ms, looked: AtomicU64::new(0) }));
    }

    /// Forgets the file at `path`.
    pub fn forget(&self, path: &CStr) {
        self.generations.write().unwrap_or_else(PoisonError::into_inner).forget(path);
    }

    fn insert(&self, path: &CStr, entry: Arc<Entry>) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        generations.forget(path);
        if generations.young_bytes + cost(path, &entry) > self.half {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_bytes = 0;
        }
        generations.young_bytes += cost(path, &entry);
        generations.young.insert(path.into(), entry);
    }

    fn look_up(&self, path: &CStr) -> Option<(Arc<Entry>, bool)> {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        let young = generations.young.get(path).map(|entry| (entry.clone(), false));
        young.or_else(|| generations.old.get(path).map(|entry| (entry.clone(), true)))
    }
}

impl Entry {
    fn is_current(&self, path: &CStr, root: &Root, asked: Asked) -> bool {
        let now_ms = clock::now_ms();
        let is_trusted = now_ms < self.opened_ms.load(Relaxed) + TRUST_MS;
        if is_trusted && asked.began <= self.looked.load(Relaxed) {
            return true;
        }
        let is_same = if is_trusted {
            root.stat(path).is_ok_and(|stat| Identity::from(&stat) == self.stored.identity)
        } else {
            File::open(root, path).is_ok_and(|file| file.identity() == self.stored.identity)
        };
        if is_same && !is_trusted {
            self.opened_ms.store(now_ms, Relaxed);
        }
        if is_same {
            // A later look by another thread may be forgotten here, and then there is one more.
            self.looked.store(asked.now, Relaxed);
        }
        is_same
    }
}

impl Generations {
    fn forget(&mut self, path: &CStr) {
        if let Some(entry) = self.young.remove(path) {
            self.young_bytes -= cost(path, &entry);
        }
        self.old.remove(path);
    }
}

fn cost(path: &CStr, entry: &Entry) -> usize {
    OVERHEAD + path.count_bytes() + entry.stored.head_and_content().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Coding, Representation};
    use std::fs;
    use std::path::Path;

    const HALF: usize = 64 * 1024;

    fn representation() -> Representation {
        Representation {
            size: 0,
            etag: "\"a\"".into(),
            modified_s: 0,
            content_type: "a/b".into(),
            coding: Coding::Identity,
            varies: false,
        }
    }

    fn keep(cache: &Cache, root: &Root, path: &CStr) {
        let stored = File::open(root, path).unwrap().store(representation()).unwrap();
        cache.put(path, &Arc::new(stored));
    }

    #[test]
    fn a_look_is_enough_for_what_was_asked_before_it() {
        with_files(|cache, root, directory| {
            keep(cache, root, c"1");
            assert!(cache.get(c"1", root, Asked { began: 1, now: 2 }).is_some());
            fs::write(directory.join("1"), "new").unwrap();
            assert!(cache.get(c"1", root, Asked { began: 2, now: 3 }).is_some());
            assert!(cache.get(c"1", root, Asked { began: 3, now: 3 }).is_none());
        });
    }

    fn with_files(test: impl FnOnce(&Cache, &Root, &Path)) {
        let directory = tempfile::tempdir().unwrap();
        for name in 0..100 {
            fs::write(directory.path().join(name.to_string()), vec![b'x'; 4096]).unwrap();
        }
        test(&Cache::new(2 * HALF), &Root::open(directory.path()).unwrap(), directory.path());
    }

    #[test]
    fn what_was_put_is_found_until_it_changes() {
        with_files(|cache, root, directory| {
            keep(cache, root, c"1");
            assert!(cache.get(c"1", root, Asked::NOW).is_some());
            assert!(cache.get(c"2", root, Asked::NOW).is_none());
            fs::write(directory.join("1"), "new").unwrap();
            assert!(cache.get(c"1", root, Asked::NOW).is_none());
            keep(cache, root, c"2");
            fs::remove_file(directory.join("2")).unwrap();
            assert!(cache.get(c"2", root, Asked::NOW).is_none());
        });
    }

    #[test]
    fn a_path_that_leads_outside_by_now_is_noticed() {
        let outside = tempfile::tempdir().unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("d")).unwrap();
        fs::write(directory.path().join("d/f"), "f").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let cache = Cache::new(2 * HALF);
        keep(&cache, &root, c"d/f");
        assert!(cache.get(c"d/f", &root, Asked::NOW).is_some());
        fs::rename(directory.path().join("d"), outside.path().join("d")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("d"), directory.path().join("d")).unwrap();
        let (entry, _) = cache.look_up(c"d/f").unwrap();
        entry.opened_ms.store(0, Relaxed);
        assert!(cache.get(c"d/f", &root, Asked::NOW).is_none());
    }

    #[test]
    fn it_is_bounded_and_forgets_what_is_not_used() {
        with_files(|cache, root, _| {
            keep(cache, root, c"0");
            for name in 1..100 {
                let name = CString::new(name.to_string()).unwrap();
                keep(cache, root, &name);
                assert!(cache.get(c"0", root, Asked::NOW).is_some(), "used all the time, forgotten at {name:?}");
                let generations = cache.generations.read().unwrap();
                let entries = generations.young.values().chain(generations.old.values());
                assert!(entries.map(|entry| entry.stored.head_and_content().len()).sum::<usize>() <= 2 * HALF);
            }
            assert!(cache.get(c"1", root, Asked::NOW).is_none());
        });
    }

    #[test]
    fn it_wants_small_files_that_have_settled() {
        with_files(|cache, root, directory| {
            let later = SystemTime::now() + Duration::from_secs(10);
            let file = File::open(root, c"1").unwrap();
            assert!(!cache.wants(&file, SystemTime::now()), "written just now");
            assert!(cache.wants(&file, later));
            assert!(!Cache::new(0).wants(&file, later), "no room");
            fs::write(directory.join("large"), vec![0; LARGEST as usize + 1]).unwrap();
            assert!(!Cache::new(1 << 30).wants(&File::open(root, c"large").unwrap(), later));
        });
    }
}
