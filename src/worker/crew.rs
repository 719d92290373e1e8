//! The request threads: how many there are, and the rule that starts and ends them.
//!
//! All of them wait for events of the same epoll instance; whoever gets one serves it from beginning to end. When none
//! waits any more, the keeper is alarmed and watches: if for a moment no turn ends and no thread is running either, all of
//! them are blocked (on a slow disk, say), and it starts as many again. A machine that is merely busy has running threads
//! and gets no more of them. Nor does one of which half of the threads that there may be are blocked, before nothing at all
//! has moved for [`BLOCKED_MS`]: then those that follow know what blocks the others ([`blocked`](super::blocked)), and leave it
//! alone. Threads beyond the first few leave when they have been idle for a while.

use std::ffi::CStr;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl;

use super::blocked::BLOCKED_MS;
use crate::clock;
use crate::scoreboard::{Counter, Slab};

/// Threads that stay. A second one would be woken for nothing at every other event, which costs a tenth of what a request
/// does; when this one blocks, the keeper has another one ready within milliseconds.
pub const STAYING: usize = 1;

/// What a request thread is called, so that it is told apart from the worker's others.
pub const NAME: &CStr = c"request";

/// What a request thread is called while it does work that takes long.
const LONG_WORK_NAME: &CStr = c"listing";

/// The request threads of a worker.
#[derive(Debug)]
pub struct Crew {
    most: usize,
    threads: AtomicUsize,
    waiting: AtomicUsize,
    turns: AtomicU64,
    alarm: EventFd,
    is_watched: AtomicBool,
    slab: Slab<'static>,
}

impl Crew {
    /// A crew of no threads yet, and of `most` at most.
    pub fn new(most: usize, slab: Slab<'static>) -> nix::Result<Self> {
        let alarm = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Crew {
            most,
            threads: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            turns: AtomicU64::new(0),
            alarm,
            is_watched: AtomicBool::new(false),
            slab,
        })
    }

    /// Readable when the keeper should watch.
    pub fn alarm(&self) -> &EventFd {
        &self.alarm
    }

    /// Counts a thread that is to be started, if there may be another.
    pub fn join(&self) -> bool {
        let joined = self.threads.fetch_update(SeqCst, SeqCst, |n| (n < self.most).then_some(n + 1)).is_ok();
        if joined {
            self.slab.add(Counter::Threads, 1);
        }
        joined
    }

    /// Counts a thread that ends.
    pub fn leave(&self) {
        self.threads.fetch_sub(1, SeqCst);
        self.slab.subtract(Counter::Threads, 1);
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads.load(SeqCst)
    }

    /// Lets a thread that found nothing to do for long leave, if another waits and enough stay.
    pub fn may_leave(&self) -> bool {
        let left = self.waits() && self.threads.fetch_update(SeqCst, SeqCst, |n| (n > STAYING).then(|| n - 1)).is_ok();
        if left {
            self.slab.subtract(Counter::Threads, 1);
        }
        left
    }

    /// A thread begins to wait for an event.
    pub fn begin_waiting(&self) {
        self.waiting.fetch_add(1, SeqCst);
    }

    /// A thread has an event, or gave up waiting for one.
    pub fn end_waiting(&self) {
        if self.waiting.fetch_sub(1, SeqCst) == 1 && !self.is_watched.swap(true, SeqCst) {
            // An event counter that cannot be raised is raised already.
            let _ = self.alarm.write(1);
        }
    }

    /// Whether a thread waits for an event.
    pub fn waits(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }

    /// How many turns have ended.
    pub fn turns(&self) -> u64 {
        self.turns.load(SeqCst)
    }

    /// Whether there are as many threads as there may be, and none of them waits.
    pub fn is_saturated(&self) -> bool {
        self.threads() >= self.most && !self.waits()
    }

    /// Whether there are so many threads that some have been blocked for a while.
    pub fn is_strained(&self) -> bool {
        self.threads() > self.most / 2
    }

    /// A thread begins with work that takes long: it counts as none that serves others, and if no other waits for them, the
    /// keeper watches, and starts one.
    pub fn begin_long_work(&self) {
        // What is called otherwise does not run as a request thread.
        let _ = prctl::set_name(LONG_WORK_NAME);
        if !self.waits() && !self.is_watched.swap(true, SeqCst) {
            let _ = self.alarm.write(1);
        }
    }

    /// It is one of the threads again that serve.
    pub fn end_long_work(&self) {
        let _ = prctl::set_name(NAME);
    }

    /// A thread has ended its turn.
    pub fn end_turn(&self) {
        self.turns.fetch_add(1, SeqCst);
    }
}

/// The keeper's watch over a crew of which no thread waits.
#[derive(Debug, Default)]
pub struct Watch {
    turns: u64,
    calm: u32,
    still_since_ms: Option<u64>,
    pause_ms: Option<u16>,
}

