//! Decoding of content in memory, within the time that a request may spend on it.

use std::io::{self, BufRead, Read};

use super::digests::Digests;
use super::resource::{Content, Resource};
use crate::codec::{Rejected, decode};
use crate::digest::Hasher;
use crate::http::Coding;
use crate::ipc::decoded::Decoded;
use crate::os::clock;

/// The processor time that a request spends on decoding, in nanoseconds. 128 KiB take 0.4 ms, but content that was made for
/// it takes 30 times as long. Without optimization, all takes longer.
const MAX_DECODE_NS: u64 = if cfg!(debug_assertions) { 60_000_000 } else { 2_000_000 };

/// The bytes that are decoded between two checks of the time.
const DECODE_STEP_BYTES: usize = 1024;

/// Returns what the content of `resource` decodes to, at most `max_bytes`, which is the same at each call. None if its content
/// is not in memory, or takes too long.
pub fn decode_in_memory(resource: &Resource, coding: Coding, max_bytes: u64, digests: &Digests) -> Option<Decoded> {
    let Content::Memory(content) = resource.content() else { return None };
    let decode = || decode_content(coding, content, max_bytes);
    *resource.decoded.get_or_init(|| match resource.representation.digest() {
        Some(digest) => digests.decoded_content(digest, coding, decode),
        None => decode(),
    })
}

/// Returns what `content` decodes to, at most `max_bytes`; None if that takes too long.
fn decode_content(coding: Coding, content: &[u8], max_bytes: u64) -> Option<Decoded> {
    let mut content = LimitedTime { content, end_ns: clock::thread_ns() + MAX_DECODE_NS };
    let mut hasher = Hasher::default();
    let mut update = |decoded: &[u8]| {
        hasher.update(decoded);
        Ok(())
    };
    match decode(coding, &mut content, max_bytes, &mut update) {
        Ok(_) => Some(Decoded::Digest(hasher.finish())),
        Err(Rejected::Unreadable) => None,
        Err(reason) => Some(Decoded::Rejected { reason, max_bytes }),
    }
}

/// A reader of content in memory that fails once this thread has used too much processor time.
struct LimitedTime<'c> {
    content: &'c [u8],
    end_ns: u64,
}

impl BufRead for LimitedTime<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if clock::thread_ns() > self.end_ns {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(&self.content[..self.content.len().min(DECODE_STEP_BYTES)])
    }

    fn consume(&mut self, length: usize) {
        self.content = &self.content[length..];
    }
}

impl Read for LimitedTime<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(out)?;
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{File, root::Root};
    use super::*;
    use crate::http::Representation;
    use crate::ipc::scoreboard::WorkerCounters;

    /// A gzip member of 32 KiB: each 12 bytes are a block with Huffman codes of its own, which encodes one byte of 255
    /// (RFC 1951 §3.2.7). Returns the number of blocks as well.
    fn costly_gzip() -> (Vec<u8>, u32) {
        let (mut bits, mut count) = (Vec::new(), 0u32);
        let mut put = |value: u32, length: u32| bits.extend((0..length).map(|bit| (value >> bit & 1) as u8));
        while count < 2_800 {
            count += 1;
            // Not the last; dynamic; 257 literals and 1 distance; 18 lengths of codes, 1 bit each for 18 and for 1.
            [(0, 1), (2, 2), (0, 5), (0, 5), (14, 4)].into_iter().for_each(|(value, length)| put(value, length));
            (0..18).for_each(|index| put(u32::from(matches!(index, 2 | 17)), 3));
            // No code for 138 and 117 literals; one bit each for 255, the end and a distance; then 255 and the end.
            let lengths = [(1, 1), (138 - 11, 7), (1, 1), (117 - 11, 7), (0, 3)];
            lengths.into_iter().chain([(0, 1), (1, 1)]).for_each(|(value, length)| put(value, length));
        }
        // A last block without content.
        [(1, 1), (1, 2), (0, 7), (0, 7)].into_iter().for_each(|(value, length)| put(value, length));
        let deflated = bits.chunks_exact(8).map(|byte| byte.iter().rev().fold(0, |byte, bit| byte << 1 | bit));
        let mut checksum = flate2::Crc::new();
        checksum.update(&vec![255; count as usize]);
        let end = [checksum.sum().to_le_bytes(), count.to_le_bytes()].concat();
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03".iter().copied().chain(deflated).chain(end).collect(), count)
    }

    #[test]
    fn content_that_takes_too_long_to_decode_is_left_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let (costly, count) = costly_gzip();
        let mut decoded = Vec::new();
        decode(Coding::Gzip, &mut &costly[..], 1 << 20, &mut |part| {
            decoded.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
        assert!(decoded == vec![255; count as usize] && costly.len() < 34_000);
        let root = Root::open(directory.path()).unwrap();
        let digests = Digests::new(None, WorkerCounters::discard());
        for (content, is_decoded) in [(costly, false), (b"\x1f\x8b".to_vec(), true)] {
            fs::write(directory.path().join("a"), content).unwrap();
            let file = File::open(&root, c"a").unwrap();
            let describe = |_: &[u8], _| Representation::new(7, None, None, "text/plain", None);
            let resource = Resource::in_memory(&file, describe).unwrap();
            for _ in 0..2 {
                let begin_ns = clock::thread_ns();
                assert_eq!(decode_in_memory(&resource, Coding::Gzip, 1 << 20, &digests).is_some(), is_decoded);
                assert!(clock::thread_ns() - begin_ns < 2 * MAX_DECODE_NS);
            }
        }
    }
}
