//! The store of compressed content: shared memory that the [helper](crate::helper) writes and all workers read. It outlives
//! these processes and is kept across reloads.
//!
//! The results are in the order in which they were made, and the oldest are overwritten: the memory is a ring. The
//! [digest table](super::digests) says where the result for a content begins, how long it is, and which digest it has.
//! A reader copies it and checks that digest. So a result that is being overwritten, or was made by an interrupted
//! writer, is missing and never false; and what a file is compressed to depends on its content alone, not on its name or
//! times.
//!
//! A result stays for at least [`MIN_AGE_MS`]. While all are younger, nothing more is stored: a site that is much larger than
//! the store is not compressed over and over.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

use super::digests::{DigestReader, DigestTable, Entry, Key};
use crate::digest::Digest;
use crate::http::coding::Coding;
use crate::os::sys::{self, ReadableCounters, WritableCounters};

/// The smallest file that is compressed, in bytes: below, the response head is most of what is sent.
pub const MIN_FILE_BYTES: u64 = 1024;

/// The largest file that is compressed, in bytes. It takes about a tenth of a second, and the helper has it in memory.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The time for which a result is kept, in milliseconds. Once a store of 32 MiB is full, that permits 0.1 MB of results a
/// second, for which about 0.7 MB of files are compressed: 2 % of a processor.
const MIN_AGE_MS: u64 = 300_000;

/// The parts of the ring. Each is as old as the first result in it.
const SEGMENTS: usize = 16;

/// The numbers before the ring: the layout, the size of the ring, its end, and the time of each segment.
const HEADER: usize = 3 + SEGMENTS;
const LAYOUT: usize = 0;
const SIZE: usize = 1;
const END: usize = 2;
const TIMES: usize = 3;

/// The version of the layout.
const VERSION: u64 = 1;

/// The question to the digest table about the compressed content; the other questions are the numbers of codings.
const QUESTION: u8 = 0x40;

/// The store, for the process that fills it and for those that hand it on.
#[derive(Debug)]
pub struct CompressedStore {
    memory: OwnedFd,
    words: WritableCounters,
    /// The size of the ring, in numbers of 8 bytes.
    size: usize,
}

/// The store, for reading only.
#[derive(Debug)]
pub struct CompressedReader {
    words: ReadableCounters,
    size: usize,
}

/// What is stored about a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// Nothing.
    Unknown,
    /// It does not become shorter.
    Useless,
    /// It was compressed.
    Compressed {
        /// The compressed content.
        bytes: Vec<u8>,
        /// Its digest, which was checked.
        digest: Digest,
    },
}

/// Returns the key of what content with this digest is compressed to.
fn key(content: Digest, coding: Coding) -> Key {
    let mut bytes = [0; 16];
    for (part, word) in bytes.chunks_exact_mut(8).zip(content.to_words()) {
        part.copy_from_slice(&word.to_ne_bytes());
    }
    Key::new(QUESTION | coding as u8, &bytes)
}

/// The place of a result in the ring, in an entry of the digest table: where it begins, in numbers, and its length in bytes.
/// A length of 0 says that the content does not become shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    begin: usize,
    bytes: usize,
}

impl Place {
    fn to_detail(self) -> u64 {
        (self.begin as u64) << 32 | self.bytes as u64
    }

    fn from_detail(detail: u64) -> Self {
        Place { begin: (detail >> 32) as usize, bytes: (detail & 0xffff_ffff) as usize }
    }

    fn words(self) -> usize {
        self.bytes.div_ceil(8)
    }
}

impl CompressedStore {
    /// Takes over the store of the previous image of this process, if it has this layout and size, or creates one of `bytes`.
    /// It takes memory for what is stored only.
    pub fn new(previous: Option<OwnedFd>, bytes: usize) -> io::Result<Self> {
        let size = (bytes / 8).clamp(SEGMENTS, u32::MAX as usize);
        if let Some(store) = previous.and_then(|memory| CompressedStore::map(memory, size).ok())
            && store.header(LAYOUT) == VERSION
            && store.header(SIZE) == size as u64
        {
            return Ok(store);
        }
        let store = CompressedStore::map(sys::counters_memory(HEADER + size)?, size)?;
        store.set_header(SIZE, size as u64);
        store.set_header(LAYOUT, VERSION);
        Ok(store)
    }

    fn map(memory: OwnedFd, size: usize) -> io::Result<Self> {
        let words = WritableCounters::map(&memory, HEADER + size)?;
        Ok(CompressedStore { memory, words, size })
    }

    /// Returns a descriptor by which the next image of this process can map it.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Returns the store for reading, which a compromised process cannot make writable.
    pub fn reader(&self) -> io::Result<CompressedReader> {
        let words = ReadableCounters::map(&self.memory, HEADER + self.size)?;
        Ok(CompressedReader { words, size: self.size })
    }

