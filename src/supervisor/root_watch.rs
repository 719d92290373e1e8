//! Logs that the document root does not respond, and that it responds again.

use crate::config::Options;
use crate::ipc::scoreboard::{Counter, Scoreboard};
use crate::log::catalog;
use crate::service::health::HealthSettings;

/// The time of the last response, while the document root does not respond.
#[derive(Debug, Default)]
pub struct RootWatch {
    answered_ms: Option<u64>,
}

impl RootWatch {
    /// Returns whether the document root did not respond at the last check.
    pub fn is_unresponsive(&self) -> bool {
        self.answered_ms.is_some()
    }

    /// Logs a change. Time before `awake_since_ms` does not count: this process was stopped as well.
    pub fn check(&mut self, options: &Options, board: &Scoreboard, awake_since_ms: u64, now_ms: u64) {
        let (directory, what) = options.directory();
        let path = directory.display();
        let answered_ms = board.newest(Counter::RootAnswered, now_ms);
        let settings = HealthSettings::of(options);
        match self.answered_ms {
            None if settings.is_overdue(answered_ms.max(awake_since_ms), now_ms) => {
                self.answered_ms = Some(answered_ms);
                let seconds = (now_ms - answered_ms) / 1_000;
                tracing::error!(
                    message_id = catalog::ROOT_UNRESPONSIVE,
                    %path,
                    seconds,
                    "The {what} {path} has not responded for {seconds} s (--health-timeout): check its disk. Health checks get 503."
                );
            }
            Some(since_ms) if !settings.is_overdue(answered_ms, now_ms) => {
                self.answered_ms = None;
                let seconds = (answered_ms - since_ms.min(answered_ms)) / 1_000;
                tracing::info!(%path, seconds, "The {what} {path} responds again, after {seconds} s.");
            }
            _ => {}
        }
    }
}
