//! What all requests of a worker share: the site, limits, timeouts, counters and threads. It knows no connection and no socket,
//! so that a request can be served without a worker around it.

pub mod blocking;
pub mod pool;
pub mod timeouts;
pub mod warnings;

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use crate::access_log::AccessLog;
use crate::config::{LogAddress, Options};
use crate::http::Limits;
use crate::ipc::scoreboard::{Scoreboard, WorkerCounters};
use crate::os::clock::{self, LogicalClock};
use crate::site::Site;
use crate::site::listings::Listings;

use blocking::{BlockingKey, BlockingLimits};
use pool::ThreadPool;
use timeouts::Timeouts;
use warnings::RateLimitedWarnings;

/// What all requests of a worker share.
#[derive(Debug)]
pub struct Service {
    /// The document root.
    pub site: &'static Site,
    /// The limits of a request.
    pub limits: Limits,
    /// The requests that a connection may have.
    pub max_requests: u64,
    /// The time limits of a connection.
    pub timeouts: Timeouts,
    /// Orders requests and checks of files.
    pub clock: LogicalClock,
    /// The request threads.
    pub pool: ThreadPool,
    /// Limits on threads that are blocked by one file, directory or client.
    pub blocking: BlockingLimits,
    /// Listings of directories that are made or shared.
    pub listings: Listings,
    /// Connections whose listing was made.
    pub wakeups: Wakeups,
    /// The access log, if there is one.
    pub access_log: Option<&'static AccessLog>,
    /// How much of a client's address is logged.
    pub log_address: LogAddress,
    /// The worker's counters.
    pub counters: WorkerCounters<'static>,
    /// Warnings that a client could cause at will.
    pub warnings: RateLimitedWarnings,
    is_draining: AtomicBool,
}

impl Service {
    /// Creates the service of worker number `worker`.
    pub fn new(options: &Options, site: &'static Site, worker: usize, board: &'static Scoreboard) -> io::Result<Self> {
        let counters = board.counters(worker);
        Ok(Service {
            site,
            limits: options.limits(),
            max_requests: options.max_requests as u64,
            timeouts: Timeouts::new(options),
            clock: LogicalClock::default(),
            pool: ThreadPool::new(options.max_threads, counters)?,
            blocking: BlockingLimits::new(options.max_threads),
            listings: Listings::default(),
            wakeups: Wakeups::default(),
            access_log: AccessLog::of(options, worker, board).map(|log| &*Box::leak(Box::new(log))),
            log_address: options.log_address,
            counters,
            warnings: RateLimitedWarnings::default(),
            is_draining: AtomicBool::new(false),
        })
    }

    /// Records that the thread in `slot` begins with `blocking_key`, which may block it. Returns the limit that this would exceed, and
    /// records nothing then.
    pub fn begin_blocking(&self, slot: Option<usize>, blocking_key: BlockingKey) -> Result<(), &'static str> {
        let now_ms = clock::now_ms();
        self.blocking.begin(slot, blocking_key, now_ms);
        if self.pool.is_over_half()
            && let Some(why) = self.blocking.exceeded(blocking_key, now_ms)
        {
            self.blocking.end(slot);
            return Err(why);
        }
        Ok(())
    }

    /// From now on, every response is the last of its connection.
    pub fn start_draining(&self) {
        self.is_draining.store(true, Relaxed);
    }

    /// Whether the worker ends once its requests in flight are answered.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }
}

/// Parked connections, by descriptor, that have to be driven again.
#[derive(Debug, Default)]
pub struct Wakeups {
    connections: Mutex<Vec<RawFd>>,
    has_some: AtomicBool,
}

impl Wakeups {
    /// Adds connections.
    pub fn push_all(&self, connections: impl IntoIterator<Item = RawFd>) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).extend(connections);
        self.has_some.store(true, SeqCst);
    }

    /// Takes all of them. Without any, that is one atomic load.
    pub fn take(&self) -> Vec<RawFd> {
        if !self.has_some.load(SeqCst) {
            return Vec::new();
        }
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_some.store(false, SeqCst);
        std::mem::take(&mut *connections)
    }
}
