//! The directories to which links of a directory of sites lead: each is a site, wherever it is.

use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashSet;

use super::super::errno::refuse;
use super::listing::Listing;
use crate::http::Refusal;

/// The time for which they count, in milliseconds. While they are in use, the upkeep finds them again earlier.
const MAX_AGE_MS: u64 = 1_000;

/// These directories, by device and inode. They are found when a request needs them, which most servers never do.
#[derive(Debug, Default)]
pub struct LinkedDirectories(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    directories: Arc<FxHashSet<(u64, u64)>>,
    found_ms: u64,
    is_used: bool,
}

impl LinkedDirectories {
    /// Returns whether a link leads to `directory`.
    pub fn contains(&self, directory: (u64, u64), listing: &Listing, now_ms: u64) -> Result<bool, Refusal> {
        if let Some(known) = self.known().as_mut().filter(|known| now_ms < known.found_ms + MAX_AGE_MS) {
            known.is_used = true;
            return Ok(known.directories.contains(&directory));
        }
        Ok(self.find(listing, now_ms)?.contains(&directory))
    }

    /// Finds them again, if they were used since the last time.
    pub fn refresh(&self, listing: &Listing, now_ms: u64) {
        let was_used = self.known().as_mut().is_some_and(|known| std::mem::take(&mut known.is_used));
        // What cannot be found now is needed again, or not.
        if !was_used || self.find(listing, now_ms).is_err() {
            *self.known() = None;
        }
    }

    fn find(&self, listing: &Listing, now_ms: u64) -> Result<Arc<FxHashSet<(u64, u64)>>, Refusal> {
        let mut directories = FxHashSet::default();
        for link in listing.entries.links() {
            // Names of entries have no NUL.
            match listing.root.stat(&CString::new(&**link).unwrap_or_default()).map_err(refuse) {
                Ok(stat) => drop(directories.insert((stat.st_dev, stat.st_ino))),
                Err(refusal @ (Refusal::Exhausted(_) | Refusal::Disk(_))) => return Err(refusal),
                Err(_) => {}
            }
        }
        let directories = Arc::new(directories);
        *self.known() = Some(Known { directories: directories.clone(), found_ms: now_ms, is_used: true });
        Ok(directories)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
