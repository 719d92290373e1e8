//! One worker process: a keeper (its main thread), request threads, and connections that are parked between them.
//!
//! The way of a request: a thread waits in epoll ([`crew`]), takes a connection from the listening socket ([`door`]) or
//! out of the [`lot`], has a turn with it ([`turn`]: read, parse, find, answer, send), and parks it again or ends it.

mod connection;
mod crew;
mod door;
mod exchange;
mod input;
mod keeper;
mod lot;
mod patience;
mod thread;
mod turn;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::sys::epoll::{Epoll, EpollCreateFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::http::Limits;
use crate::lifeline::WorkerEnd;
use crate::options::Options;
use crate::scoreboard::{Counter, Slab};
use crate::site::Site;
use crate::sockets::Socket;

use crew::Crew;
use door::Door;
use lot::Lot;
use patience::Patience;

/// What the supervisor hands to every worker that it forks.
#[derive(Debug)]
pub struct Plan {
    /// The settings.
    pub options: Options,
    /// The listening sockets, which all workers share.
    pub sockets: Vec<Socket>,
    /// The document root.
    pub site: Site,
}

/// What the threads of a worker share.
#[derive(Debug)]
struct Worker {
    site: &'static Site,
    limits: Limits,
    patience: Patience,
    epoll: Epoll,
    door: Door,
    lot: Lot,
    crew: Crew,
    slab: Slab,
    most_connections: u64,
    is_draining: AtomicBool,
}

/// Runs a worker in the process that was forked for it, and returns its exit status.
pub fn run(plan: &'static Plan, lifeline: &WorkerEnd, slab: Slab) -> i32 {
    let result = Worker::new(plan, slab).and_then(|worker| keeper::run(Box::leak(Box::new(worker)), plan, lifeline));
    match result {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("A worker cannot run: {error}.");
            1
        }
    }
}

impl Worker {
    fn new(plan: &'static Plan, slab: Slab) -> std::io::Result<Worker> {
        let descriptors = raise_descriptor_limit();
        let options = &plan.options;
        let share = options.max_connections.div_ceil(options.workers);
        Ok(Worker {
            site: &plan.site,
            limits: Limits::default(),
            patience: Patience::new(options),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            door: Door::new(&plan.sockets),
            lot: Lot::new(descriptors, slab),
            crew: Crew::new(options.max_threads, slab)?,
            slab,
            // Half of the descriptors stay free for files.
            most_connections: share.min(descriptors / 2) as u64,
            is_draining: AtomicBool::new(false),
        })
    }

    /// Whether this worker is to end when its requests in flight are answered.
    fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }

    fn is_full(&self) -> bool {
        self.slab.get(Counter::Connections) >= self.most_connections
    }
}

/// Takes as many descriptors as the service manager allows; returns how many that is.
fn raise_descriptor_limit() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    usize::try_from(if raised.is_ok() { hard } else { soft }).unwrap_or(usize::MAX).clamp(64, 1 << 24)
}
