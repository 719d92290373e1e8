//! Shared directory listings: each is made at most once a second, and shared by all requests in that second.
//!
//! Only one is made at a time, since a directory of many entries occupies a processor for a while. A request for a listing
//! that does not exist makes it, or waits until it is made. A disk that hangs must not block all other listings, so one that
//! takes longer than [`STUCK_MS`] is not counted.
//!
//! A listing is a file in memory, which is sent like every file: it exists once, however many clients read it slowly. All
//! listings together take at most [`MAX_BYTES`].

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::directory::{Directory, ListingKey};
use super::errno::refuse;
use super::file::File;
use super::memory::{MemoryLimit, Reservation};
use crate::http::Refusal;
use crate::os::sys;

/// The time for which a listing is shared after it was made, in milliseconds.
const SHARED_MS: u64 = 1_000;

/// The time after which reading a directory is considered to hang, in milliseconds.
const STUCK_MS: u64 = 2_000;

/// The limit of listings that are shared at a time: each is an open file.
const MAX_SHARED: usize = 64;

/// The limit of different listings that connections wait for at a time. With 10,000 entries each, the last of them is made some
/// seconds later; requests beyond are rejected, so that no client fills the queue for minutes.
const MAX_AWAITED: usize = 32;

/// The limit of bytes that the listings of a worker take, including those that are still being sent.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A listing that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The content.
    pub file: Arc<File>,
    /// Whether the directory has more entries.
    pub is_cut: bool,
}

/// The next step of a request for a listing.
#[derive(Debug)]
pub enum ListingAction {
    /// Send the listing, or the error of making it.
    Send(Result<Listed, Refusal>),
    /// Make it, then call [`finish`](Listings::finish).
    Make,
    /// Wait until the connection is woken, then request it again.
    Wait,
}

/// The listings of a worker.
#[derive(Debug)]
pub struct Listings {
    state: Mutex<State>,
    memory: MemoryLimit,
}

impl Default for Listings {
    fn default() -> Self {
        Listings { state: Mutex::default(), memory: MemoryLimit::new(MAX_BYTES) }
    }
}

#[derive(Debug, Default)]
struct State {
    made: HashMap<ListingKey, Made>,
    /// The listings that are being made, with the time of the start in milliseconds.
    making: Vec<(ListingKey, u64)>,
    /// The waiting connections by file descriptor, and their order.
    waiting: HashMap<RawFd, ListingKey>,
    order: VecDeque<RawFd>,
    /// The listings that they wait for, with the number of connections.
    awaited: HashMap<ListingKey, usize>,
}

/// A listing that was made.
#[derive(Debug)]
struct Made {
    /// The result, while it is shared.
    shared: Option<Result<Listed, Refusal>>,
    /// The file, while it is shared or being sent: a later listing of the same content uses it again.
    file: Weak<File>,
    is_cut: bool,
    made_ms: u64,
}

impl Listings {
    /// Requests a listing for the connection with the file descriptor `waiter`, and returns its next step.
    pub fn request(&self, key: &ListingKey, waiter: RawFd, now_ms: u64) -> ListingAction {
        let mut state = self.state();
        state.remove_old(now_ms);
        state.remove_waiter(waiter);
        if let Some(shared) = state.made.get(key).and_then(|made| made.shared.clone()) {
            return ListingAction::Send(shared);
        }
        if state.is_free(now_ms) && !state.is_being_made(key) {
            state.making.push((key.clone(), now_ms));
            return ListingAction::Make;
        }
        if state.awaited.len() >= MAX_AWAITED && !state.awaited.contains_key(key) {
            return ListingAction::Send(Err(Refusal::Blocked("too many other directories wait for their listings")));
        }
        state.add_waiter(waiter, key);
        ListingAction::Wait
    }

    /// Stores the content of a listing in a file in memory. Uses the last file again if it still exists and its content is
    /// the same.
    pub fn store(
        &self,
        directory: &Directory,
        key: &ListingKey,
        content: &[u8],
        is_cut: bool,
    ) -> Result<Listed, Refusal> {
        let last = self.state().made.get(key).filter(|made| made.is_cut == is_cut).and_then(|made| made.file.upgrade());
        if let Some(file) = last.filter(|file| file.equals(content)) {
            return Ok(Listed { file, is_cut });
        }
        let reservation = self.reserve(content.len() as u64)?;
        let memory = sys::sealed_memory(c"listing", content).map_err(refuse)?;
        let file = File::in_memory(memory, directory.root(), directory.path(), reservation)?;
        Ok(Listed { file: Arc::new(file), is_cut })
    }

