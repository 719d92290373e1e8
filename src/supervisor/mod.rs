//! The supervisor: restarts workers, reports the state to systemd, reloads, and stops the server in order.
//!
//! One thread and one loop. It waits for a signal, an event of a worker or the next tick.
//!
//! No other process can block it. The system calls that could block:
//! - sendto(2) to systemd: non-blocking, retried ([`notify`]);
//! - sendmsg(2) to the journal: has a timeout ([`log`](crate::log)), after which the event goes to stderr;
//! - write(2) to stderr: only as much as fits ([`log`](crate::log)), the rest is dropped and counted;
//! - accept(2), recv(2) and send(2) for clients of the metrics sockets: non-blocking ([`metrics_server`]);
//! - waitpid(2): WNOHANG ([`reap`]);
//! - open(2) and read(2) of the file of `--ticket-keys`, at most 16 KiB ([`ticket_keys`]): it has to be on a local disk, as the
//!   manual page says;
//! - read(2) of the output of a configuration check: after poll(2), when the check has ended ([`configuration_check`]);
//! - fork(2) and execve(2): for as long as the kernel takes. Only workers access the path of the document root.

mod backoff;
mod certificates;
mod configuration_check;
mod exposition;
mod helper_process;
mod idle;
mod key_process;
mod lifecycle;
mod login_process;
mod metrics_server;
mod notify;
mod old_workers;
mod reap;
mod reload;
mod root_reload;
mod root_watch;
mod status;
mod stop;
mod ticket_keys;
mod watchdog;
mod workers;

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::access_log::OrphanedDrops;
use crate::client_limit::ClientLimiter;
use crate::failure::Failure;
use crate::ipc::handover::Handover;
use crate::ipc::scoreboard::Counter;
use crate::os::clock;
use crate::os::signals::{self, Signals};
use crate::service::health::HealthSettings;
use crate::worker::WorkerContext;
use crate::{access, listeners, log};

use configuration_check::ConfigurationCheck;
pub use configuration_check::program;
use exposition::Snapshot;
use helper_process::{CompressCache, HelperProcess};
use idle::IdleTimer;
pub use key_process::KeyProcess;
use lifecycle::{DrainAction, Lifecycle};
use login_process::LoginProcess;
use metrics_server::MetricsServer;
use notify::Notify;
use root_reload::RootReload;
use root_watch::RootWatch;
use status::StatusLine;
use stop::drained_by_ms;
use ticket_keys::{SharedKeys, TicketKeyRotation};
use watchdog::{LATE_MS, TICK_MS, Watchdog};
use workers::Workers;

/// Shortest interval of the warning about a signal without effect, in milliseconds.
const HINT_INTERVAL_MS: u64 = 60_000;

/// The main process of the service.
#[derive(Debug)]
pub struct Supervisor {
    context: &'static WorkerContext,
    workers: Workers,
    /// None in a worker that was just forked.
    signals: Option<Signals>,
    metrics: MetricsServer,
    idle: IdleTimer,
    started: SystemTime,
    status: StatusLine,
    unreported: OrphanedDrops,
    notify: Notify,
    lifecycle: Lifecycle,
    watchdog: Watchdog,
    next_tick_ms: u64,
    /// Time without a heartbeat before this time does not count: this process was stopped as well.
    awake_since_ms: u64,
    helper: HelperProcess,
    ticket_keys: TicketKeyRotation,
    keys: KeyProcess,
    logins: LoginProcess,
    check: ConfigurationCheck,
    root_reload: RootReload,
    root_watch: RootWatch,
    /// Reason why the last reload failed.
    reload_error: Option<String>,
    /// Earliest time of the next warning about a signal without effect.
    next_hint_ms: u64,
    /// When the old workers are killed.
    kill_old_at_ms: Option<u64>,
}

