//! Which precompressed variants lie beside a file: `name.br`, `name.zst`, `name.gz` beside `name`.

use std::ffi::{CStr, CString};
use std::sync::{PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::root::Root;
use crate::http::Coding;
use crate::os::clock;

/// How long what was seen is believed, in milliseconds. A variant that is gone meanwhile costs nothing but a fruitless
/// attempt; one that is new is used this much later.
const TTL_MS: u64 = 1_000;

/// So many files are remembered; then all are forgotten, and looked for again.
const MAX_ENTRIES: usize = 8 * 1024;

/// What was seen of variants, by the path of the file that they are variants of.
#[derive(Debug, Default)]
pub struct Variants(RwLock<FxHashMap<CString, AvailableCodings>>);

/// The codings in which a file was there.
#[derive(Debug, Clone, Copy, Default)]
pub struct AvailableCodings {
    codings: u8,
    checked_ms: u64,
}

impl Variants {
    /// What lies beside the file at `path`.
    pub fn of(&self, path: &CStr, root: &Root) -> AvailableCodings {
        let now_ms = clock::now_ms();
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(path).copied();
        if let Some(seen) = known.filter(|seen| now_ms < seen.checked_ms + TTL_MS) {
            return seen;
        }
        let is_there = |coding: &Coding| root.stat(&self::path(path, *coding)).is_ok_and(|stat| stat.st_size > 0);
        let codings = Coding::BY_SIZE.into_iter().filter(|coding| *coding != Coding::Identity).filter(is_there);
        let seen =
            AvailableCodings { codings: codings.fold(0, |codings, coding| codings | bit(coding)), checked_ms: now_ms };
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_ENTRIES {
            all.clear();
        }
        all.insert(path.into(), seen);
        seen
    }
}

impl AvailableCodings {
    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.codings == 0
    }

    /// Whether there is one with this coding.
    pub fn has(self, coding: Coding) -> bool {
        self.codings & bit(coding) != 0
    }
}

/// Where the variant of the file at `original` is. The `./` leads nowhere else, and tells it from the same file asked for by
/// its own name, of which other things are said.
pub fn path(original: &CStr, coding: Coding) -> CString {
    let mut bytes = b"./".to_vec();
    bytes.extend_from_slice(original.to_bytes());
    bytes.extend_from_slice(coding.suffix().as_bytes());
    // The parts hold no NUL.
    CString::new(bytes).unwrap_or_default()
}

fn bit(coding: Coding) -> u8 {
    1 << coding as u8
}
