//! A worker process: a main loop, request threads, parked connections, and a thread that writes the access log.
//!
//! The path of a connection: a request [`thread`] waits in epoll_wait(2) and queues the [`events`] that it reports. The
//! thread accepts a connection from a listening socket ([`accept`], while the [`gate`] is open), or takes a
//! [parked](parked) one. It drives the connection ([`ConnectionDriver`](crate::connection::ConnectionDriver)): preface,
//! read, respond, encode, send, until that has to wait. Then it parks ([`park`]) or closes it. The
//! [main loop](main_loop) handles signals and deadlines, and starts threads if all are blocked ([`stall`]). A thread that does a
//! task for a stream of HTTP/2 lends the connection, which the main loop may give to another thread ([`takeover`]).

mod accept;
mod backlog;
mod certificates;
mod drain;
mod events;
mod evict;
mod gate;
mod logins;
mod main_loop;
mod park;
mod parked;
mod probe;
mod root_check;
mod stall;
mod takeover;
mod thread;

use std::sync::Arc;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags};

use crate::client_limit::ClientLimiter;
use crate::config::{Http2Mode, Options};
use crate::ipc::key_protocol;
use crate::ipc::lifeline::WorkerEnd;
use crate::ipc::login_protocol::LoginClient;
use crate::ipc::scoreboard::{Counter, Reporter, Scoreboard};
use crate::ipc::ticket_keys::TicketKeyReader;
use crate::listeners::Socket;
use crate::os::landlock::Sandbox;
use crate::os::seccomp;
use crate::service::Service;
use crate::site::{HelperAccess, Sites};
use crate::tls::{self, signer::RemoteKeys};

use events::EventQueue;
use gate::AcceptGate;
use parked::ParkedConnections;
use takeover::Loans;

/// What the supervisor passes to every worker.
#[derive(Debug)]
pub struct WorkerContext {
    /// The configuration.
    pub options: Options,
    /// The listening sockets, which all workers share.
    pub sockets: Vec<Socket>,
    /// The document root.
    pub sites: Sites,
    /// The limit of file descriptors of a worker.
    pub descriptors: usize,
    /// The sandbox of the process; none in a process that also does other work.
    pub sandbox: Option<Sandbox>,
}

/// What the processes of the server share: memory that each worker writes for itself and all read, and the helper.
#[derive(Debug, Default)]
pub struct Shared {
    /// The counters.
    pub board: Scoreboard,
    /// The connections of each client, if they are limited.
    pub client_limit: Option<ClientLimiter>,
    /// The helper.
    pub helper: Option<HelperAccess>,
    /// The key process, if there is a listening socket for TLS.
    pub keys: Option<key_protocol::Client>,
    /// The connection to the login process, if there are files of users.
    pub logins: Option<LoginClient>,
    /// The keys of session tickets, under the condition of the key process.
    pub ticket_keys: Option<TicketKeyReader>,
}

impl Shared {
    /// Removes the right to write the memory of other workers from this process, which was forked for worker number
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

/// The number of connections above the average from which on a worker lets the others accept first.
const BALANCE_SLACK: u64 = 4;

/// The state that the threads of a worker share: the service for requests, and the scheduling of connections.
#[derive(Debug)]
struct Worker {
    service: Service,
    epoll: Epoll,
    gate: AcceptGate,
    parked: ParkedConnections,
    events: EventQueue,
    /// The connections that are lent while their thread does a task.
    loans: Loans,
    board: &'static Scoreboard,
    max_connections: u64,
    http2: Http2Mode,
    /// TLS, if a listening socket is for it.
    tls: Option<&'static tls::Server>,
}

/// Runs worker number `number` in the process that was forked for it. Returns its exit status. Only the first worker
/// logs messages that hold for all.
pub fn run(
    context: &'static WorkerContext,
    number: usize,
    lifeline: &WorkerEnd,
    mut shared: Shared,
    is_first: bool,
) -> i32 {
    shared.keep_only(number);
    // This is before the first request thread starts, and each thread inherits the sandbox.
    if let Some(sandbox) = &context.sandbox {
        sandbox.restrict_self(is_first);
        if let Err(error) = seccomp::deny_processes_and_connections()
            && is_first
        {
            tracing::warn!("Workers can start processes and connect sockets: {error}.");
        }
    }
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
        context.sites.begin_worker(Reporter::new(&shared.board, number), number > 0);
        let counters = shared.board.counters(number);
        let keys = shared.keys.as_ref().map(|client| RemoteKeys { client, counters });
        let has_tls = context.sockets.iter().any(|socket| socket.purpose.is_tls());
        let has_http2 = options.http2 != Http2Mode::Off;
        let tls = has_tls.then(|| certificates::start(keys, shared.ticket_keys.as_ref(), has_http2)).transpose()?;
        let mut service = Service::new(options, &context.sites, number, &shared.board, shared.helper.as_ref())?;
        service.logins = shared.logins.as_ref();
        // A quarter is for other files: those that requests open and close, and links.
        service.limit_open_files(context.descriptors / 4);
        Arc::make_mut(&mut service.clients).limit(shared.client_limit.as_ref(), number);
        service.https.enable_redirects(options, &context.sockets, tls);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Worker {
            service,
            events: EventQueue::new(&epoll)?,
            loans: Loans::new(options.max_threads)?,
            epoll,
            gate: AcceptGate::new(&context.sockets),
            parked: ParkedConnections::new(context.descriptors),
            board: &shared.board,
            // The other half of the descriptors is for files.
            max_connections: options.connections_per_worker().min(context.descriptors / 2) as u64,
            http2: options.http2,
            tls,
        })
    }

    /// Returns whether this worker has more connections than the others on average, by more than [`BALANCE_SLACK`].
    fn has_above_average_connections(&self) -> bool {
        let others = self.board.workers().saturating_sub(1) as u64;
        let own = self.service.counters.get(Counter::Connections);
        own * others > self.board.total(Counter::Connections).saturating_sub(own).saturating_add(BALANCE_SLACK * others)
    }

    fn is_full(&self) -> bool {
        self.service.counters.get(Counter::Connections) >= self.max_connections
    }
}