    /// Returns whether something is stored about content with this digest.
    pub fn knows(&self, digests: &DigestTable, content: Digest, coding: Coding) -> bool {
        let entry = digests.get(key(content, coding));
        !matches!(stored(entry, self.size, |index| self.words[index].load(Relaxed)), Stored::Unknown)
    }

    /// Returns whether a result of `bytes` could be stored at `now_ms`, of a monotonic clock that the machine's processes share.
    pub fn has_room(&self, bytes: usize, now_ms: u64) -> bool {
        self.place(bytes, now_ms).is_some()
    }

    /// Stores that content with this digest does not become shorter.
    pub fn insert_useless(&self, digests: &DigestTable, content: Digest, coding: Coding) {
        digests.insert(key(content, coding), Entry { digest: content, detail: 0 });
    }

    /// Stores what content with the digest `content` is compressed to. Returns false if there is no room.
    pub fn insert(
        &self,
        digests: &DigestTable,
        content: Digest,
        coding: Coding,
        compressed: &[u8],
        now_ms: u64,
    ) -> bool {
        let Some(place) = self.place(compressed.len(), now_ms) else { return false };
        for segment in self.entered(place) {
            self.set_header(TIMES + segment, now_ms.max(1));
        }
        // Before the content: if this process is ended meanwhile, the next one writes behind it.
        self.set_header(END, (place.begin + place.words()) as u64);
        let ring = &self.words[HEADER + place.begin..];
        for (word, bytes) in ring.iter().zip(compressed.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(padded), Relaxed);
        }
        let digest = Digest::of(compressed);
        digests.insert(key(content, coding), Entry { digest, detail: place.to_detail() });
        true
    }

    /// Returns the place for a result of `bytes`; none if it is too large, or if what is there is not old enough.
    fn place(&self, bytes: usize, now_ms: u64) -> Option<Place> {
        let end = (self.header(END) as usize).min(self.size);
        let words = bytes.div_ceil(8);
        let begin = if end + words > self.size { 0 } else { end };
        let place = Place { begin, bytes };
        let is_old = |segment: usize| {
            let since_ms = self.header(TIMES + segment);
            since_ms == 0 || since_ms.saturating_add(MIN_AGE_MS) <= now_ms
        };
        (0 < words && words <= self.size / 2 && self.entered(place).all(is_old)).then_some(place)
    }

    /// Returns the segments that a result at `place` is the first in since they were left.
    fn entered(&self, place: Place) -> impl Iterator<Item = usize> + use<> {
        let segment = |word: usize| word * SEGMENTS / self.size;
        let is_continued = place.begin > 0 && place.begin as u64 == self.header(END);
        let current = is_continued.then(|| segment(place.begin - 1));
        (segment(place.begin)..=segment(place.begin + place.words() - 1))
            .filter(move |entered| Some(*entered) != current)
    }

    fn header(&self, index: usize) -> u64 {
        self.words[index].load(Relaxed)
    }

    fn set_header(&self, index: usize, value: u64) {
        self.words[index].store(value, Relaxed);
    }
}

impl CompressedReader {
    /// Returns what content with this digest is compressed to.
    pub fn get(&self, digests: &DigestReader, content: Digest, coding: Coding) -> Stored {
        stored(digests.get(key(content, coding)), self.size, |index| self.words.get(index))
    }

    /// Returns whether it was filled: a further result replaces others.
    pub fn is_full(&self) -> bool {
        (0..SEGMENTS).all(|segment| self.words.get(TIMES + segment) != 0)
    }
}

