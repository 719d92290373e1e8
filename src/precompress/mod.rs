//! `otus-httpd precompress DIR`: writes name.br, name.zst and name.gz beside every compressible file below DIR.
//!
//! - A variant appears complete or not at all: it is written under a name that begins with a dot, synced, and renamed.
//! - It has the permissions and the modification time of the original. A later run keeps it if it has that time and decodes
//!   to the original ([`compare()`]).
//! - Symbolic links are not followed below DIR, and only regular files are opened: users who can write to the tree cannot
//!   cause files elsewhere to be written, replaced or removed, even if root runs this ([`tree`](crate::tree)).
//! - Files are streamed, never read into memory: each thread takes at most about 130 MB, whatever the size of a file, for
//!   the encoders' windows and tables.
//! - A file that fails is logged in one sentence, and the others are processed.
//!
//! With `--verify`, it only compares the variants with their files ([`verify()`]).

mod compare;
mod variant;
mod verify;

use std::ffi::CStr;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;

use indicatif::{HumanBytes, ProgressBar};
use nix::sys::stat::{FileStat, SFlag};

use self::compare::compare;
use self::variant::{TEMPORARY_PREFIX, changed, has_time_of, remove_leftover, with_suffix, write};
pub use self::verify::{Verification, verify};
use crate::failure::{Failure, reason};
use crate::http::coding::Coding;
use crate::http::media_type;
use crate::log;
use crate::os::sys::file_type;
use crate::tree::{Choice, Directory, Job, bar, find, on_all_processors};

/// The codings of the variants, the slowest first.
const CODINGS: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// The result of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of files of a compressible type.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Variants that were written.
    pub written: u64,
    /// Variants that were up to date.
    pub current: u64,
    /// Variants that were not written, since they would save too little.
    pub useless: u64,
    /// Files and directories that failed. Each is logged in a sentence.
    pub failed: u64,
    /// The bytes that replace `bytes` for a client that accepts only br, only zstd, or only gzip.
    pub bytes_by_coding: [u64; 3],
}

impl Summary {
    fn add(&mut self, other: &Summary) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.written += other.written;
        self.current += other.current;
        self.useless += other.useless;
        self.failed += other.failed;
        for (sum, bytes) in self.bytes_by_coding.iter_mut().zip(other.bytes_by_coding) {
            *sum += bytes;
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { files, written, current, useless, failed, .. } = self;
        write!(f, "{files} files: {written} variants written, {current} up to date, {useless} not worth it, ")?;
        write!(f, "{failed} failures. {} became", HumanBytes(self.bytes))?;
        for (index, (coding, bytes)) in CODINGS.iter().zip(self.bytes_by_coding).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {} ({})", HumanBytes(bytes), coding.token())?;
        }
        f.write_str(".")
    }
}

/// The largest file that is compressed, in bytes: the highest levels take half an hour for it, and a sparse file can have
/// any size.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Writes the variants of all files below `directory`, on all processors.
///
/// Fails only if the directory cannot be opened. Other failures are logged and counted, and do not stop the run.
pub fn run(directory: &Path) -> Result<Summary, Failure> {
    let top = open_top(directory, Action::Precompress)?;
    let mut report = Summary::default();
    let jobs = find(&top, &mut report);
    // Every file is read once for each coding.
    let bar = bar(jobs.iter().map(|job| job.size * CODINGS.len() as u64).sum());
    let reports = on_all_processors(&jobs, |job, report: &mut Summary| match compress(&top, job, &bar) {
        Ok(done) => report.add(&done),
        Err(error) => report.failed += report_error(Action::Precompress, &bar, &job.path(directory), &error),
    });
    bar.finish_and_clear();
    reports.iter().for_each(|done| report.add(done));
    Ok(report)
}

/// Opens the top of the tree.
fn open_top(directory: &Path, action: Action) -> Result<Directory, Failure> {
    Directory::top(directory).map_err(|error| {
        let (directory, why) = (directory.display(), reason(&error));
        Failure::new(format!("Cannot {} {directory}: {why}. Name an existing directory.", action.verb()))
    })
}

