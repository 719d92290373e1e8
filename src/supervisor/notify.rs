//! They never block. If the buffer of the socket is full, because systemd does not read it, nothing is sent. Changes of
//! state are sent again on a later tick; status lines and watchdog pings are repeated in any case.

use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// The maximum number of queued messages: reloading, ready and stopping.
const MAX_QUEUED: usize = 4;

/// The notifications, and the messages that are still to be sent.
#[derive(Debug, Default)]
pub struct Notify {
    /// In the order in which they are sent.
    waiting: Vec<String>,
    dropped: u64,
}

impl Notify {
    /// All workers are ready.
    pub fn ready(&mut self) {
        self.send_or_queue(&[NotifyState::Ready]);
    }

    /// The server reloads; it is ready again later.
    pub fn reloading(&mut self) {
        let now = NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Reloading);
        self.send_or_queue(&[NotifyState::Reloading, now]);
    }

    /// The server drains and stops.
    pub fn stopping(&mut self) {
        self.send_or_queue(&[NotifyState::Stopping]);
    }

    /// Sends the line that `systemctl status` shows. Returns whether it was sent.
    pub fn status(&mut self, line: &str) -> bool {
        let is_taken = self.waiting.is_empty() && notify(&message(&[NotifyState::Status(line)]));
        self.dropped += u64::from(!is_taken);
        is_taken
    }

    /// Pings the watchdog: the server and all its workers are alive.
    pub fn watchdog_ping(&mut self) {
        self.try_send(NotifyState::Watchdog);
    }

    /// The server needs up to `time` more to stop.
    pub fn extend_timeout(&mut self, time: Duration) {
        self.try_send(NotifyState::ExtendTimeoutUsec(time.as_micros().try_into().unwrap_or(u32::MAX)));
    }

    /// Returns the number of messages that were lost since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn try_send(&mut self, state: NotifyState) {
        self.dropped += u64::from(!notify(&message(&[state])));
    }

    /// Sends the queued messages.
    pub fn flush_queue(&mut self) {
        while self.waiting.first().is_some_and(|message| notify(message)) {
            self.waiting.remove(0);
        }
    }

    fn send_or_queue(&mut self, states: &[NotifyState]) {
        if self.waiting.len() == MAX_QUEUED {
            self.waiting.remove(0);
            self.dropped += 1;
        }
        self.waiting.push(message(states));
        self.flush_queue();
    }
}

fn message(states: &[NotifyState]) -> String {
    states.iter().fold(String::new(), |mut text, state| {
        // Each line is an assignment: a value with several lines would be several.
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", state.to_string().replace(char::is_control, " "));
        text
    })
}

/// Sends a message. Returns true if it was sent, or can never be sent.
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

/// Returns WatchdogSec= of the unit: the time within which systemd expects a ping.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_several_lines_is_one_assignment() {
        let states = [NotifyState::Status("serving\nMAINPID=1\r\n"), NotifyState::Ready];
        assert_eq!(message(&states), "STATUS=serving MAINPID=1  \nREADY=1\n");
    }
}
