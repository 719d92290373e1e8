//! What systemd is told (sd_notify(3)). Without systemd, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells systemd; it is not this server's business whether it listens.
fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd does not hear: {error}");
    }
}

/// All workers serve.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The server reloads, until it is ready again.
pub fn reloading() {
    let now = NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Reloading);
    tell(&[NotifyState::Reloading, now]);
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// The server lives, and so do all its workers.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// The server ends what is in flight and then itself.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The server needs up to `time` more to stop.
pub fn extend_timeout(time: Duration) {
    tell(&[NotifyState::ExtendTimeoutUsec(time.as_micros().try_into().unwrap_or(u32::MAX))]);
}

/// WatchdogSec= of the unit: how long systemd waits for a sign of life.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}
