//! The health of the server: whether a load balancer should send it requests. It is read from counters alone, so that no answer
//! waits for a disk.

use std::fmt;

use crate::config::Options;
use crate::http::{Request, target};
use crate::ipc::scoreboard::{Counter, Scoreboard};

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
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Problem::Draining => "draining",
            Problem::NoWorkers => "no workers ready",
            Problem::ListenerFailed => "a listening socket was shut down",
            Problem::RootMissing => "the document root is missing",
            Problem::SitesMissing => "the directory of sites is missing or cannot be read",
        })
    }
}

/// The text of a server that can serve.
pub const READY: &str = "ready";

impl Problem {
    /// Returns the problem of a server that has a worker, with these counters; none if it can serve. `has_sites`: it has a
    /// directory of sites.
    pub fn find(board: &Scoreboard, has_sites: bool) -> Option<Problem> {
        if board.is_stopping() {
            Some(Problem::Draining)
        } else if board.total(Counter::FailedListeners) > 0 {
            Some(Problem::ListenerFailed)
        } else if board.total(Counter::RootMissing) > 0 {
            Some(if has_sites { Problem::SitesMissing } else { Problem::RootMissing })
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
    has_sites: bool,
    board: &'static Scoreboard,
}

impl HealthCheck {
    /// Creates that of a worker.
    pub fn new(options: &Options, board: &'static Scoreboard) -> Self {
        let path = options.health_path.as_deref().map(|path| path.as_bytes()[1..].into());
        HealthCheck { path, has_sites: options.sites.is_some(), board }
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
        Problem::find(self.board, self.has_sites)
    }
}
