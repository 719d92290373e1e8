//! What is known about the content of files that are not in memory: it is read from the digest table, and what is missing
//! there is requested from the helper process.

use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::file::File;
use super::version::FileVersion;
use crate::digest::Digest;
use crate::http::Coding;
use crate::ipc::decoded::Decoded;
use crate::ipc::digests::DigestReader;
use crate::ipc::file_identity::MAX_HASHED_BYTES;
use crate::ipc::scoreboard::{Counter, WorkerCounters};
use crate::ipc::work_queue::{Job, WorkSender};
use crate::log::OncePerMinute;

/// The limit of contents that a worker has decoded itself and of which it keeps the result, 400 KiB in all. When it is reached,
/// all are discarded.
const MAX_DECODED: usize = 7 * 1024;

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
    /// What contents decode to, by their digest, even if the cache has no room for them. This cannot become outdated. None if
    /// decoding took too long.
    decoded: RwLock<FxHashMap<(Digest, Coding), Option<Decoded>>>,
    /// A variant is not the file.
    pub variant_rejected: OncePerMinute,
    counters: WorkerCounters<'static>,
}

impl Digests {
    /// Creates the view of a worker.
    pub fn new(helper: Option<&'static HelperAccess>, counters: WorkerCounters<'static>) -> Self {
        Digests { helper, decoded: RwLock::default(), variant_rejected: OncePerMinute::default(), counters }
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

    /// Returns whether the digest of a version of a file is known.
    pub fn knows(&self, version: &FileVersion) -> bool {
        self.helper.is_some_and(|helper| helper.digests.get(version.identity.content_key()).is_some())
    }

    /// Returns what content in memory with this digest decodes to; None if that takes too long. `decode` determines it if it is not
    /// known, with the same limit at each call.
    pub fn decoded_content(
        &self,
        content: Digest,
        coding: Coding,
        decode: impl FnOnce() -> Option<Decoded>,
    ) -> Option<Decoded> {
        let known = self.decoded.read().unwrap_or_else(PoisonError::into_inner).get(&(content, coding)).copied();
        known.unwrap_or_else(|| {
            let decoded = decode();
            let mut all = self.decoded.write().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MAX_DECODED {
                all.clear();
            }
            all.insert((content, coding), decoded);
            decoded
        })
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
            // The helper takes anything else for the message of a compromised worker.
            && let Some(file) = open().filter(|file| !file.is_directory())
        {
            queue.send(Job::Decode { coding, max_bytes }, file.as_fd());
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::root::Root;
    use super::*;
    use crate::ipc::digests::DigestTable;
    use crate::ipc::scoreboard::Scoreboard;
    use crate::ipc::work_queue;

    #[test]
    fn a_content_is_decoded_once_for_each_coding() {
        let digests = Digests::new(None, WorkerCounters::discard());
        let content = Digest::of(b"compressed");
        let decoded = Some(Decoded::Digest(Digest::of(b"content")));
        assert_eq!(digests.decoded_content(content, Coding::Gzip, || decoded), decoded);
        assert_eq!(digests.decoded_content(content, Coding::Gzip, || unreachable!("it is known")), decoded);
        let other = Some(Decoded::Digest(Digest::of(b"")));
        assert_eq!(digests.decoded_content(content, Coding::Brotli, || other), other);
        assert_eq!(digests.decoded_content(Digest::of(b"other"), Coding::Gzip, || None), None);
        assert_eq!(
            digests.decoded_content(Digest::of(b"other"), Coding::Gzip, || unreachable!("it takes too long")),
            None
        );
    }

    #[test]
    fn the_number_of_decoded_contents_is_limited() {
        let digests = Digests::new(None, WorkerCounters::discard());
        let decoded = Some(Decoded::Digest(Digest::of(b"")));
        for number in 0..3 * MAX_DECODED {
            digests.decoded_content(Digest::of(&number.to_ne_bytes()), Coding::Gzip, || decoded);
            assert!(digests.decoded.read().unwrap().len() <= MAX_DECODED);
        }
    }

    #[test]
    fn a_variant_that_has_become_a_directory_is_not_sent() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("d")).unwrap();
        std::fs::write(directory.path().join("f"), "f").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let (queue, receiver) = work_queue::pair().unwrap();
        let digests = DigestTable::new().unwrap().reader().unwrap();
        let helper = &*Box::leak(Box::new(HelperAccess { queue, digests }));
        let board = &*Box::leak(Box::new(Scoreboard::new(1).unwrap()));
        let digests = Digests::new(Some(helper), board.helper());
        for (name, is_sent) in [(c"d", false), (c"f", true)] {
            let file = Arc::new(File::open(&root, name).unwrap());
            let version = file.version();
            assert_eq!(digests.decoded(&version, Coding::Gzip, 1, || Some(file)), None);
            assert_eq!(receiver.receive(Duration::ZERO).unwrap().is_some(), is_sent, "{name:?}");
        }
    }
}
