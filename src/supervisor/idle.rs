//! The idle exit (`--idle-exit`): the server stops after a time without connections, and the socket unit starts it
//! again on the next one.

use std::time::Duration;

/// The time since the last connection.
#[derive(Debug)]
pub struct IdleTimer {
    limit_ms: Option<u64>,
    visits: u64,
    since_ms: u64,
}

impl IdleTimer {
    /// Starts without connections. Without a limit, the server never stops.
    pub fn new(limit: Option<Duration>) -> Self {
        IdleTimer { limit_ms: limit.map(|limit| limit.as_millis() as u64), visits: 0, since_ms: 0 }
    }

    /// Returns whether there was no connection for the whole limit. `visits` is the number of connections so far.
    pub fn is_over(&mut self, visits: u64, has_connections: bool, now_ms: u64) -> bool {
        if has_connections || visits != self.visits || self.since_ms == 0 {
            (self.visits, self.since_ms) = (visits, now_ms);
        }
        self.limit_ms.is_some_and(|limit_ms| now_ms >= self.since_ms + limit_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_exit_is_due_after_the_time_without_connections() {
        let mut idle = IdleTimer::new(Some(Duration::from_secs(3)));
        for (now_ms, visits, has_connections, is_over) in [
            (50_000, 0, false, false),
            (52_999, 0, false, false),
            // The number includes connections that were opened and closed between two checks.
            (53_000, 1, false, false),
            (55_999, 1, false, false),
            (56_000, 1, true, false),
            (58_999, 1, false, false),
            (59_000, 1, false, true),
        ] {
            assert_eq!(idle.is_over(visits, has_connections, now_ms), is_over, "{now_ms}");
        }
        assert!(!IdleTimer::new(None).is_over(0, false, u64::MAX));
    }
}
