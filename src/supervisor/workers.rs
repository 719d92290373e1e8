//! The table of workers: which are running, which are to be started, and when.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::client_limit::ClientLimiter;
use crate::ipc::handover::{HandoverBuilder, OldWorkerHandle};
use crate::ipc::key_protocol;
use crate::ipc::lifeline::{self, SupervisorEnd};
use crate::ipc::login_protocol::LoginClient;
use crate::ipc::scoreboard::{Counter, Scoreboard};
use crate::ipc::ticket_keys::TicketKeyReader;
use crate::site::HelperAccess;
use crate::worker::{self, Shared, WorkerContext};
use crate::{log::catalog, os::clock, os::sys};

use super::backoff::Backoff;
use super::key_process::KeyProcess;
use super::login_process::LoginProcess;
use super::old_workers::OldWorkers;

/// The time that a hung worker has to end by SIGABRT, and then by SIGKILL, before it is abandoned, in milliseconds.
const KILL_STEP_MS: u64 = 1_000;

/// The workers of the supervisor.
#[derive(Debug)]
pub struct Workers {
    slots: Vec<Slot>,
    /// Old workers, started before the last reload. They serve until the new workers are ready.
    old_workers: OldWorkers,
    context: &'static WorkerContext,
    shared: Shared,
    /// The workers that the key process has reported and that have not ended yet.
    violators: Vec<Pid>,
    /// Whether a worker was started.
    has_spawned: bool,
}

/// The slot of a worker: its process, or when to start one.
#[derive(Debug)]
struct Slot {
    child: Option<Child>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Child {
    pid: Pid,
    lifeline: SupervisorEnd,
    is_ready: bool,
    started_ms: u64,
    /// When it was killed because it was hung.
    ending_ms: Option<u64>,
}

impl Workers {
    /// Creates a table with all workers to be started now.
    pub fn new(
        context: &'static WorkerContext,
        clients: Option<ClientLimiter>,
        helper: HelperAccess,
        ticket_keys: Option<TicketKeyReader>,
    ) -> io::Result<Self> {
        let workers = context.options.workers;
        let slots = (0..workers).map(|_| Slot { child: None, backoff: Backoff::new() }).collect();
        let shared = Shared {
            board: Scoreboard::new(workers)?,
            client_limit: clients,
            helper: Some(helper),
            keys: None,
            logins: None,
            ticket_keys,
        };
        Ok(Workers {
            slots,
            old_workers: OldWorkers::default(),
            context,
            shared,
            violators: Vec::new(),
            has_spawned: false,
        })
    }

    /// Takes over the old workers and the counters.
    pub fn take_over(&mut self, memories: Vec<OwnedFd>, workers: Vec<OldWorkerHandle>) {
        let mut memories: Vec<_> = memories.into_iter().map(Some).collect();
        for worker in &workers {
            if let Some(memory) = memories.get_mut(worker.memory).and_then(Option::take) {
                self.shared.board.add_old_worker(worker.pid, memory);
            }
        }
        // The supervisor's memory, and that of workers that have ended.
        memories.iter().flatten().for_each(|memory| self.shared.board.take_over(memory));
        self.old_workers = OldWorkers::new(workers);
    }

    /// Starts the time without a response of the document root, unless the workers before have done it.
    pub fn begin_root_check(&self, now_ms: u64) {
        let answered_ms = match self.shared.board.newest(Counter::RootAnswered, now_ms) {
            0 => now_ms,
            answered_ms => answered_ms,
        };
        self.shared.board.supervisor().set(Counter::RootAnswered, answered_ms);
    }

    /// Hands the sockets and the workers over to the next image.
    pub fn handover(&self) -> HandoverBuilder<'_> {
        let mut builder = HandoverBuilder::default();
        for socket in &self.context.sockets {
            match socket.name.as_deref() {
                None if socket.purpose.is_tls() => builder.https_socket(socket.as_fd()),
                name => builder.socket(socket.as_fd(), name),
            }
        }
        self.shared.board.memories().for_each(|memory| builder.memory(memory));
        for (number, slot) in self.slots.iter().enumerate() {
            if let Some(child) = &slot.child {
                builder.worker(child.lifeline.as_fd(), child.pid, number);
            }
        }
        self.old_workers.add_to(&mut builder, &self.shared.board);
        builder
    }

