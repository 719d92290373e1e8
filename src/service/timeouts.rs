//! How long a client may take. Every deadline is in milliseconds of [`clock::now_ms`](crate::os::clock::now_ms).

use std::time::Duration;

use crate::config::Options;

/// How long a client gets to end after the last answer: some round trips over a poor line.
const LINGER_MS: u64 = 2_000;

/// How long a client gets to end that no answer is on its way to.
const DRAIN_LINGER_MS: u64 = 300;

/// A connection that was opened or answered less than so long ago is likely to send a request next, and one that ends then
/// loses it.
const QUIET_MS: u64 = 1_000;

/// The time limits of a connection, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    head: u64,
    idle: u64,
    send: u64,
    min_rate: u64,
}

impl Timeouts {
    /// The limits that the options set.
    pub fn new(options: &Options) -> Self {
        let ms = |time: Duration| time.as_millis() as u64;
        Timeouts {
            head: ms(options.head_timeout),
            idle: ms(options.idle_timeout),
            send: ms(options.send_timeout),
            min_rate: options.min_rate as u64,
        }
    }

    /// Until when a head that begins now must be whole.
    pub fn head(&self, now: u64) -> u64 {
        now + self.head
    }

    /// Until when the next request must begin.
    pub fn idle(&self, now: u64) -> u64 {
        now + self.idle
    }

    /// Whether a connection whose deadline is that of [`idle`](Timeouts::idle) has been so for a while.
    pub fn is_quiet(&self, deadline_ms: u64, now: u64) -> bool {
        deadline_ms + QUIET_MS <= now + self.idle
    }

    /// Whether a head whose deadline is that of [`syntax`](Timeouts::head) has been on its way for a while.
    pub fn is_slow_head(&self, deadline_ms: u64, now: u64) -> bool {
        deadline_ms + QUIET_MS <= now + self.head
    }

    /// How many bytes it must take until then.
    pub fn min_bytes_per_window(&self) -> u64 {
        (self.min_rate * self.send / 1_000).max(1)
    }

    /// Until when the client must have taken more of the answer.
    pub fn send(&self, now: u64) -> u64 {
        now + self.send
    }

    /// Until when a client that has asked for nothing must end.
    pub fn drain_linger(&self, now: u64) -> u64 {
        now + DRAIN_LINGER_MS
    }

    /// Until when the client must end after the last answer.
    pub fn linger(&self, now: u64) -> u64 {
        now + LINGER_MS
    }
}
