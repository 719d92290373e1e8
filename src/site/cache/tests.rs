use super::*;
use crate::http::Representation;
use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::time::Duration;

const HALF: usize = 64 * 1024;

fn representation() -> Representation {
    Representation::new(0, None, Some(0), "a/b", None)
}

fn keep(cache: &Cache, root: &Root, path: &CStr) {
    let resource = Resource::in_memory(&File::open(root, path).unwrap(), |_, _| representation()).unwrap();
    cache.put(path, &Arc::new(resource));
}

#[test]
fn a_check_validates_all_requests_that_began_before_it() {
    with_files(|cache, root, directory| {
        keep(cache, root, c"1");
        assert!(cache.get(c"1", root, Freshness { began: 1, now: 2 }, clock::now_ms()).is_some());
        fs::write(directory.join("1"), "new").unwrap();
        assert!(cache.get(c"1", root, Freshness { began: 2, now: 3 }, clock::now_ms()).is_some());
        assert!(cache.get(c"1", root, Freshness { began: 3, now: 3 }, clock::now_ms()).is_none());
    });
}

fn with_files(test: impl FnOnce(&Cache, &Root, &Path)) {
    let directory = tempfile::tempdir().unwrap();
    for name in 0..100 {
        fs::write(directory.path().join(name.to_string()), vec![b'x'; 4096]).unwrap();
    }
    test(&Cache::new(&CacheLimits::new(2 * HALF, 8)), &Root::open(directory.path()).unwrap(), directory.path());
}

#[test]
fn an_entry_is_found_until_its_file_changes() {
    with_files(|cache, root, directory| {
        keep(cache, root, c"1");
        assert!(cache.get(c"1", root, Freshness::NOW, clock::now_ms()).is_some());
        assert!(cache.get(c"2", root, Freshness::NOW, clock::now_ms()).is_none());
        fs::write(directory.join("1"), "new").unwrap();
        assert!(cache.get(c"1", root, Freshness::NOW, clock::now_ms()).is_none());
        keep(cache, root, c"2");
        fs::remove_file(directory.join("2")).unwrap();
        assert!(cache.get(c"2", root, Freshness::NOW, clock::now_ms()).is_none());
    });
}

#[test]
fn a_path_that_now_leads_outside_is_detected() {
    let outside = tempfile::tempdir().unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("d")).unwrap();
    fs::write(directory.path().join("d/f"), "f").unwrap();
    let root = Root::open(directory.path()).unwrap();
    let cache = Cache::new(&CacheLimits::new(2 * HALF, 8));
    keep(&cache, &root, c"d/f");
    assert!(cache.get(c"d/f", &root, Freshness::NOW, clock::now_ms()).is_some());
    fs::rename(directory.path().join("d"), outside.path().join("d")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("d"), directory.path().join("d")).unwrap();
    let (entry, _) = cache.lookup(c"d/f").unwrap();
    entry.opened_ms.store(0, Relaxed);
    assert!(cache.get(c"d/f", &root, Freshness::NOW, clock::now_ms()).is_none());
}

#[test]
fn the_cache_is_bounded_and_evicts_unused_entries() {
    with_files(|cache, root, _| {
        keep(cache, root, c"0");
        for name in 1..100 {
            let name = CString::new(name.to_string()).unwrap();
            keep(cache, root, &name);
            assert!(
                cache.get(c"0", root, Freshness::NOW, clock::now_ms()).is_some(),
                "used all the time, forgotten at {name:?}"
            );
            let generations = read(&cache.contents.generations);
            let entries = generations.young.values().chain(generations.old.values());
            assert!(entries.map(|entry| entry.resource.bytes()).sum::<usize>() <= 2 * HALF);
        }
        assert!(cache.get(c"1", root, Freshness::NOW, clock::now_ms()).is_none());
    });
}

#[test]
fn few_files_stay_open_and_none_for_long() {
    with_files(|cache, root, directory| {
        let open = |path: &CStr| Arc::new(Resource::open(File::open(root, path).unwrap(), representation()).unwrap());
        for name in 0..100 {
            let path = CString::new(name.to_string()).unwrap();
            let resource = open(&path);
            cache.put(&path, &resource);
            assert!(Arc::ptr_eq(&cache.get(&path, root, Freshness::NOW, clock::now_ms()).unwrap(), &resource));
            assert!(read(&cache.contents.open).len() <= 8);
        }
        cache.close_stale();
        let (entry, _) = cache.lookup(c"99").unwrap();
        entry.opened_ms.store(0, Relaxed);
        assert!(cache.get(c"99", root, Freshness::NOW, clock::now_ms()).is_none(), "opened anew");
        cache.put(c"99", &open(c"99"));
        cache.lookup(c"99").unwrap().0.opened_ms.store(0, Relaxed);
        cache.close_stale();
        assert!(cache.lookup(c"99").is_none());
        fs::write(directory.join("large"), vec![0; MAX_OPEN_BYTES as usize + 1]).unwrap();
        cache.put(c"large", &open(c"large"));
        assert!(cache.lookup(c"large").is_none());
    });
}

#[test]
fn only_files_without_recent_writes_are_cached() {
    with_files(|cache, root, _| {
        let later = SystemTime::now() + Duration::from_secs(10);
        let version = File::open(root, c"1").unwrap().version();
        assert!(!cache.fits_in_memory(&version, SystemTime::now()), "written just now");
        assert!(cache.fits_in_memory(&version, later));
        assert!(!Cache::new(&CacheLimits::new(0, 8)).fits_in_memory(&version, later), "no room");
    });
}

#[test]
fn a_file_whose_time_was_set_to_the_future_is_kept_in_memory() {
    with_files(|cache, root, directory| {
        let file = fs::File::options().write(true).open(directory.join("1")).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(1_000_000)).unwrap();
        let version = File::open(root, c"1").unwrap().version();
        assert!(!cache.fits_in_memory(&version, SystemTime::now()), "changed just now");
        assert!(cache.fits_in_memory(&version, SystemTime::now() + Duration::from_secs(2 + 1)));
    });
}

#[test]
fn all_caches_are_bounded_together() {
    with_files(|_, root, _| {
        let limits = CacheLimits::new(2 * HALF, 8);
        let caches: Vec<_> = (0..50).map(|_| Cache::new(&limits)).collect();
        let in_memory = |cache: &Cache| {
            let generations = read(&cache.contents.generations);
            let entries = generations.young.values().chain(generations.old.values());
            entries.map(|entry| entry.resource.bytes()).sum::<usize>()
        };
        for number in 0..100 {
            let name = CString::new(number.to_string()).unwrap();
            for cache in &caches {
                keep(cache, root, &name);
                keep(&caches[0], root, c"0");
                let file = Resource::open(File::open(root, &name).unwrap(), representation()).unwrap();
                let open = CString::new(format!("./{number}")).unwrap();
                cache.put(&open, &Arc::new(file));
                assert!(cache.get(&open, root, Freshness::NOW, clock::now_ms()).is_some());
            }
            assert!(caches.iter().map(in_memory).sum::<usize>() <= 2 * HALF);
            assert!(caches.iter().map(|cache| read(&cache.contents.open).len()).sum::<usize>() <= 8);
            assert!(caches[0].get(c"0", root, Freshness::NOW, clock::now_ms()).is_some(), "used all the time");
        }
        drop(caches);
        assert!(!limits.has_entries());
        (0..1_000).for_each(|_| drop(Cache::new(&limits)));
        assert!(limits.share_of(50_000) >= 1_000, "the list has the caches that exist, and a few more");
    });
}
