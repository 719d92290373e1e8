//! The supervisor: keeps the workers alive, tells systemd the truth, reloads, and stops everything in order.
//!
//! One thread and one loop. It waits for a signal, for news from a worker, or for its next tick, whichever comes first.
//!
//! It waits for nobody else, whatever they do. The calls that could:
//! - sendto(2) to systemd: never waits, is tried again ([`notify`]);
//! - sendmsg(2) to the journal: has a timeout ([`log`](crate::log)), after which the event goes to stderr;
//! - write(2) to stderr: only as much as there is room for ([`log`](crate::log)), the rest is dropped and counted;
//! - accept(2), recv(2) and send(2) of callers for metrics: never wait ([`metrics_server`]);
//! - waitpid(2): WNOHANG;
//! - read(2) of what a check wrote: after poll(2), and the check has ended ([`reload`]);
//! - fork(2) and execve(2): as long as the kernel takes. The document root's path is looked at by workers alone.

mod exposition;
mod idle;
mod metrics_server;
mod notify;
mod old_workers;
mod reload;
mod status;
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
use metrics_server::MetricsServer;
use notify::Notify;
use reload::Reload;
pub use reload::program;
use status::StatusLine;
use workers::Workers;

/// How often the supervisor looks at the counters, in milliseconds.
const TICK_MS: u64 = 1_000;

/// A tick that comes so much later than it was due means that this process stood still, in milliseconds.
const LATE_MS: u64 = 500;

/// How long a worker may go without a proof that it serves where no watchdog of systemd sets a time, in milliseconds.
const HANG_TIMEOUT_MS: u64 = 8_000;

/// The shortest that it may be: three times a worker proves it in that time.
const MIN_HANG_TIMEOUT_MS: u64 = 1_500;

/// How much longer than the workers' own timeout the supervisor waits before it kills them, in milliseconds.
const DRAIN_GRACE_MS: u64 = 2_000;

/// How long a killed worker may take to vanish before it is left to systemd, in milliseconds: a disk that hangs can hold a
/// process beyond any signal.
const KILL_GRACE_MS: u64 = 3_000;

/// How long it is not said again that a signal has no effect, in milliseconds.
const HINT_INTERVAL_MS: u64 = 60_000;

/// The shortest time between two reloads for the document root's sake, in milliseconds.
const ROOT_RELOAD_INTERVAL_MS: u64 = 5_000;

/// The interval of checking for a document root that did not exist at the start, in milliseconds.
const FIRST_ROOT_CHECK_MS: u64 = 100;

/// The process that systemd knows.
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
    watchdog: Option<Duration>,
    is_ready: bool,
    unfillable: Option<usize>,
    next_tick_ms: u64,
    /// What came before does not count against a worker: this process may have stood still as well.
    awake_since_ms: u64,
    kill_at_ms: Option<u64>,
    reload: Reload,
    /// Whether it is told to reload and has not yet begun to.
    reload_requested: bool,
    /// Whether the settings are found right, and it has only to answer those who have come to the desk.
    exec_pending: bool,
    /// Why the last reload was refused.
    reload_error: Option<String>,
    /// From when on it may be said again that a signal has no effect.
    next_hint_ms: u64,
    /// When the next reload for the document root's sake may be.
    next_root_reload_ms: u64,
    /// When the workers of images before are ended.
    kill_old_at_ms: Option<u64>,
}

