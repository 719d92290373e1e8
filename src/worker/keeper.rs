//! The keeper: a worker's main thread. It never serves a request, so it always hears signals, keeps deadlines, starts
//! threads, and has the worker prove that it lives.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::backlog::Backlog;
use super::connection::{Connection, Phase};
use super::crew::{self, Look, Watch};
use super::drain::Drain;
use super::probe::Probe;
use super::{Plan, Worker, exchange, listings, thread};
use crate::access::Writer;
use crate::lifeline::WorkerEnd;
use crate::scoreboard::Counter;
use crate::signals::{self, Signals};
use crate::site::RootState;
use crate::{catalog, clock, log, sys};

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
pub fn run(worker: &'static Worker, plan: &Plan, lifeline: &WorkerEnd) -> io::Result<()> {
    let signals = Signals::listen(&signals::FOR_WORKER)?;
    let mut writer = worker.access.map(Writer::start).transpose()?;
    if !(0..crew::STAYING).all(|_| thread::start(worker)) {
        return Err(io::Error::other("it cannot start a thread"));
    }
    worker.door.open(&worker.epoll)?;
    worker.slab.set(Counter::Beat, clock::now_ms());
    let mut probe = Probe::begin(worker);
    lifeline.say_ready();

    let mut watch = Watch::default();
    let mut backlog = Backlog::default();
    let mut next_tick_ms = clock::now_ms();
    let mut next_trim_ms = next_tick_ms + TRIM_MS;
    let mut next_start_ms = 0;
    let mut drain: Option<Drain> = None;
    loop {
        let supervisor = if drain.is_none() { Some(lifeline) } else { None };
        let woken = wait(worker, supervisor, &signals, watch.pause_ms(), &mut backlog)?;
        let now_ms = clock::now_ms();

        if let Some(end) = woken.end {
            let (timeout, option) = match end {
                End::Reload => (plan.options.drain_timeout, "--drain-timeout"),
                End::Stop => (plan.stop_timeout(), "--stop-timeout"),
            };
            drain.get_or_insert_with(|| Drain::begin(worker)).limit(now_ms, timeout, option);
        }
        if let Some(drain) = &mut drain
            && drain.is_over(worker, now_ms)
        {
            writer.take().into_iter().for_each(Writer::finish);
            return Ok(());
        }
        if woken.is_alarmed {
            watch.begin(&worker.crew);
        }
        if watch.pause_ms().is_some()
            && let Look::Start(count) = watch.look(&worker.crew)
            && now_ms >= next_start_ms
            && !(0..count).all(|_| thread::start(worker))
        {
            next_start_ms = now_ms + START_PAUSE_MS;
        }
        backlog.look(worker, now_ms);
        if now_ms >= next_tick_ms {
            next_tick_ms = now_ms + u64::from(TICK_MS);
            // Draining has a deadline of its own.
            if drain.is_some() || probe.proves_life(worker) {
                worker.slab.set(Counter::Beat, now_ms);
            }
            worker.slab.add(Counter::MessagesDropped, log::take_dropped());
            report_saturation(worker);
            let root = worker.site.root_state();
            worker.slab.set(Counter::RootMissing, u64::from(root == RootState::Missing));
            worker.slab.set(Counter::RootOutside, u64::from(root == RootState::Outside));
            worker.lot.sweep(|connection| is_due(worker, connection, now_ms), |connection| expire(worker, connection));
            if worker.door.is_closed() && !worker.is_full() {
                thread::open_door(worker);
            }
            thread::retry_door(worker);
            listings::look_after(worker);
        }
        if now_ms >= next_trim_ms {
            next_trim_ms = now_ms + TRIM_MS;
            sys::trim_memory();
        }
    }
}

/// A worker of which every thread is busy is slow, and no reason to worry; but its admin may want more threads.
fn report_saturation(worker: &Worker) {
    let is_saturated = worker.crew.is_saturated();
    worker.slab.set(Counter::Saturated, u64::from(is_saturated));
    if is_saturated && worker.complaints.saturated.is_due() {
        let threads = worker.crew.threads();
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
struct Woken {
    /// By a signal, or by losing its supervisor: this worker is to end.
    end: Option<End>,
    /// No request thread waits.
    is_alarmed: bool,
}

/// Waits for something to do. There is no `supervisor` to lose once the worker drains.
fn wait(
    worker: &Worker,
    supervisor: Option<&WorkerEnd>,
    signals: &Signals,
    watch: Option<u16>,
    backlog: &mut Backlog,
) -> io::Result<Woken> {
    let timeout = watch.unwrap_or(if supervisor.is_some() { TICK_MS } else { DRAIN_MS });
    let look_ms = backlog.pause_ms(clock::now_ms()).unwrap_or(u64::MAX);
    let timeout = look_ms.min(timeout.into()) as u16;
    let mut events = vec![
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        PollFd::new(worker.crew.alarm().as_fd(), PollFlags::POLLIN),
    ];
    events.extend(supervisor.map(|lifeline| PollFd::new(lifeline.as_fd(), PollFlags::POLLIN)));
    let own = events.len();
    events.extend(backlog.awaited(worker));
    match poll(&mut events, PollTimeout::from(timeout)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let has_come = |index| events.get(index).and_then(PollFd::any).unwrap_or(false);
    let is_orphan = supervisor.is_some() && has_come(2);
    if (own..events.len()).any(has_come) {
        backlog.has_come(worker, clock::now_ms());
    }
    let signal = if has_come(0) { signals.next() } else { None };
    let end = match signal {
        Some(Signal::SIGINT) => Some(End::Stop),
        Some(_) => Some(End::Reload),
        None => is_orphan.then_some(End::Reload),
    };
    Ok(Woken { end, is_alarmed: has_come(1) })
}

/// Whether the client has used up this server's patience.
fn is_due(worker: &Worker, connection: &mut Connection, now_ms: u64) -> bool {
    if connection.phase == Phase::Sending && connection.deadline_ms <= now_ms {
        connection.renew_patience(worker.patience.least_taken(), worker.patience.send(now_ms));
    }
    connection.is_held || connection.deadline_ms <= now_ms
}

/// Ends a connection whose client took too long.
fn expire(worker: &Worker, mut connection: Box<Connection>) {
    let was_held = std::mem::take(&mut connection.is_held);
    match connection.phase {
        // Its file may be tried again.
        _ if was_held && connection.deadline_ms > clock::now_ms() => thread::remind(worker, connection),
        // What the client has sent in time and no thread has read yet is not its fault.
        Phase::Idle | Phase::Head if connection.has_unread() => thread::remind(worker, connection),
        Phase::Head => {
            exchange::refuse_slow_head(worker, &mut connection);
            thread::park_lingering(worker, connection, worker.patience.linger(clock::now_ms()));
        }
        // There is an end to its waiting.
        Phase::Waiting => thread::remind(worker, connection),
        Phase::Sending => {
            connection.report_cut("the client takes too little");
            thread::dispose(worker, connection);
        }
        Phase::Idle => connection.notes.explain("no request came in time"),
        Phase::Lingering => {}
    }
}