impl Supervisor {
    /// Creates a supervisor without workers of its own, which takes over what the image before has left: old workers, the memories
    /// with their counters, and what the other processes work with. Signals are blocked from here on.
    pub fn new(
        context: WorkerContext,
        clients: Option<ClientLimiter>,
        previous: Handover,
        keys: KeyProcess,
    ) -> Result<Self, Failure> {
        let Handover { memories, workers: old_workers, helper, ticket_keys, logins, .. } = previous;
        let context: &'static WorkerContext = Box::leak(Box::new(context));
        let cache = CompressCache { bytes: context.options.compress_cache, workers: context.options.workers };
        let has_tls = context.sockets.iter().any(|socket| socket.purpose.is_tls());
        let shared = context.options.ticket_keys.as_deref().filter(|_| has_tls).map(SharedKeys::open).transpose()?;
        let prepare = || {
            signals::block()?;
            let (helper, access) = HelperProcess::new(helper, cache)?;
            let tickets = has_tls.then(|| TicketKeyRotation::new(ticket_keys, shared)).transpose()?;
            let (ticket_keys, reader) = tickets.unzip();
            let workers = Workers::new(context, clients, access, reader.flatten())?;
            let options = &context.options;
            let proxies = (&options.trusted_proxies, &options.client_address_header, options.forwarded_host);
            let settings = access::digest(&options.allow, &options.auth, options.auth_over_http, &proxies);
            let logins = LoginProcess::new(access::files(&options.auth), settings, logins)?;
            let signals = Signals::listen(&signals::FOR_SUPERVISOR)?;
            Ok((signals, workers, helper, ticket_keys.unwrap_or_default(), logins))
        };
        let (signals, mut workers, helper, ticket_keys, logins) = prepare().map_err(|error: io::Error| {
            Failure::new(format!(
                "Cannot prepare for the workers ({error}): raise the limits on memory and descriptors."
            ))
        })?;
        workers.take_over(memories, old_workers);
        workers.begin_root_check(clock::now_ms());
        Ok(Supervisor {
            context,
            workers,
            signals: Some(signals),
            metrics: MetricsServer::new(&context.sockets, clock::now_ms()),
            idle: IdleTimer::new(context.options.idle_exit),
            started: SystemTime::now(),
            status: StatusLine::new(clock::now_ms()),
            unreported: OrphanedDrops::new(&context.options),
            notify: Notify::default(),
            lifecycle: Lifecycle::new(),
            watchdog: Watchdog::new(notify::watchdog()),
            next_tick_ms: 0,
            awake_since_ms: 0,
            helper,
            ticket_keys,
            keys,
            logins,
            check: ConfigurationCheck::new(),
            root_reload: RootReload::new(context.sites.root_state(), clock::now_ms()),
            root_watch: RootWatch::default(),
            reload_error: None,
            next_hint_ms: 0,
            kill_old_at_ms: None,
        })
    }

    /// Serves until a signal stops it.
    pub fn run(mut self) {
        listeners::report(&self.context.sockets);
        loop {
            let now_ms = clock::now_ms();
            if !self.lifecycle.is_stopping() {
                // Before the workers, so that each has a connection at once.
                self.start_logins(now_ms);
                self.workers.spawn_missing(now_ms, &mut self.keys, &mut self.logins, &mut || {
                    self.signals = None;
                    self.metrics.close_inherited();
                    self.check.close_inherited();
                    self.helper.close_inherited();
                    self.ticket_keys.close_inherited();
                    self.unreported.forget();
                });
            }
            self.wait(now_ms);
            if !self.lifecycle.is_stopping() {
                self.start_helper(clock::now_ms());
            }
            self.end_lame_duck(clock::now_ms());
            while let Some(signal) = self.signals.as_ref().and_then(Signals::next) {
                self.handle_signal(signal);
            }
            self.workers.poll_ready();
            if self.workers.ready() == self.workers.size() && self.lifecycle.all_ready() {
                self.report_ready();
                self.next_tick_ms = 0;
            }
            self.serve_keys();
            self.reap();
            self.ticket_keys.rotate(clock::now_ms());
            if !self.lifecycle.is_stopping() {
                self.reload();
            }
            self.serve_metrics();
            if self.is_over() {
                break;
            }
            if clock::now_ms() >= self.next_tick_ms {
                self.tick(clock::now_ms());
            }
        }
        // Later processes do not report these.
        self.unreported.report(self.workers.board());
        self.unreported.report(self.workers.board());
        let requests = self.workers.board().requests();
        tracing::info!(requests, "Stopped; requests answered: {requests}.");
        // systemd keeps the last status line of a service that has ended.
        self.notify.flush_queue();
        self.notify.status(&format!("Stopped; requests answered: {requests}, version {}", crate::VERSION));
    }

    /// Handles the messages of the key process, and replaces the workers that it reports.
    fn serve_keys(&mut self) {
        for pid in self.keys.serve(clock::now_ms()) {
            self.workers.board().supervisor().add(Counter::KeyRequestsRefused, 1);
            if !self.workers.kill_violator(pid) {
                // It has ended already, perhaps with a status that means no harm.
                self.ticket_keys.renew(clock::now_ms());
            }
        }
    }

    /// Serves the clients of the metrics sockets.
    fn serve_metrics(&mut self) {
        let snapshot = Snapshot {
            board: self.workers.board(),
            ready: self.workers.ready(),
            workers: self.workers.size(),
            old_workers: self.workers.old_workers().count(),
            has_sites: self.context.options.sites.is_some(),
            health: HealthSettings::of(&self.context.options),
            started: self.started,
            certificates: self.keys.report().map(|report| report.folders().unwrap_or_default()),
        };
        self.metrics.serve(&snapshot, clock::now_ms());
    }

