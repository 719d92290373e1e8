//! What is known about the content of files that are not in memory: it is read from the digest table, and what is missing
//! there is requested from the helper process.

use std::os::fd::AsFd;
use std::sync::Arc;

use super::cache::Freshness;
use super::file::File;
use super::resource::Resource;
use super::version::{FileVersion, MAX_HASHED_BYTES};
use crate::digest::Digest;
use crate::http::Coding;
use crate::ipc::decoded::Decoded;
use crate::ipc::digests::DigestReader;
use crate::ipc::scoreboard::{Counter, WorkerCounters};
use crate::ipc::work_queue::{Job, WorkSender};
use crate::log::OncePerMinute;

/// What a lookup has besides the path.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'l> {
    /// The times of the request.
    pub freshness: Freshness,
    /// What is known about the content of files.
    pub digests: &'l Digests,
}

/// What a worker has of the helper process: it sends files and reads results.
#[derive(Debug)]
pub struct HelperAccess {
    /// The queue of work.
    pub queue: WorkSender,
    /// The results.
    pub digests: DigestReader,
}

/// The digest table, and the queue of the process that fills it.
#[derive(Debug)]
pub struct Digests {
    /// None without a helper process: then no content of a file on disk is known.
    helper: Option<&'static HelperAccess>,
    /// A variant is not the file.
    pub variant_rejected: OncePerMinute,
    counters: WorkerCounters<'static>,
}

impl Digests {
    /// Creates the view of a worker.
    pub fn new(helper: Option<&'static HelperAccess>, counters: WorkerCounters<'static>) -> Self {
        Digests { helper, variant_rejected: OncePerMinute::default(), counters }
    }

    /// Counts a file of `bytes` bytes that was read for its digest.
    pub fn count_hashed(&self, bytes: u64) {
        self.counters.add(Counter::HashedFiles, 1);
        self.counters.add(Counter::HashedBytes, bytes);
    }

    /// Counts a request for which a variant was not used because it is not the file.
    pub fn count_rejected(&self) {
        self.counters.add(Counter::RejectedVariants, 1);
    }

    /// Returns the digest of the content of `file`. If it is not known, it is requested, unless the file is too large.
    pub fn of(&self, file: &File) -> Option<Digest> {
        let HelperAccess { queue, digests } = self.helper.filter(|_| file.version().size() <= MAX_HASHED_BYTES)?;
        let known = digests.get(file.version().identity.content_key());
        if known.is_none() {
            queue.send(Job::Hash, file.as_fd());
        }
        known.map(|entry| entry.digest)
    }

    /// Returns whether the digest of an open file has become known after its tag was made.
    pub fn knows_more_than(&self, resource: &Resource) -> bool {
        let is_weak = resource.representation.etag.as_ref().is_some_and(|tag| !tag.is_strong());
        let known = self.helper.filter(|_| is_weak);
        known.is_some_and(|helper| helper.digests.get(resource.version.identity.content_key()).is_some())
    }

    /// Returns what the variant with this version decodes to, if that is known for content of at most `max_bytes`. Otherwise it
    /// is requested; `open` opens the variant.
    pub fn decoded(
        &self,
        version: &FileVersion,
        coding: Coding,
        max_bytes: u64,
        open: impl FnOnce() -> Option<Arc<File>>,
    ) -> Option<Decoded> {
        let HelperAccess { queue, digests } = self.helper?;
        let known = digests.get(version.identity.decoded_key(coding)).map(Decoded::from_entry);
        let known = known.filter(|decoded| decoded.is_valid_for(max_bytes));
        if known.is_none()
            && let Some(file) = open()
        {
            queue.send(Job::Decode { coding, max_bytes }, file.as_fd());
        }
        known
    }
}
