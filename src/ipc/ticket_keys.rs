//! The keys of session tickets: the supervisor makes them, and workers can only read them. They outlive both, across reloads.
//!
//! A ticket holds the secrets of a session, encrypted by one of these keys (RFC 8446 §4.6.1, RFC 5077). A client that returns
//! it resumes the session with any worker. Who knows a key can read the tickets that were made with it, and can impersonate
//! the server to the clients that have them. So the keys are in no core dump, and each is used for some hours. They are in no file
//! either, unless several machines share one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use zeroize::Zeroizing;

use crate::os::sys::{self, ReadableCounters, WritableCounters};

/// The period for which a key makes tickets, in milliseconds.
pub const PERIOD_MS: u64 = 6 * 60 * 60 * 1_000;

/// The keys: one makes tickets, and the others decrypt those that they have made.
pub const GENERATIONS: usize = 3;

/// The minimum time for which a ticket can be used, in seconds.
pub const LIFETIME_SECONDS: u32 = ((GENERATIONS as u64 - 1) * PERIOD_MS / 1_000) as u32;

/// The length of the name of a key, which is in each of its tickets, in bytes.
pub const NAME_BYTES: usize = 16;

/// The length of a key, in bytes.
pub const KEY_BYTES: usize = 32;

/// The numbers of a key: name and key.
const KEY_WORDS: usize = (NAME_BYTES + KEY_BYTES) / 8;

/// A number that is odd while the keys are being changed, and when the next key is due.
const HEADER_WORDS: usize = 2;

const COUNT: usize = HEADER_WORDS + GENERATIONS * KEY_WORDS;

/// The attempts to read keys while they are being changed. Afterwards, there are none: the supervisor has died during a change.
const ATTEMPTS: usize = 1_000;

/// A key.
pub struct TicketKey {
    /// Its name.
    pub name: [u8; NAME_BYTES],
    /// The key, which is wiped when dropped.
    pub key: Zeroizing<[u8; KEY_BYTES]>,
}

/// The keys, for the supervisor.
#[derive(Debug)]
pub struct TicketKeys {
    memory: OwnedFd,
    words: WritableCounters,
}

/// The keys, for a worker.
#[derive(Debug)]
pub struct TicketKeyReader(ReadableCounters);

impl TicketKeys {
    /// Creates keys at `now_ms` of the monotonic clock.
    pub fn new(now_ms: u64) -> io::Result<Self> {
        let memory = sys::counters_memory(COUNT)?;
        let keys = TicketKeys::mapped(WritableCounters::map(&memory, COUNT)?, memory)?;
        keys.renew(now_ms)?;
        Ok(keys)
    }

    fn mapped(words: WritableCounters, memory: OwnedFd) -> io::Result<Self> {
        words.exclude_from_dumps()?;
        // Where the limit on locked memory (RLIMIT_MEMLOCK) is 0, they may be written to swap space.
        let _ = words.lock();
        Ok(TicketKeys { memory, words })
    }

    /// Takes the keys over from the previous image of this process. Fails if they have another layout, or were being changed:
    /// then it wipes them, as the workers that read them could otherwise use them after a renewal.
    pub fn from_memory(memory: OwnedFd) -> io::Result<Self> {
        // Another length is that of a version with other fields.
        let has_own_length = memory.try_clone().map(File::from)?.metadata()?.len() == (COUNT * size_of::<u64>()) as u64;
        let words = match WritableCounters::map(&memory, COUNT) {
            Ok(words) if has_own_length && words[0].load(Relaxed).is_multiple_of(2) => words,
            _ => {
                let memory = File::from(memory);
                memory.write_all_at(&vec![0; memory.metadata()?.len() as usize], 0)?;
                return Err(io::ErrorKind::InvalidData.into());
            }
        };
        TicketKeys::mapped(words, memory)
    }

    /// Returns a descriptor by which the next image of this process can map them.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// Returns the keys for reading, which a compromised process cannot make writable. Fails where /proc is missing, without
    /// which it could: with keys of its choice, it could read the sessions of all workers.
    pub fn reader(&self) -> io::Result<TicketKeyReader> {
        self.reader_by(sys::OWN_DESCRIPTORS)
    }

    fn reader_by(&self, descriptors: &str) -> io::Result<TicketKeyReader> {
        let words = ReadableCounters::map_for_ever(&self.memory, COUNT, descriptors)?;
        words.exclude_from_dumps()?;
        Ok(TicketKeyReader(words))
    }

    /// Returns when the next key is due, in milliseconds of the monotonic clock.
    pub fn due_ms(&self) -> u64 {
        self.words[1].load(Relaxed)
    }

