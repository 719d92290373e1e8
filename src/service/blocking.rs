//! Limits on blocked threads: no file, directory or client may block all request threads.
//!
//! A disk that does not respond blocks every thread that reads from it. While half of the possible threads suffice,
//! there is no limit. Beyond that, the pool grows only after a time without progress
//! (its stall detector), and a request is rejected with 503 if threads have been blocked by the same
//! thing for a while and too many are busy with it: a quarter of all threads for one file, five eighths for the files
//! below one directory of the root (which may be a disk of its own), three quarters for one client.
//!
//! The limit for a client is the highest, and a client without an address, on a unix socket, has none: behind a reverse
//! proxy all clients have one address, and requests for readable files must not suffer.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};

use crate::client_limit;
use crate::listeners::Client;

/// A thread that has been busy with one request for this long counts as blocked, in milliseconds.
pub const BLOCKED_MS: u64 = 100;

/// What a request reads and who sent it, as hashes with a secret key: no client can choose a path that counts as
/// another.
#[derive(Debug, Clone, Copy, Default)]
pub struct BlockingKey {
    file: u64,
    directory: u64,
    /// 0 if the client has no address.
    client: u64,
}

/// What one thread is busy with, in a cache line of its own.
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

/// What the request threads of a worker are busy with.
#[derive(Debug)]
pub struct BlockingLimits {
    slots: Box<[ThreadSlot]>,
    key: RandomState,
    max_for_file: usize,
    max_for_directory: usize,
    max_for_client: usize,
}

impl BlockingLimits {
    /// Creates slots for `most` threads.
    pub fn new(most: usize) -> Self {
        // If there are two threads, one is left for other requests.
        let beyond_half = |more: usize| (most / 2 + more.max(1)).min(most.saturating_sub(1)).max(1);
        BlockingLimits {
            slots: (0..most).map(|_| ThreadSlot::default()).collect(),
            key: RandomState::new(),
            max_for_file: (most / 4).max(1),
            max_for_directory: beyond_half(most / 8),
            max_for_client: beyond_half(most / 4),
        }
    }

    /// Returns a slot for a new thread. There is one for each possible thread.
    pub fn add_thread(&self) -> Option<usize> {
        self.slots.iter().position(|place| !place.is_taken.swap(true, SeqCst))
    }

    /// Frees the slot of a thread.
    pub fn remove_thread(&self, place: Option<usize>) {
        self.end(place);
        self.slot(place).into_iter().for_each(|place| place.is_taken.store(false, SeqCst));
    }

    /// Returns the key of a client without a request.
    pub fn subject_of_client(&self, client: Client) -> BlockingKey {
        let client = client.map_or(0, |client| self.key.hash_one(client_limit::of_address(client.ip())));
        BlockingKey { client, ..BlockingKey::default() }
    }

    /// Returns the key of a request for `path`, without its leading slash, from the client of `before`.
    pub fn subject_of_path(&self, path: &[u8], before: BlockingKey) -> BlockingKey {
        let (first, rest) = path.split_at(path.iter().position(|&byte| byte == b'/').unwrap_or(path.len()));
        let mut hasher = self.key.build_hasher();
        hasher.write(first);
        let directory = hasher.finish();
        hasher.write(rest);
        BlockingKey { file: hasher.finish(), directory, ..before }
    }

    /// Records that the thread in `place` begins with `subject`, which may block it.
    pub fn begin(&self, place: Option<usize>, subject: BlockingKey, now_ms: u64) {
        let Some(place) = self.slot(place) else { return };
        place.file.store(subject.file, Relaxed);
        place.directory.store(subject.directory, Relaxed);
        place.client.store(subject.client, Relaxed);
        place.since_ms.store(now_ms.max(1), Relaxed);
    }

    /// Records that the thread in `place` is not blocked.
    pub fn end(&self, place: Option<usize>) {
        self.slot(place).into_iter().for_each(|place| place.since_ms.store(0, Relaxed));
    }

