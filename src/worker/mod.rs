//! One worker process: a main loop, request threads, connections that are parked between their turns, and one thread that writes
//! the access log.
//!
//! The path of a connection: a [`thread`] waits in epoll and queues what it is told ([`events`]), accepts a connection from a
//! listening socket ([`accept`], while the [`gate`] is open) or takes a [parked](parked) one, drives it
//! ([`ConnectionDriver`](crate::connection::ConnectionDriver)) until it has to wait, and parks ([`park`]) or closes it. The
//! [main loop](main_loop) handles signals and deadlines, and starts threads where all are blocked ([`stall`]).

mod accept;
mod backlog;
mod drain;
mod events;
mod evict;
mod gate;
mod main_loop;
mod park;
mod parked;
mod probe;
mod stall;
mod thread;

use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags};

use crate::client_limit::ClientLimiter;
use crate::config::Options;
use crate::ipc::lifeline::WorkerEnd;
use crate::ipc::scoreboard::{Counter, Scoreboard};
use crate::listeners::Socket;
use crate::os::landlock::Sandbox;
use crate::service::Service;
use crate::site::Site;

use events::EventQueue;
use gate::AcceptGate;
use parked::ParkedConnections;

/// What the supervisor passes to every worker.
#[derive(Debug)]
pub struct WorkerContext {
    /// The configuration.
    pub options: Options,
    /// The listening sockets, which all workers share.
    pub sockets: Vec<Socket>,
    /// The document root.
    pub site: Site,
    /// The descriptors that a worker may have.
    pub descriptors: usize,
    /// What restricts the process; none in a process of the caller's.
    pub sandbox: Option<Sandbox>,
}

/// Memory that each worker writes for itself and all read.
#[derive(Debug, Default)]
pub struct Shared {
    /// The counters.
    pub board: Scoreboard,
    /// The connections of each client, if they are limited.
    pub client_limit: Option<ClientLimiter>,
}

impl Shared {
    /// Takes the right to write the memory of other workers from this process, which was forked for worker number
    /// `number`.
    pub fn keep_only(&mut self, number: usize) {
        self.board.keep_only(number);
        self.client_limit.iter_mut().for_each(|clients| clients.keep_only(number));
    }
}

impl WorkerContext {
    /// Returns the timeout of requests in flight when the server stops.
    pub fn stop_timeout(&self) -> Duration {
        self.options.stop_timeout(self.sockets.iter().any(|socket| socket.name.is_some()))
    }
}

/// The connections that a worker may have beyond the average before others accept first.
const BALANCE_SLACK: u64 = 4;

/// What the threads of a worker share: the service for requests, and what schedules connections.
#[derive(Debug)]
struct Worker {
    number: usize,
    service: Service,
    epoll: Epoll,
    gate: AcceptGate,
    parked: ParkedConnections,
    events: EventQueue,
    board: &'static Scoreboard,
    max_connections: u64,
    client_limit: Option<&'static ClientLimiter>,
}

/// Runs worker number `number` in the process that was forked for it. Returns its exit status. The first worker reports
/// what holds for all.
pub fn run(
    context: &'static WorkerContext,
    number: usize,
    lifeline: &WorkerEnd,
    mut shared: Shared,
    is_first: bool,
) -> i32 {
    shared.keep_only(number);
    // Before the first request thread starts: each thread inherits it.
    context.sandbox.iter().for_each(|confinement| confinement.restrict_self(is_first));
    let shared = &*Box::leak(Box::new(shared));
    let result = Worker::new(context, number, shared)
        .and_then(|worker| main_loop::run(Box::leak(Box::new(worker)), context, lifeline));
    match result {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("A worker cannot run: {error}.");
            1
        }
    }
}

impl Worker {
    fn new(context: &'static WorkerContext, number: usize, shared: &'static Shared) -> std::io::Result<Worker> {
        let options = &context.options;
        // All workers see the same changes of the document root.
        if number > 0 {
            context.site.silence_root();
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Worker {
            number,
            service: Service::new(options, &context.site, number, &shared.board)?,
            events: EventQueue::new(&epoll)?,
            epoll,
            gate: AcceptGate::new(&context.sockets),
            parked: ParkedConnections::new(context.descriptors),
            board: &shared.board,
            // Half of the descriptors are left for files.
            max_connections: options.connections_per_worker().min(context.descriptors / 2) as u64,
            client_limit: shared.client_limit.as_ref(),
        })
    }

    /// Whether this worker has clearly more connections than the others on average.
    fn has_more_than_its_share(&self) -> bool {
        let others = self.board.workers().saturating_sub(1) as u64;
        let own = self.service.counters.get(Counter::Connections);
        own * others > self.board.total(Counter::Connections).saturating_sub(own).saturating_add(BALANCE_SLACK * others)
    }

    fn is_full(&self) -> bool {
        self.service.counters.get(Counter::Connections) >= self.max_connections
    }
}
