//! The keeper: a worker's main thread. It never serves a request, so it always hears signals, keeps deadlines, starts
//! threads, and has the worker prove that it lives.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::backlog::Backlog;
use super::drain::Drain;
use super::probe::Probe;
use super::stall::{StallDetector, Verdict};
use super::{Worker, WorkerContext, accept, park, thread};
use crate::access_log::Writer;
use crate::connection;
use crate::connection::{Connection, Phase};
use crate::ipc::lifeline::WorkerEnd;
use crate::ipc::scoreboard::Counter;
use crate::os::signals::{self, Signals};
use crate::service::pool;
use crate::site::RootState;
use crate::{log, log::catalog, os::clock, os::sys};

/// How often the keeper probes the worker and looks for deadlines that have passed, in milliseconds.
const TICK_MS: u16 = 500;

/// How often it gives back what memory is free, in milliseconds: what a crowd of clients took does not stay when they have
/// left or have read what was kept for them. It costs some 100 microseconds where there is little to give.
const TRIM_MS: u64 = 10_000;

/// How often it looks whether the last connection has ended, in milliseconds.
const DRAIN_MS: u16 = 20;

/// How long it waits after a thread could not be started, in milliseconds.
const START_PAUSE_MS: u64 = 1_000;

/// Runs the worker until it is told to end and has answered what was in flight.
pub fn run(worker: &'static Worker, context: &WorkerContext, lifeline: &WorkerEnd) -> io::Result<()> {
    let signals = Signals::listen(&signals::FOR_WORKER)?;
    let mut writer = worker.service.access_log.map(Writer::start).transpose()?;
    if !(0..pool::CORE_THREADS).all(|_| thread::start(worker)) {
        return Err(io::Error::other("it cannot start a thread"));
    }
    worker.gate.resume(&worker.epoll)?;
    worker.service.counters.set(Counter::Heartbeat, clock::now_ms());
    let mut probe = Probe::begin(worker);
    lifeline.notify_ready();

    let mut watch = StallDetector::default();
    let mut backlog = Backlog::default();
    let mut next_tick_ms = clock::now_ms();
    let mut next_trim_ms = next_tick_ms + TRIM_MS;
    let mut next_start_ms = 0;
    let mut drain: Option<Drain> = None;
    loop {
        let supervisor = if drain.is_none() { Some(lifeline) } else { None };
        let wakeup = wait(worker, supervisor, &signals, watch.interval_ms(), &mut backlog)?;
        let now_ms = clock::now_ms();

        if let Some(end) = wakeup.end {
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
        backlog.check(worker, now_ms);
        if now_ms >= next_tick_ms {
            next_tick_ms = now_ms + u64::from(TICK_MS);
            // Draining has a deadline of its own.
            if drain.is_some() || probe.is_alive(worker) {
                worker.service.counters.set(Counter::Heartbeat, now_ms);
            }
            worker.service.counters.add(Counter::MessagesDropped, log::take_dropped());
            report_saturation(worker);
            let root = worker.service.site.root_state();
            worker.service.counters.set(Counter::RootMissing, u64::from(root == RootState::Missing));
            worker.service.counters.set(Counter::RootOutside, u64::from(root == RootState::Outside));
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

/// A worker of which every thread is busy is slow, and no reason to worry; but its admin may want more threads.
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

/// Why a worker is to end.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Another serves in its place.
    Reload,
    /// The server stops.
    Stop,
}

/// Why the keeper woke.
struct Wakeup {
    /// By a signal, or by losing its supervisor: this worker is to end.
    end: Option<End>,
    /// No request thread waits.
    pool_exhausted: bool,
}

/// Waits for something to do. There is no `supervisor` to lose once the worker drains.
fn wait(
    worker: &Worker,
    supervisor: Option<&WorkerEnd>,
    signals: &Signals,
    watch: Option<u16>,
    backlog: &mut Backlog,
) -> io::Result<Wakeup> {
    let timeout = watch.unwrap_or(if supervisor.is_some() { TICK_MS } else { DRAIN_MS });
    let look_ms = backlog.next_check_ms(clock::now_ms()).unwrap_or(u64::MAX);
    let timeout = look_ms.min(timeout.into()) as u16;
    let mut events = vec![
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        PollFd::new(worker.service.pool.no_idle_thread().as_fd(), PollFlags::POLLIN),
    ];
    events.extend(supervisor.map(|lifeline| PollFd::new(lifeline.as_fd(), PollFlags::POLLIN)));
    let own = events.len();
    events.extend(backlog.poll_fds(worker));
    match poll(&mut events, PollTimeout::from(timeout)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let has_come = |index| events.get(index).and_then(PollFd::any).unwrap_or(false);
    let is_orphan = supervisor.is_some() && has_come(2);
    if (own..events.len()).any(has_come) {
        backlog.on_pending(worker, clock::now_ms());
    }
    let signal = if has_come(0) { signals.next() } else { None };
    let end = match signal {
        Some(Signal::SIGINT) => Some(End::Stop),
        Some(_) => Some(End::Reload),
        None => is_orphan.then_some(End::Reload),
    };
    Ok(Wakeup { end, pool_exhausted: has_come(1) })
}

/// Whether the client has used up this server's patience.
fn is_due(worker: &Worker, connection: &mut Connection, now_ms: u64) -> bool {
    if connection.phase == Phase::Sending && connection.deadline_ms <= now_ms {
        connection.check_min_rate(worker.service.timeouts.min_bytes_per_window(), worker.service.timeouts.send(now_ms));
    }
    connection.waits_for_disk || connection.deadline_ms <= now_ms
}

/// Ends a connection whose client took too long.
fn expire(worker: &Worker, mut connection: Box<Connection>) {
    let was_held = std::mem::take(&mut connection.waits_for_disk);
    match connection.phase {
        // Its file may be tried again.
        _ if was_held && connection.deadline_ms > clock::now_ms() => park::rearm(worker, connection),
        // What the client has sent in time and no thread has read yet is not its fault.
        Phase::Idle | Phase::Head if connection.has_unread() => park::rearm(worker, connection),
        Phase::Head => {
            connection::reject_slow_head(&worker.service, &mut connection);
            park::park_lingering(worker, connection, worker.service.timeouts.linger(clock::now_ms()));
        }
        // There is an end to its waiting.
        Phase::Waiting => park::rearm(worker, connection),
        Phase::Sending => {
            connection.report_aborted("the client takes too little");
            park::close_on_pool(worker, connection);
        }
        Phase::Idle => connection.records.set_cause("no request came in time"),
        Phase::Lingering => {}
    }
}
