//! The destination of events: the journal, with fields, if journald reads stderr; otherwise stderr, as lines.

pub mod catalog;
mod once_per_minute;

use std::fmt::{Debug, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub use once_per_minute::OncePerMinute;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, UnixAddr, getpeername, send};
use nix::sys::stat::{SFlag, fstat};
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Event, Level, Subscriber, dispatcher};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::failure::{self, Failure};
use crate::os::sys;
use crate::printable::{Escape, Printable};

/// The identifier for `journalctl -t`.
const IDENTIFIER: &str = "otus-httpd";

/// The time that an event waits for a slow journal.
const SEND_TIMEOUT: Duration = Duration::from_millis(100);

/// The time that the start waits for a slow journal.
const START_TIMEOUT: Duration = Duration::from_secs(1);

/// The socket where journald receives events.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// The socket where journald receives output.
const JOURNAL_OUTPUT: &str = "/run/systemd/journal/stdout";

/// The destination of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The journal, with fields.
    Journal,
    /// Stderr, a JSON object per line.
    Stderr,
}

/// Starts logging, including events of level debug if `debug` is set. Lines on stderr are JSON if `json` is set.
pub fn start(debug: bool, json: bool) {
    let level = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let journal = if is_journal(io::stderr()) { journal_for_events() } else { None };
    let stderr = journal.is_none().then(|| if json { json_lines(|| Stderr).boxed() } else { lines() });
    let subscriber = Registry::default().with(level).with(journal.map(WithStderrFallback)).with(stderr);
    // This fails only if a subscriber is set already, as in a test: that one stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let why = Printable(panic.payload_as_str().unwrap_or("no message"));
        tracing::error!(place, "panic at {place}: {why}; please report it as a bug");
    }));
}

/// The message is complete; its fields are for the journal, where they can be searched.
fn lines<S: Subscriber + for<'s> LookupSpan<'s>>() -> Box<dyn Layer<S> + Send + Sync> {
    let message = debug_fn(|line, field, value| match field.name() {
        "message" => write!(Escape(line), "{value:?}"),
        _ => Ok(()),
    });
    let lines = fmt::layer().with_writer(|| Stderr).with_target(false).log_internal_errors(false);
    let lines = lines.fmt_fields(message);
    if io::stderr().is_terminal() { lines.boxed() } else { lines.without_time().boxed() }
}

fn json_lines<S, W>(writer: fn() -> W) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: Write + 'static,
{
    let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    lines.with_writer(move || PrintableJson(writer())).log_internal_errors(false)
}

/// Standard error that never blocks. If the reader is slow and there is no room for a line, the line is dropped. The
/// next line that is written reports the number of dropped lines.
#[derive(Debug)]
struct Stderr;

/// What [`Stderr::reopen`] opened, from the first line on.
static OWN_STDERR: OnceLock<Option<File>> = OnceLock::new();

/// The socket of the journal's layer.
static JOURNAL_SOCKET: OnceLock<RawFd> = OnceLock::new();

/// Returns the descriptors that a process needs for its log, besides stderr.
pub fn descriptors() -> Vec<RawFd> {
    // Opened now, while the process may.
    let own = OWN_STDERR.get_or_init(Stderr::reopen).as_ref().map(AsRawFd::as_raw_fd);
    own.into_iter().chain(JOURNAL_SOCKET.get().copied()).collect()
}

/// Lines that were dropped and not yet reported.
static DROPPED_LINES: AtomicU64 = AtomicU64::new(0);

/// Messages that could not be logged and are not yet counted elsewhere.
static UNCOUNTED: AtomicU64 = AtomicU64::new(0);

/// Returns the number of messages of this process that could not be logged since the last call.
pub fn take_dropped() -> u64 {
    UNCOUNTED.swap(0, Relaxed)
}

impl Stderr {
    /// Writes if that does not block.
    fn try_write(bytes: &[u8]) -> bool {
        // The size that is written to a pipe completely or not at all (pipe(7), PIPE_BUF).
        bytes.chunks(4096).all(|part| match OWN_STDERR.get_or_init(Stderr::reopen) {
            Some(own) => (&*own).write_all(part).is_ok(),
            None => {
                let stderr = io::stderr();
                let mut room = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
                poll(&mut room, PollTimeout::ZERO) == Ok(1) && (&stderr).write_all(part).is_ok()
            }
        })
    }

