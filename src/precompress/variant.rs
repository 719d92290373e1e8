//! One variant: whether it is up to date, and how it comes to be there whole.

use std::ffi::{CStr, CString};
use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind, Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use indicatif::ProgressBar;
use nix::sys::stat::{FileStat, SFlag};

use super::directory::Directory;
use super::encode::encode;
use crate::http::coding::Coding;
use crate::os::sys::file_type;

/// Smaller files are left alone: with its head, an answer fits into one packet either way.
const LEAST_BYTES: u64 = 256;

/// What a variant must save: more than the Content-Encoding and Vary fields take up in its answer.
const LEAST_SAVED_BYTES: u64 = 64;

/// How temporary names begin: the dot keeps the server from showing what a crash left behind.
pub const TEMPORARY: &str = ".otus-precompress-";

/// Removes what a crash left behind. A run that is still at it holds a lock on its file.
pub fn remove_leftover(directory: &Directory, name: &CStr) {
    // What cannot be removed does no harm.
    let _ = directory.open(name).and_then(|file| Ok(file.try_lock()?)).and_then(|()| directory.remove(name));
}

/// Whether a variant need not be written again. Its time is its original's, exactly: an older original that is put back
/// with its own time is not what a newer variant holds.
pub fn is_current(variant: &FileStat, original: &Metadata) -> bool {
    let time = (variant.st_mtime, variant.st_mtime_nsec);
    file_type(variant) == SFlag::S_IFREG && variant.st_size > 0 && time == modified(original)
}

/// Modification time: seconds, nanoseconds.
fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// The name of a variant.
pub fn with_suffix(name: &CStr, coding: Coding) -> CString {
    // Neither part holds a NUL.
    CString::new([name.to_bytes(), coding.suffix().as_bytes()].concat()).unwrap_or_default()
}

/// What is done would not be true of the file that is there now.
pub fn changed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it changed meanwhile")
}

/// Writes one variant and returns its size; none if it would not be worth it, and then nothing is changed.
pub fn write(
    directory: &Directory,
    variant: &CStr,
    coding: Coding,
    mut original: &File,
    before: &Metadata,
    bar: &ProgressBar,
) -> io::Result<Option<u64>> {
    if before.len() < LEAST_BYTES {
        bar.inc(before.len());
        return Ok(None);
    }
    original.rewind()?;
    let new = Temporary::within(directory)?;
    // Never more than was there when it was opened, and one byte that shows that there is more: a file that somebody
    // appends to would have no end.
    let input = bar.wrap_read(original.take(before.len() + 1));
    let encoded = encode(coding, input, &new.file, before.len());
    // First of all: a file that changes makes an encoder fail that was told its size.
    let after = original.metadata()?;
    if (after.len(), modified(&after)) != (before.len(), modified(before)) {
        return Err(changed());
    }
    encoded?;
    let size = new.file.metadata()?.len();
    if size + LEAST_SAVED_BYTES > before.len() {
        return Ok(None);
    }
    share(&new.file, before)?;
    new.file.set_modified(before.modified()?)?;
    // Without this, a power failure may leave an empty variant that looks up to date.
    new.file.sync_all()?;
    directory.rename(&new.name, variant)?;
    Ok(Some(size))
}

/// Gives a variant the owner, group and permissions of its original, as far as this user may. A group that cannot be
/// given loses its rights: those bits would let another group read.
fn share(variant: &File, original: &Metadata) -> io::Result<()> {
    let (owner, group) = (original.uid(), original.gid());
    let mode = original.mode() & 0o777;
    let is_given = fchown(variant, Some(owner), Some(group)).or_else(|_| fchown(variant, None, Some(group))).is_ok();
    let mode = if is_given { mode } else { mode & 0o707 | (mode & 0o007) << 3 };
    variant.set_permissions(Permissions::from_mode(mode))
}

/// A file under a temporary name, which is removed when this is dropped, unless it was renamed.
struct Temporary<'d> {
    directory: &'d Directory,
    file: File,
    name: CString,
}

impl<'d> Temporary<'d> {
    /// Nobody else may read it. It is locked, so that another run does not take it for a leftover.
    fn within(directory: &'d Directory) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let name = format!("{TEMPORARY}{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
            let name = CString::new(name)?;
            match directory.create(&name) {
                Ok(file) => {
                    // Where locks are not to be had, leftovers stay.
                    let _ = file.try_lock();
                    return Ok(Temporary { directory, file, name });
                }
                // Left behind by an earlier process with this number.
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