/// Returns what an entry of the digest table stands for; `word` returns a number of the store, whose ring has `size` of them.
fn stored(entry: Option<Entry>, size: usize, word: impl Fn(usize) -> u64) -> Stored {
    let Some(Entry { digest, detail }) = entry else { return Stored::Unknown };
    let place = Place::from_detail(detail);
    if place.bytes == 0 {
        return Stored::Useless;
    }
    // It may be that of another store, from before a reload.
    if place.begin + place.words() > size {
        return Stored::Unknown;
    }
    let mut bytes = Vec::with_capacity(8 * place.words());
    for index in 0..place.words() {
        bytes.extend_from_slice(&word(HEADER + place.begin + index).to_le_bytes());
    }
    bytes.truncate(place.bytes);
    if Digest::of(&bytes) == digest { Stored::Compressed { bytes, digest } } else { Stored::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROTLI: Coding = Coding::Brotli;

    struct Fixture {
        digests: DigestTable,
        store: CompressedStore,
    }

    impl Fixture {
        fn new(bytes: usize) -> Self {
            Fixture { digests: DigestTable::new().unwrap(), store: CompressedStore::new(None, bytes).unwrap() }
        }

        fn insert(&self, number: u64, compressed: &[u8], now_ms: u64) -> bool {
            self.store.insert(&self.digests, content(number), BROTLI, compressed, now_ms)
        }

        fn get(&self, number: u64) -> Option<Vec<u8>> {
            let (reader, digests) = (self.store.reader().unwrap(), self.digests.reader().unwrap());
            let stored = reader.get(&digests, content(number), BROTLI);
            assert_eq!(stored != Stored::Unknown, self.store.knows(&self.digests, content(number), BROTLI));
            match stored {
                Stored::Compressed { bytes, digest } => {
                    assert_eq!(digest, Digest::of(&bytes));
                    Some(bytes)
                }
                Stored::Unknown => None,
                Stored::Useless => Some(Vec::new()),
            }
        }
    }

    fn content(number: u64) -> Digest {
        Digest::of(&number.to_ne_bytes())
    }

    #[test]
    fn readers_get_what_was_stored_for_the_content_and_coding() {
        let fixture = Fixture::new(1 << 16);
        assert_eq!(fixture.get(1), None);
        for length in [1, 7, 8, 9, 1000] {
            let bytes = vec![length as u8; length];
            assert!(fixture.insert(length as u64, &bytes, 1));
            assert_eq!(fixture.get(length as u64), Some(bytes));
        }
        assert_eq!(fixture.get(9), Some(vec![9; 9]), "the later ones are behind it");
        let (reader, digests) = (fixture.store.reader().unwrap(), fixture.digests.reader().unwrap());
        assert_eq!(reader.get(&digests, content(9), Coding::Gzip), Stored::Unknown, "another coding");
        fixture.store.insert_useless(&fixture.digests, content(2), BROTLI);
        assert_eq!(reader.get(&digests, content(2), BROTLI), Stored::Useless);
    }

    #[test]
    fn a_full_store_keeps_what_is_young_and_overwrites_what_is_old() {
        let fixture = Fixture::new(16 << 10);
        let result = |number: u64| vec![number as u8; 1000];
        let reader = fixture.store.reader().unwrap();
        let stored = |now_ms, numbers: std::ops::Range<u64>| {
            numbers.filter(|&number| fixture.insert(number, &result(number), now_ms)).count()
        };
        assert_eq!((stored(1_000, 0..15), reader.is_full()), (15, false));
        assert_eq!((stored(1_000, 15..30), reader.is_full()), (1, true), "16 KiB");
        assert!(!fixture.store.has_room(1000, 999 + MIN_AGE_MS) && fixture.store.has_room(1000, 1_000 + MIN_AGE_MS));
        assert_eq!(stored(999 + MIN_AGE_MS, 30..60), 0);
        assert!((0..16).all(|number| fixture.get(number) == Some(result(number))));
        assert_eq!(stored(1_000 + MIN_AGE_MS, 60..63), 3);
        assert!((60..63).all(|number| fixture.get(number) == Some(result(number))));
        assert!((0..3).all(|number| fixture.get(number).is_none()), "overwritten");
        assert!((4..16).all(|number| fixture.get(number) == Some(result(number))));
    }

    #[test]
    fn a_result_of_more_than_half_of_the_store_is_not_stored() {
        let fixture = Fixture::new(1 << 12);
        assert!(!fixture.insert(1, &[1; (1 << 11) + 1], 1) && !fixture.insert(1, &[], 1));
        for (number, now_ms) in [(1, 1), (2, 1), (3, 1 + MIN_AGE_MS), (4, 1 + MIN_AGE_MS)] {
            assert!(fixture.insert(number, &[number as u8; 1 << 11], now_ms), "{number}");
            assert_eq!(fixture.get(number), Some(vec![number as u8; 1 << 11]));
        }
        assert_eq!((fixture.get(1), fixture.get(2)), (None, None));
    }

    #[test]
    fn the_next_image_has_all_of_it_if_it_has_the_same_size() {
        let first = Fixture::new(1 << 16);
        assert!(first.insert(1, b"compressed", 1));
        let memory = || first.store.memory().try_clone_to_owned().ok();
        let Fixture { digests, .. } = &first;
        for (size, is_kept) in [(1 << 16, true), (1 << 15, false), (1 << 17, false)] {
            let store = CompressedStore::new(memory(), size).unwrap();
            assert_eq!(store.knows(digests, content(1), BROTLI), is_kept, "{size}");
        }
        let other = CompressedStore::new(Some(sys::counters_memory(8).unwrap()), 1 << 16).unwrap();
        assert!(!other.knows(digests, content(1), BROTLI), "memory of another kind");
    }

    #[test]
    fn a_store_takes_memory_for_what_is_in_it_only() {
        let fixture = Fixture::new(64 << 20);
        assert!(fixture.insert(1, &[1; 10_000], 1));
        let blocks = nix::sys::stat::fstat(&fixture.store.memory).unwrap().st_blocks;
        assert!(blocks * 512 <= 32 << 10, "{blocks} blocks");
    }
}