/// The compressible files. Leaves out dot files and everything below dot directories, since they are not served. Removes
/// temporary files that a crash has left.
impl Choice for Summary {
    fn chooses(&mut self, directory: &Directory, name: &CStr, stat: &FileStat) -> io::Result<bool> {
        let bytes = name.to_bytes();
        if bytes.starts_with(b".") {
            if bytes.starts_with(TEMPORARY_PREFIX.as_bytes()) {
                remove_leftover(directory, name);
            }
            return Ok(false);
        }
        Ok(match file_type(stat) {
            SFlag::S_IFDIR => true,
            SFlag::S_IFREG if !is_compressible(bytes) => false,
            SFlag::S_IFREG if stat.st_size.unsigned_abs() > MAX_FILE_BYTES => {
                let path = directory.path_of(name);
                tracing::warn!("{} is skipped: it is larger than {}.", path.display(), HumanBytes(MAX_FILE_BYTES));
                false
            }
            kind => kind == SFlag::S_IFREG,
        })
    }

    fn fail(&mut self, path: &Path, error: &io::Error) {
        self.failed += report_error(Action::Precompress, &ProgressBar::hidden(), path, error);
    }
}

/// Returns whether files with this name are compressible. The variants' own types are excluded.
fn is_compressible(name: &[u8]) -> bool {
    let media_type = media_type::of(name);
    media_type::coding(name, media_type) == Coding::Identity && media_type::is_compressible(media_type)
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Precompress,
    Verify,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Action::Precompress => "precompress",
            Action::Verify => "verify",
        }
    }
}

/// Logs why a file could not be processed. Returns 1, the number of failures.
fn report_error(action: Action, bar: &ProgressBar, path: &Path, error: &io::Error) -> u64 {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied if action == Action::Verify => "Run this as a user with permission to read it",
        ErrorKind::PermissionDenied => "Run this as a user with permission to read it and to write to its directory",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "Free space on its file system and run this again",
        ErrorKind::InvalidFilename => "Give it a shorter name",
        ErrorKind::InvalidData => "Run this again when no program writes to it",
        _ => "Correct this and run the command again",
    };
    let sentence = format!("Cannot {} {}: {}. {remedy}.", action.verb(), path.display(), reason(error));
    bar.suspend(|| log::failure(&Failure::new(sentence)));
    1
}

/// Brings the variants of one file up to date.
fn compress(top: &Directory, job: &Job, bar: &ProgressBar) -> io::Result<Summary> {
    let directory = top.beneath(&job.directory)?;
    let original = directory.open(&job.name)?;
    let before = original.metadata()?;
    if !before.is_file() || before.len() > MAX_FILE_BYTES {
        return Err(changed());
    }
    let mut report = Summary { files: 1, bytes: before.len(), ..Summary::default() };
    for (coding, bytes) in CODINGS.into_iter().zip(&mut report.bytes_by_coding) {
        let variant = with_suffix(&job.name, coding);
        let found = directory.stat(&variant)?;
        if let Some(size) = current_size(&directory, &variant, coding, &original, &before)? {
            bar.inc(before.len());
            report.current += 1;
            *bytes = size;
        } else if let Some(size) = write(&directory, &variant, coding, &original, &before, bar)? {
            report.written += 1;
            *bytes = size;
        } else {
            if found.is_some() {
                directory.remove(&variant)?;
            }
            report.useless += 1;
            *bytes = before.len();
        }
    }
    Ok(report)
}

/// Returns the size of a variant that is up to date: it has the modification time of the original, by which the server
/// selects variants, and decodes to the original. The time is not sufficient: a release that is put back with the times of
/// its files can leave the variants of another one beside them.
fn current_size(
    directory: &Directory,
    variant: &CStr,
    coding: Coding,
    original: &File,
    before: &Metadata,
) -> io::Result<Option<u64>> {
    // A variant that cannot be opened is replaced.
    let Ok(variant) = directory.open(variant) else { return Ok(None) };
    let found = variant.metadata()?;
    if !found.is_file() || !has_time_of(&found, before) {
        return Ok(None);
    }
    Ok(compare(&variant, coding, original, before)?.is_none().then_some(found.len()))
}

#[cfg(test)]
mod tests;
