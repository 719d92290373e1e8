//! Clocks. The coarse ones cost least and have the resolution of the kernel's tick, which is enough for deadlines and
//! the Date field.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// Returns milliseconds of CLOCK_MONOTONIC, which stops while the machine sleeps.
pub fn now_ms() -> u64 {
    let now = read(ClockId::CLOCK_MONOTONIC_COARSE);
    now.as_millis() as u64
}

/// Returns nanoseconds of CLOCK_MONOTONIC, for measurements. A call takes some 25 nanoseconds.
pub fn now_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC).as_nanos() as u64
}

/// Returns nanoseconds of processor time that this thread has used. A call takes some 200 nanoseconds.
pub fn thread_ns() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID).as_nanos() as u64
}

/// Returns seconds since the epoch, with the resolution of the tick.
pub fn unix_s() -> u64 {
    read(ClockId::CLOCK_REALTIME_COARSE).as_secs()
}

/// Returns microseconds since the epoch.
pub fn unix_us() -> u64 {
    read(ClockId::CLOCK_REALTIME).as_micros() as u64
}

/// The Date field of a thread, formatted once a second.
#[derive(Debug, Default)]
pub struct Date {
    second: u64,
    text: String,
}

impl Date {
    /// Returns the current date (RFC 9110 §6.6.1).
    pub fn now(&mut self) -> &str {
        let second = unix_s();
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
        }
        &self.text
    }
}

/// A logical clock: it orders events that happen within one tick of the coarse clock.
#[derive(Debug, Default)]
pub struct LogicalClock(AtomicU64);

impl LogicalClock {
    /// Returns a time later than every one before.
    pub fn tick(&self) -> u64 {
        self.0.fetch_add(1, SeqCst) + 1
    }

    /// Returns the latest time.
    pub fn latest(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

fn read(clock: ClockId) -> Duration {
    // These clocks exist since Linux 2.6.32; reading them cannot fail.
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}