impl Supervisor {
    /// A supervisor that has not yet started a worker, but may have some of images before, with the memories that they count
    /// in. Signals are blocked from here on.
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
            watchdog: notify::watchdog(),
            is_ready: false,
            unfillable: None,
            next_tick_ms: 0,
            awake_since_ms: 0,
            kill_at_ms: None,
            reload: Reload::new(),
            reload_requested: false,
            exec_pending: false,
            reload_error: None,
            next_hint_ms: 0,
            next_root_reload_ms: match context.site.root_state() {
                RootState::Missing => 0,
                _ => clock::now_ms() + ROOT_RELOAD_INTERVAL_MS,
            },
            kill_old_at_ms: None,
        })
    }

    /// Serves until a signal ends it.
    pub fn run(mut self) {
        listeners::report(&self.context.sockets);
        loop {
            let now_ms = clock::now_ms();
            if self.kill_at_ms.is_none() {
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
            if !self.is_ready && self.workers.ready() == self.workers.size() {
                self.is_ready = true;
                self.report_ready();
                self.next_tick_ms = 0;
            }
            for end in self.workers.reap(self.is_stopping()) {
                if let Some(verdict) = self.reload.verdict(end) {
                    self.end_check(verdict);
                }
            }
            if !self.is_stopping() {
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
        // Nobody else is left to tell it.
        self.unreported.report(self.workers.board());
        self.unreported.report(self.workers.board());
        let requests = self.workers.board().requests();
        tracing::info!(requests, "Stopped; requests answered: {requests}.");
    }

    /// Answers those who ask how the server is.
    fn serve_metrics(&mut self) {
        let snapshot = Snapshot {
            board: self.workers.board(),
            ready: self.workers.ready(),
            workers: self.workers.size(),
            old_workers: self.workers.old_workers().count(),
            is_stopping: self.is_stopping(),
            started: self.started,
        };
        self.metrics.serve(&snapshot, clock::now_ms());
    }

    fn is_stopping(&self) -> bool {
        self.kill_at_ms.is_some()
    }

    /// Whether nothing is left to wait for.
    fn is_over(&self) -> bool {
        let Some(kill_at_ms) = self.kill_at_ms else { return false };
        let is_hopeless = clock::now_ms() >= kill_at_ms + KILL_GRACE_MS;
        if is_hopeless && !self.workers.is_gone() {
            tracing::error!("A worker survives SIGKILL, which an unresponsive disk can cause; leaving it to systemd.");
        }
        is_hopeless || self.workers.is_gone()
    }

    fn wait(&self, now_ms: u64) {
        let due_ms = self.workers.next_due_ms().filter(|_| !self.is_stopping());
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
            Signal::SIGHUP => self.reload_requested = true,
            Signal::SIGUSR1 | Signal::SIGUSR2 | Signal::SIGTTIN | Signal::SIGTTOU => self.report_ignored(signal),
            _ if self.is_stopping() => {
                tracing::warn!("Second stop signal ({signal}): terminating immediately.");
                self.kill_at_ms = Some(clock::now_ms());
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

    /// Says what to use instead of a signal that other servers know, once a minute at most.
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
        self.kill_at_ms = Some(drained_by_ms(self.context.stop_timeout()));
        self.next_tick_ms = 0;
        // Workers of a version before this know TERM alone.
        self.workers.signal(Signal::SIGTERM);
        self.workers.signal(Signal::SIGINT);
    }

    /// Leaves when nobody has come for `--idle-exit`. Whoever comes from now on is served while it drains, or waits in the
    /// socket, and so starts the server again.
    fn stop_when_idle(&mut self, now_ms: u64) {
        let (workers, server) = (&self.workers, &self.metrics);
        let visits = workers.board().total(Counter::Accepted).wrapping_add(server.accepted());
        let is_whole = self.is_ready && workers.ready() == workers.size();
        let is_anybody_there = !is_whole || server.is_busy() || workers.board().total(Counter::Connections) > 0;
        if self.idle.is_over(visits, is_anybody_there, now_ms) && !self.is_stopping() {
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

    /// Reloads if the document root's path leads to a place that the workers may not read: new ones are confined to that. A
    /// root that stays out of their reach, or a worker that says so for no reason, causes no more than one reload in
    /// [`ROOT_RELOAD_INTERVAL_MS`].
    fn reload_for_new_root(&mut self, now_ms: u64) {
        let is_outside = self.workers.board().total(Counter::RootOutside) > 0;
        if is_outside && self.is_ready && !self.is_stopping() && now_ms >= self.next_root_reload_ms {
            self.next_root_reload_ms = now_ms + ROOT_RELOAD_INTERVAL_MS;
            tracing::info!(
                "Starting new workers: the document root is now a directory outside the sandbox of the present ones."
            );
            self.reload_requested = true;
        }
    }

    /// Takes the next step of a reload, if it is time for one.
    fn reload(&mut self) {
        if self.exec_pending && !self.metrics.is_busy() {
            self.exec_pending = false;
            self.exec_new_image();
        }
        if self.reload_requested && self.is_ready && !self.is_reloading() {
            self.reload_requested = false;
            self.begin_reload();
        }
    }

    fn is_reloading(&self) -> bool {
        self.reload.is_under_way() || self.exec_pending
    }

    /// Has the settings checked. Meanwhile, everything goes on.
    fn begin_reload(&mut self) {
        self.notify.reloading();
        self.reload_error = None;
        self.next_tick_ms = 0;
        if let Err(why) = self.reload.begin(clock::now_ms()) {
            self.fail_reload(why);
        }
    }

    /// Goes on when the settings have been checked: if they are right, once those who ask at the desk are answered.
    fn end_check(&mut self, verdict: Result<(), String>) {
        match verdict {
            _ if self.is_stopping() => {}
            Ok(()) => {
                self.metrics.close();
                self.exec_pending = true;
            }
            Err(why) => self.fail_reload(why),
        }
    }

    /// Becomes a new image of the program; returns only if that fails.
    fn exec_new_image(&mut self) {
        let program = &self.reload.program;
        let error = self.workers.handover().exec(program);
        let why = format!("Cannot execute {} ({}).", program.display(), error.desc());
        self.metrics.open(clock::now_ms());
        self.fail_reload(why);
    }

    fn fail_reload(&mut self, why: String) {
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
        self.next_tick_ms = now_ms + self.tick_ms();
        if !self.is_stopping() {
            self.workers.end_hung(self.awake_since_ms, now_ms, self.hang_timeout_ms());
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
        match self.kill_at_ms {
            Some(kill_at_ms) if now_ms >= kill_at_ms => self.workers.signal(Signal::SIGKILL),
            Some(_) => self.notify.extend_timeout(Duration::from_millis(4 * TICK_MS)),
            None => {}
        }
    }

    /// Counts messages that nobody took.
    fn count_dropped(&mut self) {
        let counters = self.workers.board().supervisor();
        counters.add(Counter::MessagesDropped, log::take_dropped());
        counters.add(Counter::NotificationsDropped, self.notify.take_dropped());
    }

    /// Tells systemd the status line, if it has changed.
    fn send_status(&mut self, now_ms: u64) {
        let state = match (self.is_stopping(), self.is_ready) {
            (true, _) => "Draining",
            (false, _) if self.is_reloading() => "Reloading",
            (false, true) => "Serving",
            (false, false) if self.workers.old_workers().count() > 0 => "Reloading",
            (false, false) => "Starting",
        };
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
            // One that is not taken is told on the next tick, as it is then.
            if self.notify.status(&line) {
                self.last_status = line;
            }
        }
    }

    /// Often enough for the watchdog, which systemd.service(5) wants fed at half its time.
    fn tick_ms(&self) -> u64 {
        self.watchdog.map_or(TICK_MS, |watchdog| (watchdog.as_millis() as u64 / 4).clamp(10, TICK_MS))
    }

    /// How long a worker may go without a proof that it serves: it is found out within half of the watchdog's time.
    fn hang_timeout_ms(&self) -> u64 {
        let half = self.watchdog.map(|watchdog| watchdog.as_millis() as u64 / 2);
        half.map_or(HANG_TIMEOUT_MS, |half| half.saturating_sub(TICK_MS + LATE_MS).max(MIN_HANG_TIMEOUT_MS))
    }

    /// Says that the server lives, unless a worker is missing that cannot be started.
    fn feed_watchdog(&mut self, now_ms: u64) {
        let Some(watchdog) = self.watchdog else { return };
        let unfillable = self.workers.first_unfillable(now_ms, (watchdog.as_millis() as u64 / 2).max(2 * TICK_MS));
        if unfillable.is_none() {
            self.notify.watchdog_ping();
        }
        if unfillable == self.unfillable {
            return;
        }
        match unfillable {
            None => tracing::info!("All workers have been started again."),
            Some(number) => tracing::error!(
                worker = number,
                "Worker {number} still cannot be started: systemd's watchdog will restart the server unless a retry succeeds soon."
            ),
        }
        self.unfillable = unfillable;
    }
}

/// When workers that are told now to end within `timeout` are to have ended.
fn drained_by_ms(timeout: Duration) -> u64 {
    clock::now_ms() + timeout.as_millis() as u64 + DRAIN_GRACE_MS
}
