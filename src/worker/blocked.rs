//! What the request threads are busy with, and since when: no file, directory or client may block all of them.
//!
//! A disk that does not answer holds every thread that asks it. As long as half of the threads there may be are enough,
//! nobody counts. More are started only when nothing has moved for a while ([`Crew`](super::crew::Crew)); from then on a
//! request is refused if some threads have been blocked for what it asks for and too many are busy with it: a quarter of them for one file, five
//! eighths for what is beneath one directory of the root, which may be a disk of its own, three quarters for one client.
//! The client's bound is the highest, and where there is no address, as on a unix socket, there is none: behind a front
//! all visitors have one address, and those who ask for sound files are not to suffer for the others.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence};

use crate::clients;
use crate::sockets::Client;

/// A thread that has been with one request for so long is blocked, in milliseconds.
pub const BLOCKED_MS: u64 = 100;

/// What a request is for, and whose it is, as hashes with a secret key: nobody can choose a path that counts as another.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject {
    file: u64,
    directory: u64,
    /// 0 if the client has no address.
    client: u64,
}

/// What one thread is busy with, in a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Place {
    is_taken: AtomicBool,
    /// 0 while it is busy with nothing.
    since_ms: AtomicU64,
    file: AtomicU64,
    directory: AtomicU64,
    client: AtomicU64,
}

/// The request threads of a worker, by what they are busy with.
#[derive(Debug)]
pub struct Blocked {
    places: Box<[Place]>,
    key: RandomState,
    most_for_file: usize,
    most_for_directory: usize,
    most_for_client: usize,
}

impl Blocked {
    /// Places for `most` threads.
    pub fn new(most: usize) -> Self {
        // One thread at least is left for others, if there are two.
        let beyond_half = |more: usize| (most / 2 + more.max(1)).min(most.saturating_sub(1)).max(1);
        Blocked {
            places: (0..most).map(|_| Place::default()).collect(),
            key: RandomState::new(),
            most_for_file: (most / 4).max(1),
            most_for_directory: beyond_half(most / 8),
            most_for_client: beyond_half(most / 4),
        }
    }

    /// A place for a thread that begins; there is one for each that there may be.
    pub fn join(&self) -> Option<usize> {
        self.places.iter().position(|place| !place.is_taken.swap(true, SeqCst))
    }

    /// Gives a thread's place back.
    pub fn part(&self, place: Option<usize>) {
        self.leave(place);
        self.at(place).into_iter().for_each(|place| place.is_taken.store(false, SeqCst));
    }

    /// What is asked of a client that is not known to have asked for anything yet.
    pub fn nothing_yet(&self, client: Client) -> Subject {
        let client = client.map_or(0, |client| self.key.hash_one(clients::of_address(client.ip())));
        Subject { client, ..Subject::default() }
    }

    /// What a request for `path`, which has no slash at its beginning, is for; the client is the one of `before`.
    pub fn subject(&self, path: &[u8], before: Subject) -> Subject {
        let (first, rest) = path.split_at(path.iter().position(|&byte| byte == b'/').unwrap_or(path.len()));
        let mut hasher = self.key.build_hasher();
        hasher.write(first);
        let directory = hasher.finish();
        hasher.write(rest);
        Subject { file: hasher.finish(), directory, ..before }
    }

    /// The thread at `place` begins with `subject`, which may block it.
    pub fn enter(&self, place: Option<usize>, subject: Subject, now_ms: u64) {
        let Some(place) = self.at(place) else { return };
        place.file.store(subject.file, Relaxed);
        place.directory.store(subject.directory, Relaxed);
        place.client.store(subject.client, Relaxed);
        place.since_ms.store(now_ms.max(1), Relaxed);
    }

    /// The thread at `place` is not blocked any more.
    pub fn leave(&self, place: Option<usize>) {
        self.at(place).into_iter().for_each(|place| place.since_ms.store(0, Relaxed));
    }

