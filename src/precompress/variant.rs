//! A variant: its name and time, and its atomic creation.

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind, Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use indicatif::ProgressBar;

use crate::codec::encode;
use crate::http::coding::Coding;
use crate::tree::Directory;

/// The smallest file that is compressed, in bytes: the response to a smaller one fits into one packet in any case.
const MIN_BYTES: u64 = 256;

/// The bytes that a variant must save: more than the fields Content-Encoding and Vary take in its response.
const MIN_SAVED_BYTES: u64 = 64;

/// The prefix of temporary names. The dot keeps the server from serving files that a crash has left.
pub const TEMPORARY_PREFIX: &str = ".otus-precompress-";

/// Removes a temporary file that a crash has left. The file of a run in progress is locked.
pub fn remove_leftover(directory: &Directory, name: &CStr) {
    // A file that cannot be removed does no harm.
    let _ = directory.open(name).and_then(|file| Ok(file.try_lock()?)).and_then(|()| directory.remove(name));
}

/// Returns whether both files have the same modification time.
pub fn has_time_of(variant: &Metadata, original: &Metadata) -> bool {
    modified(variant) == modified(original)
}

/// Returns the modification time: seconds, nanoseconds.
pub fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// Returns the name of a variant.
pub fn with_suffix(name: &CStr, coding: Coding) -> CString {
    // Neither part contains a NUL.
    CString::new([name.to_bytes(), coding.suffix().as_bytes()].concat()).unwrap_or_default()
}

/// Returns the error for a file that changes while it is compressed.
pub fn changed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it changed while it was compressed")
}

/// Writes one variant and returns its size. Returns None, and changes nothing, if it would save too little.
pub fn write(
    directory: &Directory,
    variant: &CStr,
    coding: Coding,
    mut original: &File,
    before: &Metadata,
    bar: &ProgressBar,
) -> io::Result<Option<u64>> {
    if before.len() < MIN_BYTES {
        bar.inc(before.len());
        return Ok(None);
    }
    original.rewind()?;
    let new = Temporary::create(directory)?;
    // At most the size at the opening, and one byte that shows an append: a file that is appended to would never end.
    let input = bar.wrap_read(original.take(before.len() + 1));
    let encoded = encode(coding, input, &new.file, before.len());
    // Checked first: if the file changes, an encoder that was given its size fails.
    let after = original.metadata()?;
    if (after.len(), modified(&after)) != (before.len(), modified(before)) {
        return Err(changed());
    }
    encoded?;
    let size = new.file.metadata()?.len();
    if size + MIN_SAVED_BYTES > before.len() {
        return Ok(None);
    }
    copy_permissions(&new.file, before)?;
    new.file.set_modified(before.modified()?)?;
    // Without this, a power failure could leave an empty variant that seems to be up to date.
    new.file.sync_all()?;
    directory.rename(&new.name, variant)?;
    Ok(Some(size))
}

/// Gives a variant the owner, group and permissions of its original, as far as this user is permitted to. If the group
/// cannot be set, its permissions are those of others: the original bits would apply to another group.
fn copy_permissions(variant: &File, original: &Metadata) -> io::Result<()> {
    let (owner, group) = (original.uid(), original.gid());
    let mode = original.mode() & 0o777;
    let has_group = fchown(variant, Some(owner), Some(group)).or_else(|_| fchown(variant, None, Some(group))).is_ok();
    let mode = if has_group { mode } else { mode & 0o707 | (mode & 0o007) << 3 };
    variant.set_permissions(Permissions::from_mode(mode))
}

/// A file under a temporary name, which is removed when this is dropped unless it was renamed.
struct Temporary<'d> {
    directory: &'d Directory,
    file: File,
    name: CString,
}

impl<'d> Temporary<'d> {
    /// Creates a file that only its owner can read. It is locked, so that no other run takes it for a leftover.
    fn create(directory: &'d Directory) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let name = format!("{TEMPORARY_PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
            let name = CString::new(name)?;
            match directory.create(&name) {
                Ok(file) => {
                    // On file systems without locks, leftovers remain.
                    let _ = file.try_lock();
                    return Ok(Temporary { directory, file, name });
                }
                // A leftover of an earlier process with the same PID.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        let _ = self.directory.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_changes_gets_no_variant() {
        let directory = tempfile::tempdir().unwrap();
        let top = Directory::top(directory.path()).unwrap();
        let path = directory.path().join("a.txt");
        fs::write(&path, "a".repeat(1000)).unwrap();
        let original = File::open(&path).unwrap();
        let before = original.metadata().unwrap();
        fs::write(&path, "a".repeat(2000)).unwrap();
        for coding in [Coding::Brotli, Coding::Zstd, Coding::Gzip] {
            let variant = with_suffix(c"a.txt", coding);
            let error = write(&top, &variant, coding, &original, &before, &ProgressBar::hidden()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{coding:?}: {error}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
