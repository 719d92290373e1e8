//! The supervisor: restarts workers, reports the state to systemd, reloads, and stops the server in order.
//!
//! One thread and one loop. It waits for a signal, an event of a worker or the next tick, whichever comes first.
//!
//! No other process can block it. The system calls that could block:
//! - sendto(2) to systemd: non-blocking, retried ([`notify`]);
//! - sendmsg(2) to the journal: has a timeout ([`log`](crate::log)), after which the event goes to stderr;
//! - write(2) to stderr: only as much as fits ([`log`](crate::log)), the rest is dropped and counted;
//! - accept(2), recv(2) and send(2) for clients of the metrics sockets: non-blocking ([`metrics_server`]);
//! - waitpid(2): WNOHANG;
//! - read(2) of the output of a configuration check: after poll(2), when the check has ended ([`reload`]);
//! - fork(2) and execve(2): for as long as the kernel takes. Only workers access the path of the document root.

mod exposition;
mod idle;
mod lifecycle;
mod metrics_server;
mod notify;
mod old_workers;
mod reload;
mod status;
mod watchdog;
mod workers;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::access_log::OrphanedDrops;
use crate::client_limit::ClientLimiter;
use crate::failure::Failure;
use crate::ipc::handover::InheritedWorker;
use crate::ipc::scoreboard::Counter;
use crate::log::catalog;
use crate::os::clock;
use crate::os::signals::{self, Signals};
use crate::site::RootState;
use crate::worker::WorkerContext;
use crate::{listeners, log};

use exposition::Snapshot;
use idle::IdleTimer;
use lifecycle::{Drain, Lifecycle};
use metrics_server::MetricsServer;
use notify::Notify;
use reload::Reload;
pub use reload::program;
use status::StatusLine;
use watchdog::{LATE_MS, TICK_MS, Watchdog};
use workers::Workers;

/// How much longer than the workers' own timeout the supervisor waits before it kills them, in milliseconds.
const DRAIN_GRACE_MS: u64 = 2_000;

/// Shortest interval of the warning about a signal without effect, in milliseconds.
const HINT_INTERVAL_MS: u64 = 60_000;

/// Shortest interval between two reloads for a replaced document root, in milliseconds.
const ROOT_RELOAD_INTERVAL_MS: u64 = 5_000;

/// Interval of the check for a document root that did not exist at the start, in milliseconds.
const FIRST_ROOT_CHECK_MS: u64 = 100;

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
    last_status: String,
    notify: Notify,
    lifecycle: Lifecycle,
    watchdog: Watchdog,
    next_tick_ms: u64,
    /// Earlier time without a heartbeat does not count against a worker: this process was stopped as well.
    awake_since_ms: u64,
    reload: Reload,
    /// Reason why the last reload failed.
    reload_error: Option<String>,
    /// Earliest time of the next warning about a signal without effect.
    next_hint_ms: u64,
    /// Earliest time of the next reload for a replaced document root.
    next_root_reload_ms: u64,
    /// When the workers of previous generations are killed.
    kill_old_at_ms: Option<u64>,
}