    /// Adds a key, which makes the tickets from now on, and wipes the oldest one.
    pub fn rotate(&self, now_ms: u64) -> io::Result<()> {
        let key = random_key()?;
        self.change(now_ms + PERIOD_MS, |words| {
            words.copy_within(..(GENERATIONS - 1) * KEY_WORDS, KEY_WORDS);
            words[..KEY_WORDS].copy_from_slice(&*key);
        });
        Ok(())
    }

    /// Replaces all keys: no session from before can be resumed. If that fails, there are no keys, and the next one is due
    /// now.
    pub fn renew(&self, now_ms: u64) -> io::Result<()> {
        self.replace(random_key(), now_ms)
    }

    /// Replaces all keys by these, which other machines have as well: the first makes the tickets. Keys beyond the generations are
    /// not used. Returns whether that changes anything. The next random key is due now, for an image that has no such keys.
    pub fn share(&self, keys: &[TicketKey]) -> bool {
        let mut words = Zeroizing::new([0; GENERATIONS * KEY_WORDS]);
        for (key, words) in keys.iter().zip(words.chunks_exact_mut(KEY_WORDS)) {
            let bytes = key.name.as_chunks().0.iter().chain(key.key.as_chunks().0);
            words.iter_mut().zip(bytes).for_each(|(word, bytes)| *word = u64::from_ne_bytes(*bytes));
        }
        let is_change = words.iter().zip(&self.words[HEADER_WORDS..]).any(|(word, old)| *word != old.load(Relaxed));
        if is_change {
            self.change(0, |present| present.copy_from_slice(&*words));
        }
        is_change
    }

    fn replace(&self, key: io::Result<Zeroizing<[u64; KEY_WORDS]>>, now_ms: u64) -> io::Result<()> {
        let due_ms = if key.is_ok() { now_ms + PERIOD_MS } else { now_ms };
        self.change(due_ms, |words| {
            words.fill(0);
            key.iter().for_each(|key| words[..KEY_WORDS].copy_from_slice(&**key));
        });
        key.map(drop)
    }

    fn change(&self, due_ms: u64, change: impl FnOnce(&mut [u64; GENERATIONS * KEY_WORDS])) {
        let mut words = Zeroizing::new(std::array::from_fn(|index| self.words[HEADER_WORDS + index].load(Relaxed)));
        change(&mut words);
        let sequence = self.words[0].load(Relaxed);
        self.words[0].store(sequence | 1, Relaxed);
        fence(Release);
        self.words[1].store(due_ms, Relaxed);
        for (index, word) in words.iter().enumerate() {
            self.words[HEADER_WORDS + index].store(*word, Relaxed);
        }
        self.words[0].store((sequence | 1) + 1, Release);
    }
}

impl TicketKeyReader {
    /// Returns the key that makes tickets.
    pub fn current(&self) -> Option<TicketKey> {
        self.read()?.into_iter().next().filter(TicketKey::is_set)
    }

    /// Returns the key `name`, if it was not wiped.
    pub fn find(&self, name: &[u8]) -> Option<TicketKey> {
        self.read()?.into_iter().find(|key| key.name == *name && key.is_set())
    }

    fn read(&self) -> Option<[TicketKey; GENERATIONS]> {
        (0..ATTEMPTS).find_map(|_| {
            let before = self.0.get(0);
            fence(Acquire);
            let keys = std::array::from_fn(|generation| self.read_key(HEADER_WORDS + generation * KEY_WORDS));
            fence(Acquire);
            let is_consistent = before.is_multiple_of(2) && self.0.get(0) == before;
            std::hint::spin_loop();
            is_consistent.then_some(keys)
        })
    }

    fn read_key(&self, begin: usize) -> TicketKey {
        let mut key = TicketKey { name: [0; NAME_BYTES], key: Zeroizing::new([0; KEY_BYTES]) };
        let bytes = key.name.chunks_exact_mut(8).chain(key.key.chunks_exact_mut(8));
        bytes.enumerate().for_each(|(index, bytes)| bytes.copy_from_slice(&self.0.get(begin + index).to_ne_bytes()));
        key
    }
}

impl TicketKey {
    fn is_set(&self) -> bool {
        self.name != [0; NAME_BYTES]
    }
}

