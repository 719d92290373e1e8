//! An open file of the site: metadata and content come from the same file descriptor.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};
use nix::sys::uio::pread;

use super::errno::{refuse, refuse_open};
use super::memory::Reservation;
use super::root::Root;
use super::version::{Change, FileVersion};
use crate::http::Refusal;
use crate::os::sys::{self, file_type};

/// The number of further checks, and the pause before each, of a file whose modification time has changed while its size
/// has not: an append changes the time first.
const APPEND_CHECKS: u32 = 10;
const APPEND_PAUSE: Duration = Duration::from_millis(1);

/// An open regular file or directory, or a listing.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    /// The root and its path below it, to check where the path leads.
    root: Root,
    path: CString,
    version: FileVersion,
    is_directory: bool,
    /// The version at the last check: changes are determined step by step.
    checked: Mutex<FileVersion>,
    /// The memory of a listing.
    _reservation: Option<Reservation>,
}

impl File {
    /// Opens the file or directory at `path` below `root`.
    pub fn open(root: &Root, path: &CStr) -> Result<File, Refusal> {
        if let Some((fd, stat)) = root.open_regular(path).map_err(refuse)? {
            return Ok(File::new(fd, root, path.into(), FileVersion::from(&stat), false));
        }
        let located = root.locate(path).map_err(refuse)?;
        let stat = fstat(&located).map_err(refuse_open)?;
        let (fd, is_directory) = match file_type(&stat) {
            // Not opened: a directory may be searchable without being readable.
            SFlag::S_IFDIR => (located, true),
            SFlag::S_IFREG => (root.open_located(&located, path).map_err(refuse)?, false),
            _ => return Err(Refusal::NotAFile),
        };
        Ok(File::new(fd, root, path.into(), FileVersion::from(&stat), is_directory))
    }

    /// Creates the file of a listing in memory, of the directory at `path`.
    pub fn in_memory(fd: OwnedFd, root: &Root, path: &[u8], reservation: Reservation) -> Result<File, Refusal> {
        let version = FileVersion::from(&fstat(&fd).map_err(refuse_open)?);
        let file = File::new(fd, root, CString::new(path).unwrap_or_default(), version, false);
        Ok(File { _reservation: Some(reservation), ..file })
    }

    fn new(fd: OwnedFd, root: &Root, path: CString, version: FileVersion, is_directory: bool) -> File {
        let checked = Mutex::new(version);
        File { fd, root: root.clone(), path, version, is_directory, checked, _reservation: None }
    }

    /// Returns whether its content equals `content`.
    pub fn equals(&self, content: &[u8]) -> bool {
        let mut buffer = [0; 16 * 1024];
        let mut chunks = content.chunks(buffer.len()).zip((0..).step_by(buffer.len()));
        self.version.size() == content.len() as u64
            && chunks.all(|(expected, offset)| {
                let buffer = &mut buffer[..expected.len()];
                self.read_at(buffer, offset).is_ok() && buffer == expected
            })
    }

    /// Returns the path below the root at which it was opened.
    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// Returns the root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Returns whether it still has the bytes that it had when it was opened, as far as metadata show.
    pub fn is_unchanged(&self) -> Result<bool, Refusal> {
        let now = FileVersion::from(&fstat(&self.fd).map_err(refuse_open)?);
        // Many threads may send it: they do not wait for each other's fstat(2) if nothing has changed.
        if *self.checked.lock().unwrap_or_else(PoisonError::into_inner) == now {
            return Ok(true);
        }
        // Locked before fstat(2), so that an older result never replaces a newer one.
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut checks = 0;
        loop {
            let now = FileVersion::from(&fstat(&self.fd).map_err(refuse_open)?);
            match checked.change(&now) {
                // An append in progress updates the time before the size.
                Change::Content if now.size() == checked.size() && checks < APPEND_CHECKS => {
                    checks += 1;
                    std::thread::sleep(APPEND_PAUSE);
                    continue;
                }
                Change::Content => return Ok(false),
                Change::Unclear if self.is_at_its_path(&now)? => return Ok(false),
                Change::None | Change::Outside | Change::Grown | Change::Unclear => {}
            }
            *checked = now;
            return Ok(true);
        }
    }

    /// Returns whether its path still leads to it. Otherwise it was renamed, which updates only its change time.
    fn is_at_its_path(&self, now: &FileVersion) -> Result<bool, Refusal> {
        match self.root.stat(&self.path) {
            Ok(stat) => Ok(FileVersion::from(&stat).is_same_file(now)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
            Err(errno) => Err(refuse_open(errno)),
        }
    }

    /// Returns whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// Returns its version when it was opened.
    pub fn version(&self) -> FileVersion {
        self.version
    }

    /// Appends its content to `bytes`. Returns whether its version is still the same: if only links or permissions have
    /// changed, the content is correct, but cannot be cached, since the cache compares versions.
    pub fn read(&self, bytes: &mut Vec<u8>) -> Result<bool, Refusal> {
        let end = bytes.len() + self.version.size() as usize;
        while bytes.len() < end {
            let missing = end - bytes.len();
            match sys::pread_append(&self.fd, bytes, missing, self.version.size() - missing as u64) {
                Ok(0) => return Err(Refusal::Changed),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(refuse_open(errno)),
            }
        }
        // Detects writes during the read; the caller does not cache files that were written to just before.
        let now = fstat(&self.fd).map_err(refuse_open)?;
        if FileVersion::from(&now) == self.version {
            return Ok(true);
        }
        if self.is_unchanged()? { Ok(false) } else { Err(Refusal::Changed) }
    }

    /// Reads the byte at `offset`, so that a disk error is detected before the response begins.
    pub fn check_readable(&self, offset: u64) -> Result<(), Refusal> {
        self.read_at(&mut [0], offset)
    }

    fn read_at(&self, mut content: &mut [u8], offset: u64) -> Result<(), Refusal> {
        let mut offset = offset as i64;
        while !content.is_empty() {
            match pread(&self.fd, content, offset) {
                Ok(0) => return Err(Refusal::Changed),
                Ok(length) => {
                    offset += length as i64;
                    content = &mut content[length..];
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(refuse_open(errno)),
            }
        }
        Ok(())
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests;
