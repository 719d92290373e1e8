//! Warnings that clients can cause. Each kind is logged at most once a minute, so that clients can neither flood the
//! journal nor slow the server down.

use crate::log::OncePerMinute;

/// The warnings of a worker.
#[derive(Debug, Default)]
pub struct RateLimitedWarnings {
    /// The connection limit is reached.
    pub connections_full: OncePerMinute,
    /// A client has reached --max-per-client.
    pub client_full: OncePerMinute,
    /// No descriptor is left for another connection.
    pub descriptors_exhausted: OncePerMinute,
    /// A thread could not be started.
    pub thread_start: OncePerMinute,
    /// All request threads are busy.
    pub threads_busy: OncePerMinute,
    /// A file cannot be served because of an error of the server.
    pub file_failed: OncePerMinute,
}
