//! The timeouts of a connection. Every deadline is in milliseconds of [`clock::now_ms`](crate::os::clock::now_ms).

use std::time::Duration;

use crate::config::Options;

/// The time for the client to close its side after the last response, in milliseconds. It is enough for some round
/// trips over a slow line.
const LINGER_MS: u64 = 2_000;

/// The same time while the server drains and no response is being sent.
const DRAIN_LINGER_MS: u64 = 300;

/// The time in which the next request is likely, in milliseconds, after a connection was opened or a response was sent.
/// Closing the connection within this time would lose that request.
const QUIET_MS: u64 = 1_000;

/// The timeouts, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    head: u64,
    idle: u64,
    send: u64,
    min_rate: u64,
}

impl Timeouts {
    /// Reads the timeouts from the configuration.
    pub fn new(options: &Options) -> Self {
        let ms = |time: Duration| time.as_millis() as u64;
        Timeouts {
            head: ms(options.head_timeout),
            idle: ms(options.idle_timeout),
            send: ms(options.send_timeout),
            min_rate: options.min_rate as u64,
        }
    }

    /// Returns the deadline of a head that begins at `now` (--head-timeout).
    pub fn head(&self, now: u64) -> u64 {
        now + self.head
    }

    /// Returns the deadline of the next request (--idle-timeout).
    pub fn idle(&self, now: u64) -> u64 {
        now + self.idle
    }

    /// Returns whether a connection with a deadline of [`idle`](Timeouts::idle) has been idle for a while.
    pub fn is_quiet(&self, deadline_ms: u64, now: u64) -> bool {
        deadline_ms + QUIET_MS <= now + self.idle
    }

    /// Returns whether a head with a deadline of [`head`](Timeouts::head) has been incomplete for a while.
    pub fn is_slow_head(&self, deadline_ms: u64, now: u64) -> bool {
        deadline_ms + QUIET_MS <= now + self.head
    }

    /// Returns the number of bytes that a client must receive within --send-timeout (--min-rate).
    pub fn min_bytes_per_window(&self) -> u64 {
        (self.min_rate * self.send / 1_000).max(1)
    }

    /// Returns the deadline for a client to receive more (--send-timeout).
    pub fn send(&self, now: u64) -> u64 {
        now + self.send
    }

    /// Returns the deadline for closing an idle connection while the server drains.
    pub fn drain_linger(&self, now: u64) -> u64 {
        now + DRAIN_LINGER_MS
    }

    /// Returns the deadline for the client to close its side after the last response.
    pub fn linger(&self, now: u64) -> u64 {
        now + LINGER_MS
    }
}
