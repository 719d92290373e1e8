//! Compressed content in memory: for files that have no precompressed variant.
//!
//! The [helper](crate::helper) compresses the content of a file once for all workers, from the second request for it on:
//! what is requested once, as by a crawler, costs nothing. Until the result is there, the file itself is sent: no request
//! waits. Results are found by the digest of the file's content, so they are never stale, and a file whose times alone
//! change keeps its result. Their entity tag is made of the digest of their own bytes: a range is never mixed from two
//! results, on this machine or another.
//!
//! One process compresses for all workers, by measurement (row compress-workers of tests/bench): a thousand pages of 20 KiB take
//! 2.1 s of CPU time with 2 workers and with 16. A share for each worker would take that in each, 33 s with 16, and 4 MiB of the
//! 64 have no room for the results of that site.
//!
//! Nothing is compressed for the first visitor while he waits, not even a small file at a fast level: that would cost a crawler
//! several times the CPU time of a server that compresses nothing.
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

/// The requests for a content, within [`COUNTED_MS`], after which it is compressed if that replaces another result: a crawler that
/// comes back all the time must not have a site compressed over and over that is larger than the store.
const MIN_REQUESTS_WHEN_FULL: u32 = 16;

/// The time for which requests are counted then, in milliseconds: that for which a result is kept at least.
const COUNTED_MS: u64 = 300_000;

/// The time after which a job is sent again if there is no result, in milliseconds: the queue or the store was full, or the
/// helper was killed.
const RESEND_MS: u64 = 10_000;

/// The time between two looks for the result of a job, in milliseconds.
const RETRY_MS: u64 = 20;

/// The time for which a result is not used again that was too large for the memory of the worker, in milliseconds.
const NO_ROOM_MS: u64 = 1_000;

/// The limit of contents whose requests are counted, half a MiB in all. When it is reached, all are forgotten.
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
    /// When the first of them was.
    since_ms: u64,
    /// When its job was sent last; 0 for never.
    sent_ms: u64,
}

/// What is done about a content that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is not requested often enough.
    Count,
    /// Its job was sent.
    Wait,
    /// Its job is to be sent.
    Send,
}

impl Demand {
    /// Counts a request.
    fn add(&mut self, is_full: bool, now_ms: u64) -> Step {
        if self.requests == 0 || (is_full && now_ms >= self.since_ms + COUNTED_MS) {
            (self.requests, self.since_ms) = (0, now_ms);
        }
        self.requests = self.requests.saturating_add(1);
        if self.requests < (if is_full { MIN_REQUESTS_WHEN_FULL } else { MIN_REQUESTS }) {
            Step::Count
        } else if self.sent_ms == 0 || now_ms >= self.sent_ms + RESEND_MS {
            self.sent_ms = now_ms;
            Step::Send
        } else {
            Step::Wait
        }
    }
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
        let step = demands.entry((content, coding)).or_default().add(self.access.reader.is_full(), now_ms);
        if step != Step::Count {
            forms.next_ms.store(now_ms + RETRY_MS, Relaxed);
        }
        step == Step::Send
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done about the requests at these times.
    fn steps(is_full: bool, times_ms: impl IntoIterator<Item = u64>) -> Vec<Step> {
        let mut demand = Demand::default();
        times_ms.into_iter().map(|now_ms| demand.add(is_full, now_ms)).collect()
    }

    #[test]
    fn the_job_is_sent_at_the_second_request_and_later_again() {
        use Step::{Count, Send, Wait};
        assert_eq!(steps(false, [5, 7, 8, 6 + RESEND_MS, 7 + RESEND_MS]), [Count, Send, Wait, Wait, Send]);
        assert_eq!(steps(false, [5, 5 + 10 * COUNTED_MS]), [Count, Send], "however long that takes");
    }

    /// A crawler that comes back replaces nothing, and what is requested often does.
    #[test]
    fn what_replaces_a_result_is_requested_often() {
        let often = u64::from(MIN_REQUESTS_WHEN_FULL);
        let sent = |times: Vec<u64>| steps(true, times).iter().position(|step| *step == Step::Send);
        assert_eq!(sent((0..often).collect()), Some(often as usize - 1));
        assert_eq!(sent((0..often).map(|number| 1 + number * COUNTED_MS / often).collect()), Some(often as usize - 1));
        assert_eq!(sent((0..100).map(|number| 1 + number * COUNTED_MS / (often - 1)).collect()), None);
    }
}
