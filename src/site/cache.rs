//! Small files in memory, and middling ones open for a moment: bounded, and not stale, since every use compares the file's
//! identity with the disk's. Requests that were all there before the disk was looked at share that look.
//!
//! What is written through a memory mapping shows when the kernel notes it in the file's times (mmap(2)), not before.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use rustc_hash::FxHashMap;

use super::Asked;
use super::Held;
use super::file::{File, Identity};
use super::root::Root;
use crate::clock;

/// The largest file that is kept in memory, in bytes. Beyond it, sendfile(2) costs less than copying.
const LARGEST_IN_MEMORY: u64 = 32 * 1024;

/// The largest file that is kept open, in bytes. Beyond it, opening costs little beside sending, and the kernel reads ahead
/// better for each who has opened it himself.
const LARGEST_OPEN: u64 = 1024 * 1024;

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
///
/// The maps' hash is a fast one that has no secret: their keys are paths of files that are there, and no client has a say in
/// those.
#[derive(Debug)]
pub struct Cache {
    half: usize,
    generations: RwLock<Generations>,
    most_open: usize,
    /// Closing a file may take as long as its disk does: no entry is dropped while this is locked.
    open: RwLock<FxHashMap<CString, Arc<Entry>>>,
}

#[derive(Debug, Default)]
struct Generations {
    young: FxHashMap<CString, Arc<Entry>>,
    old: FxHashMap<CString, Arc<Entry>>,
    young_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    held: Arc<Held>,
    opened_ms: AtomicU64,
    /// The moment of the last look at the disk.
    looked: AtomicU64,
}

impl Cache {
    /// A cache of at most `size` bytes and `most_open` open files.
    pub fn new(size: usize, most_open: usize) -> Self {
        Cache { half: size / 2, generations: RwLock::default(), most_open, open: RwLock::default() }
    }

    /// The file at `path`, if it is here and the disk still has the same.
    pub fn get(&self, path: &CStr, root: &Root, asked: Asked) -> Option<Arc<Held>> {
        let (entry, is_old) = self.look_up(path)?;
        if !entry.is_current(path, root, asked) {
            self.forget(path);
            return None;
        }
        if is_old {
            self.insert(path, entry.clone());
        }
        Some(entry.held.clone())
    }

    /// Whether `file` is one to keep in memory.
    pub fn has_room_for(&self, file: &File, now: SystemTime) -> bool {
        let Identity { size, mtime_ns, ctime_ns, .. } = file.identity();
        let settled = now - SETTLED;
        let settled_ns = settled.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_nanos() as i128);
        size <= LARGEST_IN_MEMORY && OVERHEAD + size as usize <= self.half / 8 && mtime_ns.max(ctime_ns) < settled_ns
    }

    /// Keeps what was opened just now, if it is worth it.
    pub fn put(&self, path: &CStr, held: &Arc<Held>) {
        let opened_ms = AtomicU64::new(clock::now_ms());
        let entry = Arc::new(Entry { held: held.clone(), opened_ms, looked: AtomicU64::new(0) });
        if held.is_in_memory() {
            self.insert(path, entry);
        } else if held.identity.size <= LARGEST_OPEN && self.most_open > 0 {
            let mut open = write(&self.open);
            let closed = if open.len() >= self.most_open { std::mem::take(&mut *open) } else { FxHashMap::default() };
            let replaced = open.insert(path.into(), entry);
            drop(open);
            drop((closed, replaced));
        }
    }

    /// Closes the files that have been open for longer than they are trusted.
    pub fn close_old(&self) {
        let now_ms = clock::now_ms();
        if !read(&self.open).is_empty() {
            let old: Vec<_> = write(&self.open).extract_if(|_, entry| !entry.is_trusted(now_ms)).collect();
            drop(old);
        }
    }

    /// Forgets the file at `path`.
    pub fn forget(&self, path: &CStr) {
        write(&self.generations).forget(path);
        let closed = write(&self.open).remove(path);
        drop(closed);
    }

    fn insert(&self, path: &CStr, entry: Arc<Entry>) {
        let mut generations = write(&self.generations);
        generations.forget(path);
        if generations.young_bytes + cost(path, &entry) > self.half {
            generations.old = std::mem::take(&mut generations.young);
            generations.young_bytes = 0;
        }
        generations.young_bytes += cost(path, &entry);
        generations.young.insert(path.into(), entry);
    }

    fn look_up(&self, path: &CStr) -> Option<(Arc<Entry>, bool)> {
        let generations = read(&self.generations);
        let young = generations.young.get(path).map(|entry| (entry.clone(), false));
        let kept = young.or_else(|| generations.old.get(path).map(|entry| (entry.clone(), true)));
        kept.or_else(|| read(&self.open).get(path).map(|entry| (entry.clone(), false)))
    }
}

