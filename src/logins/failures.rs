//! Failed logins by client: beyond a number of them, a client has to wait before it may try again.
//!
//! A hash of the client with a secret key selects its bucket, so no client can choose the bucket of another. Clients that
//! share a bucket count as one, which is one pair in some ten thousand.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::client_limit;

/// The number of buckets: 1 MiB.
const BUCKETS: usize = 1 << 16;

/// The failures of a client after which it has to wait.
const MAX_FAILURES: u64 = 10;

/// The time after which one failure is forgiven, in milliseconds.
const FORGIVEN_MS: u64 = 30_000;

/// How many times as many failures there may be of clients without an address, which are all that use a unix socket.
const UNKNOWN_CLIENTS: u64 = 10;

/// The failures of all clients.
#[derive(Debug)]
pub struct Failures {
    hash_builder: RandomState,
    /// For each bucket, the time at which all its failures are forgiven, in milliseconds.
    buckets: Mutex<Box<[u64]>>,
}

impl Failures {
    /// Creates an empty table.
    pub fn new() -> io::Result<Self> {
        Ok(Failures { hash_builder: RandomState::new(), buckets: Mutex::new(vec![0; BUCKETS].into()) })
    }

    /// Counts an attempt of `client` as a failure, before it is known whether it is one: so attempts at the same time count as
    /// well. If there were too many, nothing is counted, and the time in seconds after which it may try again is returned.
    pub fn begin(&self, client: Option<IpAddr>, now_ms: u64) -> Result<(), u32> {
        let forgiven_ms = forgiven_ms(client);
        let mut buckets = self.buckets();
        let until_ms = &mut buckets[self.bucket(client)];
        let next_ms = (*until_ms).max(now_ms) + forgiven_ms;
        let latest_ms = now_ms + MAX_FAILURES * FORGIVEN_MS;
        if next_ms > latest_ms {
            return Err((next_ms - latest_ms).div_ceil(1_000) as u32);
        }
        *until_ms = next_ms;
        Ok(())
    }

    /// Forgives an attempt that was counted: it was none, or it succeeded.
    pub fn forgive(&self, client: Option<IpAddr>, now_ms: u64) {
        let forgiven_ms = forgiven_ms(client);
        let mut buckets = self.buckets();
        let until_ms = &mut buckets[self.bucket(client)];
        *until_ms = until_ms.saturating_sub(forgiven_ms).max(now_ms);
    }

    fn bucket(&self, client: Option<IpAddr>) -> usize {
        self.hash_builder.hash_one(client.map(client_limit::of_address)) as usize % BUCKETS
    }

    fn buckets(&self) -> MutexGuard<'_, Box<[u64]>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forgiven_ms(client: Option<IpAddr>) -> u64 {
    if client.is_some() { FORGIVEN_MS } else { FORGIVEN_MS / UNKNOWN_CLIENTS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_ten_failures_a_client_waits_for_each_further_attempt() {
        let failures = Failures::new().unwrap();
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
        let failures = Failures::new().unwrap();
        let client = Some([192, 0, 2, 1].into());
        for round in 0..100 {
            assert_eq!(failures.begin(client, 1_000_000 + round), Ok(()));
            failures.forgive(client, 1_000_000 + round);
        }
    }

    #[test]
    fn an_ipv6_client_is_its_64_prefix() {
        let failures = Failures::new().unwrap();
        let client = |last: u64| Some(format!("2001:db8::{last:x}").parse().unwrap());
        (0..MAX_FAILURES).for_each(|last| assert!(failures.begin(client(last), 1_000_000).is_ok()));
        assert!(failures.begin(client(99), 1_000_000).is_err());
        assert!(failures.begin(Some("2001:db8:0:1::1".parse().unwrap()), 1_000_000).is_ok());
    }

    #[test]
    fn clients_without_an_address_share_ten_times_as_many() {
        let failures = Failures::new().unwrap();
        let attempts = (0..1_000).filter(|_| failures.begin(None, 1_000_000).is_ok()).count();
        assert_eq!(attempts as u64, MAX_FAILURES * UNKNOWN_CLIENTS);
    }
}
