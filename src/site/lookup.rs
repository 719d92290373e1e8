//! The context of a lookup in the site.

use super::cache::Freshness;
use super::digests::Digests;

/// What a lookup has besides the path.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'l> {
    /// The times of the request.
    pub freshness: Freshness,
    /// What is known about the content of files.
    pub digests: &'l Digests,
}
