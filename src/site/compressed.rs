//! Compressed content in memory: for files that have no precompressed variant.
//!
//! The [helper](crate::helper) compresses the content of a file once for all workers, from the second request for it on:
//! what is requested once, as by a crawler, costs nothing. Until the result is there, the file itself is sent: no request
//! waits. Results are found by the digest of the file's content, so they are never stale, and a file whose times alone
//! change keeps its result. Their entity tag is made of the digest of their own bytes: a range is never mixed from two
//! results, on this machine or another.
//!
//! A worker copies a result from the [store](crate::ipc::compressed_store) and checks its digest. The copy stays with the
//! file in the cache, if the worker's part of `--compress-cache` has room for it. Large ones are files in memory, which are
//! sent like files on disk.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::memory::MemoryLimit;
use super::resource::{Content, Forms, Resource};
use super::version::MAX_IN_MEMORY_BYTES;
use crate::codec::MEMORY_CODINGS;
use crate::digest::Digest;
use crate::http::Coding;
use crate::http::coding::Acceptable;
use crate::ipc::compressed_store::{CompressedReader, MAX_FILE_BYTES, MIN_FILE_BYTES, Stored};
use crate::ipc::digests::DigestReader;
use crate::ipc::scoreboard::{Counter, WorkerCounters};
use crate::ipc::work_queue::{Job, WorkSender};
use crate::os::{clock, sys};

/// The requests for a content after which it is compressed.
const MIN_REQUESTS: u32 = 2;

/// The time after which a job is sent again if there is no result, in milliseconds: the queue or the store was full, or the
/// helper was killed.
const RESEND_MS: u64 = 10_000;

/// The time between two looks for the result of a job, in milliseconds.
const RETRY_MS: u64 = 20;

/// The time for which a result is not used again that was too large for the memory of the worker, in milliseconds.
const NO_ROOM_MS: u64 = 1_000;

/// The limit of contents whose requests are counted, 400 KiB in all. When it is reached, all are forgotten.
const MAX_DEMANDED: usize = 8 * 1024;

/// What a worker has of the store of compressed content.
#[derive(Debug)]
pub struct CompressedAccess {
    /// The results.
    pub reader: CompressedReader,
    /// The limit of the bytes that the worker copies from there.
    pub copy_bytes: u64,
}

/// Compressed content, as a worker sees it.
#[derive(Debug)]
pub struct Compressed {
    access: &'static CompressedAccess,
    digests: &'static DigestReader,
    queue: &'static WorkSender,
    memory: MemoryLimit,
    demands: Mutex<FxHashMap<(Digest, Coding), Demand>>,
    counters: WorkerCounters<'static>,
}

/// The requests for a content in a coding that is not there.
#[derive(Debug, Clone, Copy, Default)]
struct Demand {
    requests: u32,
    /// When its job was sent last; 0 for never.
    sent_ms: u64,
}

/// Returns whether a file of this size is compressed, if its media type says so.
pub fn has_compressible_size(bytes: u64) -> bool {
    (MIN_FILE_BYTES..=MAX_FILE_BYTES).contains(&bytes)
}

impl Compressed {
    /// Creates the view of a worker.
    pub fn new(
        access: &'static CompressedAccess,
        digests: &'static DigestReader,
        queue: &'static WorkSender,
        counters: WorkerCounters<'static>,
    ) -> Self {
        let memory = MemoryLimit::new(access.copy_bytes);
        Compressed { access, digests, queue, memory, demands: Mutex::default(), counters }
    }

    /// Returns the compressed form of a file that the client prefers to the file itself, if it is there.
    pub fn preferred(&self, original: &Resource, acceptable: Acceptable) -> Option<Arc<Resource>> {
        let forms = original.forms()?;
        let mut preferred = acceptable.order().take_while(|coding| *coding != Coding::Identity);
        let form = preferred.find_map(|coding| self.form(original, forms, coding))?;
        self.counters.add(Counter::CompressedHits, 1);
        Some(form)
    }

    fn form(&self, original: &Resource, forms: &Forms, coding: Coding) -> Option<Arc<Resource>> {
        let known = &forms.known[MEMORY_CODINGS.iter().position(|made| *made == coding)?];
        if let Some(known) = known.get() {
            return known.clone();
        }
        let now_ms = clock::now_ms();
        // Without its digest, it is not known what it is compressed to.
        let content = original.representation.digest().filter(|_| now_ms >= forms.next_ms.load(Relaxed))?;
        match self.access.reader.get(self.digests, content, coding) {
            Stored::Useless => known.get_or_init(|| None).clone(),
            Stored::Compressed { bytes, digest } => {
                let made = self.make(original, coding, bytes, digest);
                match made {
                    Some((form, true)) => known.get_or_init(|| Some(form)).clone(),
                    Some((form, false)) => Some(form),
                    None => {
                        forms.next_ms.store(now_ms + NO_ROOM_MS, Relaxed);
                        None
                    }
                }
            }
            Stored::Unknown => {
                if self.is_due(content, coding, forms, now_ms) {
                    self.send(original, coding);
                }
                None
            }
        }
    }

    /// Counts a request for a content that is not there. Returns whether the job to compress it is to be sent.
    fn is_due(&self, content: Digest, coding: Coding, forms: &Forms, now_ms: u64) -> bool {
        let mut demands = self.demands.lock().unwrap_or_else(PoisonError::into_inner);
        if demands.len() >= MAX_DEMANDED {
            demands.clear();
        }
        let demand = demands.entry((content, coding)).or_default();
        demand.requests = demand.requests.saturating_add(1);
        if demand.requests < MIN_REQUESTS {
            return false;
        }
        forms.next_ms.store(now_ms + RETRY_MS, Relaxed);
        let is_due = demand.sent_ms == 0 || now_ms >= demand.sent_ms + RESEND_MS;
        if is_due {
            demand.sent_ms = now_ms;
        }
        is_due
    }

    /// Sends the job to compress a file. If the queue is full, it is sent again later.
    fn send(&self, original: &Resource, coding: Coding) {
        let job = Job::Compress { coding };
        match original.content() {
            Content::Disk(file) => {
                self.queue.send(job, file.as_fd());
            }
            // Its descriptor is closed. If its path leads to another file by now, the result is that of other content.
            Content::Memory(_) => {
                let file = original.reopen().ok().filter(|file| !file.is_directory());
                file.inspect(|file| {
                    self.queue.send(job, file.as_fd());
                });
            }
        }
    }

    /// Makes the form with the compressed content `bytes`, whose digest is `digest`. Returns whether it can be kept; none if it
    /// cannot even be sent: a large one without memory for it.
    fn make(
        &self,
        original: &Resource,
        coding: Coding,
        bytes: Vec<u8>,
        digest: Digest,
    ) -> Option<(Arc<Resource>, bool)> {
        let representation = original.representation.compressed(coding, bytes.len() as u64, digest);
        let reservation = self.memory.reserve(bytes.len() as u64);
        let is_kept = reservation.is_some();
        let form = if bytes.len() as u64 <= MAX_IN_MEMORY_BYTES {
            original.form(representation, bytes, reservation)
        } else {
            let memory = sys::sealed_memory(c"compressed", &bytes).ok()?;
            original.form_in_file(representation, memory, reservation?)?
        };
        Some((Arc::new(form), is_kept))
    }
}