    /// Ends the making of a listing, and shares its result if there is one. Returns the connections to wake: all that wait
    /// for it, and the first that waits for another listing.
    pub fn finish(&self, key: &ListingKey, result: Option<Result<Listed, Refusal>>, now_ms: u64) -> Vec<RawFd> {
        let mut state = self.state();
        state.making.retain(|(making, _)| making != key);
        if let Some(shared) = result {
            state.share(key, shared, now_ms);
        }
        let (mut woken, order): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut state.order).into_iter().partition(|fd| state.waiting.get(fd) == Some(key));
        state.order = order;
        for fd in &woken {
            state.take_waiter(*fd);
        }
        woken.extend(state.next_waiting(now_ms));
        woken.into()
    }

    /// Drops the listings that are no longer shared. Returns a waiting connection to wake, if no listing is being made
    /// except on disks that hang.
    pub fn expire(&self, now_ms: u64) -> Option<RawFd> {
        let mut state = self.state();
        state.remove_old(now_ms);
        state.next_waiting(now_ms)
    }

    fn reserve(&self, bytes: u64) -> Result<Reservation, Refusal> {
        self.memory
            .reserve(bytes)
            .or_else(|| {
                // Drop the shared listings; those that are not being sent release their memory.
                let shared: Vec<_> = self.state().made.values_mut().filter_map(|made| made.shared.take()).collect();
                drop(shared);
                self.memory.reserve(bytes)
            })
            .ok_or(Refusal::ListingsFull)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add_waiter(&mut self, waiter: RawFd, key: &ListingKey) {
        self.waiting.insert(waiter, key.clone());
        self.order.push_back(waiter);
        *self.awaited.entry(key.clone()).or_default() += 1;
    }

    /// Takes a waiter out of the map, not out of the order. Returns whether it waited.
    fn take_waiter(&mut self, waiter: RawFd) -> bool {
        let Some(key) = self.waiting.remove(&waiter) else { return false };
        if let Entry::Occupied(mut count) = self.awaited.entry(key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        true
    }

    /// Removes a waiter that requests a listing again: it may have waited for another, or be a new connection with the same
    /// file descriptor.
    fn remove_waiter(&mut self, waiter: RawFd) {
        if self.take_waiter(waiter) {
            self.order.retain(|&fd| fd != waiter);
        }
    }

    /// Returns whether no listing is being made, except on disks that hang.
    fn is_free(&self, now_ms: u64) -> bool {
        self.making.iter().all(|(_, since_ms)| since_ms + STUCK_MS <= now_ms)
    }

    fn is_being_made(&self, key: &ListingKey) -> bool {
        self.making.iter().any(|(making, _)| making == key)
    }

    /// Removes and returns the first connection that waits for a listing that is not being made, if one may be made.
    fn next_waiting(&mut self, now_ms: u64) -> Option<RawFd> {
        if !self.is_free(now_ms) {
            return None;
        }
        let index =
            self.order.iter().position(|fd| self.waiting.get(fd).is_some_and(|key| !self.is_being_made(key)))?;
        let fd = self.order.remove(index)?;
        self.take_waiter(fd);
        Some(fd)
    }

    fn share(&mut self, key: &ListingKey, shared: Result<Listed, Refusal>, now_ms: u64) {
        let is_full = self.made.values().filter(|made| made.shared.is_some()).count() >= MAX_SHARED;
        let oldest = self.made.values_mut().filter(|made| made.shared.is_some()).min_by_key(|made| made.made_ms);
        if let Some(oldest) = oldest.filter(|_| is_full) {
            oldest.shared = None;
        }
        let listed = shared.as_ref().ok();
        let file = listed.map_or_else(Weak::new, |listed| Arc::downgrade(&listed.file));
        let is_cut = listed.is_some_and(|listed| listed.is_cut);
        let made = Made { shared: Some(shared), file, is_cut, made_ms: now_ms };
        match self.made.entry(key.clone()) {
            // After an error, the file that is still being sent is kept.
            Entry::Occupied(mut last) if made.file.strong_count() == 0 => {
                let last = last.get_mut();
                (last.shared, last.made_ms) = (made.shared, made.made_ms);
            }
            entry => drop(entry.insert_entry(made)),
        }
    }

    fn remove_old(&mut self, now_ms: u64) {
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
