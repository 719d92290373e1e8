//! Limits on blocked threads: no file, directory or client may block all request threads.
//!
//! A disk that does not respond blocks every thread that reads from it. While half of the possible threads suffice,
//! there is no limit. Above that, the stall detector adds threads only after a time without progress. Then a request is
//! rejected with 503 if too many threads are busy with the same file, directory or client, and have been for a while: a
//! quarter of all threads for a file, five eighths for a top-level directory of the root (which may be on a disk of its
//! own), three quarters for a client.
//!
//! The limit for a client is the highest. Clients of a unix socket have no address and no such limit: behind a reverse
//! proxy, all clients have the same address, and requests for readable files must not suffer.
//!
//! With a health check on the site's sockets, the last thread is kept for it: it must say that the disk hangs.

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};

use foldhash::quality::RandomState;

use crate::client_address::client_of;
use crate::listeners::Client;

/// The time after which a thread that is busy with one request counts as blocked, in milliseconds.
pub const BLOCKED_MS: u64 = 100;

/// The file, directory and client of a request, as hashes with a secret key. So no client can choose a path with the
/// hash of another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockingKey {
    file: u64,
    directory: u64,
    /// 0 if the client has no address.
    client: u64,
}

/// The work of one thread, in a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct ThreadSlot {
    is_taken: AtomicBool,
    /// 0 while it is idle.
    since_ms: AtomicU64,
    file: AtomicU64,
    directory: AtomicU64,
    client: AtomicU64,
}

/// The work of all request threads of a worker, and the limits.
#[derive(Debug)]
pub struct BlockingLimits {
    slots: Box<[ThreadSlot]>,
    hash_builder: RandomState,
    max_for_file: usize,
    max_for_directory: usize,
    max_for_client: usize,
    max_in_total: usize,
}

impl BlockingLimits {
    /// Creates slots for `max_threads` threads. With `keeps_one`, all of them together leave one thread for work that does not
    /// block, unless it is the only one.
    pub fn new(max_threads: usize, keeps_one: bool) -> Self {
        // Of two threads, one is left for other requests.
        let beyond_half = |more: usize| (max_threads / 2 + more.max(1)).min(max_threads.saturating_sub(1)).max(1);
        BlockingLimits {
            slots: (0..max_threads).map(|_| ThreadSlot::default()).collect(),
            hash_builder: RandomState::default(),
            max_for_file: (max_threads / 4).max(1),
            max_for_directory: beyond_half(max_threads / 8),
            max_for_client: beyond_half(max_threads / 4),
            max_in_total: if keeps_one { (max_threads - 1).max(1) } else { max_threads },
        }
    }

    /// Returns a free slot for a new thread. There are as many slots as possible threads.
    pub fn add_thread(&self) -> Option<usize> {
        self.slots.iter().position(|slot| !slot.is_taken.swap(true, SeqCst))
    }

    /// Frees the slot of a thread.
    pub fn remove_thread(&self, slot: Option<usize>) {
        self.end(slot);
        self.slot(slot).into_iter().for_each(|slot| slot.is_taken.store(false, SeqCst));
    }

    /// Returns the key of a request of `client` for `path`, without its leading slash. `site` is the name of one of many
    /// sites, which stands for their top-level directories: each may be on a disk of its own.
    pub fn key(&self, site: &[u8], path: &[u8], client: Client) -> BlockingKey {
        let (first, rest) = match site {
            [] => path.split_at(path.iter().position(|&byte| byte == b'/').unwrap_or(path.len())),
            site => (site, path),
        };
        let mut hasher = self.hash_builder.build_hasher();
        hasher.write(first);
        let directory = hasher.finish();
        hasher.write(rest);
        let file = hasher.finish();
        let client = client.map_or(0, |client| {
            let mut hasher = self.hash_builder.build_hasher();
            // Each is one number: the Hash of an address would be several.
            match client_of(client.ip()) {
                IpAddr::V4(address) => hasher.write_u32(address.to_bits()),
                IpAddr::V6(address) => hasher.write_u128(address.to_bits()),
            }
            hasher.finish()
        });
        BlockingKey { file, directory, client }
    }

    /// Records that the thread in `slot` starts work that may block it, with `blocking_key`.
    pub fn begin(&self, slot: Option<usize>, blocking_key: BlockingKey, now_ms: u64) {
        let Some(slot) = self.slot(slot) else { return };
        slot.file.store(blocking_key.file, Relaxed);
        slot.directory.store(blocking_key.directory, Relaxed);
        slot.client.store(blocking_key.client, Relaxed);
        slot.since_ms.store(now_ms.max(1), Relaxed);
    }

    /// Records that the thread in `slot` is not blocked.
    pub fn end(&self, slot: Option<usize>) {
        self.slot(slot).into_iter().for_each(|slot| slot.since_ms.store(0, Relaxed));
    }

