//! The health of the server: whether a load balancer should send it requests. It is read from counters alone, so that no answer
//! waits for a disk.

use std::fmt;

use crate::config::Options;
use crate::http::{Request, Response, Status, target};
use crate::ipc::scoreboard::{Counter, Scoreboard};
use crate::os::clock;

/// Why the server is to get no requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// It stops.
    Draining,
    /// No worker is ready.
    NoWorkers,
    /// A listening socket has failed.
    ListenerFailed,
    /// The document root does not exist.
    RootMissing,
    /// The directory of sites does not exist, or cannot be read.
    SitesMissing,
    /// The disk of the document root, or of the directory of sites, has not responded for `seconds`.
    RootUnresponsive {
        /// Whether there is a directory of sites.
        has_sites: bool,
        /// The time since its last response.
        seconds: u64,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Problem::Draining => "draining",
            Problem::NoWorkers => "no workers ready",
            Problem::ListenerFailed => "a listening socket was shut down",
            Problem::RootMissing => "the document root is missing",
            Problem::SitesMissing => "the directory of sites is missing or cannot be read",
            Problem::RootUnresponsive { has_sites, seconds } => {
                let what = if *has_sites { "directory of sites" } else { "document root" };
                return write!(f, "the {what} has not responded for {seconds} s");
            }
        })
    }
}

/// Returns the response to a health check: that the server can serve, or the problem.
pub fn response(problem: Option<Problem>) -> Response {
    let (status, text) = match problem {
        None => (Status::Ok, "ready\n".into()),
        Some(problem) => (Status::ServiceUnavailable, format!("{problem}\n")),
    };
    Response::report(status, "text/plain; charset=utf-8", text)
}

/// What the health depends on besides counters.
#[derive(Debug, Clone, Copy)]
pub struct HealthSettings {
    has_sites: bool,
    timeout_ms: u64,
}

impl HealthSettings {
    /// Returns those of `options`.
    pub fn of(options: &Options) -> Self {
        let timeout_ms = options.health_timeout.as_millis() as u64;
        HealthSettings { has_sites: options.sites.is_some(), timeout_ms }
    }

    /// Returns whether the next response of a disk is overdue that has responded last at `answered_ms`.
    pub fn is_overdue(&self, answered_ms: u64, now_ms: u64) -> bool {
        now_ms >= answered_ms + self.timeout_ms
    }

    /// Returns the problem of a server that has a worker, with these counters; none if it can serve.
    pub fn problem(&self, board: &Scoreboard, now_ms: u64) -> Option<Problem> {
        if board.is_stopping() {
            Some(Problem::Draining)
        } else if board.total(Counter::FailedListeners) > 0 {
            Some(Problem::ListenerFailed)
        } else {
            self.root_problem(board, now_ms)
        }
    }

    /// Returns the problem of the document root, or of the directory of sites; none if it is there and its disk responds.
    pub fn root_problem(&self, board: &Scoreboard, now_ms: u64) -> Option<Problem> {
        let answered_ms = board.newest(Counter::RootAnswered, now_ms);
        let HealthSettings { has_sites, .. } = *self;
        if board.total(Counter::RootMissing) > 0 {
            Some(if has_sites { Problem::SitesMissing } else { Problem::RootMissing })
        } else if self.is_overdue(answered_ms, now_ms) {
            Some(Problem::RootUnresponsive { has_sites, seconds: (now_ms - answered_ms) / 1_000 })
        } else {
            None
        }
    }
}

/// The health check on the site's sockets (`--health-path`).
#[derive(Debug)]
pub struct HealthCheck {
    /// Without its leading slash, as in [`Target`](crate::http::Target); none without the option.
    path: Option<Box<[u8]>>,
    settings: HealthSettings,
    board: &'static Scoreboard,
}

impl HealthCheck {
    /// Creates that of a worker.
    pub fn new(options: &Options, board: &'static Scoreboard) -> Self {
        let path = options.health_path.as_deref().map(|path| path.as_bytes()[1..].into());
        HealthCheck { path, settings: HealthSettings::of(options), board }
    }

    /// Returns whether there is one.
    pub fn is_enabled(&self) -> bool {
        self.path.is_some()
    }

    /// Returns whether `request` is for it.
    pub fn is_target_of(&self, request: &Request, buffer: &mut Vec<u8>) -> bool {
        let Some(path) = &self.path else { return false };
        target::decode(request.target, buffer).is_ok_and(|target| target.path == &**path)
    }

    /// Returns the problem of the server; none if it can serve.
    pub fn problem(&self) -> Option<Problem> {
        self.settings.problem(self.board, clock::now_ms())
    }
}
