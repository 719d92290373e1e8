//! What systemd is told (sd_notify(3)). Without systemd, nothing happens.
//!
//! Nobody is waited for: a socket that is full, since whoever has it does not read, takes nothing. What has to be told is
//! told again on a later tick; a status line or a sign of life comes again by itself.

use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// So many messages at most wait to be told: reloading, ready and stopping.
const MAX_QUEUED: usize = 4;

/// What systemd is told, and what it has yet to be told.
#[derive(Debug, Default)]
pub struct Notify {
    /// In the order in which they are to be told.
    waiting: Vec<String>,
    dropped: u64,
}

impl Notify {
    /// All workers serve.
    pub fn ready(&mut self) {
        self.send_until_taken(&[NotifyState::Ready]);
    }

    /// The server reloads, until it is ready again.
    pub fn reloading(&mut self) {
        let now = NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Reloading);
        self.send_until_taken(&[NotifyState::Reloading, now]);
    }

    /// The server ends what is in flight and then itself.
    pub fn stopping(&mut self) {
        self.send_until_taken(&[NotifyState::Stopping]);
    }

    /// One line for `systemctl status`. Says whether it was taken.
    pub fn status(&mut self, line: &str) -> bool {
        let is_taken = self.waiting.is_empty() && notify(&message(&[NotifyState::Status(line)]));
        self.dropped += u64::from(!is_taken);
        is_taken
    }

    /// The server lives, and so do all its workers.
    pub fn watchdog_ping(&mut self) {
        self.tell_once(NotifyState::Watchdog);
    }

    /// The server needs up to `time` more to stop.
    pub fn extend_timeout(&mut self, time: Duration) {
        self.tell_once(NotifyState::ExtendTimeoutUsec(time.as_micros().try_into().unwrap_or(u32::MAX)));
    }

    /// How many messages were not taken since the last call, and are not told again.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn tell_once(&mut self, state: NotifyState) {
        self.dropped += u64::from(!notify(&message(&[state])));
    }

    /// Tells again what was not taken.
    pub fn resend_queued(&mut self) {
        while self.waiting.first().is_some_and(|message| notify(message)) {
            self.waiting.remove(0);
        }
    }

    fn send_until_taken(&mut self, states: &[NotifyState]) {
        if self.waiting.len() == MAX_QUEUED {
            self.waiting.remove(0);
            self.dropped += 1;
        }
        self.waiting.push(message(states));
        self.resend_queued();
    }
}

fn message(states: &[NotifyState]) -> String {
    states.iter().fold(String::new(), |mut text, state| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{state}");
        text
    })
}

/// Sends a message. Says whether there is nothing left to do for it: it was taken, or will never be.
fn notify(message: &str) -> bool {
    match send(message) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => {
            tracing::debug!("sd_notify failed: {error}");
            true
        }
    }
}

fn send(message: &str) -> io::Result<()> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message.as_bytes(), &address).map(drop)
}

/// WatchdogSec= of the unit: how long systemd waits for a sign of life.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}
