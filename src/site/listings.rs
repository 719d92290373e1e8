//! Listings of directories: each is made once a second at most, and shared by all who ask for it meanwhile.
//!
//! Only one is made at a time: a directory of many entries takes a processor for a while. Whoever asks for one that is not there
//! is told to make it, or to wait until somebody has. A disk that does not answer must not keep all other listings back, so one
//! that has been in the making for [`STUCK_MS`] does not count.
//!
//! A listing is a file in memory, which is sent as every file is: however many clients read it slowly, it is there once. All
//! listings together take no more than [`MOST_BYTES`].

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::directory::Directory;
use super::file::{File, refuse};
use crate::http::Refusal;
use crate::http::listing::Form;
use crate::os::sys;

/// How long a listing is shared after it was made, in milliseconds.
const SHARED_MS: u64 = 1_000;

/// A directory that has been read for so long is on a disk that does not answer, in milliseconds.
const STUCK_MS: u64 = 2_000;

/// The most listings that are shared at a time: each is an open file.
const MOST_SHARED: usize = 64;

/// The most bytes that the listings of a worker take, those included that are still being sent.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// A file in memory takes whole pages.
const PAGE_BYTES: u64 = 4096;

/// Which listing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Device and inode of the document root.
    pub root: (u64, u64),
    /// Device and inode of the directory.
    pub directory: (u64, u64),
    /// The directory's path, which stands in the page.
    pub path: Vec<u8>,
    /// What the client reads.
    pub form: Form,
}

/// A listing that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Listed {
    /// What is sent.
    pub file: Arc<File>,
    /// Whether the directory holds more.
    pub is_cut: bool,
}

/// What whoever asks for a listing is to do.
#[derive(Debug)]
pub enum Turn {
    /// Send it, or the error that it came to.
    Send(Result<Listed, Refusal>),
    /// Make it, and [`end`](Listings::end).
    Make,
    /// Ask again when it was made.
    Wait,
}

/// The listings of a worker.
#[derive(Debug, Default)]
pub struct Listings {
    state: Mutex<State>,
    bytes: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    made: HashMap<Key, Made>,
    /// Those that are being made, and since when.
    making: Vec<(Key, u64)>,
    /// Who waits for which, by descriptor, and in which order they came.
    waiting: HashMap<RawFd, Key>,
    order: VecDeque<RawFd>,
}

/// A listing that was made.
#[derive(Debug)]
struct Made {
    /// As long as it is shared.
    shared: Option<Result<Listed, Refusal>>,
    /// As long as it is shared or sent: the next one is the same file if it says the same.
    file: Weak<File>,
    is_cut: bool,
    made_ms: u64,
}

/// Bytes that a listing takes, of those that all may take. They are given back when it is closed.
#[derive(Debug)]
pub struct Share {
    taken: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, SeqCst);
    }
}

impl Listings {
    /// What `waiter`, a connection's descriptor, is to do for a listing.
    pub fn ask(&self, key: &Key, waiter: RawFd, now_ms: u64) -> Turn {
        let mut state = self.state();
        state.forget_old(now_ms);
        state.forget_waiter(waiter);
        if let Some(shared) = state.made.get(key).and_then(|made| made.shared.clone()) {
            return Turn::Send(shared);
        }
        if state.is_free(now_ms) && !state.is_being_made(key) {
            state.making.push((key.clone(), now_ms));
            return Turn::Make;
        }
        state.waiting.insert(waiter, key.clone());
        state.order.push_back(waiter);
        Turn::Wait
    }

    /// Puts what was made of `directory` where it is sent from. What is still there and says the same is not made anew.
    pub fn store(&self, directory: &Directory, key: &Key, content: &[u8], is_cut: bool) -> Result<Listed, Refusal> {
        let last = self.state().made.get(key).filter(|made| made.is_cut == is_cut).and_then(|made| made.file.upgrade());
        if let Some(file) = last.filter(|file| file.holds(content)) {
            return Ok(Listed { file, is_cut });
        }
        let share = self.share(content.len() as u64)?;
        let memory = sys::sealed_memory(c"listing", content).map_err(refuse)?;
        let file = File::in_memory(memory, directory.root(), directory.path(), share)?;
        Ok(Listed { file: Arc::new(file), is_cut })
    }

