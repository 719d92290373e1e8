//! Failed logins by client: beyond a number of them, a client has to wait before it may try again.
//!
//! They are counted in memory that the supervisor creates and passes on to each login process. So a client that has to wait does
//! so also after a reload or a crash, and the process of old workers counts with that of new ones.
//!
//! A hash of the client with a secret key selects its bucket, so no client can choose the bucket of another. Clients that
//! share a bucket count as one, which is one pair in some sixty thousand.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::client_address::client_of;
use crate::digest::Digest;
use crate::os::sys::{self, WritableCounters};

/// The number of buckets: 512 KiB.
const BUCKETS: usize = 1 << 16;

/// The words before the buckets: the version of the layout, the secret key, and the digest of the settings.
const LAYOUT: u64 = 1;
const KEY: std::ops::Range<usize> = 1..5;
const SETTINGS: std::ops::Range<usize> = 5..7;
const HEADER_WORDS: usize = 8;

/// The failures of a client after which it has to wait.
const MAX_FAILURES: u64 = 10;

/// The time after which one failure is forgiven, in milliseconds.
const FORGIVEN_MS: u64 = 30_000;

/// How many times as many failures there may be of clients without an address, which are all that use a unix socket.
const UNKNOWN_CLIENTS: u64 = 10;

/// The memory with the failures of all clients, for the supervisor.
#[derive(Debug)]
pub struct FailureMemory(OwnedFd);

/// The failures of all clients, for a login process.
#[derive(Debug)]
pub struct Failures {
    words: WritableCounters,
    key: [u8; 32],
}