fn random_key() -> io::Result<Zeroizing<[u64; KEY_WORDS]>> {
    let mut words = Zeroizing::new([0; KEY_WORDS]);
    let mut bytes = Zeroizing::new([0; KEY_WORDS * 8]);
    // Of the kernel: the generator of aws-lc needs some hundred milliseconds for its first number.
    sys::fill_random(&mut *bytes)?;
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_for_two_further_periods_and_wiped_then() {
        let keys = TicketKeys::new(0).unwrap();
        let reader = keys.reader().unwrap();
        let first = reader.current().unwrap();
        assert_eq!(keys.due_ms(), PERIOD_MS);
        for period in 1..=2 {
            keys.rotate(period * PERIOD_MS).unwrap();
            assert_ne!(reader.current().unwrap().name, first.name);
            assert_eq!(reader.find(&first.name).unwrap().key, first.key);
        }
        keys.rotate(3 * PERIOD_MS).unwrap();
        assert!(reader.find(&first.name).is_none());
        let words: Vec<u64> = (0..COUNT).map(|index| reader.0.get(index)).collect();
        assert!(!words.contains(&u64::from_ne_bytes(first.key[..8].try_into().unwrap())), "it is wiped");
    }

    #[test]
    fn without_proc_there_is_no_reader() {
        let keys = TicketKeys::new(0).unwrap();
        assert!(keys.reader_by("/nowhere").is_err());
    }

    /// While it is locked, the kernel keeps it in memory (proc(5)).
    #[test]
    fn the_keys_are_locked_in_memory() {
        let keys = TicketKeys::new(0).unwrap();
        let start = format!("{:x}-", keys.words.as_ptr() as usize);
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let flags = maps.lines().skip_while(|line| !line.starts_with(&start)).find(|line| line.starts_with("VmFlags:"));
        assert!(flags.unwrap().split(' ').any(|flag| flag == "lo"), "{flags:?}");
    }

    #[test]
    fn after_a_renewal_only_the_new_key_is_there() {
        let keys = TicketKeys::new(0).unwrap();
        keys.rotate(1).unwrap();
        let reader = keys.reader().unwrap();
        let old = reader.current().unwrap();
        keys.renew(2).unwrap();
        assert!(reader.find(&old.name).is_none() && reader.find(&[0; NAME_BYTES]).is_none());
        assert_eq!(reader.read().unwrap().iter().filter(|key| key.is_set()).count(), 1);
        assert_eq!(keys.due_ms(), 2 + PERIOD_MS);
    }

    #[test]
    fn shared_keys_replace_all_others_and_are_followed_by_random_ones() {
        let key = |byte| TicketKey { name: [byte; NAME_BYTES], key: Zeroizing::new([byte; KEY_BYTES]) };
        let keys = TicketKeys::new(0).unwrap();
        let reader = keys.reader().unwrap();
        let random = reader.current().unwrap();
        assert!(keys.share(&[key(2), key(1)]) && !keys.share(&[key(2), key(1)]));
        assert!(reader.find(&random.name).is_none());
        assert_eq!((reader.current().unwrap().name, *reader.find(&[1; NAME_BYTES]).unwrap().key), ([2; 16], [1; 32]));
        assert!(keys.share(&[key(3), key(2)]) && reader.find(&[1; NAME_BYTES]).is_none());
        assert_eq!(keys.due_ms(), 0);
        keys.rotate(1).unwrap();
        assert!(reader.find(&[3; NAME_BYTES]).is_some() && reader.current().unwrap().name != [3; NAME_BYTES]);
    }

    #[test]
    fn a_renewal_that_fails_wipes_the_keys_and_is_due_again() {
        let keys = TicketKeys::new(0).unwrap();
        let reader = keys.reader().unwrap();
        let old = reader.current().unwrap();
        assert!(keys.replace(Err(io::ErrorKind::Other.into()), 7).is_err());
        assert!(reader.current().is_none() && reader.find(&old.name).is_none());
        assert_eq!(keys.due_ms(), 7);
        keys.rotate(8).unwrap();
        assert!(reader.current().is_some() && reader.find(&old.name).is_none());
    }

    #[test]
    fn the_next_image_has_the_same_keys_unless_a_change_was_interrupted() {
        let keys = TicketKeys::new(0).unwrap();
        let name = keys.reader().unwrap().current().unwrap().name;
        let next = TicketKeys::from_memory(keys.memory().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(next.reader().unwrap().current().unwrap().name, name);
        keys.words[0].fetch_or(1, Relaxed);
        assert!(next.reader().unwrap().current().is_none());
        assert!(TicketKeys::from_memory(keys.memory().try_clone_to_owned().unwrap()).is_err());
        assert!(keys.words.iter().all(|word| word.load(Relaxed) == 0), "they are wiped");
        let longer = sys::counters_memory(COUNT + 1).unwrap();
        let words = WritableCounters::map(&longer, COUNT + 1).unwrap();
        words[COUNT].store(7, Relaxed);
        assert!(TicketKeys::from_memory(longer).is_err());
        assert_eq!(words[COUNT].load(Relaxed), 0);
    }
}