    fn wait(&self, now_ms: u64) {
        let due_ms = self.workers.next_due_ms().filter(|_| !self.lifecycle.is_stopping());
        let root_ms = self.root_reload.next_check_ms(self.workers.board(), now_ms);
        let helper_ms = if self.lifecycle.is_stopping() { u64::MAX } else { self.helper.next_due_ms(now_ms) };
        let until_ms =
            self.next_tick_ms.min(due_ms.unwrap_or(u64::MAX)).min(root_ms).min(helper_ms).min(self.keys.next_due_ms());
        let until_ms = if self.lifecycle.is_stopping() { until_ms } else { until_ms.min(self.logins.next_due_ms()) };
        let until_ms = until_ms.min(self.lifecycle.lame_duck_until_ms().unwrap_or(u64::MAX));
        let timeout = PollTimeout::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(PollTimeout::MAX);
        let sources =
            self.workers.lifelines().chain(self.signals.iter().map(AsFd::as_fd)).map(|fd| (fd, PollFlags::POLLIN));
        let sources = sources.chain(self.metrics.poll_sources(now_ms));
        let work = self.helper.poll_source(now_ms).filter(|_| !self.lifecycle.is_stopping());
        let sources = sources.chain(self.keys.poll_sources());
        let sources = sources.chain(work.map(|queue| (queue, PollFlags::POLLIN)));
        let mut events: Vec<_> = sources.map(|(fd, flags)| PollFd::new(fd, flags)).collect();
        match poll(&mut events, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => tracing::error!("poll failed ({errno})."),
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::SIGCHLD => {}
            Signal::SIGHUP => self.lifecycle.request_reload(),
            Signal::SIGUSR1 | Signal::SIGUSR2 | Signal::SIGTTIN | Signal::SIGTTOU => self.report_ignored(signal),
            _ if self.lifecycle.is_stopping() => {
                tracing::warn!("Second stop signal ({signal}): terminating immediately.");
                self.lifecycle.stop(clock::now_ms());
                self.next_tick_ms = 0;
            }
            Signal::SIGTERM if self.begin_lame_duck() => {
                let seconds = self.context.options.lame_duck.as_secs();
                tracing::info!(
                    seconds,
                    "Stopping in {seconds} s ({signal}, --lame-duck): the health check says 503, and connections are accepted until \
                     then. A second signal ends that."
                );
            }
            _ => {
                tracing::info!(
                    "Stopping ({signal}): completing the requests in flight. A second signal terminates immediately."
                );
                self.stop();
            }
        }
    }

    /// Logs the equivalent of a signal that other servers use, at most once a minute.
    fn report_ignored(&mut self, signal: Signal) {
        let now_ms = clock::now_ms();
        if now_ms >= self.next_hint_ms {
            self.next_hint_ms = now_ms + HINT_INTERVAL_MS;
            tracing::warn!(
                "{signal} has no effect. HUP reloads and starts a new version (systemctl reload); logs go to the journal and \
                 need not be reopened; the number of workers is OTUS_WORKERS."
            );
        }
    }

    fn report_ready(&mut self) {
        let workers = self.workers.size();
        let (root, what) = self.context.options.directory();
        let root = root.display();
        let version = crate::VERSION;
        let old_workers = self.workers.old_workers();
        if old_workers.count() > 0 {
            tracing::info!(workers, version, "Reloaded; workers: {workers}, {what}: {root}, version {version}");
            if self.logins.end_outdated() {
                old_workers.refuse_requests();
            }
            old_workers.signal(Signal::SIGTERM);
            self.kill_old_at_ms = Some(drained_by_ms(self.context.options.drain_timeout));
        } else {
            tracing::info!(workers, version, "Ready; workers: {workers}, {what}: {root}, version {version}");
        }
        self.notify.ready();
    }

    fn tick(&mut self, now_ms: u64) {
        if self.next_tick_ms + LATE_MS < now_ms {
            self.awake_since_ms = now_ms;
        }
        self.next_tick_ms = now_ms + self.watchdog.tick_ms();
        if !self.lifecycle.is_stopping()
            && self.workers.end_hung(self.awake_since_ms, now_ms, self.watchdog.hang_timeout_ms())
        {
            self.ticket_keys.renew(now_ms);
        }
        self.notify.flush_queue();
        self.send_status(now_ms);
        self.unreported.report(self.workers.board());
        self.count_dropped();
        self.ping_watchdog(now_ms);
        self.check.end_overdue(now_ms);
        self.root_watch.check(&self.context.options, self.workers.board(), self.awake_since_ms, now_ms);
        if self.kill_old_at_ms.is_some_and(|at_ms| now_ms >= at_ms) {
            self.workers.kill_old();
        }
        self.stop_when_idle(now_ms);
        match self.lifecycle.drain_action(now_ms) {
            Some(DrainAction::Kill | DrainAction::GiveUp) => self.workers.signal(Signal::SIGKILL),
            None if self.lifecycle.lame_duck_until_ms().is_none() => {}
            Some(DrainAction::Wait) | None => self.notify.extend_timeout(Duration::from_millis(4 * TICK_MS)),
        }
    }

    /// Counts messages that their receivers did not accept.
    fn count_dropped(&mut self) {
        let counters = self.workers.board().supervisor();
        counters.add(Counter::MessagesDropped, log::take_dropped());
        counters.add(Counter::NotificationsDropped, self.notify.take_dropped());
    }

    /// Pings the watchdog of systemd, unless a worker cannot be started.
    fn ping_watchdog(&mut self, now_ms: u64) {
        let Some(timeout_ms) = self.watchdog.missing_worker_timeout_ms() else { return };
        if self.watchdog.check(self.workers.first_unfillable(now_ms, timeout_ms)) {
            self.notify.watchdog_ping();
        }
    }
}
