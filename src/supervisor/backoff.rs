//! The delay before a child process is started again. Each kind of child has one.

/// The first delay, in milliseconds; each further one is twice as long.
const FIRST_MS: u64 = 100;

/// The longest delay, in milliseconds.
const MAX_MS: u64 = 5_000;

/// A child that ran this long, in milliseconds, resets the delay.
const STABLE_AFTER_MS: u64 = 30_000;

/// When a child may be started, and the delay after its next end.
#[derive(Debug)]
pub struct Backoff {
    delay_ms: u64,
    due_ms: u64,
}

impl Backoff {
    /// Returns the delays of a child that may be started now.
    pub fn new() -> Self {
        Backoff { delay_ms: FIRST_MS, due_ms: 0 }
    }

    /// Returns when the child may be started.
    pub fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// Delays the next start of a child that has ended after `lived_ms`, or could not be started. Returns the delay; the next
    /// one is twice as long.
    pub fn delay(&mut self, now_ms: u64, lived_ms: u64) -> u64 {
        if lived_ms >= STABLE_AFTER_MS {
            self.delay_ms = FIRST_MS;
        }
        let delay_ms = self.delay_ms;
        self.due_ms = now_ms + delay_ms;
        self.delay_ms = (delay_ms * 2).min(MAX_MS);
        delay_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_five_seconds_and_never_end() {
        let mut backoff = Backoff::new();
        let delays: Vec<_> = (0..9).map(|_| backoff.delay(0, 0)).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
        assert_eq!(backoff.due_ms(), 5_000);
    }

    #[test]
    fn a_child_that_was_stable_starts_with_the_first_delay() {
        let mut backoff = Backoff::new();
        let delays = [0, 29_999, 30_000, 0].map(|lived_ms| backoff.delay(1_000, lived_ms));
        assert_eq!(delays, [100, 200, 100, 200]);
        assert_eq!(backoff.due_ms(), 1_200);
    }
}
