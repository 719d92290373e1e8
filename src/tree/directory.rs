//! Directories by file descriptor: no user who can write to the tree can make a run leave it.
//!
//! Every directory is opened one component at a time from the top, and no component may be a symbolic link (open(2),
//! O_NOFOLLOW). All operations on a file use its name in an open directory (openat(2), renameat(2), unlinkat(2)), so that
//! replacing a directory by a link has no effect.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, lstat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use crate::os::sys::file_type;

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    descriptor: OwnedFd,
    /// Its path, only for messages.
    path: PathBuf,
}

impl Directory {
    /// Opens the top of the tree. `path` may be a symbolic link. Root follows it only if it belongs to root, or to the owner
    /// of the directory that it leads to: otherwise its owner could lead root anywhere.
    pub fn top(path: &Path) -> io::Result<Self> {
        let descriptor = open(path, DIRECTORY, Mode::empty())?;
        let (named, opened) = (lstat(path)?, fstat(&descriptor)?);
        let is_trusted = match file_type(&named) {
            SFlag::S_IFLNK => !geteuid().is_root() || named.st_uid == 0 || named.st_uid == opened.st_uid,
            _ => (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino),
        };
        if !is_trusted {
            let why = "it is a symbolic link, and its owner does not own the directory; name the directory itself";
            return Err(io::Error::other(why));
        }
        Ok(Directory { descriptor, path: path.into() })
    }

    /// Opens the directory at `relative`, which contains no `..`. Fails if a component is a symbolic link.
    pub fn beneath(&self, relative: &Path) -> io::Result<Self> {
        let mut descriptor = openat(&self.descriptor, c".", DIRECTORY, Mode::empty())?;
        for name in relative.iter() {
            descriptor = openat(&descriptor, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())?;
        }
        // For the top itself, join() would add a slash.
        let path = if relative.as_os_str().is_empty() { self.path.clone() } else { self.path.join(relative) };
        Ok(Directory { descriptor, path })
    }

    /// Returns the path of `name`, for messages.
    pub fn path_of(&self, name: &CStr) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.to_bytes()))
    }

    /// Returns the names in it, without `.` and `..`.
    pub fn names(&self) -> io::Result<Vec<CString>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = Dir::openat(&self.descriptor, c".", flags, Mode::empty())?;
        let names = directory.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned()));
        let names = names.filter(|name| !matches!(name.as_deref().map(CStr::to_bytes), Ok(b"." | b"..")));
        names.collect::<Result<_, Errno>>().map_err(io::Error::from)
    }

    /// Returns the metadata of `name`, without following a symbolic link; None if it does not exist.
    pub fn stat(&self, name: &CStr) -> io::Result<Option<FileStat>> {
        match fstatat(&self.descriptor, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens a file for reading, without following a symbolic link or waiting for a FIFO's other end.
    pub fn open(&self, name: &CStr) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Ok(openat(&self.descriptor, name, flags, Mode::empty())?.into())
    }

    /// Creates a file that only its owner can read. Fails if the name exists.
    pub fn create(&self, name: &CStr) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(&self.descriptor, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Renames a file; replaces a file that has the new name.
    pub fn rename(&self, from: &CStr, to: &CStr) -> io::Result<()> {
        Ok(renameat(&self.descriptor, from, &self.descriptor, to)?)
    }

    /// Removes a file.
    pub fn remove(&self, name: &CStr) -> io::Result<()> {
        Ok(unlinkat(&self.descriptor, name, UnlinkatFlags::NoRemoveDir)?)
    }
}
