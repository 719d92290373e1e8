//! The watchdog of systemd (`WatchdogSec=`), and the times that follow from it: how often the supervisor checks its workers,
//! and when a worker counts as hung.

use std::time::Duration;

/// Interval of the supervisor's checks, in milliseconds.
pub const TICK_MS: u64 = 1_000;

/// A tick that is later than this shows that this process itself was stopped, in milliseconds.
pub const LATE_MS: u64 = 500;

/// Hang timeout of a worker without a watchdog, in milliseconds.
const HANG_TIMEOUT_MS: u64 = 8_000;

/// Shortest hang timeout, in milliseconds: three self-checks of a worker.
const MIN_HANG_TIMEOUT_MS: u64 = 1_500;

/// The watchdog of systemd, if the unit has one.
#[derive(Debug)]
pub struct Watchdog {
    timeout_ms: Option<u64>,
    /// The worker that could not be started when last checked.
    unfillable: Option<usize>,
}

impl Watchdog {
    /// Returns the watchdog with the timeout of systemd, if there is one.
    pub fn new(timeout: Option<Duration>) -> Self {
        Watchdog { timeout_ms: timeout.map(|timeout| timeout.as_millis() as u64), unfillable: None }
    }

    /// Returns the interval of the checks: systemd.service(5) recommends a ping at half of the timeout.
    pub fn tick_ms(&self) -> u64 {
        self.timeout_ms.map_or(TICK_MS, |timeout_ms| (timeout_ms / 4).clamp(10, TICK_MS))
    }

    /// Returns the time after which a worker without a heartbeat counts as hung: it is detected within half of the timeout.
    pub fn hang_timeout_ms(&self) -> u64 {
        let detected = |timeout_ms: u64| (timeout_ms / 2).saturating_sub(TICK_MS + LATE_MS).max(MIN_HANG_TIMEOUT_MS);
        self.timeout_ms.map_or(HANG_TIMEOUT_MS, detected)
    }

    /// Returns how long a worker may be missing before the pings cease. None without a watchdog.
    pub fn missing_worker_timeout_ms(&self) -> Option<u64> {
        self.timeout_ms.map(|timeout_ms| (timeout_ms / 2).max(2 * TICK_MS))
    }

    /// Logs a change of the worker that cannot be started. Returns whether systemd is to be pinged: not while there is one.
    pub fn check(&mut self, unfillable: Option<usize>) -> bool {
        if unfillable != self.unfillable {
            self.unfillable = unfillable;
            match unfillable {
                None => tracing::info!("All workers have been started again."),
                Some(number) => tracing::error!(
                    worker = number,
                    "Worker {number} still cannot be started: systemd's watchdog will restart the server unless a retry succeeds soon."
                ),
            }
        }
        unfillable.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_from_the_timeout_of_systemd() {
        for (timeout_ms, tick_ms, hang_timeout_ms, missing_ms) in [
            (None, 1_000, 8_000, None),
            (Some(20_000), 1_000, 8_500, Some(10_000)),
            (Some(6_000), 1_000, 1_500, Some(3_000)),
            (Some(2_000), 500, 1_500, Some(2_000)),
            (Some(1), 10, 1_500, Some(2_000)),
        ] {
            let watchdog = Watchdog::new(timeout_ms.map(Duration::from_millis));
            assert_eq!(watchdog.tick_ms(), tick_ms, "{timeout_ms:?}");
            assert_eq!(watchdog.hang_timeout_ms(), hang_timeout_ms, "{timeout_ms:?}");
            assert_eq!(watchdog.missing_worker_timeout_ms(), missing_ms, "{timeout_ms:?}");
        }
    }

    #[test]
    fn pings_cease_while_a_worker_cannot_be_started() {
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(20)));
        assert_eq!(
            [None, Some(1), Some(1), None].map(|unfillable| watchdog.check(unfillable)),
            [true, false, false, true]
        );
    }
}
