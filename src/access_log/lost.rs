//! Dropped records of workers that ended before reporting them: the supervisor reports them.

use super::report_dropped;
use crate::config::Options;
use crate::ipc::scoreboard::{Counter, Scoreboard};
use crate::log::{Destination, Sink};
use crate::os::clock;

/// The supervisor's state for these reports.
#[derive(Debug)]
pub struct OrphanedDrops {
    sink: Sink,
    /// The number of unreported records at the last check.
    count: u64,
    /// The last time at which the number was zero.
    since_us: u64,
}

impl OrphanedDrops {
    /// Creates the state, with no records.
    pub fn new(options: &Options) -> Self {
        let destination = options.access_destination().unwrap_or(Destination::Stderr);
        OrphanedDrops { sink: Sink::for_warnings(destination), count: 0, since_us: clock::unix_us() }
    }

    /// Closes the sink, which a worker has inherited and does not use.
    pub fn forget(&mut self) {
        self.sink.close();
    }

    /// Reports the records that were unreported at the last check and still are. Until then, their worker may have been
    /// about to report them.
    pub fn report(&mut self, board: &Scoreboard) {
        let (count, now_us) = (board.unreported(), clock::unix_us());
        let to_report = count.min(self.count);
        self.count = count;
        if count == 0 {
            self.since_us = now_us;
        } else if to_report > 0 && self.sink.write(|| report_dropped(None, to_report, self.since_us, now_us)) {
            board.supervisor().add(Counter::LogReported, to_report);
            self.count -= to_report;
        }
    }
}
