//! Connections per client over all workers (`--max-per-client`).
//!
//! A client is an IPv4 address or an IPv6 /64, which one host or home gets. Clients of a unix socket have no address
//! and no such limit. A hash of the client with a secret key selects its bucket, so no client can choose the bucket of
//! another. One pair of clients in some ten thousand shares a bucket and counts as one.
//!
//! Each worker counts in a table of its own, which the others read. When a worker dies, its table is cleared, and its
//! connections no longer count. Independently of the other tables, each worker grants a client its [reserve](reserve).

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst, fence};

use crate::client_address::client_of;
use crate::config::Options;
use crate::failure::{self, Failure};
use crate::ipc::worker_memory::{Memories, reserve};

/// The number of buckets for each possible connection, and the minimum and maximum number of buckets. The kernel
/// allocates memory only for buckets that are used.
const BUCKETS_PER_CONNECTION: usize = 4;
const MIN_BUCKETS: usize = 1 << 14;
const MAX_BUCKETS: usize = 1 << 20;

/// The connections of all clients, and their limit.
#[derive(Debug)]
pub struct ClientLimiter {
    max_per_client: u64,
    /// The number of connections that each worker grants independently of the others.
    reserve: u64,
    hash_builder: RandomState,
    tables: Memories,
    buckets: usize,
}

/// A permit for a connection; dropping it releases the permit.
#[derive(Debug)]
pub struct Permit<'m>(&'m AtomicU64);

impl ClientLimiter {
    /// Creates the limiter that `--max-per-client` configures.
    pub fn of(options: &Options) -> Result<Option<Self>, Failure> {
        let clients =
            options.max_per_client.map(|limit| ClientLimiter::new(limit, options.max_connections, options.workers));
        clients.transpose().map_err(|error| {
            let why = failure::reason(&error);
            Failure::new(format!("Cannot get memory for --max-per-client ({why}): raise the limit on memory."))
        })
    }

    /// Creates a limiter that grants a client `max_per_client` of the `connections` of all workers.
    fn new(max_per_client: usize, connections: usize, workers: usize) -> io::Result<Self> {
        let buckets = connections.saturating_mul(BUCKETS_PER_CONNECTION).clamp(MIN_BUCKETS, MAX_BUCKETS);
        let mut tables = Memories::new(workers, buckets)?;
        tables.close_descriptors();
        let max_per_client = max_per_client as u64;
        Ok(ClientLimiter {
            max_per_client,
            reserve: reserve(max_per_client, workers),
            hash_builder: RandomState::new(),
            tables,
            buckets,
        })
    }

    /// Returns the limit of a client.
    pub fn max_per_client(&self) -> u64 {
        self.max_per_client
    }

    /// Acquires a permit for a connection from `address` that worker number `worker` has accepted; none at the limit.
    pub fn acquire(&self, worker: usize, address: IpAddr) -> Option<Permit<'_>> {
        let bucket = self.hash_builder.hash_one(client_of(address)) as usize % self.buckets;
        let count = &self.tables.writable(worker)[bucket];
        let before = count.fetch_add(1, SeqCst);
        // If the limit is exceeded, the permit is dropped, which releases it.
        let permit = Permit(count);
        // Of two workers that accept at the same time, at least one sees the count of the other.
        fence(SeqCst);
        let connections = self.tables.read(bucket).fold(0, u64::saturating_add);
        (before < self.reserve || connections <= self.max_per_client).then_some(permit)
    }

    /// Removes the right to write the tables of other workers from this process, which was forked for worker number
    /// `worker`.
    pub fn keep_only(&mut self, worker: usize) {
        self.tables.keep_only(worker);
    }

    /// Clears the table of a worker that has ended.
    pub fn forget(&self, worker: usize) {
        for count in self.tables.writable(worker).iter().filter(|count| count.load(SeqCst) != 0) {
            count.store(0, SeqCst);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_counted_over_all_workers() {
        let clients = ClientLimiter::new(2, 100, 2).unwrap();
        let address = [192, 0, 2, 1].into();
        let first = clients.acquire(0, address).unwrap();
        let _second = clients.acquire(1, address).unwrap();
        assert!(clients.acquire(0, address).is_none());
        assert!(clients.acquire(1, address).is_none(), "a rejection acquires no permit");
        drop(first);
        assert!(clients.acquire(1, address).is_some());
    }

    #[test]
    fn false_counters_of_a_worker_leave_the_others_their_reserve() {
        let clients = ClientLimiter::new(32, 100, 2).unwrap();
        clients.tables.writable(0).iter().for_each(|count| count.store(u64::MAX, SeqCst));
        let address = [192, 0, 2, 1].into();
        let permits: Vec<_> = (0..3).map(|_| clients.acquire(1, address)).collect();
        assert_eq!(permits.iter().flatten().count(), 2);
    }

    #[test]
    fn connections_of_a_dead_worker_are_not_counted() {
        let clients = ClientLimiter::new(1, 100, 2).unwrap();
        let address = [192, 0, 2, 1].into();
        std::mem::forget(clients.acquire(1, address).unwrap());
        assert!(clients.acquire(0, address).is_none());
        clients.forget(1);
        assert!(clients.acquire(0, address).is_some());
    }
}
