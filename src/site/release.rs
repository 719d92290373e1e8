//! A release: one directory that the document root's path has led to, with its files and rules.

use std::ffi::CStr;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::cache::{Cache, CacheLimits};
use super::file::File;
use super::lookup::Lookup;
use super::reserved::ReservedFiles;
use super::resource::Resource;
use super::root::Root;
use super::rules::{Reading, RulesFiles};
use super::version::{FileVersion, since_epoch_ns};
use crate::digest::Digest;
use crate::http::{Refusal, Representation};
use crate::ipc::scoreboard::Reporter;

/// One directory that the root's path has led to, and everything that is replaced with it. A response that has begun is
/// completed from its file, even if the path leads to another release by then.
#[derive(Debug)]
pub struct Release {
    /// The directory.
    pub root: Root,
    /// Its files that are in memory or open.
    pub cache: Cache,
    /// Its rules.
    pub rules: RulesFiles,
    /// The files that are never served.
    reserved: ReservedFiles,
}

/// What the document roots of a worker share.
#[derive(Debug)]
pub struct Shared {
    /// The limits of all caches.
    pub cache_limits: Arc<CacheLimits>,
    /// Whether one of them is due for its upkeep.
    pub is_upkeep_due: AtomicBool,
    /// Decides which worker logs a mistake in rules; unset in the process that workers are forked from.
    pub reporter: OnceLock<Reporter>,
}

impl Shared {
    /// Creates what roots share that have these limits.
    pub fn new(cache_limits: Arc<CacheLimits>) -> Arc<Self> {
        Arc::new(Shared { cache_limits, is_upkeep_due: AtomicBool::new(false), reporter: OnceLock::new() })
    }
}

impl Release {
    /// Creates the release of a directory, and reads its rules.
    pub fn new(root: Root, path: &Path, before: Option<&Release>, shared: &Shared) -> Self {
        let (before, limits) = (before.map(|before| &before.rules), &shared.cache_limits);
        let reading = Reading { root: &root, path, reporter: shared.reporter.get().copied(), is_first: true };
        let rules = RulesFiles::load(reading, before, limits);
        let reserved = ReservedFiles::find(&root);
        Release { root, cache: Cache::new(limits), rules, reserved }
    }

    /// Looks for changes of its rules, and of the files that are never served.
    pub fn refresh(&self, path: &Path, shared: &Shared) {
        self.cache.remove_files(&self.reserved.refresh(&self.root));
        let reading = Reading { root: &self.root, path, reporter: shared.reporter.get().copied(), is_first: false };
        self.rules.refresh(reading, &shared.cache_limits);
    }

    /// Returns the file at `path`, from the cache or opened now, in which case it is cached if possible; `describe` gets the
    /// digest of its content if that is known. Returns None for a directory.
    pub fn open(
        &self,
        path: &CStr,
        lookup: Lookup,
        describe: impl FnOnce(&FileVersion, Option<Digest>, SystemTime) -> Representation,
    ) -> Result<Option<Arc<Resource>>, Refusal> {
        if let Some(resource) = self.cache.get(path, &self.root, lookup.freshness, lookup.now_ms) {
            let is_weak = resource.representation.etag.as_ref().is_some_and(|tag| !tag.is_strong());
            if resource.is_in_memory() || !is_weak || !lookup.digests.knows(&resource.version) {
                return Ok(Some(resource));
            }
            // Other workers have the digest in its tag.
            self.cache.remove(path);
        }
        let file = File::open(&self.root, path)?;
        if file.is_directory() {
            return Ok(None);
        }
        let (version, now) = (file.version(), SystemTime::now());
        if self.reserved.contains(&self.root, &version) {
            return Err(Refusal::NotFound);
        }
        let resource = match version.is_small() {
            true => Resource::in_memory(&file, |content, is_unchanged| {
                let is_settled = is_unchanged && version.identity.is_settled(since_epoch_ns(now));
                let digest = lookup.digests.of_content(content, is_settled.then_some(&version));
                describe(&version, Some(digest), now)
            }),
            false => {
                let representation = describe(&version, lookup.digests.of(&file), now);
                Resource::open(file, representation)
            }
        };
        let resource = Arc::new(resource?);
        let is_cacheable = resource.is_cacheable() && (!version.is_small() || self.cache.fits_in_memory(&version, now));
        if is_cacheable {
            self.cache.put(path, &resource);
        }
        Ok(Some(resource))
    }
}