    /// By what so many threads are blocked that the one that has just begun with `subject` is to leave it, if it is so. Of those
    /// that begin together, none is missed: each has said so before it counts.
    pub fn is_too_much(&self, subject: Subject, now_ms: u64) -> Option<&'static str> {
        fence(SeqCst);
        let (mut file, mut directory, mut client) = (Count::default(), Count::default(), Count::default());
        for place in &self.places {
            let since_ms = place.since_ms.load(Relaxed);
            if since_ms == 0 {
                continue;
            }
            let is_blocked = since_ms + BLOCKED_MS <= now_ms;
            file.add(place.file.load(Relaxed) == subject.file, is_blocked);
            directory.add(place.directory.load(Relaxed) == subject.directory, is_blocked);
            client.add(subject.client != 0 && place.client.load(Relaxed) == subject.client, is_blocked);
        }
        if file.exceeds(self.most_for_file) {
            Some("its disk does not answer, and as many threads wait for this file as may")
        } else if directory.exceeds(self.most_for_directory) {
            Some("its disk does not answer, and as many threads wait for its directory as may")
        } else if client.exceeds(self.most_for_client) {
            Some("its client has as many threads wait for a disk as one may")
        } else {
            None
        }
    }

    fn at(&self, place: Option<usize>) -> Option<&Place> {
        self.places.get(place?)
    }
}

/// Threads that are busy with the same.
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

    /// Whether they are more than `most`, and that not only since many came in this moment.
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

    /// Has `count` further threads blocked for `path`.
    fn block(blocked: &Blocked, count: usize, path: impl Fn(usize) -> String, of: Client) {
        for number in 0..count {
            let subject = blocked.subject(path(number).as_bytes(), blocked.nothing_yet(of));
            blocked.enter(blocked.join(), subject, NOW_MS - BLOCKED_MS);
        }
    }

    fn is_refused(blocked: &Blocked, path: &str, of: Client) -> bool {
        let subject = blocked.subject(path.as_bytes(), blocked.nothing_yet(of));
        let place = blocked.join();
        blocked.enter(place, subject, NOW_MS);
        let is_refused = blocked.is_too_much(subject, NOW_MS).is_some();
        blocked.part(place);
        is_refused
    }

    #[test]
    fn a_file_has_a_quarter_of_the_threads() {
        let blocked = Blocked::new(16);
        block(&blocked, 3, |_| "d/f".into(), client(1));
        assert!(!is_refused(&blocked, "d/f", client(1)));
        block(&blocked, 1, |_| "d/f".into(), client(1));
        assert!(is_refused(&blocked, "d/f", client(2)));
        assert!(!is_refused(&blocked, "d/g", client(1)));
    }

    #[test]
    fn a_directory_of_the_root_has_five_eighths() {
        let blocked = Blocked::new(16);
        block(&blocked, 10, |number| format!("d/e/{number}"), client(1));
        assert!(is_refused(&blocked, "d/g", client(2)));
        assert!(!is_refused(&blocked, "e/g", client(1)));
    }

    #[test]
    fn a_client_has_three_quarters_and_none_without_an_address() {
        for (of, is_bounded) in [(client(1), true), (None, false)] {
            let blocked = Blocked::new(16);
            block(&blocked, 12, |number| number.to_string(), of);
            assert_eq!(is_refused(&blocked, "a", of), is_bounded);
            assert!(!is_refused(&blocked, "a", client(2)));
        }
    }

    #[test]
    fn those_that_are_not_blocked_for_long_do_not_count() {
        let blocked = Blocked::new(4);
        let subject = blocked.subject(b"f", blocked.nothing_yet(None));
        let place = blocked.join();
        blocked.enter(blocked.join(), subject, NOW_MS);
        blocked.enter(place, subject, NOW_MS - BLOCKED_MS + 1);
        assert!(blocked.is_too_much(subject, NOW_MS).is_none());
        assert!(blocked.is_too_much(subject, NOW_MS + 1).is_some());
        blocked.leave(place);
        assert!(blocked.is_too_much(subject, NOW_MS + 1).is_none());
        blocked.part(place);
        assert_eq!(blocked.join(), place);
    }

    #[test]
    fn one_thread_at_least_is_left_for_others() {
        for most in 2..100 {
            let blocked = Blocked::new(most);
            let bounds = [blocked.most_for_file, blocked.most_for_directory, blocked.most_for_client];
            assert!(bounds.iter().all(|&bound| (1..most).contains(&bound)), "{bounds:?} of {most}");
        }
    }
}
