//! The workers: who runs, who is to be started, and when.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::lifeline::{self, SupervisorEnd};
use crate::scoreboard::{Counter, Scoreboard};
use crate::worker::{self, Plan};
use crate::{clock, sys};

/// How long the first replacement of a worker waits; each further one twice as long, in milliseconds.
const FIRST_PAUSE_MS: u64 = 100;

/// The longest that a replacement waits, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 5_000;

/// A worker that lived so long died of something new: its replacement waits the first pause again, in milliseconds.
const LONG_LIFE_MS: u64 = 30_000;

/// The workers of the supervisor.
#[derive(Debug)]
pub struct Team {
    posts: Vec<Post>,
    plan: &'static Plan,
    board: Scoreboard,
}

/// A place for a worker: occupied, or to be filled when its time comes.
#[derive(Debug)]
struct Post {
    occupant: Option<Occupant>,
    pause_ms: u64,
    due_ms: u64,
}

#[derive(Debug)]
struct Occupant {
    pid: Pid,
    lifeline: SupervisorEnd,
    is_ready: bool,
    since_ms: u64,
}

impl Team {
    /// A team whose posts are all to be filled now.
    pub fn new(plan: &'static Plan) -> io::Result<Self> {
        let workers = plan.options.workers;
        let vacant = || Post { occupant: None, pause_ms: FIRST_PAUSE_MS, due_ms: 0 };
        Ok(Team { posts: (0..workers).map(|_| vacant()).collect(), plan, board: Scoreboard::new(workers)? })
    }

    /// What all workers count.
    pub fn board(&self) -> &Scoreboard {
        &self.board
    }

    /// How many workers there are to be.
    pub fn size(&self) -> usize {
        self.posts.len()
    }

    /// How many workers serve.
    pub fn ready(&self) -> usize {
        self.occupants().filter(|occupant| occupant.is_ready).count()
    }

    /// Whether no worker is left.
    pub fn is_gone(&self) -> bool {
        self.occupants().next().is_none()
    }

    /// What becomes readable when a worker has news.
    pub fn lifelines(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.occupants().filter(|occupant| !occupant.is_ready).map(|occupant| occupant.lifeline.as_fd())
    }

    /// When the next vacant post is to be filled.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.posts.iter().filter(|post| post.occupant.is_none()).map(|post| post.due_ms).min()
    }

    /// Fills every vacant post whose time has come.
    pub fn spawn_missing(&mut self, now_ms: u64) {
        for number in 0..self.posts.len() {
            if self.posts[number].occupant.is_some() || self.posts[number].due_ms > now_ms {
                continue;
            }
            if let Err(error) = self.spawn(number) {
                tracing::error!(worker = number, "Cannot start worker {number} ({error}); trying again.");
                self.posts[number].postpone(now_ms);
            }
        }
    }

    fn spawn(&mut self, number: usize) -> io::Result<()> {
        let (own, theirs) = lifeline::pair()?;
        let mut own = Some(own);
        self.board.slab(number).clear_levels();
        let (plan, board) = (self.plan, self.board.clone());
        let pid = sys::fork(|| {
            // The supervisor's ends, of this lifeline and of the others', would keep them alive when it dies.
            own.take();
            self.posts.clear();
            worker::run(plan, number, &theirs, board)
        })?;
        tracing::debug!(worker = number, worker_pid = pid.as_raw(), "worker {number} started");
        let since_ms = clock::now_ms();
        let occupant = |lifeline| Occupant { pid, lifeline, is_ready: false, since_ms };
        self.posts[number].occupant = own.map(occupant);
        Ok(())
    }

    /// Hears which workers have become ready.
    pub fn hear(&mut self) {
        for occupant in self.posts.iter_mut().filter_map(|post| post.occupant.as_mut()) {
            occupant.is_ready |= occupant.lifeline.hears_ready();
        }
    }

    /// Takes note of every worker that has ended. Unless the server is stopping, that was not asked for, and the journal
    /// says how it came about.
    pub fn reap(&mut self, is_stopping: bool) {
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Err(Errno::EINTR) => continue,
                Err(errno) => return tracing::error!("Cannot learn which worker ended ({errno})."),
                Ok(status) => status,
            };
            let Some(number) = status.pid().and_then(|pid| self.number(pid)) else { continue };
            let now_ms = clock::now_ms();
            self.board.slab(number).clear_levels();
            if let Some(clients) = &self.plan.clients {
                clients.forget(number);
            }
            let post = &mut self.posts[number];
            let lived_ms = post.occupant.take().map_or(0, |occupant| now_ms - occupant.since_ms);
            if lived_ms >= LONG_LIFE_MS {
                post.pause_ms = FIRST_PAUSE_MS;
            }
            let pause_ms = post.postpone(now_ms);
            if !is_stopping {
                report_death(number, status, lived_ms, pause_ms);
            }
        }
    }

    /// Sends `signal` to every worker.
    pub fn signal(&self, signal: Signal) {
        for occupant in self.occupants() {
            // One that has just ended will be reaped.
            let _ = kill(occupant.pid, signal);
        }
    }

    /// The number of a worker that has given no sign of life for `limit_ms`, and its process; none where the post could not
    /// be filled for so long. A post that waits out its pause is in order.
    pub fn hung(&self, now_ms: u64, limit_ms: u64) -> Option<(usize, Option<Pid>)> {
        self.posts.iter().enumerate().find_map(|(number, post)| {
            let (sign_ms, pid) = match &post.occupant {
                Some(occupant) => {
                    (self.board.slab(number).get(Counter::Beat).max(occupant.since_ms), Some(occupant.pid))
                }
                None => (post.due_ms, None),
            };
            (sign_ms + limit_ms < now_ms).then_some((number, pid))
        })
    }

    fn occupants(&self) -> impl Iterator<Item = &Occupant> {
        self.posts.iter().filter_map(|post| post.occupant.as_ref())
    }

    fn number(&self, pid: Pid) -> Option<usize> {
        self.posts.iter().position(|post| post.occupant.as_ref().is_some_and(|occupant| occupant.pid == pid))
    }
}

impl Post {
    /// Lets the post be filled after its pause, which is then longer the next time. Returns the pause.
    fn postpone(&mut self, now_ms: u64) -> u64 {
        let pause_ms = self.pause_ms;
        self.due_ms = now_ms + pause_ms;
        self.pause_ms = (pause_ms * 2).min(LONGEST_PAUSE_MS);
        pause_ms
    }
}

fn report_death(worker: usize, status: WaitStatus, lived_ms: u64, pause_ms: u64) {
    match status {
        WaitStatus::Signaled(pid, signal, _) => tracing::error!(
            worker,
            worker_pid = pid.as_raw(),
            signal = signal.as_str(),
            lived_ms,
            pause_ms,
            "Worker {worker} (pid {pid}) was killed by {signal}; starting another in {pause_ms} ms."
        ),
        WaitStatus::Exited(pid, exit_code) => tracing::error!(
            worker,
            worker_pid = pid.as_raw(),
            exit_code,
            lived_ms,
            pause_ms,
            "Worker {worker} (pid {pid}) ended with exit code {exit_code}; starting another in {pause_ms} ms."
        ),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds_and_never_end() {
        let mut post = Post { occupant: None, pause_ms: FIRST_PAUSE_MS, due_ms: 0 };
        let pauses: Vec<_> = (0..9).map(|_| post.postpone(0)).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
        assert_eq!(post.due_ms, 5_000);
    }
}
