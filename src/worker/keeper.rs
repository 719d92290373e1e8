//! The keeper: a worker's main thread. It never serves a request, so it always hears signals, beats, keeps deadlines and
//! starts threads.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::connection::{Connection, Phase};
use super::crew::{self, Look, Watch};
use super::{Plan, Worker, thread};
use crate::clock::{self, Date};
use crate::http::Status;
use crate::http::request::Method;
use crate::http::response::{self, Context};
use crate::lifeline::WorkerEnd;
use crate::scoreboard::Counter;
use crate::signals::Signals;

/// How often the keeper beats and looks for deadlines that have passed, in milliseconds.
const TICK_MS: u16 = 500;

/// How often it looks whether the last connection has ended, in milliseconds.
const DRAIN_MS: u16 = 20;

/// Runs the worker until it is told to end and has answered what was in flight.
pub fn run(worker: &'static Worker, plan: &Plan, lifeline: &WorkerEnd) -> io::Result<()> {
    let signals = Signals::listen(&[Signal::SIGTERM])?;
    for _ in 0..crew::STAYING {
        thread::start(worker);
    }
    if worker.slab.get(Counter::Threads) == 0 {
        return Err(io::Error::other("it cannot start a thread"));
    }
    worker.door.open(&worker.epoll)?;
    worker.slab.set(Counter::Beat, clock::now_ms());
    lifeline.say_ready();

    let mut watch = Watch::default();
    let mut next_tick = clock::now_ms();
    let mut drain_until = None;
    loop {
        let supervisor = if drain_until.is_none() { Some(lifeline) } else { None };
        let woken = wait(worker, supervisor, &signals, watch.pause_ms())?;
        let now = clock::now_ms();

        if woken.is_told && drain_until.is_none() {
            drain_until = Some(now + plan.options.drain_timeout.as_millis() as u64);
            worker.is_draining.store(true, Relaxed);
            worker.door.lock(&worker.epoll);
        }
        if let Some(until) = drain_until {
            close_idle(worker);
            if worker.slab.get(Counter::Connections) == 0 || now >= until {
                return Ok(());
            }
        }
        if woken.is_alarmed {
            watch.begin(&worker.crew);
        }
        if watch.pause_ms().is_some()
            && let Look::Start(count) = watch.look(&worker.crew)
        {
            (0..count).for_each(|_| thread::start(worker));
        }
        if now >= next_tick {
            next_tick = now + u64::from(TICK_MS);
            worker.slab.set(Counter::Beat, now);
            worker.lot.sweep(|connection| connection.deadline_ms <= now, |connection| expire(&connection));
            if worker.door.is_closed() && !worker.is_full() {
                thread::open_door(worker);
            }
        }
    }
}

/// Why the keeper woke.
struct Woken {
    /// By a signal, or by losing its supervisor: this worker is to end.
    is_told: bool,
    /// No request thread waits.
    is_alarmed: bool,
}

/// Waits for something to do. There is no `supervisor` to lose once the worker drains.
fn wait(worker: &Worker, supervisor: Option<&WorkerEnd>, signals: &Signals, watch: Option<u16>) -> io::Result<Woken> {
    let timeout = watch.unwrap_or(if supervisor.is_some() { TICK_MS } else { DRAIN_MS });
    let mut events = vec![
        PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        PollFd::new(worker.crew.alarm().as_fd(), PollFlags::POLLIN),
    ];
    events.extend(supervisor.map(|lifeline| PollFd::new(lifeline.as_fd(), PollFlags::POLLIN)));
    match poll(&mut events, PollTimeout::from(timeout)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    let has_come = |index| events.get(index).and_then(PollFd::any).unwrap_or(false);
    let is_orphan = has_come(2);
    Ok(Woken { is_told: (has_come(0) && signals.next().is_some()) || is_orphan, is_alarmed: has_come(1) })
}

/// Ends a connection whose client took too long.
fn expire(connection: &Connection) {
    match connection.phase {
        Phase::Head => {
            let mut answer = Vec::new();
            let mut date = Date::default();
            let context = Context { date: date.now(), keep_alive: false, method: Method::Get };
            response::error(&mut answer, context, Status::RequestTimeout);
            connection.send_last(&answer);
            tracing::debug!("the head did not arrive in time");
        }
        Phase::Sending => tracing::debug!("download cut: the client takes nothing"),
        Phase::Idle | Phase::Lingering => {}
    }
}

/// Ends connections that wait for a request of which nothing has come.
fn close_idle(worker: &Worker) {
    worker.lot.sweep(|connection| connection.phase == Phase::Idle && connection.input.is_empty(), drop);
}
