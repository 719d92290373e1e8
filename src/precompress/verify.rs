//! `otus-httpd precompress --verify DIR`: finds the variants that do not decode to exactly the file beside them.
//!
//! Every name.br, name.zst and name.gz beside a file "name" counts, whatever its type or time, since the server could send
//! it. Nothing is written.

use std::ffi::{CStr, CString};
use std::fmt;
use std::io;
use std::path::Path;

use nix::sys::stat::{FileStat, SFlag};

use super::compare::{changed, compare};
use super::{Action, CODINGS, report_error};
use crate::codec::Rejected;
use crate::failure::{Failure, reason};
use crate::http::coding::Coding;
use crate::os::sys::file_type;
use crate::printable::Printable;
use crate::tree::{Choice, Directory, Job, bar, find, on_all_processors};

/// The result of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// The number of variants that were compared.
    pub variants: u64,
    /// The paths of those that are not the file beside them, sorted, with the reasons.
    pub rejected: Vec<(String, Rejected)>,
    /// Files and directories that failed. Each is logged in a sentence.
    pub failed: u64,
    /// Symbolic links in the place of a variant or of its file, which are not followed.
    pub links: u64,
}

impl Verification {
    /// Returns whether all variants are the files beside them.
    pub fn is_clean(&self) -> bool {
        self.rejected.is_empty() && self.failed == 0
    }
}

/// A line for each variant that was rejected, and a summary.
impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, reason) in &self.rejected {
            writeln!(f, "{path}: {reason}")?;
        }
        let Verification { variants, rejected, failed, links } = self;
        write!(f, "{variants} variants: {} are not the file beside them, {failed} failures", rejected.len())?;
        if *links > 0 {
            write!(f, ", {links} symbolic links skipped")?;
        }
        f.write_str(".")
    }
}

/// Compares all variants below `directory` with their files, on all processors.
///
/// Fails only if the directory cannot be opened. Other failures are logged and counted, and do not stop the run.
pub fn verify(directory: &Path) -> Result<Verification, Failure> {
    let top = super::open_top(directory, Action::Verify)?;
    let mut result = Verification::default();
    let jobs = find(&top, &mut result);
    let bar = bar(jobs.iter().map(|job| job.size).sum());
    let results = on_all_processors(&jobs, |job, result: &mut Verification| {
        let path = job.path(directory);
        match check(&top, job) {
            Ok(rejected) => {
                result.variants += 1;
                result.rejected.extend(rejected.map(|reason| (Printable(path.display()).to_string(), reason)));
            }
            Err(error) => result.failed += report_error(Action::Verify, &bar, &path, &error),
        }
        bar.inc(job.size);
    });
    bar.finish_and_clear();
    for part in results {
        result.variants += part.variants;
        result.rejected.extend(part.rejected);
        result.failed += part.failed;
    }
    result.rejected.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(result)
}

impl Choice for Verification {
    fn chooses(&mut self, directory: &Directory, name: &CStr, stat: &FileStat) -> io::Result<bool> {
        if file_type(stat) == SFlag::S_IFDIR {
            return Ok(true);
        }
        let Some((original, _)) = original_of(name) else { return Ok(false) };
        let Some(original) = directory.stat(&original)? else { return Ok(false) };
        let types = [file_type(stat), file_type(&original)];
        let are_files_or_links = types.iter().all(|kind| matches!(*kind, SFlag::S_IFREG | SFlag::S_IFLNK));
        self.links += u64::from(are_files_or_links && types.contains(&SFlag::S_IFLNK));
        Ok(types == [SFlag::S_IFREG; 2])
    }

    fn fail(&mut self, path: &Path, error: &io::Error) {
        self.failed += report_error(Action::Verify, &indicatif::ProgressBar::hidden(), path, error);
    }
}

/// Returns the name of the file whose variant has this name, and the variant's coding.
fn original_of(variant: &CStr) -> Option<(CString, Coding)> {
    let name = variant.to_bytes();
    let found = CODINGS.into_iter().find_map(|coding| Some((name.strip_suffix(coding.suffix().as_bytes())?, coding)));
    let (original, coding) = found.filter(|(original, _)| !original.is_empty())?;
    // It contains no NUL, as a part of a name.
    Some((CString::new(original).ok()?, coding))
}

/// Compares one variant with its file. Returns the reason if it is not that file.
fn check(top: &Directory, job: &Job) -> io::Result<Option<Rejected>> {
    let Some((name, coding)) = original_of(&job.name) else { return Ok(None) };
    let directory = top.beneath(&job.directory)?;
    let variant = directory.open(&job.name)?;
    let original = directory.open(&name).map_err(|error| {
        io::Error::new(error.kind(), format!("the file beside it cannot be opened ({})", reason(&error)))
    })?;
    let before = original.metadata()?;
    if !before.is_file() || !variant.metadata()?.is_file() {
        return Err(changed());
    }
    compare(&variant, coding, &original, &before)
}