impl Supervisor {
    /// Creates a supervisor without workers of its own. It may have workers of previous generations, and the memories
    /// that they count in. Signals are blocked from here on.
    pub fn new(
        context: WorkerContext,
        clients: Option<ClientLimiter>,
        memories: Vec<OwnedFd>,
        old_workers: Vec<InheritedWorker>,
    ) -> Result<Self, Failure> {
        let context: &'static WorkerContext = Box::leak(Box::new(context));
        let prepare = || {
            signals::block()?;
            Ok((Signals::listen(&signals::FOR_SUPERVISOR)?, Workers::new(context, clients)?))
        };
        let (signals, mut workers) = prepare().map_err(|error: io::Error| {
            Failure::new(format!(
                "Cannot prepare for the workers ({error}): raise the limits on memory and descriptors."
            ))
        })?;
        workers.take_over(memories, old_workers);
        Ok(Supervisor {
            context,
            workers,
            signals: Some(signals),
            metrics: MetricsServer::new(&context.sockets, clock::now_ms()),
            idle: IdleTimer::new(context.options.idle_exit),
            started: SystemTime::now(),
            status: StatusLine::new(clock::now_ms()),
            unreported: OrphanedDrops::new(&context.options),
            last_status: String::new(),
            notify: Notify::default(),
            lifecycle: Lifecycle::new(),
            watchdog: Watchdog::new(notify::watchdog()),
            next_tick_ms: 0,
            awake_since_ms: 0,
            reload: Reload::new(),
            reload_error: None,
            next_hint_ms: 0,
            next_root_reload_ms: match context.site.root_state() {
                RootState::Missing => 0,
                _ => clock::now_ms() + ROOT_RELOAD_INTERVAL_MS,
            },
            kill_old_at_ms: None,
        })
    }

