//! The check of the document root: a thread of the worker reads from its disk about once a second, and may wait for it. The health
//! check tells from the time of the last response whether the disk hangs, and never waits itself.
//!
//! The workers share the result, so one read a second is enough for all of them: each asks only if none has a recent response and
//! no other one has just asked.
//! While the disk hangs, one thread of each worker waits, and no more. The disk is asked whether or not anyone checks the
//! health: the first answer is as true as the others, and the journal has the time at which the disk hung.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, Builder, Thread};
use std::time::Duration;

use super::Worker;
use crate::config::Options;
use crate::ipc::scoreboard::Counter;
use crate::log::OncePerMinute;
use crate::os::clock;
use crate::site::DiskCheck;

/// The stack size of the thread, in bytes.
const STACK_BYTES: usize = 128 * 1024;

/// The shortest interval between two reads, in milliseconds.
const MIN_INTERVAL_MS: u64 = 1_000;

/// The number of reads within `--health-timeout`, unless that is short.
const READS: u64 = 5;

/// The thread, and whether it is asked to read.
#[derive(Debug)]
pub struct RootCheck {
    thread: Thread,
    is_asked: &'static AtomicBool,
    interval_ms: u64,
}

impl RootCheck {
    /// Starts the thread.
    pub fn start(worker: &'static Worker, options: &Options) -> io::Result<Self> {
        let is_asked: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let check = DiskCheck::new(&options.index);
        let thread = Builder::new().name("root-check".into()).stack_size(STACK_BYTES);
        let thread = thread.spawn(move || run(worker, check, is_asked))?.thread().clone();
        Ok(RootCheck { thread, is_asked, interval_ms: interval_ms(options.health_timeout) })
    }

    /// Asks for a read if the last response is older than the interval, no other worker has asked since, and no read is under
    /// way.
    pub fn ask_if_due(&self, worker: &Worker, now_ms: u64) {
        let ms_since = |time| now_ms - worker.board.newest(time, now_ms);
        let without_response = ms_since(Counter::RootAnswered);
        // Another worker that has asked may have ended, or be compromised.
        let is_with_another =
            ms_since(Counter::RootAsked) < self.interval_ms && without_response < 2 * self.interval_ms;
        if without_response >= self.interval_ms && !is_with_another && !self.is_asked.swap(true, SeqCst) {
            worker.service.counters.set(Counter::RootAsked, now_ms);
            self.thread.unpark();
        }
    }
}

fn interval_ms(health_timeout: Duration) -> u64 {
    (health_timeout.as_millis() as u64 / READS).max(MIN_INTERVAL_MS)
}

fn run(worker: &Worker, mut check: DiskCheck, is_asked: &AtomicBool) {
    let failed = OncePerMinute::default();
    loop {
        while !is_asked.load(SeqCst) {
            thread::park();
        }
        match worker.service.sites.check_disk(&mut check) {
            Ok(()) => worker.service.counters.set(Counter::RootAnswered, clock::now_ms()),
            Err(errno) if failed.is_due() => {
                tracing::warn!("The disk of the document root fails: {}. Logged once a minute.", errno.desc());
            }
            Err(_) => {}
        }
        is_asked.store(false, SeqCst);
    }
}
