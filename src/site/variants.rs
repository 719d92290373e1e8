//! The precompressed variants of files: `name.br`, `name.zst` and `name.gz` beside `name`.

use std::ffi::{CStr, CString};
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::cache::CacheLimits;
use super::root::Root;
use crate::http::Coding;
use crate::os::clock;

/// The time for which the result of a check is used, in milliseconds. A variant that was removed meanwhile costs one failed
/// open; a new one is used up to this much later.
const TTL_MS: u64 = 1_000;

/// The limit of files whose variants are stored, for all releases that are served. When one has reached its share, its own are
/// discarded and checked again.
const MAX_ENTRIES: usize = 8 * 1024;

/// The known variants, by the path of the original.
#[derive(Debug)]
pub struct Variants {
    known: RwLock<FxHashMap<CString, AvailableCodings>>,
    cache_limits: Arc<CacheLimits>,
}

/// The codings in which a file has variants.
#[derive(Debug, Clone, Copy, Default)]
pub struct AvailableCodings {
    codings: u8,
    checked_ms: u64,
}

impl Variants {
    /// Creates the variants of a release whose cache has these limits.
    pub fn new(cache_limits: &Arc<CacheLimits>) -> Self {
        Variants { known: RwLock::default(), cache_limits: cache_limits.clone() }
    }

    /// Returns the variants of the file at `path`. Checks the disk if the last check is older than [`TTL_MS`].
    pub fn of(&self, path: &CStr, root: &Root) -> AvailableCodings {
        let now_ms = clock::now_ms();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(path).copied();
        if let Some(available) = known.filter(|known| now_ms < known.checked_ms + TTL_MS) {
            return available;
        }
        let exists = |coding: &Coding| root.stat(&self::path(path, *coding)).is_ok_and(|stat| stat.st_size > 0);
        let codings = Coding::BY_SIZE.into_iter().filter(|coding| *coding != Coding::Identity).filter(exists);
        let available =
            AvailableCodings { codings: codings.fold(0, |codings, coding| codings | bit(coding)), checked_ms: now_ms };
        let max_entries = self.cache_limits.share_of(MAX_ENTRIES);
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= max_entries {
            all.clear();
        }
        all.insert(path.into(), available);
        available
    }
}

impl AvailableCodings {
    /// Returns whether there are no variants.
    pub fn is_empty(self) -> bool {
        self.codings == 0
    }

    /// Returns whether there is a variant with this coding.
    pub fn has(self, coding: Coding) -> bool {
        self.codings & bit(coding) != 0
    }
}

/// Returns the path of a variant. The leading `./` distinguishes its cache entry from that of the same file requested by
/// its own name, which has other metadata.
pub fn path(original: &CStr, coding: Coding) -> CString {
    let mut bytes = b"./".to_vec();
    bytes.extend_from_slice(original.to_bytes());
    bytes.extend_from_slice(coding.suffix().as_bytes());
    // The parts contain no NUL.
    CString::new(bytes).unwrap_or_default()
}

fn bit(coding: Coding) -> u8 {
    1 << coding as u8
}
