//! One variant: whether it is up to date, and how it comes to be there whole.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Seek};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use indicatif::ProgressBar;
use nix::libc;

use super::encode::encode;
use crate::http::coding::Coding;

/// Smaller files are left alone: with its head, an answer fits into one packet either way.
const LEAST_BYTES: u64 = 256;

/// What a variant must save: more than the Content-Encoding and Vary fields take up in its answer.
const LEAST_SAVED_BYTES: u64 = 64;

/// How temporary names begin: the dot keeps the server from showing what a crash left behind.
pub const TEMPORARY: &str = ".otus-precompress-";

/// Opens a file for reading, without following a link or waiting for a FIFO's other end.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Removes what a crash left behind. A run that is still at it holds a lock on its file.
pub fn remove_leftover(path: &Path) {
    // What cannot be removed does no harm.
    let _ = open(path).and_then(|file| Ok(file.try_lock()?)).and_then(|()| fs::remove_file(path));
}

/// Whether a variant need not be written again: the same rule by which the server may send it.
pub fn is_current(variant: &Metadata, original: &Metadata) -> bool {
    variant.is_file() && modified(variant) >= modified(original)
}

/// Modification time: seconds, nanoseconds.
fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

/// The name of a variant.
pub fn with_suffix(path: &Path, coding: Coding) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(coding.suffix());
    name.into()
}

/// What is there under a variant's name.
pub fn found(variant: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(variant) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is done would not be true of the file that is there now.
pub fn changed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it changed meanwhile")
}

/// Writes one variant and returns its size; none if it would not be worth it, and then nothing is changed.
pub fn write(
    variant: &Path,
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
    let new = Temporary::beside(variant)?;
    let encoded = encode(coding, bar.wrap_read(original), &new.file, before.len());
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
    fs::rename(&new.path, variant)?;
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
struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    /// Nobody else may read it. It is locked, so that another run does not take it for a leftover.
    fn beside(variant: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let name = format!("{TEMPORARY}{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
            let path = variant.with_file_name(name);
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    // Where locks are not to be had, leftovers stay.
                    let _ = file.try_lock();
                    return Ok(Temporary { file, path });
                }
                // Left behind by an earlier process with this number.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_gets_no_variant() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        fs::write(&path, "a".repeat(1000)).unwrap();
        let original = File::open(&path).unwrap();
        let before = original.metadata().unwrap();
        fs::write(&path, "a".repeat(2000)).unwrap();
        for coding in [Coding::Brotli, Coding::Zstd, Coding::Gzip] {
            let variant = with_suffix(&path, coding);
            let error = write(&variant, coding, &original, &before, &ProgressBar::hidden()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{coding:?}: {error}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
