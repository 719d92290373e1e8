//! What is known about the content of files that are not in memory: it is read from the digest table, and what is missing
//! there is requested from the helper process.

use std::hash::Hash;
use std::os::fd::AsFd;
use std::sync::{Arc, RwLock};

use rustc_hash::FxHashMap;

use super::compressed::{Compressed, CompressedAccess};
use super::file::File;
use super::lock::{read, write};
use super::version::FileVersion;
use crate::digest::Digest;
use crate::http::Coding;
use crate::ipc::decoded::Decoded;
use crate::ipc::digests::{DigestReader, Key};
use crate::ipc::file_identity::MAX_HASHED_BYTES;
use crate::ipc::scoreboard::{Counter, WorkerCounters};
use crate::ipc::work_queue::{Job, WorkSender};
use crate::log::OncePerMinute;

/// The limit of small files whose digest a worker keeps, 540 KiB in all. When it is reached, all are discarded.
const MAX_SMALL: usize = 14 * 1024;

/// The limit of contents that a worker has decoded itself and of which it keeps the result, 400 KiB in all. When it is reached,
/// all are discarded.
const MAX_DECODED: usize = 7 * 1024;

/// What a worker has of the helper process: it sends files and reads results.
#[derive(Debug)]
pub struct HelperAccess {
    /// The queue of work.
    pub queue: WorkSender,
    /// The digests that it computes.
    pub digests: DigestReader,
    /// What it compresses; none if nothing is compressed.
    pub compressed: Option<CompressedAccess>,
}

/// The digest table, and the queue of the process that fills it.
#[derive(Debug)]
pub struct Digests {
    /// None without a helper process: then no content of a file on disk is known.
    helper: Option<&'static HelperAccess>,
    /// The digests of small files that were read, even if the cache has no room for them.
    small: RwLock<FxHashMap<Key, Digest>>,
    /// What contents decode to, by their digest, even if the cache has no room for them. This cannot become outdated. None if
    /// decoding took too long.
    decoded: RwLock<FxHashMap<(Digest, Coding), Option<Decoded>>>,
    /// A variant is not the file.
    pub variant_rejected: OncePerMinute,
    /// Compressed content; none if nothing is compressed.
    pub compressed: Option<Compressed>,
    counters: WorkerCounters<'static>,
}

impl Digests {
    /// Creates the view of a worker.
    pub fn new(helper: Option<&'static HelperAccess>, counters: WorkerCounters<'static>) -> Self {
        let (small, decoded) = (RwLock::default(), RwLock::default());
        let compressed = helper.and_then(|helper| {
            let access = helper.compressed.as_ref()?;
            Some(Compressed::new(access, &helper.digests, &helper.queue, counters))
        });
        Digests { helper, small, decoded, variant_rejected: OncePerMinute::default(), compressed, counters }
    }

    /// Returns the digest of `content`, which was just read from a file. `settled` is the version of the file if no write can
    /// have left it as it is: then the content is hashed once.
    pub fn of_content(&self, content: &[u8], settled: Option<&FileVersion>) -> Digest {
        let key = settled.map(|version| version.identity.content_key());
        let known = key.and_then(|key| read(&self.small).get(&key).copied());
        known.unwrap_or_else(|| {
            self.counters.add(Counter::HashedFiles, 1);
            self.counters.add(Counter::HashedBytes, content.len() as u64);
            let digest = Digest::of(content);
            if let Some(key) = key {
                insert_bounded(&mut write(&self.small), key, digest, MAX_SMALL);
            }
            digest
        })
    }

    /// Counts a request for which a variant was not used because it is not the file.
    pub fn count_rejected(&self) {
        self.counters.add(Counter::RejectedVariants, 1);
    }

    /// Returns the digest of the content of `file`. If it is not known, it is requested, unless the file is too large.
    pub fn of(&self, file: &File) -> Option<Digest> {
        let HelperAccess { queue, digests, .. } = self.helper.filter(|_| file.version().size() <= MAX_HASHED_BYTES)?;
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
        let known = read(&self.decoded).get(&(content, coding)).copied();
        known.unwrap_or_else(|| {
            let decoded = decode();
            insert_bounded(&mut write(&self.decoded), (content, coding), decoded, MAX_DECODED);
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
        let HelperAccess { queue, digests, .. } = self.helper?;
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

/// Inserts an entry; if there are `max` entries, they are discarded first.
fn insert_bounded<K: Eq + Hash, V>(entries: &mut FxHashMap<K, V>, key: K, value: V, max: usize) {
    if entries.len() >= max {
        entries.clear();
    }
    entries.insert(key, value);
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
    fn a_settled_version_is_hashed_once() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("f"), "f").unwrap();
        let version = File::open(&Root::open(directory.path()).unwrap(), c"f").unwrap().version();
        let board = &*Box::leak(Box::new(Scoreboard::new(1).unwrap()));
        let digests = Digests::new(None, board.helper());
        let hashed = || board.helper().get(Counter::HashedFiles);
        assert_eq!(digests.of_content(b"f", None), Digest::of(b"f"));
        assert_eq!((digests.of_content(b"f", Some(&version)), hashed()), (Digest::of(b"f"), 2));
        assert_eq!((digests.of_content(b"f", Some(&version)), hashed()), (Digest::of(b"f"), 2));
        // Without a settled version, only the content counts.
        assert_eq!((digests.of_content(b"g", None), hashed()), (Digest::of(b"g"), 3));
        std::fs::write(directory.path().join("f"), "gg").unwrap();
        let version = File::open(&Root::open(directory.path()).unwrap(), c"f").unwrap().version();
        assert_eq!((digests.of_content(b"gg", Some(&version)), hashed()), (Digest::of(b"gg"), 4));
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
        let helper = &*Box::leak(Box::new(HelperAccess { queue, digests, compressed: None }));
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
