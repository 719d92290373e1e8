//! The context of a lookup in the site.

use super::cache::Freshness;
use super::digests::Digests;

/// What a lookup has besides the path.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'l> {
    /// The times of the request.
    pub freshness: Freshness,
    /// The time in milliseconds, as in [`clock::now_ms`](crate::os::clock::now_ms): a request reads the clock once for all checks.
    pub now_ms: u64,
    /// What is known about the content of files.
    pub digests: &'l Digests,
}
