//! Records of workers that have ended without telling what they had to drop: the supervisor does it for them.

use super::report_dropped;
use crate::config::Options;
use crate::ipc::scoreboard::{Counter, Scoreboard};
use crate::log::{Destination, Sink};
use crate::os::clock;

/// What the supervisor has to tell, if there is an access log.
#[derive(Debug)]
pub struct OrphanedDrops {
    sink: Sink,
    /// How much there was at the last look.
    count: u64,
    /// When there was nothing.
    since_us: u64,
}

impl OrphanedDrops {
    /// Nothing yet.
    pub fn new(options: &Options) -> Self {
        let destination = options.access_destination().unwrap_or(Destination::Stderr);
        OrphanedDrops { sink: Sink::for_warnings(destination), count: 0, since_us: clock::unix_us() }
    }

    /// Closes what a worker has inherited and has no part in.
    pub fn forget(&mut self) {
        self.sink.close();
    }

    /// Tells what there was at the last look already, and still is: a worker that is about to tell it may have been on the
    /// way.
    pub fn report(&mut self, board: &Scoreboard) {
        let (count, now_us) = (board.unreported(), clock::unix_us());
        let to_tell = count.min(self.count);
        self.count = count;
        if count == 0 {
            self.since_us = now_us;
        } else if to_tell > 0 && self.sink.write(|| report_dropped(None, to_tell, self.since_us, now_us)) {
            board.supervisor().add(Counter::LogReported, to_tell);
            self.count -= to_tell;
        }
    }
}