    /// Returns the old workers.
    pub fn old_workers(&self) -> &OldWorkers {
        &self.old_workers
    }

    /// Returns the sending end of the work queue.
    pub fn work_sender(&self) -> Option<BorrowedFd<'_>> {
        self.shared.helper.as_ref().map(|helper| helper.queue.as_fd())
    }

    /// Returns the counters.
    pub fn board(&self) -> &Scoreboard {
        &self.shared.board
    }

    /// Takes what the workers share, in a process that was forked for something else.
    pub fn take_shared(&mut self) -> Shared {
        std::mem::take(&mut self.shared)
    }

    /// Returns the configured number of workers.
    pub fn size(&self) -> usize {
        self.slots.len()
    }

    /// Returns the number of ready workers.
    pub fn ready(&self) -> usize {
        self.children().filter(|child| child.is_ready && child.ending_ms.is_none()).count()
    }

    /// Returns whether all workers have ended, including old ones.
    pub fn have_all_ended(&self) -> bool {
        self.children().next().is_none() && self.old_workers.count() == 0
    }

    /// Returns the descriptors that become readable when a worker is ready or has ended.
    pub fn lifelines(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.children().filter(|child| !child.is_ready).map(|child| child.lifeline.as_fd())
    }

    /// Returns when the next worker is to be started.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.slots.iter().filter(|slot| slot.child.is_none()).map(|slot| slot.backoff.due_ms()).min()
    }

    /// Starts every worker that is due. The new process first calls `close_supervisor_fds`, which closes the
    /// descriptors of the supervisor.
    pub fn spawn_missing(
        &mut self,
        now_ms: u64,
        keys: &mut KeyProcess,
        logins: &mut LoginProcess,
        close_supervisor_fds: &mut dyn FnMut(),
    ) {
        for number in 0..self.slots.len() {
            if self.slots[number].child.is_some() || self.slots[number].backoff.due_ms() > now_ms {
                continue;
            }
            if let Err(error) = self.spawn(number, keys, logins, close_supervisor_fds) {
                tracing::error!(worker = number, "Cannot start worker {number} ({error}); retrying.");
                self.slots[number].backoff.delay(now_ms, 0);
            }
        }
    }

    fn spawn(
        &mut self,
        number: usize,
        keys: &mut KeyProcess,
        logins: &mut LoginProcess,
        close_supervisor_fds: &mut dyn FnMut(),
    ) -> io::Result<()> {
        let (own, theirs) = lifeline::pair()?;
        let (mut own_keys, mut their_keys) = keys.new_channel()?.unzip();
        let (mut own_logins, mut their_logins) = logins.new_channel()?.unzip();
        let mut own = Some(own);
        self.shared.board.counters(number).clear_gauges();
        let (context, is_first) = (self.context, !self.has_spawned);
        let pid = sys::fork(|| {
            // The supervisor's ends of the lifelines would keep them open after its death.
            own.take();
            self.slots.clear();
            self.old_workers = OldWorkers::default();
            close_supervisor_fds();
            keys.close_inherited();
            logins.close_inherited();
            own_keys.take();
            own_logins.take();
            // Those of a quarter of the threads (HandshakeLimit), and that of the thread for certificates.
            let max_outstanding = context.options.max_threads / 4 + 2;
            self.shared.keys = their_keys.take().map(|channel| key_protocol::Client::new(channel, max_outstanding));
            let client = their_logins.take().map(|channel| LoginClient::new(channel, logins.files())).transpose();
            match client {
                Ok(client) => self.shared.logins = client,
                Err(error) => {
                    tracing::error!("A worker has no random numbers ({error}).");
                    return 1;
                }
            }
            worker::run(context, number, &theirs, std::mem::take(&mut self.shared), is_first)
        })?;
        self.has_spawned = true;
        tracing::debug!(worker = number, worker_pid = pid.as_raw(), "worker {number} started");
        let since_ms = clock::now_ms();
        drop(their_keys);
        if let Some(channel) = own_keys {
            keys.add_worker(pid, channel, since_ms);
        }
        drop(their_logins);
        if let Some(channel) = own_logins {
            logins.add_worker(pid, channel);
        }
        let child = |lifeline| Child { pid, lifeline, is_ready: false, started_ms: since_ms, ending_ms: None };
        self.slots[number].child = own.map(child);
        Ok(())
    }

    /// Records which workers have become ready.
    pub fn poll_ready(&mut self) {
        for child in self.slots.iter_mut().filter_map(|slot| slot.child.as_mut()) {
            child.is_ready |= child.lifeline.poll_ready();
        }
    }

    /// Returns whether `pid` is a worker that has ended without a request to do so: by a signal, for which a fault of its own, a
    /// system call that it may not make, the watchdog, a forbidden signature or another process is the reason, or by an
    /// exit. An attacker may have caused that.
    pub fn has_crashed(&mut self, pid: Pid, status: WaitStatus, is_stopping: bool) -> bool {
        let is_old = self.old_workers.contains(pid);
        match status {
            // It may have chosen how it ends.
            _ if self.violators.extract_if(.., |violator| *violator == pid).count() > 0 => true,
            _ if !is_old && self.number(pid).is_none() => false,
            // At the end of the drain timeout, it is the supervisor's.
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => !(is_old && self.old_workers.are_overdue()),
            WaitStatus::Exited(_, 0) => !is_old && !is_stopping,
            _ => true,
        }
    }

    /// Removes an old worker that has ended. Returns whether `pid` was one.
    pub fn forget_old(&mut self, pid: Pid) -> bool {
        self.old_workers.forget(pid, &mut self.shared.board)
    }

    /// Kills the old workers at the end of the drain timeout.
    pub fn kill_old(&mut self) {
        self.old_workers.kill_overdue();
    }

    /// Records the end of a worker and schedules the start of the next one. If the worker was not stopped, logs the
    /// reason. Returns whether `pid` was a worker.
    pub fn end(&mut self, pid: Pid, status: WaitStatus, now_ms: u64, is_stopping: bool) -> bool {
        let Some(number) = self.number(pid) else { return false };
        self.shared.board.counters(number).clear_gauges();
        self.shared.board.counters(number).count_lost_records();
        if let Some(clients) = &self.shared.client_limit {
            clients.forget(number);
        }
        let slot = &mut self.slots[number];
        let child = slot.child.take();
        let has_hung = child.as_ref().is_some_and(|child| child.ending_ms.is_some());
        let lived_ms = child.map_or(0, |child| now_ms - child.started_ms);
        let pause_ms = slot.backoff.delay(now_ms, lived_ms);
        if !is_stopping {
            let reason = match status {
                _ if has_hung => Counter::Hung,
                WaitStatus::Signaled(..) => Counter::Killed,
                _ => Counter::Exited,
            };
            self.shared.board.supervisor().add(reason, 1);
            report_death(number, status, lived_ms, pause_ms);
        }
        true
    }

    /// Sends `signal` to every worker.
    pub fn signal(&self, signal: Signal) {
        for child in self.children() {
            // One that has just ended is reaped later.
            let _ = kill(child.pid, signal);
        }
        self.old_workers.signal(signal);
    }

    /// Kills every worker without a heartbeat for `limit_ms` since `begin_ms`, by SIGABRT, then SIGKILL. A worker that
    /// survives both, which a hanging disk can cause, is abandoned and replaced. Returns whether one was.
    pub fn end_hung(&mut self, begin_ms: u64, now_ms: u64, limit_ms: u64) -> bool {
        let mut has_abandoned = false;
        for (number, slot) in self.slots.iter_mut().enumerate() {
            let Some(child) = &mut slot.child else { continue };
            // A compromised worker may have written any value there; a heartbeat in the future is ignored.
            let (pid, beat_ms) = (child.pid, self.shared.board.counters(number).get(Counter::Heartbeat).min(now_ms));
            let signal = match child.ending_ms.map(|since_ms| (now_ms - since_ms) / KILL_STEP_MS) {
                None if beat_ms.max(child.started_ms).max(begin_ms) + limit_ms >= now_ms => continue,
                None => {
                    report_hung(number, pid, (now_ms - beat_ms.max(child.started_ms)) / 1_000);
                    child.ending_ms = Some(now_ms);
                    Signal::SIGABRT
                }
                Some(0) => continue,
                Some(1) => Signal::SIGKILL,
                Some(_) => {
                    tracing::error!(
                        message_id = catalog::WORKER_SURVIVED,
                        worker = number,
                        worker_pid = pid.as_raw(),
                        "Worker {number} (pid {pid}) survives SIGKILL, which an unresponsive disk can cause; starting another worker beside it."
                    );
                    self.shared.board.supervisor().add(Counter::Hung, 1);
                    slot.child = None;
                    slot.backoff.delay(now_ms, 0);
                    has_abandoned = true;
                    continue;
                }
            };
            // One that has just ended is reaped later.
            let _ = kill(pid, signal);
        }
        has_abandoned
    }

    /// Returns the number of a worker that could not be started for `limit_ms`. Waiting for the delay of a restart does
    /// not count.
    pub fn first_unfillable(&self, now_ms: u64, limit_ms: u64) -> Option<usize> {
        self.slots.iter().position(|slot| slot.child.is_none() && slot.backoff.due_ms() + limit_ms < now_ms)
    }

    /// Kills the worker `pid`, which may be an old one, because it has violated the protocol of the key process. However it
    /// ends, it has crashed then. Returns false if there is no such worker.
    pub fn kill_violator(&mut self, pid: Pid) -> bool {
        let is_worker = self.number(pid).is_some() || self.old_workers.contains(pid);
        if is_worker {
            self.violators.push(pid);
            // One that has just ended is reaped later.
            let _ = kill(pid, Signal::SIGKILL);
        }
        is_worker
    }

    fn children(&self) -> impl Iterator<Item = &Child> {
        self.slots.iter().filter_map(|slot| slot.child.as_ref())
    }

    fn number(&self, pid: Pid) -> Option<usize> {
        self.slots.iter().position(|slot| slot.child.as_ref().is_some_and(|child| child.pid == pid))
    }
}

fn report_hung(worker: usize, pid: Pid, hung_seconds: u64) {
    tracing::error!(
        message_id = catalog::WORKER_HUNG,
        worker,
        worker_pid = pid.as_raw(),
        hung_seconds,
        "Worker {worker} (pid {pid}) hangs: no response, including to its self-check, for {hung_seconds} s. Terminating it with SIGABRT; the other workers continue."
    );
}

fn report_death(worker: usize, status: WaitStatus, lived_ms: u64, pause_ms: u64) {
    match status {
        WaitStatus::Signaled(pid, signal, _) => tracing::error!(
            message_id = catalog::WORKER_KILLED,
            worker,
            worker_pid = pid.as_raw(),
            signal = signal.as_str(),
            lived_ms,
            pause_ms,
            "Worker {worker} (pid {pid}) was killed by {signal}; starting a new worker in {pause_ms} ms."
        ),
        WaitStatus::Exited(pid, exit_code) => tracing::error!(
            message_id = catalog::WORKER_EXITED,
            worker,
            worker_pid = pid.as_raw(),
            exit_code,
            lived_ms,
            pause_ms,
            "Worker {worker} (pid {pid}) exited with code {exit_code}; starting a new worker in {pause_ms} ms."
        ),
        _ => {}
    }
}
