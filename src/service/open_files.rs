//! The limit of files that connections keep open besides one each.
//!
//! A connection of HTTP/1 sends one file at a time, and half of the descriptors are for these. One of HTTP/2 sends up to 128: what
//! goes beyond one needs a permit, so that a few clients cannot use up the descriptors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The permits of a worker.
#[derive(Debug, Clone)]
pub struct OpenFiles(Arc<AtomicUsize>);

/// A permit for an open file, until it drops.
#[derive(Debug)]
pub struct FilePermit(OpenFiles);

impl OpenFiles {
    /// Creates so many permits.
    pub fn new(permits: usize) -> Self {
        OpenFiles(Arc::new(AtomicUsize::new(permits)))
    }

    /// Takes a permit; none if there is none left.
    pub fn acquire(&self) -> Option<FilePermit> {
        let taken = self.0.fetch_update(Relaxed, Relaxed, |permits| permits.checked_sub(1));
        taken.ok().map(|_| FilePermit(self.clone()))
    }
}

impl Drop for FilePermit {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_limited_and_come_back() {
        let files = OpenFiles::new(2);
        let permits = [files.acquire(), files.acquire()];
        assert!(permits.iter().all(Option::is_some) && files.acquire().is_none());
        drop(permits);
        assert!(files.acquire().is_some());
    }
}
