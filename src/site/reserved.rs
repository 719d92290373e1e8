//! The files at the top of the document root that are never served, such as those with rules, whatever name leads to them: a
//! link, a hard link, or a path through a linked directory.
//!
//! They are known by device and inode, so that a request costs no system call. A file that has not changed since the last
//! check was known by it, unless a link at the top leads to it since then, which is seen at the next check.

use std::ffi::{CStr, CString};
use std::sync::RwLock;
use std::time::SystemTime;

use super::lock::{read, write};
use super::root::Root;
use super::version::{FileVersion, since_epoch_ns};
use crate::http::Coding;
use crate::rules::RESERVED;

/// The time within which a file may have got the name of one of these files unnoticed, in nanoseconds: the resolution of the
/// times of file systems, twice.
const RECENT_NS: i128 = 4_000_000_000;

/// A device and an inode.
pub type FileNumber = (u64, u64);

/// The reserved files of a release.
#[derive(Debug, Default)]
pub struct ReservedFiles(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    files: Vec<FileNumber>,
    /// When they were looked for, since the epoch.
    checked_ns: i128,
}

impl ReservedFiles {
    /// Looks for the files at the top of `root`.
    pub fn find(root: &Root) -> Self {
        let reserved = ReservedFiles::default();
        reserved.refresh(root);
        reserved
    }

    /// Looks for them again. Returns those that were not known: none of them may be served from a cache.
    pub fn refresh(&self, root: &Root) -> Vec<FileNumber> {
        let checked_ns = since_epoch_ns(SystemTime::now());
        let mut files = Vec::new();
        for name in RESERVED {
            if let Some(file) = number(root, name) {
                files.push(file);
                files.extend(copies(name).filter_map(|copy| number(root, &copy)));
            }
        }
        let before = std::mem::replace(&mut *write(&self.0), Known { files: files.clone(), checked_ns }).files;
        files.retain(|file| !before.contains(file));
        files
    }

    /// Returns whether a file that was opened below `root` is reserved.
    pub fn contains(&self, root: &Root, version: &FileVersion) -> bool {
        let number = (version.identity.device, version.identity.inode);
        let known = read(&self.0);
        if known.files.contains(&number) {
            return true;
        }
        if version.identity.ctime_ns < known.checked_ns - RECENT_NS {
            return false;
        }
        drop(known);
        // A name changes the change time.
        self.refresh(root).contains(&number)
    }
}

/// Returns the names of the compressed copies of a file.
fn copies(name: &CStr) -> impl Iterator<Item = CString> {
    let codings = Coding::BY_SIZE.into_iter().filter(|coding| *coding != Coding::Identity);
    // Neither part has a NUL.
    codings.map(|coding| CString::new([name.to_bytes(), coding.suffix().as_bytes()].concat()).unwrap_or_default())
}

/// Returns the number of the file at `name`. An empty file reveals nothing; tools that join equal files may have given it other
/// names.
fn number(root: &Root, name: &CStr) -> Option<FileNumber> {
    let stat = root.stat(name).ok().filter(|stat| stat.st_size > 0)?;
    Some((stat.st_dev, stat.st_ino))
}
