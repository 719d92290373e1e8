//! The main loop. It runs in the main thread of a worker, which never serves a request. So it can always handle signals
//! and deadlines, start threads, and check that the worker makes progress.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::backlog::Backlog;
use super::drain::Drain;
use super::logins;
use super::probe::Probe;
use super::root_check::RootCheck;
use super::stall::{StallDetector, Verdict};
use super::takeover::TakeoverWatch;
use super::{Worker, WorkerContext, accept, park, thread};
use crate::access_log::Writer;
use crate::connection;
use crate::connection::preface::Rejection;
use crate::connection::{Connection, Phase};
use crate::ipc::lifeline::WorkerEnd;
use crate::ipc::scoreboard::Counter;
use crate::os::signals::{self, Signals};
use crate::service::pool;
use crate::site::RootState;
use crate::{log, log::catalog, os::clock, os::sys};

/// The interval of probes and of checking deadlines, in milliseconds.
const TICK_MS: u16 = 500;

/// The same interval while the document root is not served. The probe checks the path of the root, so it detects a new
/// root soon.
const ABSENT_ROOT_TICK_MS: u16 = 100;

/// The interval of returning free memory to the system, in milliseconds. Otherwise memory that many clients needed
/// would stay allocated. A call costs some 100 microseconds if little is free.
const TRIM_MS: u64 = 10_000;

/// The interval of checking whether the last connection has ended, in milliseconds.
const DRAIN_MS: u16 = 20;

/// The pause after a thread could not be started, in milliseconds.
const START_PAUSE_MS: u64 = 1_000;

/// Runs the worker until it is requested to stop and has drained.
pub fn run(worker: &'static Worker, context: &WorkerContext, lifeline: &WorkerEnd) -> io::Result<()> {
    sys::keep_little_free_memory();
    let signals = Signals::listen(&signals::FOR_WORKER)?;
    let mut writer = worker.service.access_log.map(Writer::start).transpose()?;
    if !(0..pool::CORE_THREADS).all(|_| thread::start(worker)) {
        return Err(io::Error::other("it cannot start a thread"));
    }
    logins::start(worker)?;
    worker.gate.resume(&worker.epoll)?;
    worker.service.counters.set(Counter::Heartbeat, clock::now_ms());
    let mut probe = Probe::begin(worker);
    let root_check = RootCheck::start(worker, &context.options)?;
    report_root(worker);
    lifeline.notify_ready();

    let mut watch = StallDetector::default();
    let mut takeover = TakeoverWatch::default();
    let mut backlog = Backlog::default();
    let mut next_tick_ms = clock::now_ms();
    let mut next_trim_ms = next_tick_ms + TRIM_MS;
    let mut next_start_ms = 0;
    let mut drain: Option<Drain> = None;
    loop {
        let supervisor = if drain.is_none() { Some(lifeline) } else { None };
        let interval_ms = takeover.interval_ms().or(watch.interval_ms());
        let wakeup = wait(worker, supervisor, &signals, interval_ms, &mut backlog)?;
        let now_ms = clock::now_ms();

        if let Some(end) = wakeup.end {
            if lifeline.is_outdated() {
                worker.service.refuse_requests();
            }
            let (timeout, option) = match end {
                End::Reload => (context.options.drain_timeout, "--drain-timeout"),
                End::Stop => (context.stop_timeout(), "--stop-timeout"),
            };
            drain.get_or_insert_with(|| Drain::begin(worker)).limit(now_ms, timeout, option);
        }
        if let Some(drain) = &mut drain
            && drain.is_over(worker, now_ms)
        {
            writer.take().into_iter().for_each(Writer::finish);
            return Ok(());
        }
        if wakeup.pool_exhausted {
            watch.begin(&worker.service.pool);
        }
        if watch.interval_ms().is_some()
            && let Verdict::Grow(count) = watch.check(&worker.service.pool)
            && now_ms >= next_start_ms
            && !(0..count).all(|_| thread::start(worker))
        {
            next_start_ms = now_ms + START_PAUSE_MS;
        }
        if wakeup.has_loans {
            takeover.begin(&worker.loans);
        } else if takeover.interval_ms().is_some() {
            takeover.check(worker);
        }
        backlog.check(worker, now_ms);
        if now_ms >= next_tick_ms {
            next_tick_ms = now_ms + u64::from(tick_ms(worker));
            // Draining has a deadline of its own, so it needs no probe.
            if drain.is_some() || probe.is_alive(worker) {
                worker.service.counters.set(Counter::Heartbeat, now_ms);
            }
            worker.service.counters.add(Counter::MessagesDropped, log::take_dropped());
            report_saturation(worker);
            report_root(worker);
            root_check.ask_if_due(worker, now_ms);
            worker
                .parked
                .sweep(|connection| is_due(worker, connection, now_ms), |connection| expire(worker, connection));
            if worker.gate.is_paused() && !worker.is_full() {
                accept::resume_accepting(worker);
            }
            accept::retry_listeners(worker);
            let waiting = worker.service.listings.expire(now_ms);
            waiting.into_iter().for_each(|descriptor| park::wake(worker, descriptor));
        }
        if now_ms >= next_trim_ms {
            next_trim_ms = now_ms + TRIM_MS;
            sys::trim_memory();
        }
    }
}

/// Publishes the state of the document root, or of the directory of sites, for the supervisor.
fn report_root(worker: &Worker) {
    let root = worker.service.sites.root_state();
    worker.service.counters.set(Counter::RootMissing, u64::from(root == RootState::Missing));
    worker.service.counters.set(Counter::RootOutside, u64::from(root == RootState::Outside));
    let (sites, has_default) = worker.service.sites.count();
    worker.service.counters.set(Counter::Sites, sites as u64);
    worker.service.counters.set(Counter::DefaultSite, u64::from(has_default));
}