/// What a look at the crew showed.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// Nobody need watch.
    Calm,
    /// Look again soon.
    Again,
    /// So many threads are to be started.
    Start(usize),
}

/// The watch ends after so many looks at which a thread waited.
const CALM_LOOKS: u32 = 8;

/// The longest pause between two looks, in milliseconds. The first is one millisecond, each further one twice as long: a
/// worker at full load is looked at seldom enough to cost nothing.
const LONGEST_PAUSE_MS: u16 = 8;

impl Watch {
    /// After how many milliseconds the keeper is to look again, if it is to look at all.
    pub fn pause_ms(&self) -> Option<u16> {
        self.pause_ms
    }

    /// Begins when the alarm rings.
    pub fn begin(&mut self, crew: &Crew) {
        let _ = crew.alarm.read();
        *self = Watch { turns: crew.turns.load(SeqCst), calm: 0, still_since_ms: None, pause_ms: Some(1) };
    }

    /// Looks, a pause after the last look.
    pub fn look(&mut self, crew: &Crew) -> Look {
        let turns = crew.turns.load(SeqCst);
        let has_moved = std::mem::replace(&mut self.turns, turns) != turns;
        self.pause_ms = self.pause_ms.map(|pause| (pause * 2).min(LONGEST_PAUSE_MS));
        if has_moved {
            self.still_since_ms = None;
        }
        if crew.waiting.load(SeqCst) > 0 {
            self.still_since_ms = None;
            self.calm += 1;
            if self.calm < CALM_LOOKS {
                return Look::Again;
            }
            crew.is_watched.store(false, SeqCst);
            self.calm = 0;
            // The last thread may have stopped waiting just before that, and not have rung.
            if crew.waiting.load(SeqCst) == 0 && !crew.is_watched.swap(true, SeqCst) {
                return Look::Again;
            }
            self.pause_ms = None;
            return Look::Calm;
        }
        self.calm = 0;
        let threads = crew.threads.load(SeqCst);
        if has_moved || threads >= crew.most {
            return Look::Again;
        }
        let now_ms = clock::now_ms();
        let still_since_ms = *self.still_since_ms.get_or_insert(now_ms);
        let is_too_soon = threads >= crew.most / 2 && now_ms <= still_since_ms + BLOCKED_MS;
        if is_too_soon || a_thread_runs() {
            return Look::Again;
        }
        // A turn that ended while /proc was read was no standstill.
        if crew.turns.load(SeqCst) != turns || crew.waiting.load(SeqCst) > 0 {
            return Look::Again;
        }
        // These may block as well.
        self.still_since_ms = None;
        self.pause_ms = Some(1);
        Look::Start(threads.clamp(1, crew.most - threads))
    }
}

/// Whether any request thread runs or is about to (proc(5), /proc/pid/stat, name and state R). Where /proc cannot be read,
/// no.
fn a_thread_runs() -> bool {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let running = format!("({}) R", NAME.to_string_lossy());
    tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok()).any(|stat| stat.contains(&running))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoreboard::Scoreboard;

    fn crew(threads: usize, most: usize) -> Crew {
        let crew = Crew::new(most, Box::leak(Box::new(Scoreboard::new(1).unwrap())).slab(0)).unwrap();
        for _ in 0..threads {
            assert!(crew.join());
        }
        crew
    }

    #[test]
    fn the_alarm_rings_when_the_last_thread_stops_waiting() {
        let crew = crew(2, 8);
        crew.begin_waiting();
        crew.begin_waiting();
        crew.end_waiting();
        assert!(crew.alarm().read().is_err());
        crew.end_waiting();
        assert_eq!(crew.alarm().read(), Ok(1));
    }

    #[test]
    fn it_grows_up_to_its_bound_only_and_shrinks_to_those_that_stay() {
        let crew = crew(STAYING + 1, STAYING + 1);
        assert!(!crew.join());
        assert!(!crew.may_leave(), "nobody else waits");
        crew.begin_waiting();
        assert!(crew.may_leave());
        assert!(!crew.may_leave());
    }

    #[test]
    fn a_watch_ends_when_threads_wait_again() {
        let crew = crew(1, 8);
        let mut watch = Watch::default();
        crew.begin_waiting();
        crew.end_waiting();
        watch.begin(&crew);
        crew.end_turn();
        assert_eq!(watch.look(&crew), Look::Again);
        crew.begin_waiting();
        let looks = std::iter::from_fn(|| Some(watch.look(&crew))).take_while(|look| *look == Look::Again);
        assert_eq!(looks.count(), CALM_LOOKS as usize - 1);
        assert_eq!(watch.pause_ms(), None);
        crew.end_waiting();
        assert_eq!(crew.alarm().read(), Ok(1));
    }
}