impl FailureMemory {
    /// Creates memory without failures.
    pub fn new() -> io::Result<Self> {
        let memory = sys::counters_memory(HEADER_WORDS + BUCKETS)?;
        let words = WritableCounters::map(&memory, HEADER_WORDS + BUCKETS)?;
        let mut key = [0; 8 * KEY.end];
        sys::fill_random(&mut key)?;
        for (word, bytes) in words[KEY].iter().zip(key.as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Relaxed);
        }
        words[0].store(LAYOUT, Relaxed);
        Ok(FailureMemory(memory))
    }

    /// Takes the memory over from the previous image of this process. Fails if it has another layout.
    pub fn from_memory(memory: OwnedFd) -> io::Result<Self> {
        match WritableCounters::map(&memory, HEADER_WORDS + BUCKETS)?[0].load(Relaxed) {
            LAYOUT => Ok(FailureMemory(memory)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Returns a descriptor by which the next image of this process can map it.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Stores the digest of the settings of access. Returns whether the image before has stored another one.
    pub fn replace_settings(&self, settings: Digest) -> io::Result<bool> {
        let words = WritableCounters::map(&self.0, HEADER_WORDS + BUCKETS)?;
        let pairs = words[SETTINGS].iter().zip(settings.to_words());
        let before: Vec<_> = pairs.map(|(word, value)| (word.swap(value, Relaxed), value)).collect();
        let is_new = before.iter().all(|(before, _)| *before == 0);
        Ok(!is_new && before.iter().any(|(before, now)| before != now))
    }

    /// Maps it, for a login process.
    pub fn map(&self) -> io::Result<Failures> {
        let words = WritableCounters::map(&self.0, HEADER_WORDS + BUCKETS)?;
        let key = std::array::from_fn(|byte| words[KEY.start + byte / 8].load(Relaxed).to_ne_bytes()[byte % 8]);
        Ok(Failures { words, key })
    }
}

impl Failures {
    /// Counts an attempt of `client` as a failure, before it is known whether it is one: so attempts at the same time count as
    /// well. If there were too many, nothing is counted, and the time in seconds after which it may try again is returned.
    pub fn begin(&self, client: Option<IpAddr>, now_ms: u64) -> Result<(), u32> {
        let latest_ms = now_ms + MAX_FAILURES * FORGIVEN_MS;
        let next_ms = |until_ms: u64| until_ms.max(now_ms) + forgiven_ms(client);
        let count = |until_ms| Some(next_ms(until_ms)).filter(|next_ms| *next_ms <= latest_ms);
        let refused = |until_ms| (next_ms(until_ms) - latest_ms).div_ceil(1_000) as u32;
        self.bucket(client).fetch_update(Relaxed, Relaxed, count).map(drop).map_err(refused)
    }

    /// Forgives an attempt that was counted: it was none, or it succeeded.
    pub fn forgive(&self, client: Option<IpAddr>, now_ms: u64) {
        let forgive = |until_ms: u64| Some(until_ms.saturating_sub(forgiven_ms(client)).max(now_ms));
        // It always returns a value.
        let _ = self.bucket(client).fetch_update(Relaxed, Relaxed, forgive);
    }

    /// Returns the time at which all failures of a client are forgiven, in milliseconds.
    fn bucket(&self, client: Option<IpAddr>) -> &AtomicU64 {
        let client = format!("{:?}", client.map(client_of));
        let hash = blake3::keyed_hash(&self.key, client.as_bytes());
        let [first, second, ..] = *hash.as_bytes();
        &self.words[HEADER_WORDS + usize::from(u16::from_le_bytes([first, second]))]
    }
}

fn forgiven_ms(client: Option<IpAddr>) -> u64 {
    if client.is_some() { FORGIVEN_MS } else { FORGIVEN_MS / UNKNOWN_CLIENTS }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures() -> Failures {
        FailureMemory::new().unwrap().map().unwrap()
    }

    #[test]
    fn after_ten_failures_a_client_waits_for_each_further_attempt() {
        let failures = failures();
        let (client, other) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        for _ in 0..MAX_FAILURES {
            assert_eq!(failures.begin(client, 1_000_000), Ok(()));
        }
        assert_eq!(failures.begin(client, 1_000_000), Err(30));
        assert_eq!(failures.begin(client, 1_000_000), Err(30), "an attempt that is refused is no failure");
        assert_eq!(failures.begin(client, 1_029_001), Err(1));
        assert_eq!(failures.begin(other, 1_000_000), Ok(()));
        assert_eq!(failures.begin(client, 1_030_000), Ok(()));
        assert_eq!(failures.begin(client, 1_030_000), Err(30));
        assert_eq!(failures.begin(client, 2_000_000), Ok(()), "after five minutes, all are forgiven");
    }

    #[test]
    fn successes_are_no_failures() {
        let failures = failures();
        let client = Some([192, 0, 2, 1].into());
        for round in 0..100 {
            assert_eq!(failures.begin(client, 1_000_000 + round), Ok(()));
            failures.forgive(client, 1_000_000 + round);
        }
    }

    #[test]
    fn an_ipv6_client_is_its_64_prefix() {
        let failures = failures();
        let client = |last: u64| Some(format!("2001:db8::{last:x}").parse().unwrap());
        (0..MAX_FAILURES).for_each(|last| assert!(failures.begin(client(last), 1_000_000).is_ok()));
        assert!(failures.begin(client(99), 1_000_000).is_err());
        assert!(failures.begin(Some("2001:db8:0:1::1".parse().unwrap()), 1_000_000).is_ok());
    }

    #[test]
    fn clients_without_an_address_share_ten_times_as_many() {
        let failures = failures();
        let attempts = (0..1_000).filter(|_| failures.begin(None, 1_000_000).is_ok()).count();
        assert_eq!(attempts as u64, MAX_FAILURES * UNKNOWN_CLIENTS);
    }

    #[test]
    fn each_process_counts_the_failures_of_the_others() {
        let memory = FailureMemory::new().unwrap();
        let client = Some([192, 0, 2, 1].into());
        let attempts = (0..20).filter(|_| memory.map().unwrap().begin(client, 1_000_000).is_ok()).count();
        assert_eq!(attempts as u64, MAX_FAILURES);
        let next = FailureMemory::from_memory(memory.0).unwrap();
        assert!(next.map().unwrap().begin(client, 1_000_000).is_err());
        assert!(FailureMemory::from_memory(sys::counters_memory(HEADER_WORDS + BUCKETS).unwrap()).is_err());
        assert!(FailureMemory::from_memory(sys::counters_memory(9).unwrap()).is_err());
    }

    #[test]
    fn another_digest_of_the_settings_is_noticed() {
        let memory = FailureMemory::new().unwrap();
        let replace = |settings: &[u8]| memory.replace_settings(Digest::of(settings)).unwrap();
        assert_eq!([&b"a"[..], b"a", b"b", b"b", b"a"].map(replace), [false, false, true, false, true]);
    }
}
