//! The verification of precompressed variants: a variant is used only if it decodes to the bytes of the file beside it.

use std::ffi::CStr;
use std::sync::Arc;

use super::decoding::decode_in_memory;
use super::file::File;
use super::lookup::Lookup;
use super::resource::{Content, Resource};
use super::root::Root;
use super::variants;
use crate::codec::Rejected;
use crate::http::Coding;
use crate::ipc::decoded::Decoded;
use crate::ipc::file_identity::MAX_HASHED_BYTES;
use crate::log::catalog;

/// The largest file whose variant a request decodes, in bytes: that takes less than a millisecond, unless the variant was made
/// to take longer. Such variants, and those of larger files, are decoded in the background; until then, the file itself is
/// sent.
const MAX_INLINE_BYTES: u64 = 128 * 1024;

/// A file that may be a variant of another one.
#[derive(Debug)]
pub struct Candidate<'c> {
    /// The document root.
    pub root: &'c Root,
    /// The path of the original.
    pub path: &'c CStr,
    /// The original.
    pub original: &'c Resource,
    /// The coding that the variant's name stands for.
    pub coding: Coding,
    /// The variant.
    pub variant: &'c Resource,
}

impl Candidate<'_> {
    /// Returns whether it is a variant of the original. If that is not known yet, it is requested. A file that is none is
    /// logged and counted.
    pub fn is_variant(&self, lookup: Lookup) -> Option<bool> {
        match self.verify(lookup) {
            Ok(is_known) => is_known.then_some(true),
            Err(rejected) => {
                lookup.digests.count_rejected();
                if lookup.digests.variant_rejected.is_due() {
                    self.report(rejected);
                }
                Some(false)
            }
        }
    }

    /// Returns whether it is known to be a variant; an error says why it is known not to be one.
    fn verify(&self, lookup: Lookup) -> Result<bool, Rejected> {
        let (variant, original) = (&self.variant.version, &self.original.version);
        if variant.size() >= original.size() {
            return Err(Rejected::NotSmaller);
        }
        if original.size() > MAX_HASHED_BYTES {
            let is_same_time = original.has_time() && variant.identity.mtime_ns == original.identity.mtime_ns;
            return if is_same_time { Ok(true) } else { Err(Rejected::OtherTime) };
        }
        let Some(content) = self.original.representation.digest() else { return Ok(false) };
        let variant_content = self.variant.content();
        let open = || match variant_content {
            Content::Disk(file) => Some(file.clone()),
            // Its descriptor is closed. If its path leads to another file by now, nothing is stored about this one.
            Content::Memory(_) => File::open(self.root, &variants::path(self.path, self.coding)).ok().map(Arc::new),
        };
        let is_short = original.size() <= MAX_INLINE_BYTES;
        let inline =
            is_short.then(|| decode_in_memory(self.variant, self.coding, MAX_INLINE_BYTES, lookup.digests)).flatten();
        let decoded = match inline {
            // The bytes in memory may be those of another version than the one that the table has.
            None if !self.variant.is_cacheable() => None,
            None => lookup.digests.decoded(variant, self.coding, original.size(), open),
            found => found,
        };
        match decoded {
            Some(Decoded::Digest(decoded)) if decoded == content => Ok(true),
            Some(Decoded::Digest(_)) => Err(Rejected::Differs),
            Some(Decoded::Rejected { reason, .. }) => Err(reason),
            None => Ok(false),
        }
    }

    fn report(&self, rejected: Rejected) {
        let (path, why) = (format!("/{}{}", self.path.to_string_lossy(), self.coding.suffix()), rejected.to_string());
        let path = path.escape_debug();
        tracing::warn!(
            message_id = catalog::VARIANT_REJECTED,
            %path,
            why,
            "The variant \"{path}\" is not used: {why}. \"otus-httpd precompress DIR\" replaces or removes it, and with \
             --verify lists variants that do not decode to their file. Logged once a minute."
        );
    }
}
