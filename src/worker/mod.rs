//! One worker process: a keeper (its main thread), request threads, connections that are parked between them, and one thread
//! that writes the access log.
//!
//! The way of a request: a thread waits in epoll ([`crew`]), takes a connection from the listening socket ([`door`]) or
//! out of the [`lot`], has a turn with it ([`turn`]: read, parse, find, answer, send), and parks it again or ends it.

mod backlog;
mod blocked;
mod complaints;
mod connection;
mod crew;
mod door;
mod drain;
mod exchange;
mod input;
mod keeper;
mod listings;
mod lot;
mod notes;
mod outgoing;
mod patience;
mod probe;
mod ready;
mod room;
mod solo;
mod thread;
mod turn;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags};

use crate::access::Access;
use crate::clients::Clients;
use crate::clock::Moments;
use crate::confine::Confinement;
use crate::http::Limits;
use crate::lifeline::WorkerEnd;
use crate::options::{Address, Options};
use crate::scoreboard::{Counter, Scoreboard, Slab};
use crate::site::Site;
use crate::site::listings::Listings;
use crate::sockets::Socket;

use blocked::Blocked;
use complaints::Complaints;
use crew::Crew;
use door::Door;
use lot::Lot;
use patience::Patience;
use ready::Ready;

pub use solo::Solo;

/// What the supervisor hands to every worker that it forks.
#[derive(Debug)]
pub struct Plan {
    /// The settings.
    pub options: Options,
    /// The listening sockets, which all workers share.
    pub sockets: Vec<Socket>,
    /// The document root.
    pub site: Site,
    /// How many descriptors a worker may have.
    pub descriptors: usize,
    /// What its process is left with; none where it is the caller's.
    pub confinement: Option<Confinement>,
}

/// What each worker writes and all read.
#[derive(Debug, Default)]
pub struct Shared {
    /// What they count.
    pub board: Scoreboard,
    /// How many connections each client has, if that is limited.
    pub clients: Option<Clients>,
}

impl Shared {
    /// Leaves this process, which was forked for worker number `number`, nothing to write but what is that one's own.
    pub fn keep_only(&mut self, number: usize) {
        self.board.keep_only(number);
        self.clients.iter_mut().for_each(|clients| clients.keep_only(number));
    }
}

/// How long requests in flight get when the server is stopped and systemd holds its sockets: new clients wait meanwhile, until
/// the next server takes them.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

impl Plan {
    /// How long requests in flight get when the server is stopped.
    pub fn stop_timeout(&self) -> Duration {
        let is_held = self.sockets.iter().any(|socket| socket.name.is_some());
        let longest = if is_held { STOP_TIMEOUT } else { Duration::MAX };
        self.options.stop_timeout.unwrap_or(self.options.drain_timeout.min(longest))
    }
}

/// So many connections more than the others have are no reason to let them go first.
const SLACK: u64 = 4;

/// What the threads of a worker share.
#[derive(Debug)]
struct Worker {
    number: usize,
    site: &'static Site,
    limits: Limits,
    most_requests: u64,
    patience: Patience,
    epoll: Epoll,
    door: Door,
    lot: Lot,
    ready: Ready,
    moments: Moments,
    crew: Crew,
    blocked: Blocked,
    listings: Listings,
    access: Option<&'static Access>,
    log_address: Address,
    slab: Slab<'static>,
    board: &'static Scoreboard,
    most_connections: u64,
    clients: Option<&'static Clients>,
    is_draining: AtomicBool,
    complaints: Complaints,
}

/// Runs worker number `number` in the process that was forked for it, and returns its exit status. The first one says what
/// holds for all.
pub fn run(plan: &'static Plan, number: usize, lifeline: &WorkerEnd, mut shared: Shared, is_first: bool) -> i32 {
    shared.keep_only(number);
    // Before the first request thread: each inherits it.
    plan.confinement.iter().for_each(|confinement| confinement.enter(is_first));
    let shared = &*Box::leak(Box::new(shared));
    let result =
        Worker::new(plan, number, shared).and_then(|worker| keeper::run(Box::leak(Box::new(worker)), plan, lifeline));
    match result {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("A worker cannot run: {error}.");
            1
        }
    }
}

impl Worker {
    fn new(plan: &'static Plan, number: usize, shared: &'static Shared) -> std::io::Result<Worker> {
        let options = &plan.options;
        let board = &shared.board;
        let slab = board.slab(number);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Worker {
            number,
            site: &plan.site,
            limits: options.limits(),
            most_requests: options.max_requests as u64,
            patience: Patience::new(options),
            ready: Ready::new(&epoll)?,
            epoll,
            moments: Moments::default(),
            door: Door::new(&plan.sockets),
            lot: Lot::new(plan.descriptors),
            crew: Crew::new(options.max_threads, slab)?,
            blocked: Blocked::new(options.max_threads),
            listings: Listings::default(),
            access: Access::of(options, number, board).map(|access| &*Box::leak(Box::new(access))),
            log_address: options.log_address,
            slab,
            board,
            // Half of the descriptors stay free for files.
            most_connections: options.connections_per_worker().min(plan.descriptors / 2) as u64,
            clients: shared.clients.as_ref(),
            is_draining: AtomicBool::new(false),
            complaints: Complaints::default(),
        })
    }

    /// Whether this worker is to end when its requests in flight are answered.
    fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }

    /// Whether this worker has clearly more connections than the others have on average.
    fn has_more_than_its_share(&self) -> bool {
        let others = self.board.workers().saturating_sub(1) as u64;
        let own = self.slab.get(Counter::Connections);
        own * others > self.board.total(Counter::Connections).saturating_sub(own).saturating_add(SLACK * others)
    }

    fn is_full(&self) -> bool {
        self.slab.get(Counter::Connections) >= self.most_connections
    }
}
