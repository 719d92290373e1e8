//! `otus-httpd precompress DIR`: writes name.br, name.zst and name.gz beside every file beneath DIR that shrinks.
//!
//! - A variant appears whole or not at all: it is written under a name that begins with a dot, synced, and renamed.
//! - It may be read by those who may read the original, by nobody else, and has the original's modification time. A
//!   later run, and the server, tell by that time whether it is up to date.
//! - Links are not followed below DIR, and what is no regular file is not opened: whoever may write to the tree gets
//!   nothing written, replaced or removed elsewhere, even if root runs this ([`directory`]).
//! - Files are streamed, never read whole: each thread takes about 130 MB at most, whatever the size of a file. That is
//!   the encoders' windows and tables.
//! - One file that fails costs one sentence; the others go on.

mod directory;
mod encode;
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
use self::variant::{TEMPORARY, changed, is_current, remove_leftover, with_suffix, write};
use crate::failure::{Failure, reason};
use crate::http::coding::Coding;
use crate::http::media_type;
use crate::log;
use crate::os::sys::file_type;

/// The codings that are written, the slowest first.
const CODINGS: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// The progress bar. Every file is read once for each coding, so that there are no bytes to show, but a share.
const BAR: &str = "{bar:40} {percent:>3}%, {eta} left";

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files of a type that is worth compressing.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Variants that were written.
    pub written: u64,
    /// Variants that were up to date.
    pub current: u64,
    /// Variants that there are none of, since they would save next to nothing.
    pub useless: u64,
    /// Files, or directories, that could not be dealt with. The log has a sentence for each.
    pub failed: u64,
    /// The bytes that a client gets instead of `bytes`, if it takes br, zstd or gzip alone.
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

/// The largest file that is compressed, in bytes: the best levels take half an hour for it, and a file of nothing but a
/// hole may pretend to any size.
const LARGEST_BYTES: u64 = 1 << 30;

/// A file to compress.
struct Job {
    /// Its directory, beneath the top.
    directory: PathBuf,
    name: CString,
    size: u64,
}

/// Writes the variants of everything beneath `directory`, on all processors.
///
/// It fails only if there is no such directory. What fails within is logged, counted, and does not stop the rest.
pub fn run(directory: &Path) -> Result<Summary, Failure> {
    let top = Directory::top(directory).map_err(|error| {
        let (directory, why) = (directory.display(), reason(&error));
        Failure::new(format!("Cannot precompress {directory}: {why}. Name a directory that is there."))
    })?;
    let mut report = Summary::default();
    let mut jobs = find(&top, &mut report);
    // The large ones first, or the end would be one thread with the largest of them and the others idle.
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
    /// For messages.
    fn path(&self, top: &Path) -> PathBuf {
        top.join(&self.directory).join(OsStr::from_bytes(self.name.to_bytes()))
    }
}

/// The files worth compressing. Dot files and all beneath dot directories are left out, since they are not served. One
/// directory is open at a time, however deep the tree is.
fn find(top: &Directory, report: &mut Summary) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(relative) = left.pop() {
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
            match look(&directory, &relative, &name) {
                Ok(Found::Nothing) => {}
                Ok(Found::Directory(path)) => left.push(path),
                Ok(Found::File(job)) => jobs.push(job),
                Err(error) => {
                    report.failed += report_error(&ProgressBar::hidden(), &directory.path_of(&name), &error);
                }
            }
        }
    }
    jobs
}

/// What a name in a directory stands for.
enum Found {
    /// Nothing that is to be compressed.
    Nothing,
    /// A directory, by its path beneath the top.
    Directory(PathBuf),
    /// A file.
    File(Job),
}

/// Looks at one name in `directory`, which is at `relative`. What a crash left behind is removed.
fn look(directory: &Directory, relative: &Path, name: &CStr) -> io::Result<Found> {
    let bytes = name.to_bytes();
    if bytes.starts_with(b".") {
        if bytes.starts_with(TEMPORARY.as_bytes()) {
            remove_leftover(directory, name);
        }
        return Ok(Found::Nothing);
    }
    let Some(stat) = directory.look(name)? else { return Ok(Found::Nothing) };
    let size = stat.st_size.unsigned_abs();
    Ok(match file_type(&stat) {
        SFlag::S_IFDIR => Found::Directory(relative.join(OsStr::from_bytes(bytes))),
        SFlag::S_IFREG if !is_compressible(bytes) => Found::Nothing,
        SFlag::S_IFREG if size > LARGEST_BYTES => {
            let path = directory.path_of(name);
            tracing::warn!("{} is left alone: it is larger than {}.", path.display(), HumanBytes(LARGEST_BYTES));
            Found::Nothing
        }
        SFlag::S_IFREG => Found::File(Job { directory: relative.into(), name: name.into(), size }),
        _ => Found::Nothing,
    })
}

/// Whether files of this name shrink: text, and binary formats that do not compress themselves. The variants' own types
/// are not among them, and neither are the archives and disk images that people download in parts.
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

/// Logs why a file has no variants; returns the count of failures that this is.
fn report_error(bar: &ProgressBar, path: &Path, error: &io::Error) -> u64 {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => "Run this as a user who may read it and may write beside it",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "Make room on its file system and run this again",
        ErrorKind::InvalidFilename => "Give it a shorter name",
        ErrorKind::InvalidData => "Run this again when nobody writes to it",
        _ => "Mend that and run this again",
    };
    let sentence = format!("Cannot precompress {}: {}. {remedy}.", path.display(), reason(error));
    bar.suspend(|| log::failure(&Failure::new(sentence)));
    1
}

/// A bar over the bytes of all files, on a terminal; elsewhere nothing.
fn bar(bytes: u64) -> ProgressBar {
    // That the template parses is tested; the plain style would do as well.
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    let steps = bytes * CODINGS.len() as u64;
    ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr()).with_style(style)
}

/// Brings the variants of one file up to date.
fn compress(top: &Directory, job: &Job, bar: &ProgressBar) -> io::Result<Summary> {
    let directory = top.beneath(&job.directory)?;
    let original = directory.open(&job.name)?;
    let before = original.metadata()?;
    if !before.is_file() || before.len() > LARGEST_BYTES {
        return Err(changed());
    }
    let mut report = Summary { files: 1, bytes: before.len(), ..Summary::default() };
    for (coding, bytes) in CODINGS.into_iter().zip(&mut report.bytes_by_coding) {
        let variant = with_suffix(&job.name, coding);
        let found = directory.look(&variant)?;
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
