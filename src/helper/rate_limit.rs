//! The limit on the bytes that are read or decoded in a second: a token bucket.

use std::cell::Cell;
use std::time::Duration;

/// A bucket that holds the tokens of a tenth of a second.
#[derive(Debug)]
pub struct RateLimit {
    bytes_per_second: u64,
    /// Bytes that may be read now; negative after more were read.
    available: Cell<i64>,
    updated_ns: Cell<u64>,
}

impl RateLimit {
    /// Creates a limit whose bucket is full.
    pub fn new(bytes_per_second: u64) -> Self {
        let available = Cell::new(capacity(bytes_per_second));
        RateLimit { bytes_per_second, available, updated_ns: Cell::new(0) }
    }

    /// Takes the tokens of `bytes` at `now_ns`, of a monotonic clock. Returns the pause after which they are permitted.
    pub fn take(&self, bytes: usize, now_ns: u64) -> Duration {
        let passed_ns = u128::from(now_ns.saturating_sub(self.updated_ns.replace(now_ns)));
        let refill = passed_ns * u128::from(self.bytes_per_second) / 1_000_000_000;
        let refill = i64::try_from(refill).unwrap_or(i64::MAX);
        let before = self.available.get().saturating_add(refill).min(capacity(self.bytes_per_second));
        let available = before - bytes as i64;
        self.available.set(available);
        let missing = available.min(0).unsigned_abs();
        Duration::from_nanos((u128::from(missing) * 1_000_000_000 / u128::from(self.bytes_per_second)) as u64)
    }
}

fn capacity(bytes_per_second: u64) -> i64 {
    (bytes_per_second / 10) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_bytes_than_permitted_and_a_tenth() {
        let limit = RateLimit::new(1_000_000);
        let mut now_ns = 5_000_000_000_000;
        let mut times = Vec::new();
        for bytes in [1, 1_000, 30_000, 100_000].into_iter().cycle().take(400) {
            now_ns += limit.take(bytes, now_ns).as_nanos() as u64;
            times.push((now_ns, bytes));
        }
        for (begin_ns, _) in &times {
            let second =
                times.iter().filter(|(at_ns, _)| (0..1_000_000_000).contains(&(at_ns.wrapping_sub(*begin_ns) as i64)));
            let sum: usize = second.map(|(_, bytes)| bytes).sum();
            assert!(sum <= 1_100_000 + 100_000, "{sum}");
        }
        let total: usize = times.iter().map(|(_, bytes)| bytes).sum();
        let seconds = (times[399].0 - times[0].0) as f64 / 1e9;
        assert!((total as f64 / seconds) > 980_000.0, "the permitted rate is used");
    }

    #[test]
    fn a_long_pause_does_not_permit_more_than_the_bucket_holds() {
        let limit = RateLimit::new(1_000_000);
        assert_eq!(limit.take(100_000, 1), Duration::ZERO);
        assert_eq!(limit.take(100_000, u64::MAX / 2), Duration::ZERO);
        assert_eq!(limit.take(50_000, u64::MAX / 2), Duration::from_millis(50));
    }
}
