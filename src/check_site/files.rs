//! The files of a site that are served.

use std::ffi::{CStr, OsStr};
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::stat::{FileStat, SFlag};

use super::findings::{Finding, Findings};
use crate::config::FindingKind;
use crate::failure::reason;
use crate::os::sys::file_type;
use crate::tree::{Choice, Directory, Job, find};

/// The limit of files and directories that are checked.
const MAX_ENTRIES: u64 = 1_000_000;

/// Finds the files below `top`, in the order of their paths. A directory that cannot be read is added to `findings`.
pub fn list(top: &Directory, dotfiles: bool, findings: &mut Findings) -> Vec<Job> {
    let mut search = Search { top: top.path_of(c""), dotfiles, entries: 0, findings };
    let mut files = find(top, &mut search);
    if search.entries > MAX_ENTRIES {
        let text = format!("the site has more than {MAX_ENTRIES} files and directories; the others are not checked");
        findings.add(Finding::new(FindingKind::Unread, ".", None, text));
    }
    files.sort_by_cached_key(Job::relative);
    files
}

/// The search for what is served.
struct Search<'f> {
    top: PathBuf,
    dotfiles: bool,
    entries: u64,
    findings: &'f mut Findings,
}

impl Search<'_> {
    fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.top).unwrap_or(path)
    }
}

impl Choice for Search<'_> {
    fn chooses(&mut self, directory: &Directory, name: &CStr, stat: &FileStat) -> io::Result<bool> {
        let bytes = name.to_bytes();
        let is_served = self.dotfiles
            || !bytes.starts_with(b".")
            || self.relative(&directory.path_of(name)) == Path::new(".well-known");
        let is_chosen =
            is_served && matches!(file_type(stat), SFlag::S_IFDIR | SFlag::S_IFREG) && self.entries <= MAX_ENTRIES;
        self.entries += u64::from(is_chosen);
        Ok(is_chosen)
    }

    fn fail(&mut self, path: &Path, error: &io::Error) {
        let relative = self.relative(path);
        let file = if relative == OsStr::new("") { ".".into() } else { relative.to_string_lossy() };
        let text = format!("it cannot be read ({})", reason(error));
        self.findings.add(Finding::new(FindingKind::Unread, file, None, text));
    }
}
