//! The digest table: the digests of versions of files. One process fills it and all others read it. It outlives these
//! processes and is kept across reloads.
//!
//! Each slot has a checksum. A reader accepts a slot only if the checksum is right: an interrupted writer or
//! two concurrent writers cause a missing result, never a false one, and the file is hashed again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

use crate::digest::{Digest, Hasher};
use crate::os::sys::{self, ReadableCounters, WritableCounters};

/// The numbers of a slot: checksum, key (2), digest (2), detail.
const WORDS: usize = 6;

/// The slots of a segment. A segment is used when there is no room for a key in those before it: 10,000 files take 768 KiB.
const SEGMENT: usize = 16 * 1024;

/// The segments of the table.
const SEGMENTS: usize = 4;

/// The slots of a segment in which a key can be, from the one that its own bits name.
const PROBES: usize = 32;

/// The version of what entries mean. An entry of another version has another key.
const VERSION: u8 = 1;

/// The numbers of the table.
const COUNT: usize = SEGMENTS * SEGMENT * WORDS;

/// A version of a file, and a question about it, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u64; 2]);

/// The entry for a version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The digest of the content, or of what it decodes to.
    pub digest: Digest,
    /// A further value, whose meaning depends on the question.
    pub detail: u64,
}

/// The table, for the process that fills it and for those that hand it on.
#[derive(Debug)]
pub struct DigestTable {
    memory: OwnedFd,
    slots: WritableCounters,
}

/// The table, for reading only.
#[derive(Debug)]
pub struct DigestReader(ReadableCounters);

impl Key {
    /// Creates the key of `question` about the version of a file that `identity` describes.
    pub fn new(question: u8, identity: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(&[VERSION, question]);
        hasher.update(identity);
        Key(hasher.finish().to_words())
    }
}

impl DigestTable {
    /// Creates an empty table.
    pub fn new() -> io::Result<Self> {
        DigestTable::from_memory(sys::counters_memory(COUNT)?)
    }

    /// Takes the table over from the previous image of this process. Fails if it has another layout.
    pub fn from_memory(memory: OwnedFd) -> io::Result<Self> {
        let slots = WritableCounters::map(&memory, COUNT)?;
        Ok(DigestTable { memory, slots })
    }

    /// Returns a descriptor by which the next image of this process can map it.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Returns the table for reading, which a compromised process cannot make writable.
    pub fn reader(&self) -> io::Result<DigestReader> {
        ReadableCounters::map(&self.memory, COUNT).map(DigestReader)
    }

    /// Returns the entry for `key`.
    pub fn get(&self, key: Key) -> Option<Entry> {
        find(key, |index| self.slots[index].load(Relaxed))
    }

    /// Stores the entry for `key`. If there is no room, replaces another entry.
    pub fn insert(&self, key: Key, entry: Entry) {
        let is_usable = |slot: &usize| {
            let words = self.words(*slot);
            words[..3] == [0; 3] || words[1..3] == key.0 || words[0] != checksum(&words)
        };
        let free = slots(key).find(is_usable);
        // An arbitrary one of the slots for this key; which one depends on what is stored.
        let victim = || slots(key).nth(entry.digest.to_words()[1] as usize % (SEGMENTS * PROBES));
        let Some(slot) = free.or_else(victim) else { return };
        let [high, low] = entry.digest.to_words();
        let mut words = [0, key.0[0], key.0[1], high, low, entry.detail];
        words[0] = checksum(&words);
        for (offset, word) in words.into_iter().enumerate() {
            self.slots[slot * WORDS + offset].store(word, Relaxed);
        }
    }

    fn words(&self, slot: usize) -> [u64; WORDS] {
        std::array::from_fn(|offset| self.slots[slot * WORDS + offset].load(Relaxed))
    }
}

impl DigestReader {
    /// Returns the entry for `key`.
    pub fn get(&self, key: Key) -> Option<Entry> {
        find(key, |index| self.0.get(index))
    }
}

