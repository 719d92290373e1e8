//! The precompressed variants of files: `name.br`, `name.zst` and `name.gz` beside `name`.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::root::Root;
use crate::http::Coding;

/// The time for which the result of a check is used, in milliseconds. A variant that was removed meanwhile costs one failed
/// open; a new one is used up to this much later.
const TTL_MS: u64 = 1_000;

/// The number of bits for the codings in a [`KnownVariants`].
const CODING_BITS: u32 = 8;

/// The variants of a file at the last check: the codings in the lowest bits, above them the time in milliseconds.
#[derive(Debug, Default)]
pub struct KnownVariants(AtomicU64);

/// The codings in which a file has variants.
#[derive(Debug, Clone, Copy)]
pub struct AvailableCodings(u64);

impl KnownVariants {
    /// Returns the variants of this file, which is at `path`. Checks the disk if the last check is older than [`TTL_MS`] at
    /// `now_ms`.
    pub fn of(&self, path: &CStr, root: &Root, now_ms: u64) -> AvailableCodings {
        let known = self.0.load(Relaxed);
        if now_ms < (known >> CODING_BITS) + TTL_MS && known != 0 {
            return AvailableCodings(known & ((1 << CODING_BITS) - 1));
        }
        let exists = |coding: &Coding| root.stat(&self::path(path, *coding)).is_ok_and(|stat| stat.st_size > 0);
        let codings = Coding::BY_SIZE.into_iter().filter(|coding| *coding != Coding::Identity).filter(exists);
        let codings = codings.fold(0, |codings, coding| codings | bit(coding));
        self.0.store(now_ms << CODING_BITS | codings, Relaxed);
        AvailableCodings(codings)
    }
}

impl AvailableCodings {
    /// Returns whether there are no variants.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns whether there is a variant with this coding.
    pub fn has(self, coding: Coding) -> bool {
        self.0 & bit(coding) != 0
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

fn bit(coding: Coding) -> u64 {
    1 << coding as u8
}
