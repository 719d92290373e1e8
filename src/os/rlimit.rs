//! How many file descriptors a process may have (getrlimit(2), RLIMIT_NOFILE).

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many the supervisor may need besides those for each worker: for sockets, callers and its own.
const FOR_ITSELF: usize = 48;

/// How many the supervisor needs for `workers` workers: of each a lifeline and its memory, and at a reload as many workers
/// are there once more.
pub fn for_supervisor(workers: usize) -> usize {
    4 * workers + FOR_ITSELF
}

/// Takes as many as the service manager allows, for this process and those that it forks; returns how many that is.
pub fn raise_limit() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    usize::try_from(if raised.is_ok() { hard } else { soft }).unwrap_or(usize::MAX).clamp(64, 1 << 24)
}