/// Looks for `key`; `word` returns a number of the table.
fn find(key: Key, word: impl Fn(usize) -> u64) -> Option<Entry> {
    for slot in slots(key) {
        let words: [u64; WORDS] = std::array::from_fn(|offset| word(slot * WORDS + offset));
        if words[1..3] == key.0 && words[0] == checksum(&words) {
            return Some(Entry { digest: Digest::from_words([words[3], words[4]]), detail: words[5] });
        }
        // Entries are never removed: the key is in no slot behind a free one of its segment. In a later segment it is only
        // if there was none in this one.
        if words[..3] == [0; 3] {
            return None;
        }
    }
    None
}

/// Returns the slots in which `key` can be, in the order in which they are used.
fn slots(key: Key) -> impl Iterator<Item = usize> {
    let first = key.0[0] as usize;
    (0..SEGMENTS)
        .flat_map(move |segment| (0..PROBES).map(move |probe| segment * SEGMENT + first.wrapping_add(probe) % SEGMENT))
}

/// Returns the checksum of a slot's other numbers; never 0, the value of a free slot. It detects accidents: whoever can
/// write the table can also compute it.
fn checksum(words: &[u64; WORDS]) -> u64 {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    words[1..].iter().for_each(|word| hasher.write_u64(*word));
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        Key::new(0, &number.to_ne_bytes())
    }

    fn entry(number: u64) -> Entry {
        Entry { digest: Digest::of(&number.to_ne_bytes()), detail: number }
    }

    #[test]
    fn readers_get_what_was_stored_last() {
        let table = DigestTable::new().unwrap();
        let reader = table.reader().unwrap();
        assert_eq!(reader.get(key(1)), None);
        table.insert(key(1), entry(1));
        table.insert(key(2), entry(2));
        table.insert(key(1), entry(3));
        assert_eq!((reader.get(key(1)), reader.get(key(2))), (Some(entry(3)), Some(entry(2))));
        assert_eq!(table.get(key(2)), Some(entry(2)));
    }

    #[test]
    fn the_next_image_has_all_of_it() {
        let table = DigestTable::new().unwrap();
        table.insert(key(1), entry(1));
        let next = DigestTable::from_memory(table.memory().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(next.get(key(1)), Some(entry(1)));
        assert!(DigestTable::from_memory(sys::counters_memory(WORDS).unwrap()).is_err(), "another layout");
    }

    #[test]
    fn ten_thousand_files_take_less_than_a_mebibyte() {
        let table = DigestTable::new().unwrap();
        (0..10_000).for_each(|number| table.insert(key(number), entry(number)));
        assert!((0..10_000).all(|number| table.get(key(number)) == Some(entry(number))));
        let blocks = nix::sys::stat::fstat(&table.memory).unwrap().st_blocks;
        assert!(blocks * 512 <= 1024 * 1024, "{blocks} blocks");
    }

    #[test]
    fn a_full_table_replaces_entries_and_keeps_all_true() {
        let table = DigestTable::new().unwrap();
        let files = (SEGMENTS * SEGMENT) as u64 * 17 / 16;
        (0..files).for_each(|number| table.insert(key(number), entry(number)));
        let known = (0..files).filter_map(|number| Some((number, table.get(key(number))?)));
        let known: Vec<_> = known.inspect(|(number, found)| assert_eq!(*found, entry(*number))).collect();
        assert!(known.len() > SEGMENTS * SEGMENT * 9 / 10, "{} are known", known.len());
        assert!(table.get(key(files - 1)).is_some(), "the last one is known");
    }

    #[test]
    fn a_slot_that_was_written_halfway_is_unknown_and_used_again() {
        for offset in 0..WORDS {
            let table = DigestTable::new().unwrap();
            table.insert(key(1), entry(1));
            let slot = slots(key(1)).next().unwrap() * WORDS + offset;
            table.slots[slot].store(!table.slots[slot].load(Relaxed), Relaxed);
            assert_eq!(table.get(key(1)), None, "number {offset}");
            table.insert(key(1), entry(2));
            assert_eq!(table.get(key(1)), Some(entry(2)), "number {offset}");
        }
    }
}
