//! Which precompressed variants lie beside a file: `name.br`, `name.zst`, `name.gz` beside `name`.

use std::ffi::{CStr, CString};
use std::sync::{PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::root::Root;
use crate::clock;
use crate::http::Coding;

/// How long what was seen is believed, in milliseconds. A variant that is gone meanwhile costs nothing but a fruitless
/// attempt; one that is new is used this much later.
const TRUST_MS: u64 = 1_000;

/// So many files are remembered; then all are forgotten, and looked for again.
const MOST: usize = 8 * 1024;

/// What was seen of variants, by the path of the file that they are variants of.
#[derive(Debug, Default)]
pub struct Variants(RwLock<FxHashMap<CString, Seen>>);

/// The codings in which a file was there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    codings: u8,
    looked_ms: u64,
}

impl Variants {
    /// What lies beside the file at `path`.
    pub fn of(&self, path: &CStr, root: &Root) -> Seen {
        let now_ms = clock::now_ms();
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(path).copied();
        if let Some(seen) = known.filter(|seen| now_ms < seen.looked_ms + TRUST_MS) {
            return seen;
        }
        let is_there = |coding: &Coding| root.stat(&self::path(path, *coding)).is_ok_and(|stat| stat.st_size > 0);
        let codings = Coding::BY_SIZE.into_iter().filter(|coding| *coding != Coding::Identity).filter(is_there);
        let seen = Seen { codings: codings.fold(0, |codings, coding| codings | bit(coding)), looked_ms: now_ms };
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(path.into(), seen);
        seen
    }
}

impl Seen {
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
