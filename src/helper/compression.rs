//! Compression of files for the [store](crate::ipc::compressed_store): what is compressed is what was hashed, so a result can only
//! be found under the digest of its own content, whatever a worker sends and whoever writes to the file meanwhile.

use std::io;
use std::os::fd::BorrowedFd;
use std::thread;

use nix::sys::stat::fstat;

use super::reader::BackgroundReader;
use super::{Hashed, Helper, check_complete};
use crate::codec;
use crate::http::coding::Coding;
use crate::ipc::compressed_store::{CompressedStore, MAX_FILE_BYTES, MIN_FILE_BYTES};
use crate::ipc::file_identity::FileIdentity;
use crate::ipc::scoreboard::Counter;
use crate::os::clock;

/// The bytes that are read in the processor time that a second permits: the rate limit counts bytes.
const BYTES_PER_PROCESSOR_SECOND: u64 = 5 * super::BYTES_PER_SECOND;

/// A result has to save a part of this of the file: decoding it is work for each client.
const MIN_SAVED_PART: usize = 16;

/// What text shrinks to, at the least: without room for it, nothing is read.
const EXPECTED_PART: usize = 8;

/// The time for which nothing is compressed after there was no room for a result, in milliseconds. It was larger than expected, and
/// so may be all that follow.
const FULL_MS: u64 = 10_000;

impl Helper<'_> {
    /// Compresses a file and stores the result under the digest of its content.
    pub(super) fn compress(&self, store: &CompressedStore, file: BorrowedFd, coding: Coding) -> io::Result<()> {
        let identity = FileIdentity::from(&fstat(file)?);
        let is_in_range = (MIN_FILE_BYTES..=MAX_FILE_BYTES).contains(&identity.size);
        let (now_ms, expected) = (clock::now_ms(), identity.size as usize / EXPECTED_PART);
        if !is_in_range || now_ms < self.store_full_until_ms.get() || !store.has_room(expected, now_ms) {
            return Ok(());
        }
        let mut reader = BackgroundReader::new(file, identity.size, &self.limit);
        let mut hashed = Hashed::new(&mut reader);
        let mut content = Vec::with_capacity(identity.size as usize);
        io::copy(&mut hashed, &mut content)?;
        let digest = hashed.hasher.finish();
        check_complete(&reader, &identity)?;
        if store.knows(self.digests, digest, coding) {
            return Ok(());
        }
        let begin_ns = clock::thread_ns();
        let compressed = codec::encode_in_memory(coding, &content)?;
        if compressed.len() + content.len() / MIN_SAVED_PART > content.len() {
            store.insert_useless(self.digests, digest, coding);
        } else if store.insert(self.digests, digest, coding, &compressed, clock::now_ms()) {
            self.counters.add(Counter::CompressedFiles, 1);
            self.counters.add(Counter::CompressedBytes, identity.size);
        } else {
            self.store_full_until_ms.set(clock::now_ms() + FULL_MS);
        }
        let used_ns = u128::from(clock::thread_ns() - begin_ns);
        let tokens = used_ns * u128::from(BYTES_PER_PROCESSOR_SECOND) / 1_000_000_000;
        // The result is there; the pause is for what follows.
        thread::sleep(self.limit.take(tokens as usize, clock::now_ns()));
        Ok(())
    }
}
