//! The helper: a process that reads files in the background, for work that no client waits for.
//!
//! Workers send it open files by the [work queue](crate::ipc::work_queue), and read its results in the
//! [digest table](crate::ipc::digests) and the [store of compressed content](crate::ipc::compressed_store). The supervisor starts it when there is work. It ends when there has been none
//! for some time, so an idle server has no such process. It reads content that others wrote, with decoders; therefore it
//! has no access to anything else ([`confinement`]).
//!
//! A file system with fs-verity has digests of its own, which would save the reading. They are not used: they are digests
//! of another kind than those of the same file elsewhere.

mod compression;
mod confinement;
mod rate_limit;
mod reader;

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::unistd::Pid;

use crate::codec::{self, Rejected};
use crate::digest::{Digest, Hasher};
use crate::http::coding::Coding;
use crate::ipc::compressed_store::CompressedStore;
use crate::ipc::decoded::Decoded;
use crate::ipc::digests::{DigestTable, Entry};
use crate::ipc::file_identity::{FileIdentity, MAX_HASHED_BYTES};
use crate::ipc::scoreboard::{Counter, WorkerCounters};
use crate::ipc::work_queue::{self, Job, WorkReceiver};
use crate::os::{clock, sys};

use rate_limit::RateLimit;
use reader::BackgroundReader;

/// The name of the process.
pub const NAME: &std::ffi::CStr = c"otus-helper";

/// The most bytes that are read and decoded in a second: about a fifth of a processor, whatever priority the process has.
const BYTES_PER_SECOND: u64 = 64 << 20;

/// The time without work after which the process ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The exit status if there was no work.
pub const EXIT_IDLE: i32 = 0;

/// The exit status if the process could not be confined.
const EXIT_FAILURE: i32 = 1;

/// The exit status if the queue was shut down.
pub const EXIT_SHUT_DOWN: i32 = 3;

/// Where the helper stores its results.
#[derive(Debug, Clone, Copy)]
pub struct Results<'s> {
    /// The digests of content.
    pub digests: &'s DigestTable,
    /// Compressed content; none if nothing is compressed.
    pub store: Option<&'s CompressedStore>,
}

/// The helper.
#[derive(Debug)]
struct Helper<'s> {
    digests: &'s DigestTable,
    store: Option<&'s CompressedStore>,
    counters: WorkerCounters<'s>,
    limit: RateLimit,
    /// The time until which nothing is compressed, since there was no room for a result.
    store_full_until_ms: Cell<u64>,
}

/// Runs the helper in the process that was forked for it by the process `supervisor`. Returns its exit status.
pub fn run(supervisor: Pid, queue: &WorkReceiver, results: Results, counters: WorkerCounters) -> i32 {
    if let Err(error) = confinement::confine(supervisor, queue.as_fd()) {
        tracing::error!("The helper process cannot be confined: {error}.");
        return EXIT_FAILURE;
    }
    serve(queue, results, counters, IDLE_TIMEOUT)
}

/// Does the work of the queue until there has been none for `idle_timeout`. Returns the exit status.
fn serve(queue: &WorkReceiver, results: Results, counters: WorkerCounters, idle_timeout: Duration) -> i32 {
    let Results { digests, store } = results;
    let limit = RateLimit::new(BYTES_PER_SECOND);
    let mut helper = Helper { digests, store, counters, limit, store_full_until_ms: Cell::new(0) };
    loop {
        match queue.receive(idle_timeout) {
            // A worker that is not compromised sends regular files only.
            Ok(Some((_, file))) if !is_regular(file.as_fd()) => {
                work_queue::leave_open(file);
                queue.shut_down();
                return EXIT_SHUT_DOWN;
            }
            Ok(Some((job, file))) => {
                if let Err(error) = helper.perform(job, file.as_fd()) {
                    tracing::debug!("background work failed: {error}");
                }
            }
            Ok(None) => return EXIT_IDLE,
            Err(_) => {
                queue.shut_down();
                return EXIT_SHUT_DOWN;
            }
        }
    }
}

/// Returns whether a descriptor is that of a regular file; also if that cannot be determined, as of a file on a disk that
/// fails.
fn is_regular(file: BorrowedFd) -> bool {
    fstat(file).map_or(true, |stat| sys::file_type(&stat) == SFlag::S_IFREG)
}