    /// Serves until a signal stops it.
    pub fn run(mut self) {
        listeners::report(&self.context.sockets);
        loop {
            let now_ms = clock::now_ms();
            if !self.lifecycle.is_stopping() {
                self.workers.spawn_missing(now_ms, &mut || {
                    self.signals = None;
                    self.metrics.close_inherited();
                    self.reload.forget();
                    self.unreported.forget();
                });
            }
            self.wait(now_ms);
            while let Some(signal) = self.signals.as_ref().and_then(Signals::next) {
                self.handle_signal(signal);
            }
            self.workers.poll_ready();
            if self.workers.ready() == self.workers.size() && self.lifecycle.all_ready() {
                self.report_ready();
                self.next_tick_ms = 0;
            }
            for end in self.workers.reap(self.lifecycle.is_stopping()) {
                if let Some(verdict) = self.reload.verdict(end) {
                    self.end_check(verdict);
                }
            }
            if !self.lifecycle.is_stopping() {
                self.reload_for_new_root(clock::now_ms());
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
        // No later process reports these.
        self.unreported.report(self.workers.board());
        self.unreported.report(self.workers.board());
        let requests = self.workers.board().requests();
        tracing::info!(requests, "Stopped; requests answered: {requests}.");
        // systemd keeps the last status line of a service that has ended.
        self.notify.resend_queued();
        self.notify.status(&format!("Stopped; requests answered: {requests}, version {}", crate::VERSION));
    }

    /// Serves the clients of the metrics sockets.
    fn serve_metrics(&mut self) {
        let snapshot = Snapshot {
            board: self.workers.board(),
            ready: self.workers.ready(),
            workers: self.workers.size(),
            old_workers: self.workers.old_workers().count(),
            is_stopping: self.lifecycle.is_stopping(),
            started: self.started,
        };
        self.metrics.serve(&snapshot, clock::now_ms());
    }

    /// Returns whether the server has stopped: no worker is left, or a killed one does not vanish.
    fn is_over(&self) -> bool {
        let Some(drain) = self.lifecycle.drain(clock::now_ms()) else { return false };
        let is_gone = self.workers.is_gone();
        if drain == Drain::GiveUp && !is_gone {
            tracing::error!("A worker survives SIGKILL, which an unresponsive disk can cause; leaving it to systemd.");
        }
        is_gone || drain == Drain::GiveUp
    }

    fn wait(&self, now_ms: u64) {
        let due_ms = self.workers.next_due_ms().filter(|_| !self.lifecycle.is_stopping());
        let root_ms = if self.awaits_first_root() { now_ms + FIRST_ROOT_CHECK_MS } else { u64::MAX };
        let until_ms = self.next_tick_ms.min(due_ms.unwrap_or(u64::MAX)).min(root_ms);
        let timeout = PollTimeout::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(PollTimeout::MAX);
        let sources =
            self.workers.lifelines().chain(self.signals.iter().map(AsFd::as_fd)).map(|fd| (fd, PollFlags::POLLIN));
        let sources = sources.chain(self.metrics.poll_sources(now_ms));
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
            _ => {
                tracing::info!(
                    "Stopping ({signal}): completing the requests in flight. A second signal terminates immediately."
                );
                self.stop();
            }
        }
    }

    /// Logs what replaces a signal that other servers use, once a minute at most.
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

    fn stop(&mut self) {
        self.notify.stopping();
        self.lifecycle.stop(drained_by_ms(self.context.stop_timeout()));
        self.next_tick_ms = 0;
        // Workers of earlier versions handle only TERM.
        self.workers.signal(Signal::SIGTERM);
        self.workers.signal(Signal::SIGINT);
    }

    /// Stops after `--idle-exit` without a connection. Later connections are served while the server drains, or stay in the
    /// listen queue and start the server again.
    fn stop_when_idle(&mut self, now_ms: u64) {
        let (workers, server) = (&self.workers, &self.metrics);
        let visits = workers.board().total(Counter::Accepted).wrapping_add(server.accepted());
        let is_whole = self.lifecycle.is_serving() && workers.ready() == workers.size();
        let is_anybody_there = !is_whole || server.is_busy() || workers.board().total(Counter::Connections) > 0;
        if self.idle.is_over(visits, is_anybody_there, now_ms) && !self.lifecycle.is_stopping() {
            let seconds = self.context.options.idle_exit.unwrap_or_default().as_secs();
            tracing::info!(
                seconds,
                "Idle for {seconds} s (--idle-exit): exiting; the socket unit starts the server on the next connection."
            );
            self.stop();
        }
    }

    /// Returns whether there was no document root at the start, and is none yet that the workers can serve.
    fn awaits_first_root(&self) -> bool {
        let board = self.workers.board();
        self.next_root_reload_ms == 0 && board.total(Counter::RootMissing) + board.total(Counter::RootOutside) > 0
    }

    /// Reloads if the path of the document root leads outside the sandbox of the workers: new workers have the new sandbox. A
    /// root that stays outside, or a compromised worker that reports so, causes at most one reload in
    /// [`ROOT_RELOAD_INTERVAL_MS`].
    fn reload_for_new_root(&mut self, now_ms: u64) {
        let is_outside = self.workers.board().total(Counter::RootOutside) > 0;
        if is_outside && self.lifecycle.is_serving() && now_ms >= self.next_root_reload_ms {
            self.next_root_reload_ms = now_ms + ROOT_RELOAD_INTERVAL_MS;
            tracing::info!(
                "Starting new workers: the document root is now a directory outside the sandbox of the present ones."
            );
            self.lifecycle.request_reload();
        }
    }

    /// Performs the next step of a reload, if one is due.
    fn reload(&mut self) {
        if self.lifecycle.is_exec_pending() && !self.metrics.is_busy() {
            self.exec_new_image();
        }
        if self.lifecycle.begin_reload() {
            self.begin_reload();
        }
    }

    /// Starts the check of the configuration. The server continues meanwhile.
    fn begin_reload(&mut self) {
        self.notify.reloading();
        self.reload_error = None;
        self.next_tick_ms = 0;
        if let Err(why) = self.reload.begin(clock::now_ms()) {
            self.fail_reload(why);
        }
    }

    /// Handles the result of the check. The new image is executed once the clients of the metrics sockets have their responses.
    fn end_check(&mut self, verdict: Result<(), String>) {
        match verdict {
            Ok(()) if self.lifecycle.check_passed() => self.metrics.close(),
            Ok(()) => {}
            Err(why) => self.fail_reload(why),
        }
    }

    /// Executes the new image of the program; returns only if that fails.
    fn exec_new_image(&mut self) {
        let program = &self.reload.program;
        let error = self.workers.handover().exec(program);
        let why = format!("Cannot execute {} ({}).", program.display(), error.desc());
        self.metrics.open(clock::now_ms());
        self.fail_reload(why);
    }

    fn fail_reload(&mut self, why: String) {
        if !self.lifecycle.reload_failed() {
            return;
        }
        tracing::error!(
            message_id = catalog::RELOAD_REFUSED,
            why,
            "Reload failed; still running with the previous configuration. {why}"
        );
        self.reload_error = Some(why);
        self.next_tick_ms = 0;
        self.notify.ready();
    }

    fn report_ready(&mut self) {
        let workers = self.workers.size();
        let root = self.context.options.root.display();
        let version = crate::VERSION;
        let old_workers = self.workers.old_workers();
        if old_workers.count() > 0 {
            tracing::info!(workers, version, "Reloaded; workers: {workers}, document root: {root}, version {version}");
            old_workers.signal(Signal::SIGTERM);
            self.kill_old_at_ms = Some(drained_by_ms(self.context.options.drain_timeout));
        } else {
            tracing::info!(workers, version, "Ready; workers: {workers}, document root: {root}, version {version}");
        }
        self.notify.ready();
    }

    fn tick(&mut self, now_ms: u64) {
        if self.next_tick_ms + LATE_MS < now_ms {
            self.awake_since_ms = now_ms;
        }
        self.next_tick_ms = now_ms + self.watchdog.tick_ms();
        if !self.lifecycle.is_stopping() {
            self.workers.end_hung(self.awake_since_ms, now_ms, self.watchdog.hang_timeout_ms());
        }
        self.notify.resend_queued();
        self.send_status(now_ms);
        self.unreported.report(self.workers.board());
        self.count_dropped();
        self.feed_watchdog(now_ms);
        self.reload.end_overdue(now_ms);
        if self.kill_old_at_ms.is_some_and(|at_ms| now_ms >= at_ms) {
            self.workers.old_workers().signal(Signal::SIGKILL);
        }
        self.stop_when_idle(now_ms);
        match self.lifecycle.drain(now_ms) {
            Some(Drain::Waiting) => self.notify.extend_timeout(Duration::from_millis(4 * TICK_MS)),
            Some(Drain::Kill | Drain::GiveUp) => self.workers.signal(Signal::SIGKILL),
            None => {}
        }
    }

    /// Counts messages that their receivers did not accept.
    fn count_dropped(&mut self) {
        let counters = self.workers.board().supervisor();
        counters.add(Counter::MessagesDropped, log::take_dropped());
        counters.add(Counter::NotificationsDropped, self.notify.take_dropped());
    }

    /// Sends the status line to systemd, if it has changed.
    fn send_status(&mut self, now_ms: u64) {
        let state = self.lifecycle.name(self.workers.old_workers().count() > 0);
        let workers = (self.workers.ready(), self.workers.size());
        let mut line = self.status.line(state, self.workers.board(), workers, now_ms);
        match self.workers.old_workers().count() {
            0 => {}
            count => line += &format!(", old workers {count}"),
        }
        line += &format!(", version {}", crate::VERSION);
        if let Some(why) = &self.reload_error {
            line += &format!("; reload failed: {why}");
        }
        if line != self.last_status {
            // If it was not accepted, the next tick sends the line of that time.
            if self.notify.status(&line) {
                self.last_status = line;
            }
        }
    }

    /// Pings the watchdog of systemd, unless a worker is missing that cannot be started.
    fn feed_watchdog(&mut self, now_ms: u64) {
        let Some(timeout_ms) = self.watchdog.missing_worker_timeout_ms() else { return };
        if self.watchdog.check(self.workers.first_unfillable(now_ms, timeout_ms)) {
            self.notify.watchdog_ping();
        }
    }
}

/// Returns the deadline of workers that are now requested to end within `timeout`.
fn drained_by_ms(timeout: Duration) -> u64 {
    clock::now_ms() + timeout.as_millis() as u64 + DRAIN_GRACE_MS
}