    /// Returns the limit that the thread exceeds that has just started work with `blocking_key`, if there is one. Each
    /// thread records itself before it counts, so threads that start at the same time count each other.
    pub fn exceeded(&self, blocking_key: BlockingKey, now_ms: u64) -> Option<&'static str> {
        fence(SeqCst);
        let (mut file, mut directory, mut client) = (Count::default(), Count::default(), Count::default());
        let mut all = Count::default();
        for slot in &self.slots {
            let since_ms = slot.since_ms.load(Relaxed);
            if since_ms == 0 {
                continue;
            }
            let is_blocked = since_ms + BLOCKED_MS <= now_ms;
            all.add(true, is_blocked);
            file.add(slot.file.load(Relaxed) == blocking_key.file, is_blocked);
            directory.add(slot.directory.load(Relaxed) == blocking_key.directory, is_blocked);
            client.add(blocking_key.client != 0 && slot.client.load(Relaxed) == blocking_key.client, is_blocked);
        }
        if file.exceeds(self.max_for_file) {
            Some("the disk does not respond, and the limit of threads that it blocks for one file is reached")
        } else if directory.exceeds(self.max_for_directory) {
            Some("the disk does not respond, and the limit of threads that it blocks for one directory is reached")
        } else if client.exceeds(self.max_for_client) {
            Some("the disk does not respond, and the limit of threads that it blocks for one client is reached")
        } else if all.exceeds(self.max_in_total) {
            Some("the disk does not respond, and the last thread is kept for health checks")
        } else {
            None
        }
    }

    fn slot(&self, slot: Option<usize>) -> Option<&ThreadSlot> {
        self.slots.get(slot?)
    }
}

/// The threads that are busy with the same file, directory or client.
#[derive(Debug, Default)]
struct Count {
    busy: usize,
    blocked: usize,
}

impl Count {
    fn add(&mut self, is_same: bool, is_blocked: bool) {
        self.busy += usize::from(is_same);
        self.blocked += usize::from(is_same && is_blocked);
    }

    /// Returns whether the limit is exceeded. At least half of the limit must be blocked: many requests that have just
    /// arrived are no reason.
    fn exceeds(&self, limit: usize) -> bool {
        self.busy > limit && self.blocked * 2 >= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_000;

    fn client(last: u8) -> Client {
        Some(([192, 0, 2, last], 80).into())
    }

    /// Blocks `count` further threads, on the paths that `path` returns.
    fn block(blocked: &BlockingLimits, count: usize, path: impl Fn(usize) -> String, of: Client) {
        for number in 0..count {
            let blocking_key = blocked.key(b"", path(number).as_bytes(), of);
            blocked.begin(blocked.add_thread(), blocking_key, NOW_MS - BLOCKED_MS);
        }
    }

    fn is_rejected(blocked: &BlockingLimits, path: &str, of: Client) -> bool {
        let blocking_key = blocked.key(b"", path.as_bytes(), of);
        let slot = blocked.add_thread();
        blocked.begin(slot, blocking_key, NOW_MS);
        let is_rejected = blocked.exceeded(blocking_key, NOW_MS).is_some();
        blocked.remove_thread(slot);
        is_rejected
    }

    #[test]
    fn a_file_may_block_a_quarter_of_the_threads() {
        let blocked = BlockingLimits::new(16, false);
        block(&blocked, 3, |_| "d/f".into(), client(1));
        assert!(!is_rejected(&blocked, "d/f", client(1)));
        block(&blocked, 1, |_| "d/f".into(), client(1));
        assert!(is_rejected(&blocked, "d/f", client(2)));
        assert!(!is_rejected(&blocked, "d/g", client(1)));
    }

    #[test]
    fn a_directory_of_the_root_may_block_five_eighths() {
        let blocked = BlockingLimits::new(16, false);
        block(&blocked, 10, |number| format!("d/e/{number}"), client(1));
        assert!(is_rejected(&blocked, "d/g", client(2)));
        assert!(!is_rejected(&blocked, "e/g", client(1)));
    }

    #[test]
    fn a_client_may_block_three_quarters_and_has_no_limit_without_an_address() {
        for (of, is_bounded) in [(client(1), true), (None, false)] {
            let blocked = BlockingLimits::new(16, false);
            block(&blocked, 12, |number| number.to_string(), of);
            assert_eq!(is_rejected(&blocked, "a", of), is_bounded);
            assert!(!is_rejected(&blocked, "a", client(2)));
        }
    }

    #[test]
    fn the_last_thread_is_kept_for_health_checks() {
        for (max_threads, keeps_one, is_bounded) in
            [(16, true, true), (16, false, false), (2, true, true), (1, true, false)]
        {
            let blocked = BlockingLimits::new(max_threads, keeps_one);
            for number in 0..max_threads - 1 {
                block(&blocked, 1, |_| format!("{number}/f"), client(number as u8));
            }
            assert_eq!(is_rejected(&blocked, "a", client(200)), is_bounded, "{max_threads} {keeps_one}");
        }
    }

    #[test]
    fn threads_that_are_blocked_for_a_short_time_do_not_count() {
        let blocked = BlockingLimits::new(4, false);
        let blocking_key = blocked.key(b"", b"f", None);
        let slot = blocked.add_thread();
        blocked.begin(blocked.add_thread(), blocking_key, NOW_MS);
        blocked.begin(slot, blocking_key, NOW_MS - BLOCKED_MS + 1);
        assert!(blocked.exceeded(blocking_key, NOW_MS).is_none());
        assert!(blocked.exceeded(blocking_key, NOW_MS + 1).is_some());
        blocked.end(slot);
        assert!(blocked.exceeded(blocking_key, NOW_MS + 1).is_none());
        blocked.remove_thread(slot);
        assert_eq!(blocked.add_thread(), slot);
    }

    #[test]
    fn one_thread_at_least_is_left_for_others() {
        for max_threads in 2..100 {
            let blocked = BlockingLimits::new(max_threads, false);
            let bounds = [blocked.max_for_file, blocked.max_for_directory, blocked.max_for_client];
            assert!(bounds.iter().all(|&bound| (1..max_threads).contains(&bound)), "{bounds:?} of {max_threads}");
        }
    }
}