fn tick_ms(worker: &Worker) -> u16 {
    if worker.service.sites.root_state() == RootState::Served { TICK_MS } else { ABSENT_ROOT_TICK_MS }
}

/// Logs that all threads are busy. The worker is slow, not hung; more threads may help.
fn report_saturation(worker: &Worker) {
    let is_saturated = worker.service.pool.is_saturated();
    worker.service.counters.set(Counter::Saturated, u64::from(is_saturated));
    if is_saturated && worker.service.warnings.threads_busy.is_due() {
        let threads = worker.service.pool.threads();
        tracing::warn!(
            message_id = catalog::THREADS_BUSY,
            threads,
            "All of the worker's {threads} request threads are busy; further requests wait. If its disk is slow, raise --max-threads."
        );
    }
}

/// The reason why a worker stops.
#[derive(Debug, Clone, Copy)]
enum End {
    /// A new worker replaces it.
    Reload,
    /// The server stops.
    Stop,
}

/// The reasons why the main loop woke up.
struct Wakeup {
    /// A signal, or a message or the death of the supervisor: the worker stops.
    end: Option<End>,
    /// No request thread is idle.
    pool_exhausted: bool,
    /// A thread has lent its connection.
    has_loans: bool,
}

/// Waits for a signal, an event or the next timeout. While the worker drains, `supervisor` is none: nothing that it does changes
/// that.
fn wait(
    worker: &Worker,
    supervisor: Option<&WorkerEnd>,
    signals: &Signals,
    watch: Option<u16>,
    backlog: &mut Backlog,
) -> io::Result<Wakeup> {
    let timeout = watch.unwrap_or(if supervisor.is_some() { tick_ms(worker) } else { DRAIN_MS });
    let check_ms = backlog.next_check_ms(clock::now_ms()).unwrap_or(u64::MAX);
    let timeout = check_ms.min(timeout.into()) as u16;
    let mut events = vec![
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        PollFd::new(worker.service.pool.no_idle_thread().as_fd(), PollFlags::POLLIN),
        PollFd::new(worker.loans.as_fd(), PollFlags::POLLIN),
    ];
    events.extend(supervisor.map(|lifeline| PollFd::new(lifeline.as_fd(), PollFlags::POLLIN)));
    let own = events.len();
    events.extend(backlog.poll_fds(worker));
    match poll(&mut events, PollTimeout::from(timeout)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let is_ready = |index| events.get(index).and_then(PollFd::any).unwrap_or(false);
    let is_dismissed = supervisor.is_some() && is_ready(3);
    if (own..events.len()).any(is_ready) {
        backlog.on_pending(worker, clock::now_ms());
    }
    let signal = if is_ready(0) { signals.next() } else { None };
    let end = match signal {
        Some(Signal::SIGINT) => Some(End::Stop),
        Some(_) => Some(End::Reload),
        None => is_dismissed.then_some(End::Reload),
    };
    Ok(Wakeup { end, pool_exhausted: is_ready(1), has_loans: is_ready(2) })
}

/// Returns whether a connection has timed out or is to be retried.
fn is_due(worker: &Worker, connection: &mut Connection, now_ms: u64) -> bool {
    if connection.phase == Phase::Sending && connection.deadline_ms <= now_ms {
        connection.check_min_rate(worker.service.timeouts.min_bytes_per_window(), worker.service.timeouts.send(now_ms));
    }
    let is_http2_due = connection.is_http2_due(worker.service.is_draining(), now_ms);
    connection.waits_for_turn || connection.deadline_ms <= now_ms || is_http2_due
}

/// Ends a connection that has timed out, or retries it.
fn expire(worker: &Worker, mut connection: Box<Connection>) {
    let waited_for_turn = std::mem::take(&mut connection.waits_for_turn);
    match connection.phase {
        // The file may be readable now, or the handshake possible.
        _ if waited_for_turn && connection.deadline_ms > clock::now_ms() => park::rearm(worker, connection),
        _ if connection.is_http2_due(worker.service.is_draining(), clock::now_ms()) => park::rearm(worker, connection),
        // Input that arrived in time and is unread is not the client's fault.
        Phase::Preface | Phase::Handshake | Phase::Idle | Phase::Head if connection.has_unread() => {
            park::rearm(worker, connection)
        }
        Phase::Idle | Phase::Head if connection.is_http2() => {
            connection.records.set_cause(match connection.phase {
                Phase::Idle => "no request arrived before the idle timeout",
                _ => "a request did not arrive completely before the head timeout",
            });
            connection.send_go_away();
            park::park_lingering(worker, connection, worker.service.timeouts.linger(clock::now_ms()));
        }
        Phase::Head => {
            connection::reject_slow_head(&worker.service, &mut connection);
            park::park_lingering(worker, connection, worker.service.timeouts.linger(clock::now_ms()));
        }
        // The request is rejected in its next turn.
        Phase::Waiting => park::rearm(worker, connection),
        Phase::Sending => {
            connection.report_aborted("the client receives too slowly");
            park::close_on_pool(worker, connection);
        }
        Phase::Preface => connection.report_rejected_preface(Rejection::Timeout),
        Phase::Handshake => {
            worker.service.handshakes.forget(connection.as_raw_fd());
            connection.report_slow_handshake();
        }
        Phase::Idle => connection.records.set_cause("no request arrived before the idle timeout"),
        Phase::Lingering => {}
    }
}