impl Entry {
    fn is_trusted(&self, now_ms: u64) -> bool {
        now_ms < self.opened_ms.load(Relaxed) + TRUST_MS
    }

    fn is_current(&self, path: &CStr, root: &Root, asked: Asked) -> bool {
        let now_ms = clock::now_ms();
        let is_trusted = self.is_trusted(now_ms);
        if is_trusted && asked.began <= self.looked.load(Relaxed) {
            return true;
        }
        let is_same = if is_trusted {
            root.stat(path).is_ok_and(|stat| Identity::from(&stat) == self.held.identity)
        } else {
            // What is open is opened anew by whoever asks, who then may keep it in memory.
            self.held.is_in_memory() && File::open(root, path).is_ok_and(|file| file.identity() == self.held.identity)
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

/// Nothing that holds one of these locks leaves what it guards in pieces, even if it panics.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn cost(path: &CStr, entry: &Entry) -> usize {
    OVERHEAD + path.count_bytes() + entry.held.bytes()
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
            modified_s: Some(0),
            content_type: "a/b".into(),
            coding: Coding::Identity,
            varies: false,
        }
    }

    fn keep(cache: &Cache, root: &Root, path: &CStr) {
        let held = Held::in_memory(&File::open(root, path).unwrap(), representation()).unwrap();
        cache.put(path, &Arc::new(held));
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
        test(&Cache::new(2 * HALF, 8), &Root::open(directory.path()).unwrap(), directory.path());
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
        let cache = Cache::new(2 * HALF, 8);
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
                let generations = read(&cache.generations);
                let entries = generations.young.values().chain(generations.old.values());
                assert!(entries.map(|entry| entry.held.bytes()).sum::<usize>() <= 2 * HALF);
            }
            assert!(cache.get(c"1", root, Asked::NOW).is_none());
        });
    }

    #[test]
    fn few_files_stay_open_and_none_for_long() {
        with_files(|cache, root, directory| {
            let open = |path: &CStr| Arc::new(Held::open(File::open(root, path).unwrap(), representation()).unwrap());
            for name in 0..100 {
                let path = CString::new(name.to_string()).unwrap();
                let held = open(&path);
                cache.put(&path, &held);
                assert!(Arc::ptr_eq(&cache.get(&path, root, Asked::NOW).unwrap(), &held));
                assert!(read(&cache.open).len() <= 8);
            }
            cache.close_old();
            let (entry, _) = cache.look_up(c"99").unwrap();
            entry.opened_ms.store(0, Relaxed);
            assert!(cache.get(c"99", root, Asked::NOW).is_none(), "opened anew");
            cache.put(c"99", &open(c"99"));
            cache.look_up(c"99").unwrap().0.opened_ms.store(0, Relaxed);
            cache.close_old();
            assert!(cache.look_up(c"99").is_none());
            fs::write(directory.join("large"), vec![0; LARGEST_OPEN as usize + 1]).unwrap();
            cache.put(c"large", &open(c"large"));
            assert!(cache.look_up(c"large").is_none());
        });
    }

    #[test]
    fn it_wants_small_files_that_have_settled() {
        with_files(|cache, root, directory| {
            let later = SystemTime::now() + Duration::from_secs(10);
            let file = File::open(root, c"1").unwrap();
            assert!(!cache.has_room_for(&file, SystemTime::now()), "written just now");
            assert!(cache.has_room_for(&file, later));
            assert!(!Cache::new(0, 8).has_room_for(&file, later), "no room");
            fs::write(directory.join("large"), vec![0; LARGEST_IN_MEMORY as usize + 1]).unwrap();
            assert!(!Cache::new(1 << 30, 8).has_room_for(&File::open(root, c"large").unwrap(), later));
        });
    }
}