    /// Returns the limit that the thread which has just begun with `subject` exceeds, if it does. Threads that begin
    /// together all count each other: each records itself before it counts.
    pub fn exceeded(&self, subject: BlockingKey, now_ms: u64) -> Option<&'static str> {
        fence(SeqCst);
        let (mut file, mut directory, mut client) = (Count::default(), Count::default(), Count::default());
        for place in &self.slots {
            let since_ms = place.since_ms.load(Relaxed);
            if since_ms == 0 {
                continue;
            }
            let is_blocked = since_ms + BLOCKED_MS <= now_ms;
            file.add(place.file.load(Relaxed) == subject.file, is_blocked);
            directory.add(place.directory.load(Relaxed) == subject.directory, is_blocked);
            client.add(subject.client != 0 && place.client.load(Relaxed) == subject.client, is_blocked);
        }
        if file.exceeds(self.max_for_file) {
            Some("its disk does not answer, and as many threads wait for this file as may")
        } else if directory.exceeds(self.max_for_directory) {
            Some("its disk does not answer, and as many threads wait for its directory as may")
        } else if client.exceeds(self.max_for_client) {
            Some("its client has as many threads wait for a disk as one may")
        } else {
            None
        }
    }

    fn slot(&self, place: Option<usize>) -> Option<&ThreadSlot> {
        self.slots.get(place?)
    }
}

/// Threads that are busy with the same thing.
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

    /// Whether they are more than `most`, and not only because many requests have just arrived.
    fn exceeds(&self, most: usize) -> bool {
        self.busy > most && self.blocked * 2 >= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_000;

    fn client(last: u8) -> Client {
        Some(([192, 0, 2, last], 80).into())
    }

    /// Blocks `count` further threads by `path`.
    fn block(blocked: &BlockingLimits, count: usize, path: impl Fn(usize) -> String, of: Client) {
        for number in 0..count {
            let subject = blocked.subject_of_path(path(number).as_bytes(), blocked.subject_of_client(of));
            blocked.begin(blocked.add_thread(), subject, NOW_MS - BLOCKED_MS);
        }
    }

    fn is_refused(blocked: &BlockingLimits, path: &str, of: Client) -> bool {
        let subject = blocked.subject_of_path(path.as_bytes(), blocked.subject_of_client(of));
        let place = blocked.add_thread();
        blocked.begin(place, subject, NOW_MS);
        let is_refused = blocked.exceeded(subject, NOW_MS).is_some();
        blocked.remove_thread(place);
        is_refused
    }

    #[test]
    fn a_file_has_a_quarter_of_the_threads() {
        let blocked = BlockingLimits::new(16);
        block(&blocked, 3, |_| "d/f".into(), client(1));
        assert!(!is_refused(&blocked, "d/f", client(1)));
        block(&blocked, 1, |_| "d/f".into(), client(1));
        assert!(is_refused(&blocked, "d/f", client(2)));
        assert!(!is_refused(&blocked, "d/g", client(1)));
    }

    #[test]
    fn a_directory_of_the_root_has_five_eighths() {
        let blocked = BlockingLimits::new(16);
        block(&blocked, 10, |number| format!("d/e/{number}"), client(1));
        assert!(is_refused(&blocked, "d/g", client(2)));
        assert!(!is_refused(&blocked, "e/g", client(1)));
    }

    #[test]
    fn a_client_has_three_quarters_and_none_without_an_address() {
        for (of, is_bounded) in [(client(1), true), (None, false)] {
            let blocked = BlockingLimits::new(16);
            block(&blocked, 12, |number| number.to_string(), of);
            assert_eq!(is_refused(&blocked, "a", of), is_bounded);
            assert!(!is_refused(&blocked, "a", client(2)));
        }
    }

    #[test]
    fn those_that_are_not_blocked_for_long_do_not_count() {
        let blocked = BlockingLimits::new(4);
        let subject = blocked.subject_of_path(b"f", blocked.subject_of_client(None));
        let place = blocked.add_thread();
        blocked.begin(blocked.add_thread(), subject, NOW_MS);
        blocked.begin(place, subject, NOW_MS - BLOCKED_MS + 1);
        assert!(blocked.exceeded(subject, NOW_MS).is_none());
        assert!(blocked.exceeded(subject, NOW_MS + 1).is_some());
        blocked.end(place);
        assert!(blocked.exceeded(subject, NOW_MS + 1).is_none());
        blocked.remove_thread(place);
        assert_eq!(blocked.add_thread(), place);
    }

    #[test]
    fn one_thread_at_least_is_left_for_others() {
        for most in 2..100 {
            let blocked = BlockingLimits::new(most);
            let bounds = [blocked.max_for_file, blocked.max_for_directory, blocked.max_for_client];
            assert!(bounds.iter().all(|&bound| (1..most).contains(&bound)), "{bounds:?} of {most}");
        }
    }
}
