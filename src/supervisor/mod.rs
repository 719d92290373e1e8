//! The supervisor: keeps the workers alive, tells systemd the truth, and stops everything in order.
//!
//! One thread and one loop. It waits for a signal, for news from a worker, or for its next tick, whichever comes first.

mod status;
mod systemd;
mod team;

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::clock;
use crate::failure::Failure;
use crate::scoreboard::Counter;
use crate::signals::Signals;
use crate::worker::Plan;

use status::Status;
use team::Team;

/// How often the supervisor looks at the counters, in milliseconds.
const TICK_MS: u64 = 1_000;

/// How much longer than the workers' own drain timeout the supervisor waits before it kills them, in milliseconds.
const DRAIN_GRACE_MS: u64 = 2_000;

/// How long a killed worker may take to vanish before it is left to systemd, in milliseconds: a disk that hangs can hold a
/// process beyond any signal.
const KILL_GRACE_MS: u64 = 3_000;

/// The process that systemd knows.
#[derive(Debug)]
pub struct Supervisor {
    plan: &'static Plan,
    team: Team,
    signals: Signals,
    status: Status,
    last_line: String,
    watchdog: Option<Duration>,
    is_ready: bool,
    hung: Option<usize>,
    next_tick_ms: u64,
    kill_at_ms: Option<u64>,
}

impl Supervisor {
    /// A supervisor that has not yet started a worker. Signals are blocked from here on.
    pub fn new(plan: Plan) -> Result<Self, Failure> {
        let plan: &'static Plan = Box::leak(Box::new(plan));
        let prepare = || {
            crate::signals::block()?;
            let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD];
            Ok((Signals::listen(&signals)?, Team::new(plan)?))
        };
        let (signals, team) = prepare().map_err(|error: io::Error| {
            Failure::new(format!(
                "Cannot prepare for the workers ({error}): raise the limits on memory and descriptors."
            ))
        })?;
        Ok(Supervisor {
            plan,
            team,
            signals,
            status: Status::new(clock::now_ms()),
            last_line: String::new(),
            watchdog: systemd::watchdog(),
            is_ready: false,
            hung: None,
            next_tick_ms: 0,
            kill_at_ms: None,
        })
    }

    /// Serves until a signal ends it.
    pub fn run(mut self) {
        for socket in &self.plan.sockets {
            let (address, name) = (&socket.address, socket.name.as_deref());
            match name {
                Some(name) => tracing::info!(socket = name, address, "Listening on {address} (socket \"{name}\")."),
                None => tracing::info!(address, "Listening on {address}"),
            }
        }
        loop {
            let now_ms = clock::now_ms();
            if self.kill_at_ms.is_none() {
                self.team.spawn_missing(now_ms);
            }
            self.wait(now_ms);
            while let Some(signal) = self.signals.next() {
                self.hear(signal);
            }
            self.team.hear();
            if !self.is_ready && self.team.ready() == self.team.size() {
                self.is_ready = true;
                self.report_ready();
                self.next_tick_ms = 0;
            }
            self.team.reap(self.is_stopping());
            if self.is_over() {
                break;
            }
            if clock::now_ms() >= self.next_tick_ms {
                self.tick(clock::now_ms());
            }
        }
        let requests = self.team.board().total(Counter::Requests);
        tracing::info!(requests, "Stopped; requests answered: {requests}.");
    }

    fn is_stopping(&self) -> bool {
        self.kill_at_ms.is_some()
    }

    /// Whether nothing is left to wait for.
    fn is_over(&self) -> bool {
        let Some(kill_at_ms) = self.kill_at_ms else { return false };
        let is_hopeless = clock::now_ms() >= kill_at_ms + KILL_GRACE_MS;
        if is_hopeless && !self.team.is_gone() {
            tracing::error!("A worker survives SIGKILL, which a disk that hangs can cause; leaving it to systemd.");
        }
        is_hopeless || self.team.is_gone()
    }

    fn wait(&self, now_ms: u64) {
        let due_ms = self.team.next_due_ms().filter(|_| !self.is_stopping());
        let until_ms = self.next_tick_ms.min(due_ms.unwrap_or(u64::MAX));
        let timeout = PollTimeout::try_from(until_ms.saturating_sub(now_ms)).unwrap_or(PollTimeout::MAX);
        let sources = self.team.lifelines().chain([self.signals.as_fd()]);
        let mut events: Vec<_> = sources.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut events, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => tracing::error!("Cannot wait for events ({errno})."),
        }
    }

    fn hear(&mut self, signal: Signal) {
        match signal {
            Signal::SIGCHLD => {}
            _ if self.is_stopping() => {
                tracing::warn!("Told a second time to stop ({signal}): ending at once.");
                self.kill_at_ms = Some(clock::now_ms());
                self.next_tick_ms = 0;
            }
            _ => {
                tracing::info!("Stopping ({signal}): answering what is in flight. A second signal ends it at once.");
                systemd::stopping();
                let drain_ms = self.plan.options.drain_timeout.as_millis() as u64;
                self.kill_at_ms = Some(clock::now_ms() + drain_ms + DRAIN_GRACE_MS);
                self.next_tick_ms = 0;
                self.team.signal(Signal::SIGTERM);
            }
        }
    }

    fn report_ready(&self) {
        let workers = self.team.size();
        let root = self.plan.options.root.display();
        tracing::info!(workers, "Ready; workers: {workers}, document root: {root}");
        systemd::ready();
    }

    fn tick(&mut self, now_ms: u64) {
        self.next_tick_ms = now_ms + self.tick_ms();
        let state = match (self.is_stopping(), self.is_ready) {
            (true, _) => "Draining",
            (false, true) => "Serving",
            (false, false) => "Starting",
        };
        let workers = (self.team.ready().saturating_sub(usize::from(self.hung.is_some())), self.team.size());
        let line = self.status.line(state, self.team.board(), workers, now_ms);
        if line != self.last_line {
            systemd::status(&line);
            self.last_line = line;
        }
        self.feed_watchdog(now_ms);
        match self.kill_at_ms {
            Some(kill_at_ms) if now_ms >= kill_at_ms => self.team.signal(Signal::SIGKILL),
            Some(_) => systemd::extend_timeout(Duration::from_millis(4 * TICK_MS)),
            None => {}
        }
    }

    /// Often enough for the watchdog, which systemd.service(5) wants fed at half its time.
    fn tick_ms(&self) -> u64 {
        self.watchdog.map_or(TICK_MS, |watchdog| (watchdog.as_millis() as u64 / 4).clamp(10, TICK_MS))
    }

    /// Says that the server lives only while every worker does.
    fn feed_watchdog(&mut self, now_ms: u64) {
        let Some(watchdog) = self.watchdog else { return };
        let limit_ms = (watchdog.as_millis() as u64 / 2).max(2 * TICK_MS);
        match self.team.hung(now_ms, limit_ms) {
            None => {
                if let Some(number) = self.hung.take() {
                    tracing::info!(worker = number, "Worker {number} has recovered.");
                }
                systemd::alive();
            }
            Some((number, pid)) if self.hung != Some(number) => {
                self.hung = Some(number);
                let which = pid.map_or("not to be started".to_string(), |pid| format!("pid {pid}"));
                tracing::error!(
                    worker = number,
                    worker_pid = pid.map(Pid::as_raw),
                    "Worker {number} ({which}) hangs: no sign of life for {limit_ms} ms. Unless it recovers, systemd's watchdog restarts the server."
                );
            }
            Some(_) => {}
        }
    }
}
