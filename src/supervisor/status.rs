//! The line that `systemctl status` shows.

use std::collections::VecDeque;

use super::Supervisor;
use crate::ipc::scoreboard::{Counter, Scoreboard};
use crate::os::clock;

/// The window of the request rate, in milliseconds.
const WINDOW_MS: u64 = 10_000;

/// The line that was sent last, and the request counts of the last seconds, for the rate.
#[derive(Debug)]
pub struct StatusLine {
    sent: String,
    samples: VecDeque<(u64, u64)>,
}

impl Supervisor {
    /// Sends the status line to systemd, if it has changed.
    pub(super) fn send_status(&mut self, now_ms: u64) {
        let old_workers = self.workers.old_workers().count();
        let state = self.lifecycle.name(old_workers > 0);
        let workers = (self.workers.ready(), self.workers.size());
        let mut line = self.status.line(state, self.workers.board(), workers, now_ms);
        line += &root(self.workers.board(), self.context.options.sites.is_some());
        if self.root_watch.is_unresponsive() {
            line += match self.context.options.sites {
                None => ", DOCUMENT ROOT DOES NOT RESPOND",
                Some(_) => ", DIRECTORY OF SITES DOES NOT RESPOND",
            };
        }
        if old_workers > 0 {
            line += &format!(", old workers {old_workers}");
        }
        if let Some(report) = self.keys.report() {
            line += &report.status(i64::try_from(clock::unix_s()).unwrap_or(i64::MAX));
            if self.keys.is_missing(now_ms) {
                line += ", KEY PROCESS MISSING";
            }
        }
        line += &format!(", version {}", crate::VERSION);
        if let Some(why) = &self.reload_error {
            line += &format!("; reload failed: {why}");
        }
        // If it is not accepted, the next tick sends the line of that time.
        if line != self.status.sent && self.notify.status(&line) {
            self.status.sent = line;
        }
    }
}

impl StatusLine {
    /// Starts at `now_ms`, before the first request.
    pub fn new(now_ms: u64) -> Self {
        StatusLine { sent: String::new(), samples: VecDeque::from([(now_ms, 0)]) }
    }

    /// Returns the line at `now_ms`. `state` is one word; `ready` of `workers` workers are ready.
    fn line(&mut self, state: &str, board: &Scoreboard, (ready, workers): (usize, usize), now_ms: u64) -> String {
        let requests = board.requests();
        let rate = self.rate(now_ms, requests);
        let saturated = match board.total(Counter::Saturated) {
            0 => String::new(),
            count => format!(" ({count} saturated)"),
        };
        let dropped = match board.total(Counter::LogDropped) {
            0 => String::new(),
            count => format!(", log records dropped {count}"),
        };
        format!(
            "{state}: workers {ready}/{workers}{saturated}, requests {requests}, {rate:.1} req/s, in flight {}, parked {}, threads {}{dropped}",
            board.total(Counter::InFlight),
            board.total(Counter::Parked),
            board.total(Counter::Threads),
        )
    }

    fn rate(&mut self, now_ms: u64, requests: u64) -> f64 {
        self.samples.push_back((now_ms, requests));
        while self.samples.get(1).is_some_and(|(then, _)| then + WINDOW_MS <= now_ms) {
            self.samples.pop_front();
        }
        let (then, before) = self.samples[0];
        // A few milliseconds after the start give no rate.
        let seconds = (now_ms - then).max(1_000) as f64 / 1_000.0;
        // A compromised worker may make the sum fall.
        requests.saturating_sub(before) as f64 / seconds
    }
}

/// Returns what the line says about the document root, or about the directory of sites.
fn root(board: &Scoreboard, has_sites: bool) -> String {
    match (has_sites, board.total(Counter::RootMissing) > 0, board.largest(Counter::DefaultSite) > 0) {
        (false, true, _) => ", DOCUMENT ROOT MISSING".to_string(),
        (false, false, _) => String::new(),
        (true, true, _) => ", DIRECTORY OF SITES MISSING OR UNREADABLE".to_string(),
        (true, false, true) => format!(", sites {} and _default", board.largest(Counter::Sites)),
        (true, false, false) => format!(", sites {}, no _default", board.largest(Counter::Sites)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_there_is_to_serve() {
        let board = Scoreboard::new(2).unwrap();
        let both = || (root(&board, false), root(&board, true));
        assert_eq!(both(), (String::new(), ", sites 0, no _default".into()));
        for (worker, sites) in [(0, 12), (1, 11)] {
            board.counters(worker).set(Counter::Sites, sites);
        }
        assert_eq!(both().1, ", sites 12, no _default", "the workers read the list at different times");
        board.counters(1).set(Counter::DefaultSite, 1);
        assert_eq!(both().1, ", sites 12 and _default");
        board.counters(1).set(Counter::RootMissing, 1);
        assert_eq!(both(), (", DOCUMENT ROOT MISSING".into(), ", DIRECTORY OF SITES MISSING OR UNREADABLE".into()));
    }

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let mut status = StatusLine::new(0);
        assert_eq!(status.rate(4, 1), 1.0);
        assert_eq!(status.rate(500, 100), 100.0);
        assert_eq!(status.rate(1_000, 100), 100.0);
        assert_eq!(status.rate(5_000, 100), 20.0);
        assert_eq!(status.rate(10_000, 100), 10.0);
        assert_eq!(status.rate(11_000, 100), 0.0);
        assert_eq!(status.rate(12_000, 3), 0.0);
    }
}
