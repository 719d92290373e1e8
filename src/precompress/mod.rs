//! `otus-httpd precompress DIR`: writes name.br, name.zst and name.gz beside every compressible file below DIR.
//!
//! - A variant appears complete or not at all: it is written under a name that begins with a dot, synced, and renamed.
//! - It has the permissions and the modification time of the original. By that time a later run, and the server, determine
//!   whether it is up to date.
//! - Symbolic links are not followed below DIR, and only regular files are opened: users who can write to the tree cannot
//!   cause files elsewhere to be written, replaced or removed, even if root runs this ([`directory`]).
//! - Files are streamed, never read into memory: each thread takes at most about 130 MB, whatever the size of a file, for
//!   the encoders' windows and tables.
//! - A file that fails is logged in one sentence, and the others are processed.

mod directory;
mod variant;

use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::available_parallelism;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::sys::stat::SFlag;

use self::directory::Directory;
use self::variant::{TEMPORARY_PREFIX, changed, is_current, remove_leftover, with_suffix, write};
use crate::failure::{Failure, reason};
use crate::http::coding::Coding;
use crate::http::media_type;
use crate::log;
use crate::os::sys::file_type;

/// The codings of the variants, the slowest first.
const CODINGS: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// The progress bar. Every file is read once for each coding, so it shows a percentage rather than bytes.
const BAR: &str = "{bar:40} {percent:>3}%, {eta} left";

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

/// A file to compress.
struct Job {
    /// Its directory, relative to the top.
    directory: PathBuf,
    name: CString,
    size: u64,
}

/// Writes the variants of all files below `directory`, on all processors.
///
/// Fails only if the directory cannot be opened. Other failures are logged and counted, and do not stop the run.
pub fn run(directory: &Path) -> Result<Summary, Failure> {
    let top = Directory::top(directory).map_err(|error| {
        let (directory, why) = (directory.display(), reason(&error));
        Failure::new(format!("Cannot precompress {directory}: {why}. Name an existing directory."))
    })?;
    let mut report = Summary::default();
    let mut jobs = find(&top, &mut report);
    // The largest first: otherwise one thread could still compress the largest while the others are idle.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.size));
    let bar = bar(jobs.iter().map(|job| job.size).sum());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut report = Summary::default();
        while let Some(job) = jobs.get(next.fetch_add(1, Relaxed)) {
            match compress(&top, job, &bar) {
                Ok(done) => report.add(&done),
                Err(error) => report.failed += report_error(&bar, &job.path(directory), &error),
            }
        }
        report
    };
    let threads = available_parallelism().map_or(1, usize::from).min(jobs.len());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(done) => report.add(&done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    bar.finish_and_clear();
    Ok(report)
}

impl Job {
    /// Returns its path, for messages.
    fn path(&self, top: &Path) -> PathBuf {
        top.join(&self.directory).join(OsStr::from_bytes(self.name.to_bytes()))
    }
}

/// Finds the compressible files. Leaves out dot files and everything below dot directories, since they are not served. Only
/// one directory is open at a time, however deep the tree is.
fn find(top: &Directory, report: &mut Summary) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let found = top.beneath(&relative).and_then(|directory| Ok((directory.names()?, directory)));
        let (names, directory) = match found {
            Ok(found) => found,
            Err(error) => {
                let path = top.path_of(c"").join(&relative);
                report.failed += report_error(&ProgressBar::hidden(), &path, &error);
                continue;
            }
        };
        for name in names {
            match classify(&directory, &relative, &name) {
                Ok(Entry::Ignored) => {}
                Ok(Entry::Directory(path)) => pending.push(path),
                Ok(Entry::File(job)) => jobs.push(job),
                Err(error) => {
                    report.failed += report_error(&ProgressBar::hidden(), &directory.path_of(&name), &error);
                }
            }
        }
    }
    jobs
}

/// An entry of a directory.
enum Entry {
    /// Not to be compressed.
    Ignored,
    /// A directory, by its path relative to the top.
    Directory(PathBuf),
    /// A file to compress.
    File(Job),
}

/// Classifies one name in `directory`, which is at `relative`. Removes temporary files that a crash has left.
fn classify(directory: &Directory, relative: &Path, name: &CStr) -> io::Result<Entry> {
    let bytes = name.to_bytes();
    if bytes.starts_with(b".") {
        if bytes.starts_with(TEMPORARY_PREFIX.as_bytes()) {
            remove_leftover(directory, name);
        }
        return Ok(Entry::Ignored);
    }
    let Some(stat) = directory.stat(name)? else { return Ok(Entry::Ignored) };
    let size = stat.st_size.unsigned_abs();
    Ok(match file_type(&stat) {
        SFlag::S_IFDIR => Entry::Directory(relative.join(OsStr::from_bytes(bytes))),
        SFlag::S_IFREG if !is_compressible(bytes) => Entry::Ignored,
        SFlag::S_IFREG if size > MAX_FILE_BYTES => {
            let path = directory.path_of(name);
            tracing::warn!("{} is skipped: it is larger than {}.", path.display(), HumanBytes(MAX_FILE_BYTES));
            Entry::Ignored
        }
        SFlag::S_IFREG => Entry::File(Job { directory: relative.into(), name: name.into(), size }),
        _ => Entry::Ignored,
    })
}

/// Returns whether files with this name are compressible: text, and binary formats without compression of their own. The
/// variants' own types are excluded, and so are archives and disk images, which are downloaded in ranges.
fn is_compressible(name: &[u8]) -> bool {
    let media_type = media_type::of(name);
    if media_type::coding(name, media_type) != Coding::Identity {
        return false;
    }
    const OTHERS: [&str; 18] = [
        "application/javascript",
        "application/json",
        "application/msword",
        "application/postscript",
        "application/rtf",
        "application/sql",
        "application/toml",
        "application/vnd.ms-fontobject",
        "application/wasm",
        "application/x-sh",
        "application/x-tex",
        "application/xml",
        "application/yaml",
        "font/collection",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/x-icon",
    ];
    media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || OTHERS.contains(&media_type)
}

/// Logs why a file has no variants. Returns 1, the number of failures.
fn report_error(bar: &ProgressBar, path: &Path, error: &io::Error) -> u64 {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => "Run this as a user with permission to read it and to write to its directory",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "Free space on its file system and run this again",
        ErrorKind::InvalidFilename => "Give it a shorter name",
        ErrorKind::InvalidData => "Run this again when no program writes to it",
        _ => "Correct this and run the command again",
    };
    let sentence = format!("Cannot precompress {}: {}. {remedy}.", path.display(), reason(error));
    bar.suspend(|| log::failure(&Failure::new(sentence)));
    1
}

/// Creates the progress bar over the bytes of all files. It is shown on a terminal only.
fn bar(bytes: u64) -> ProgressBar {
    // A test checks that the template is valid; the default style is sufficient as well.
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    let steps = bytes * CODINGS.len() as u64;
    ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr()).with_style(style)
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
        if let Some(found) = found.as_ref().filter(|found| is_current(found, &before)) {
            bar.inc(before.len());
            report.current += 1;
            *bytes = found.st_size.unsigned_abs();
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

#[cfg(test)]
mod tests;
