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

    /// Tells what there was at the last look already, and still is: a worker that is about to tell it may have been on the
    /// way.
    pub fn tell(&mut self, board: &Scoreboard) {
        let now = board.untold();
        let count = std::mem::replace(&mut self.count, now).min(now);
        if now == 0 {
            self.since_us = clock::unix_us();
        } else if count > 0 && self.outlet.write(|| report_dropped(None, count, self.since_us)) {
            board.slab(0).add(Counter::LogTold, count);
            self.count = now - count;
        }
    }
}
