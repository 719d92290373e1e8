//! The limit of file descriptors (getrlimit(2), RLIMIT_NOFILE).

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The number of descriptors that the supervisor may need besides those for each worker: sockets, metrics clients and
/// its own.
const FOR_ITSELF: usize = 48;

/// Returns the descriptors that the supervisor needs for `workers` workers: a lifeline and memory for each, with
/// TLS two sockets for the key process, and the same for the old workers at a reload; with users, two sockets for the login
/// process.
pub fn for_supervisor(workers: usize, has_tls: bool, has_users: bool) -> usize {
    let each = 4 + if has_tls { 4 } else { 0 } + if has_users { 2 } else { 0 };
    each * workers + FOR_ITSELF
}

/// Raises the limit as far as the service manager permits, for this process and its children. Returns the limit.
pub fn raise_limit() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    usize::try_from(if raised.is_ok() { hard } else { soft }).unwrap_or(usize::MAX).clamp(64, 1 << 24)
}
