//! One file of the site, open: everything that is said or sent of it comes from the same descriptor.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::sys::uio::pread;

use super::root::Root;
use crate::http::Refusal;
use crate::http::etag::Validator;

/// What tells one state of one file from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Change time in nanoseconds since the epoch: moves with every write and cannot be set back.
    pub ctime_ns: i128,
}

impl Identity {
    /// Whether the same bytes are in it. Its change time moves without a write, too: when it is linked or unlinked, as a
    /// release that is swapped for another is.
    fn is_same_content(&self, other: &Identity) -> bool {
        (self.size, self.mtime_ns) == (other.size, other.mtime_ns)
    }
}

impl From<&FileStat> for Identity {
    fn from(stat: &FileStat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Identity {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size.unsigned_abs(),
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// A regular file or a directory, open.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    path: CString,
    identity: Identity,
    is_directory: bool,
}

impl File {
    /// Opens what `path` names beneath `root`.
    pub fn open(root: &Root, path: &CStr) -> Result<File, Refusal> {
        let fd = root.open_beneath(path).map_err(refuse)?;
        let stat = fstat(&fd).map_err(refuse_open)?;
        let is_directory = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFDIR => true,
            SFlag::S_IFREG => false,
            _ => return Err(Refusal::NotAFile),
        };
        Ok(File { fd, path: path.into(), identity: Identity::from(&stat), is_directory })
    }

    /// Where it was found beneath the root, for the log.
    pub fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Whether nothing has been written to it since it was opened.
    pub fn is_unchanged(&self) -> Result<bool, Refusal> {
        let now = fstat(&self.fd).map_err(refuse_open)?;
        Ok(Identity::from(&now).is_same_content(&self.identity))
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// Which state of which file it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// What its entity tag is made from.
    pub fn validator(&self) -> Validator {
        Validator { size: self.identity.size, mtime_ns: self.identity.mtime_ns }
    }

    /// Appends its content to `bytes`.
    pub fn read(&self, bytes: &mut Vec<u8>) -> Result<(), Refusal> {
        let begin = bytes.len();
        bytes.resize(begin + self.identity.size as usize, 0);
        self.read_at(&mut bytes[begin..], 0)?;
        // A write that came while it was read shows here; the caller keeps none that were written to a moment ago.
        let now = fstat(&self.fd).map_err(refuse_open)?;
        if Identity::from(&now) == self.identity { Ok(()) } else { Err(Refusal::Changed) }
    }

    /// Reads the byte at `offset`: a disk that fails is noticed before anything is said of the file.
    pub fn probe(&self, offset: u64) -> Result<(), Refusal> {
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

pub(super) fn refuse(errno: Errno) -> Refusal {
    match errno {
        // A name that no file can have names nothing.
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::ELOOP | Errno::EINVAL => Refusal::NotFound,
        Errno::EACCES | Errno::EPERM => Refusal::Unreadable,
        Errno::EXDEV => Refusal::OutsideRoot,
        Errno::ENXIO | Errno::ENODEV => Refusal::NotAFile,
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => Refusal::Exhausted(errno as i32),
        errno => Refusal::Disk(errno as i32),
    }
}

/// Why a file that is open is refused all the same: it is there, and one, whatever the error says.
fn refuse_open(errno: Errno) -> Refusal {
    match refuse(errno) {
        Refusal::NotFound | Refusal::OutsideRoot | Refusal::NotAFile => Refusal::Disk(errno as i32),
        refusal => refusal,
    }
}