    /// Reopens a pipe or a terminal in non-blocking mode. So the mode applies to this process and its workers only, not
    /// to all processes with the same output.
    fn reopen() -> Option<File> {
        let kind = sys::file_type(&fstat(io::stderr()).ok()?);
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let open = || OpenOptions::new().write(true).custom_flags(flags).open("/proc/self/fd/2").ok();
        if matches!(kind, SFlag::S_IFIFO | SFlag::S_IFCHR) { open() } else { None }
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let dropped = DROPPED_LINES.swap(0, Relaxed);
        let is_told = dropped == 0
            || Stderr::try_write(
                format!("{dropped} log lines were dropped: the reader of stderr is too slow.\n").as_bytes(),
            );
        if !is_told || !Stderr::try_write(bytes) {
            DROPPED_LINES.fetch_add(u64::from(!is_told) * dropped + 1, Relaxed);
            UNCOUNTED.fetch_add(1, Relaxed);
            // See `write_succeeded`.
            Errno::EAGAIN.set();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces every unprintable character in lines of JSON with `\uXXXX`. JSON itself requires that only below U+0020.
#[derive(Debug)]
struct PrintableJson<W>(W);

impl<W: Write> Write for PrintableJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_plain = |&byte: &u8| matches!(byte, b' '..=b'~' | b'\n');
        if bytes.iter().all(is_plain) {
            return self.0.write(bytes);
        }
        let mut line = String::with_capacity(bytes.len() + 64);
        for character in String::from_utf8_lossy(bytes).chars() {
            match character {
                '\n' | '"' | '\\' | '\'' => line.push(character),
                _ if character.escape_debug().len() == 1 => line.push(character),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        // Writing to a string does not fail.
                        _ = write!(line, "\\u{unit:04x}");
                    }
                }
            }
        }
        self.0.write_all(line.as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The journal's layer, with a fallback: if the journal does not accept an event in time, it is written to stderr.
/// journald reads that as well, and it has a larger buffer.
struct WithStderrFallback(tracing_journald::Layer);

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for WithStderrFallback {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if write_succeeded(|| self.0.on_event(event, context)) {
            return;
        }
        // sd-daemon(3): the priority precedes the line.
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        let mut line = format!("<{priority}>");
        event.record(&mut |field: &Field, value: &dyn Debug| {
            if field.name() == "message" {
                // Writing to a string does not fail.
                _ = write!(Escape(&mut line), "{value:?}");
                line.push('\n');
            }
        });
        match send(io::stderr().as_raw_fd(), line.as_bytes(), MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => Errno::clear(),
            Err(errno) => {
                UNCOUNTED.fetch_add(1, Relaxed);
                // See `write_succeeded`.
                errno.set();
            }
        }
    }
}

/// Returns whether the event was written. Layers do not return errors, but their last action is a system call, which
/// leaves its error in errno(3).
fn write_succeeded(event: impl FnOnce()) -> bool {
    Errno::clear();
    event();
    // An event that is too long for a datagram was sent in another way.
    matches!(Errno::last_raw(), 0 | libc::EMSGSIZE)
}

/// A separate sink whose writes may block and report success. It is opened on the first write.
#[derive(Debug)]
pub struct Sink {
    open: fn(Destination) -> Option<Dispatch>,
    destination: Destination,
    dispatch: Option<Dispatch>,
}

impl Sink {
    /// Creates the sink for records of the access log.
    pub fn for_access(destination: Destination) -> Self {
        Sink { open: open_for_access, destination, dispatch: None }
    }

    /// Creates the sink for warnings about the access log.
    pub fn for_warnings(destination: Destination) -> Self {
        Sink { open: open_for_warnings, destination, dispatch: None }
    }

    /// Closes the sink until the next write.
    pub fn close(&mut self) {
        self.dispatch = None;
    }

