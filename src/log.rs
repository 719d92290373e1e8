//! Where events go: to journald as fields when it reads our stderr, else as lines to stderr.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::failure::Failure;

/// The name under which `journalctl -t` finds this program.
const IDENTIFIER: &str = "otus-httpd";

/// Takes events from now on, those of level debug only if `debug` is set.
pub fn start(debug: bool) {
    let level = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let journal = if is_journal(io::stderr()) { journald() } else { None };
    let stderr = journal.is_none().then(|| {
        // A message says everything; its fields are for the journal, where they can be searched for.
        let message = debug_fn(|line, field, value| match field.name() {
            "message" => write!(line, "{value:?}"),
            _ => Ok(()),
        });
        let lines = fmt::layer().with_writer(io::stderr).with_target(false).log_internal_errors(false);
        let lines = lines.fmt_fields(message);
        if io::stderr().is_terminal() { lines.boxed() } else { lines.without_time().boxed() }
    });
    let subscriber = Registry::default().with(level).with(journal).with(stderr);
    // Fails only where a subscriber is set already, as it may be in a test: then that one stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let why = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, "panic at {place}: {why}; please report it as a bug");
    }));
}

/// Reports why the server did not start: the last event of a process that then ends. It goes to stderr, even where journald
/// reads that: it knows whose stream it is, but not who sent a datagram and has ended since.
pub fn failure(failure: &Failure) {
    // sd-daemon(3): the priority of an error.
    let prefix = if is_journal(io::stderr()) { "<3>".into() } else { format!("{IDENTIFIER}: ") };
    // Nobody may be there to read it.
    let _ = writeln!(io::stderr(), "{prefix}{failure}");
}

/// Whether journald reads this output. systemd.exec(5), `$JOURNAL_STREAM`: device and inode of the stream, which may be
/// inherited by a process whose output has since become something else.
pub fn is_journal(output: impl AsFd) -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(output).is_ok_and(|output| stream == format!("{}:{}", output.st_dev, output.st_ino))
}

fn journald() -> Option<tracing_journald::Layer> {
    let layer = tracing_journald::layer().ok()?;
    let priorities =
        PriorityMappings { info: Priority::Informational, debug: Priority::Debug, ..PriorityMappings::new() };
    Some(layer.with_field_prefix(None).with_syslog_identifier(IDENTIFIER.into()).with_priority_mappings(priorities))
}