impl Helper<'_> {
    /// Performs a job, and stores the result if the file has not changed meanwhile.
    fn perform(&mut self, job: Job, file: BorrowedFd) -> io::Result<()> {
        if let Job::Compress { coding } = job {
            return self.store.map_or(Ok(()), |store| self.compress(store, file, coding));
        }
        let before = fstat(file)?;
        let identity = FileIdentity::from(&before);
        if identity.size > MAX_HASHED_BYTES || !identity.is_settled(i128::from(clock::unix_us()) * 1_000) {
            return Ok(());
        }
        self.perform_with(job, file, &before)
    }

    /// The same; `before` is the metadata at the start.
    fn perform_with(&mut self, job: Job, file: BorrowedFd, before: &FileStat) -> io::Result<()> {
        let identity = FileIdentity::from(before);
        let finding = match job {
            Job::Hash if self.digests.get(identity.content_key()).is_some() => return Ok(()),
            Job::Hash => self.hash(file, &identity)?,
            Job::Decode { coding, max_bytes } => {
                let max_bytes = max_bytes.min(MAX_HASHED_BYTES);
                let known = self.digests.get(identity.decoded_key(coding));
                if known.is_some_and(|entry| Decoded::from_entry(entry).is_valid_for(max_bytes)) {
                    return Ok(());
                }
                self.decode(file, &identity, coding, max_bytes)?
            }
            // It is not about the version of a file, only about content.
            Job::Compress { .. } => return Ok(()),
        };
        if FileIdentity::from(&fstat(file)?) == identity {
            self.store(&identity, finding);
        }
        Ok(())
    }

    /// Hashes a file.
    fn hash(&mut self, file: BorrowedFd, identity: &FileIdentity) -> io::Result<Finding> {
        let mut reader = BackgroundReader::new(file, identity.size, &self.limit);
        let mut content = Hashed::new(&mut reader);
        let result = content.read_to_end();
        let digest = content.hasher.finish();
        self.counters.add(Counter::HashedBytes, reader.bytes_read());
        result?;
        check_complete(&reader, identity)?;
        Ok(Finding { content: Some(digest), decoded: None })
    }

    /// Decodes a file to at most `max_bytes`; hashes the file and the result.
    fn decode(
        &mut self,
        file: BorrowedFd,
        identity: &FileIdentity,
        coding: Coding,
        max_bytes: u64,
    ) -> io::Result<Finding> {
        let mut reader = BackgroundReader::new(file, identity.size, &self.limit);
        let mut content = Hashed::new(&mut reader);
        let mut decoded = Hasher::default();
        let result = codec::decode(coding, &mut content, max_bytes, &mut |part| {
            decoded.update(part);
            // A small file can decode to a large one.
            std::thread::sleep(self.limit.take(part.len(), clock::now_ns()));
            Ok(())
        });
        let digest = content.hasher.finish();
        self.counters.add(Counter::HashedBytes, reader.bytes_read());
        match result {
            Ok(_) => {
                check_complete(&reader, identity)?;
                Ok(Finding { content: Some(digest), decoded: Some((coding, Decoded::Digest(decoded.finish()))) })
            }
            Err(Rejected::Unreadable) => Err(io::Error::other("it cannot be read")),
            // Not read to its end.
            Err(reason) => {
                Ok(Finding { content: None, decoded: Some((coding, Decoded::Rejected { reason, max_bytes })) })
            }
        }
    }

    /// Stores what was found about the version `identity` of a file.
    fn store(&self, identity: &FileIdentity, finding: Finding) {
        if let Some(digest) = finding.content {
            self.digests.insert(identity.content_key(), Entry { digest, detail: identity.size });
        }
        if let Some((coding, decoded)) = finding.decoded {
            self.digests.insert(identity.decoded_key(coding), decoded.to_entry());
        }
        self.counters.add(Counter::HashedFiles, 1);
    }
}

/// What was found about a file.
#[derive(Debug)]
struct Finding {
    /// The digest of its content.
    content: Option<Digest>,
    /// What it decodes to.
    decoded: Option<(Coding, Decoded)>,
}

/// A reader that hashes what is consumed.
struct Hashed<'r, 'f> {
    reader: &'r mut BackgroundReader<'f>,
    hasher: Hasher,
}

impl<'r, 'f> Hashed<'r, 'f> {
    fn new(reader: &'r mut BackgroundReader<'f>) -> Self {
        Hashed { reader, hasher: Hasher::default() }
    }

    fn read_to_end(&mut self) -> io::Result<()> {
        loop {
            let length = self.fill_buf()?.len();
            if length == 0 {
                return Ok(());
            }
            self.consume(length);
        }
    }
}

impl BufRead for Hashed<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.hasher.update(&self.reader.buffered()[..length]);
        self.reader.consume(length);
    }
}

impl Read for Hashed<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(out)?;
        self.consume(length);
        Ok(length)
    }
}

/// Checks that all of a file was read: it may have become shorter.
fn check_complete(reader: &BackgroundReader, identity: &FileIdentity) -> io::Result<()> {
    if reader.bytes_read() == identity.size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests;
