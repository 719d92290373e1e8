//! The verification of precompressed variants: a variant is used only if it decodes to the bytes of the file beside it.

use std::ffi::CStr;

use super::digests::Lookup;
use super::file::{File, MAX_HASHED_BYTES};
use super::release::Release;
use super::resource::{Content, Resource};
use super::variants;
use crate::codec::Rejected;
use crate::http::Coding;
use crate::ipc::decoded::Decoded;
use crate::log::catalog;

/// The largest file whose variant a request decodes, in bytes: that takes less than a millisecond. Variants of larger files
/// are decoded in the background; until then, the file itself is sent.
const MAX_INLINE_BYTES: u64 = 128 * 1024;

/// Returns whether `variant`, in the coding `coding`, is a variant of `original`, which is at `path`. If that is not known
/// yet, it is requested. A variant that is none is logged.
pub fn is_variant_of(
    release: &Release,
    path: &CStr,
    coding: Coding,
    variant: &Resource,
    original: &Resource,
    lookup: Lookup,
) -> bool {
    match verify(release, path, coding, variant, original, lookup) {
        Ok(is_known) => is_known,
        Err(rejected) => {
            lookup.digests.count_rejected();
            if lookup.digests.variant_rejected.is_due() {
                report(path, coding, rejected);
            }
            false
        }
    }
}

/// Returns whether it is known to be a variant; an error says that it is known not to be one.
fn verify(
    release: &Release,
    path: &CStr,
    coding: Coding,
    variant: &Resource,
    original: &Resource,
    lookup: Lookup,
) -> Result<bool, Rejected> {
    let (own, file) = (&variant.version, &original.version);
    if own.size >= file.size {
        return Err(Rejected::NotSmaller);
    }
    if file.size > MAX_HASHED_BYTES {
        let is_same_time = file.has_time() && own.mtime_ns == file.mtime_ns;
        return if is_same_time { Ok(true) } else { Err(Rejected::OtherTime) };
    }
    let Some(content) = original.representation.digest() else { return Ok(false) };
    let decoded = match variant.content() {
        Content::Memory(_) if file.size <= MAX_INLINE_BYTES => variant.decode(coding, MAX_INLINE_BYTES),
        Content::Memory(_) => {
            // The file is no longer open. If its path leads to another one by now, nothing is stored about this one.
            let open = || File::open(&release.root, &variants::path(path, coding)).ok();
            lookup.digests.decoded(own, coding, file.size, open)
        }
        Content::Disk(open) => lookup.digests.decoded(own, coding, file.size, || Some(open)),
    };
    match decoded {
        Some(Decoded::Digest(decoded)) if decoded == content => Ok(true),
        Some(Decoded::Digest(_)) => Err(Rejected::Differs),
        Some(Decoded::Rejected { reason, .. }) => Err(reason),
        None => Ok(false),
    }
}

fn report(path: &CStr, coding: Coding, rejected: Rejected) {
    let (path, why) = (format!("/{}{}", path.to_string_lossy(), coding.suffix()), rejected.to_string());
    let path = path.escape_debug();
    tracing::warn!(
        message_id = catalog::VARIANT_REJECTED,
        %path,
        why,
        "The variant \"{path}\" is not used: {why}. \"otus-httpd precompress DIR\" writes it anew, and with --verify lists all \
         such variants. Logged once a minute."
    );
}
