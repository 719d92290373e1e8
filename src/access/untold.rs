//! Records of workers that have ended without telling what they had to drop: the supervisor does it for them.

use super::report_dropped;
use crate::clock;
use crate::log::{Destination, Outlet};
use crate::options::Options;
use crate::scoreboard::{Counter, Scoreboard};

/// What the supervisor has to tell, if there is an access log.
#[derive(Debug)]
pub struct Untold {
    outlet: Outlet,
    /// How much there was at the last look.
    count: u64,
    /// When there was nothing.
    since_us: u64,
}

impl Untold {
    /// Nothing yet.
    pub fn new(options: &Options) -> Self {
        let destination = options.access_destination().unwrap_or(Destination::Stderr);
        Untold { outlet: Outlet::for_warnings(destination), count: 0, since_us: clock::unix_us() }
    }

    /// Closes what a worker has inherited and has no part in.
    pub fn forget(&mut self) {
        self.outlet.close();
    }

    /// Tells what there was at the last look already, and still is: a worker that is about to tell it may have been on the
    /// way.
    pub fn tell(&mut self, board: &Scoreboard) {
        let (count, now_us) = (board.untold(), clock::unix_us());
        let to_tell = count.min(self.count);
        self.count = count;
        if count == 0 {
            self.since_us = now_us;
        } else if to_tell > 0 && self.outlet.write(|| report_dropped(None, to_tell, self.since_us, now_us)) {
            board.supervisor().add(Counter::LogTold, to_tell);
            self.count -= to_tell;
        }
    }
}