    /// Shares what has come of making a listing, if anything has; returns who is to ask again: all who wait for it, and the
    /// first of those who wait for another.
    pub fn end(&self, key: &Key, result: Option<Result<Listed, Refusal>>, now_ms: u64) -> Vec<RawFd> {
        let mut state = self.state();
        state.making.retain(|(making, _)| making != key);
        if let Some(shared) = result {
            state.share(key, shared, now_ms);
        }
        let (mut woken, order): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut state.order).into_iter().partition(|fd| state.waiting.get(fd) == Some(key));
        state.order = order;
        woken.iter().for_each(|fd| drop(state.waiting.remove(fd)));
        woken.extend(state.next_waiting(now_ms));
        woken.into()
    }

    /// Lets go of what is not shared any more; returns who is to ask again: those who wait while nobody makes anything, or none
    /// but those whose disk does not answer.
    pub fn look_after(&self, now_ms: u64) -> Option<RawFd> {
        let mut state = self.state();
        state.forget_old(now_ms);
        state.next_waiting(now_ms)
    }

    fn share(&self, bytes: u64) -> Result<Share, Refusal> {
        let bytes = bytes.next_multiple_of(PAGE_BYTES);
        let take = |taken: u64| Some(taken + bytes).filter(|&taken| taken <= MOST_BYTES);
        if self.bytes.fetch_update(SeqCst, SeqCst, take).is_err() {
            // Those that nobody is sent at the moment make room.
            let shared: Vec<_> = self.state().made.values_mut().filter_map(|made| made.shared.take()).collect();
            drop(shared);
            self.bytes.fetch_update(SeqCst, SeqCst, take).map_err(|_| Refusal::ListingsFull)?;
        }
        Ok(Share { taken: self.bytes.clone(), bytes })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// It asks again: it may have waited for another listing before, or be another connection.
    fn forget_waiter(&mut self, waiter: RawFd) {
        if self.waiting.remove(&waiter).is_some() {
            self.order.retain(|&fd| fd != waiter);
        }
    }

    /// Whether nobody makes a listing but those whose disk does not answer.
    fn is_free(&self, now_ms: u64) -> bool {
        self.making.iter().all(|(_, since_ms)| since_ms + STUCK_MS <= now_ms)
    }

    fn is_being_made(&self, key: &Key) -> bool {
        self.making.iter().any(|(making, _)| making == key)
    }

    /// Takes out the first who waits for a listing that nobody makes, if one may be made.
    fn next_waiting(&mut self, now_ms: u64) -> Option<RawFd> {
        if !self.is_free(now_ms) {
            return None;
        }
        let place =
            self.order.iter().position(|fd| self.waiting.get(fd).is_some_and(|key| !self.is_being_made(key)))?;
        let fd = self.order.remove(place)?;
        self.waiting.remove(&fd);
        Some(fd)
    }

    fn share(&mut self, key: &Key, shared: Result<Listed, Refusal>, now_ms: u64) {
        let are_many = self.made.values().filter(|made| made.shared.is_some()).count() >= MOST_SHARED;
        let oldest = self.made.values_mut().filter(|made| made.shared.is_some()).min_by_key(|made| made.made_ms);
        if let Some(oldest) = oldest.filter(|_| are_many) {
            oldest.shared = None;
        }
        let listed = shared.as_ref().ok();
        let file = listed.map_or_else(Weak::new, |listed| Arc::downgrade(&listed.file));
        let is_cut = listed.is_some_and(|listed| listed.is_cut);
        let made = Made { shared: Some(shared), file, is_cut, made_ms: now_ms };
        match self.made.entry(key.clone()) {
            // An error leaves what is still being sent known.
            Entry::Occupied(mut last) if made.file.strong_count() == 0 => {
                let last = last.get_mut();
                (last.shared, last.made_ms) = (made.shared, made.made_ms);
            }
            entry => drop(entry.insert_entry(made)),
        }
    }

    fn forget_old(&mut self, now_ms: u64) {
        self.made.retain(|_, made| {
            if made.made_ms + SHARED_MS <= now_ms {
                made.shared = None;
            }
            made.shared.is_some() || made.file.strong_count() > 0
        });
    }
}

#[cfg(test)]
mod tests;
