//! The service: the state that all requests of a worker share, such as the site, limits, timeouts, counters and
//! threads. It does not depend on connections and sockets, so that a test can serve a request without a worker.

pub mod blocking;
pub mod clients;
pub mod handshakes;
pub mod health;
pub mod https;
pub mod open_files;
pub mod pool;
pub mod timeouts;
pub mod warnings;

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use crate::access::AccessPolicy;
use crate::access_log::AccessLog;
use crate::config::{LogAddress, Options};
use crate::http::Limits;
use crate::ipc::login_protocol::LoginClient;
use crate::ipc::scoreboard::{Scoreboard, WorkerCounters};
use crate::os::clock::LogicalClock;
use crate::site::listings::Listings;
use crate::site::{Digests, HelperAccess, Sites};

use blocking::{BlockingKey, BlockingLimits};
use clients::Clients;
use handshakes::HandshakeLimit;
use health::HealthCheck;
use https::HttpsPolicy;
use open_files::OpenFiles;
use pool::ThreadPool;
use timeouts::Timeouts;
use warnings::RateLimitedWarnings;

/// The limit of files that connections keep open besides one each, unless the limit of descriptors says less.
const MAX_EXTRA_FILES: usize = 4096;

/// The state that all requests of a worker share.
#[derive(Debug)]
pub struct Service {
    /// The sites.
    pub sites: &'static Sites,
    /// What is known about the content of files.
    pub digests: Digests,
    /// The limits of a request.
    pub limits: Limits,
    /// The maximum number of requests of a connection.
    pub max_requests: u64,
    /// Who gets what, if that is restricted.
    pub access: Option<AccessPolicy>,
    /// Trusted proxies, and the limit of connections per client.
    pub clients: Arc<Clients>,
    /// Verifies passwords, if there are users.
    pub logins: Option<&'static LoginClient>,
    /// The health check on the site's sockets.
    pub health: HealthCheck,
    /// Redirects to HTTPS, and Strict-Transport-Security.
    pub https: HttpsPolicy,
    /// The time limits of a connection.
    pub timeouts: Timeouts,
    /// Orders requests and checks of files by logical time.
    pub clock: LogicalClock,
    /// The request threads.
    pub pool: ThreadPool,
    /// Limits on threads that are blocked by one file, directory or client.
    pub blocking: BlockingLimits,
    /// The limit of threads that make TLS handshakes.
    pub handshakes: HandshakeLimit,
    /// The limit of files that connections keep open besides one each.
    pub open_files: OpenFiles,
    /// Listings of directories that are made or shared.
    pub listings: Listings,
    /// Connections to wake, since their listing was made.
    pub wakeups: Wakeups,
    /// The access log, if there is one.
    pub access_log: Option<&'static AccessLog>,
    /// The part of a client's address that is logged.
    pub log_address: LogAddress,
    /// The worker's counters.
    pub counters: WorkerCounters<'static>,
    /// Warnings that clients can cause.
    pub warnings: RateLimitedWarnings,
    is_draining: AtomicBool,
    is_outdated: AtomicBool,
}

impl Service {
    /// Creates the service of worker number `worker`.
    pub fn new(
        options: &Options,
        sites: &'static Sites,
        worker: usize,
        board: &'static Scoreboard,
        helper: Option<&'static HelperAccess>,
    ) -> io::Result<Self> {
        let counters = board.counters(worker);
        Ok(Service {
            sites,
            digests: Digests::new(helper, counters),
            limits: options.limits(),
            max_requests: options.max_requests as u64,
            access: AccessPolicy::new(&options.allow, &options.auth, options.auth_over_http),
            clients: Arc::new(Clients::new(options)),
            logins: None,
            health: HealthCheck::new(options, board),
            https: HttpsPolicy::new(options),
            timeouts: Timeouts::new(options),
            clock: LogicalClock::default(),
            pool: ThreadPool::new(options.max_threads, counters)?,
            blocking: BlockingLimits::new(options.max_threads, options.health_path.is_some()),
            handshakes: HandshakeLimit::new(options.max_threads),
            open_files: OpenFiles::new(MAX_EXTRA_FILES),
            listings: Listings::default(),
            wakeups: Wakeups::default(),
            access_log: AccessLog::of(options, worker, board).map(|log| &*Box::leak(Box::new(log))),
            log_address: options.log_address,
            counters,
            warnings: RateLimitedWarnings::default(),
            is_draining: AtomicBool::new(false),
            is_outdated: AtomicBool::new(false),
        })
    }

    /// Records that the thread in `slot` starts work at `now_ms` that may block it, with `blocking_key`. If this exceeds a
    /// limit, records nothing and returns the limit.
    pub fn begin_blocking(
        &self,
        slot: Option<usize>,
        blocking_key: BlockingKey,
        now_ms: u64,
    ) -> Result<(), &'static str> {
        self.blocking.begin(slot, blocking_key, now_ms);
        if self.pool.is_over_half()
            && let Some(why) = self.blocking.exceeded(blocking_key, now_ms)
        {
            self.blocking.end(slot);
            return Err(why);
        }
        Ok(())
    }

    /// Sets how many files connections may keep open besides one each, at most [`MAX_EXTRA_FILES`].
    pub fn limit_open_files(&mut self, extra_files: usize) {
        self.open_files = OpenFiles::new(extra_files.min(MAX_EXTRA_FILES));
    }

    /// Starts draining: every further response is the last of its connection.
    pub fn start_draining(&self) {
        self.is_draining.store(true, Relaxed);
    }

    /// Starts refusing requests: a reload has changed who gets what, and this worker has the former settings.
    pub fn refuse_requests(&self) {
        self.is_outdated.store(true, Relaxed);
    }

    /// Returns whether the settings of this worker say no longer who gets what.
    pub fn is_outdated(&self) -> bool {
        self.is_outdated.load(Relaxed)
    }

    /// Returns whether the worker drains: it ends after the requests in flight.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }
}

/// Parked connections to drive again, by descriptor.
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

    /// Takes all connections. If there are none, this costs one atomic load.
    pub fn take(&self) -> Vec<RawFd> {
        if !self.has_some.load(SeqCst) {
            return Vec::new();
        }
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_some.store(false, SeqCst);
        std::mem::take(&mut *connections)
    }
}