    /// Writes an event. Returns whether that succeeded.
    pub fn write(&mut self, event: impl FnOnce()) -> bool {
        if self.dispatch.is_none() {
            self.dispatch = (self.open)(self.destination);
        }
        self.dispatch.as_ref().is_some_and(|dispatch| write_succeeded(|| dispatcher::with_default(dispatch, event)))
    }
}

fn open_for_access(destination: Destination) -> Option<Dispatch> {
    let registry = Registry::default().with(LevelFilter::INFO);
    match destination {
        Destination::Journal => {
            reach_journal().ok()?;
            // syslog(3): an error of a client is a normal but significant condition.
            Some(Dispatch::new(registry.with(journal(Priority::Notice)?)))
        }
        Destination::Stderr => Some(Dispatch::new(registry.with(json_lines(io::stderr)))),
    }
}

/// With the server's own events, unless these have another destination.
fn open_for_warnings(destination: Destination) -> Option<Dispatch> {
    if destination == Destination::Stderr || is_journal(io::stderr()) {
        return Some(dispatcher::get_default(Dispatch::clone));
    }
    reach_journal().ok()?;
    Some(Dispatch::new(Registry::default().with(LevelFilter::INFO).with(journal_of_daemon()?)))
}

/// Logs why the server did not start, as the last event of the process. It is written to stderr even if journald reads
/// that: journald identifies the sender of a stream, but not of a datagram if the sender has ended.
pub fn failure(failure: &Failure) {
    // sd-daemon(3): the priority of an error.
    let prefix = if is_journal(io::stderr()) { "<3>".into() } else { format!("{IDENTIFIER}: ") };
    // The reader may be slow, or missing.
    let stderr = io::stderr();
    let timeout = PollTimeout::try_from(START_TIMEOUT).unwrap_or(PollTimeout::ZERO);
    let _ = poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], timeout);
    Stderr::try_write(format!("{prefix}{failure}\n").as_bytes());
}

/// Returns whether journald reads this output (systemd.exec(5), `$JOURNAL_STREAM`): the variable has the device and
/// inode of the stream. A process with another output may have inherited the variable.
pub fn is_journal(output: impl AsFd) -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        // systemd before 231 does not set it; journald's end of the stream has a name there.
        let peer = getpeername::<UnixAddr>(output.as_fd().as_raw_fd());
        return peer.is_ok_and(|peer| peer.path() == Some(Path::new(JOURNAL_OUTPUT)));
    };
    fstat(output).is_ok_and(|output| stream == format!("{}:{}", output.st_dev, output.st_ino))
}

/// Returns whether the journal accepts messages now.
fn reach_journal() -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    // An empty datagram is not a message.
    socket.send_to(&[], JOURNAL).map(drop)
}

/// Returns whether the access log can reach its destination. If the journal has the rest of the log, it may become
/// available later.
pub fn check(destination: Option<Destination>) -> Result<(), Failure> {
    if destination != Some(Destination::Journal) || is_journal(io::stderr()) {
        return Ok(());
    }
    match reach_journal() {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            let why = failure::reason(&error);
            Err(Failure::new(format!(
                "There is no journal for the access log at {JOURNAL} ({why}): start systemd-journald, or give --access-log=stderr."
            )))
        }
        _ => Ok(()),
    }
}

fn journal(warning: Priority) -> Option<tracing_journald::Layer> {
    let layer = tracing_journald::layer().ok()?;
    let mappings = PriorityMappings {
        warn: warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        ..PriorityMappings::new()
    };
    Some(layer.with_field_prefix(None).with_syslog_identifier(IDENTIFIER.into()).with_priority_mappings(mappings))
}

/// The destination of the server's own events. An event waits for it for a limited time.
fn journal_for_events() -> Option<tracing_journald::Layer> {
    let begin = Instant::now();
    while reach_journal().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
        if begin.elapsed() > START_TIMEOUT {
            return None;
        }
        std::thread::sleep(SEND_TIMEOUT);
    }
    // The layer does not expose its socket. A new descriptor has the lowest free number (socket(2)), and no other
    // thread opens one.
    let number = UnixDatagram::unbound().ok()?.as_raw_fd();
    let layer = journal_of_daemon();
    if layer.is_some() {
        let _ = sys::set_send_timeout(number, SEND_TIMEOUT);
        let _ = JOURNAL_SOCKET.set(number);
    }
    layer
}

/// syslog(3): the server's own events have the facility LOG_DAEMON. Records of the access log have none. This
/// distinguishes the two.
fn journal_of_daemon() -> Option<tracing_journald::Layer> {
    journal(Priority::Warning).map(|layer| layer.with_custom_fields([("SYSLOG_FACILITY", "3")]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_made_printable_without_changing_its_meaning() {
        let mut out = PrintableJson(Vec::new());
        let line = "{\"a\":\"\u{9b}\u{7f}\\u0007 it's \\\"\u{202e}\u{444}\\\\\u{e0001}\"}\n";
        out.write_all(line.as_bytes()).unwrap();
        let expected = "{\"a\":\"\\u009b\\u007f\\u0007 it's \\\"\\u202e\u{444}\\\\\\udb40\\udc01\"}\n";
        assert_eq!(String::from_utf8(out.0).unwrap(), expected);
    }
}
