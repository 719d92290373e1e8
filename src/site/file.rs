//! An open file of the site: metadata and content come from the same file descriptor.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::libc::nlink_t;
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::sys::uio::pread;

use super::memory::Reservation;
use super::root::Root;
use crate::digest::Digest;
use crate::http::Refusal;
use crate::http::etag::Validator;
use crate::ipc::file_identity::FileIdentity;
use crate::os::sys::file_type;

/// The number of further checks, and the pause before each, of a file whose modification time has changed while its size
/// has not: an append changes the time first.
const APPEND_CHECKS: u32 = 10;
const APPEND_PAUSE: Duration = Duration::from_millis(1);

/// The earliest modification time that is taken as the time of a write, in nanoseconds since the epoch: 1990. Nix, OSTree
/// and container images set the time of every file to 1970, npm to 1985.
const EARLIEST_MTIME_NS: i128 = 631_152_000_000_000_000;

/// The largest file that is read into memory, in bytes. For larger ones sendfile(2) costs less than copying.
pub const MAX_IN_MEMORY_BYTES: u64 = 32 * 1024;

/// The largest file that is read for the digest of its content, in bytes. A larger one has one form of tag for good.
pub const MAX_HASHED_BYTES: u64 = 64 * 1024 * 1024;

/// The longest time between two ticks of the kernel's clock, in nanoseconds: before Linux 6.13, all writes within a tick give
/// a file the same times.
const TICK_NS: i128 = 20_000_000;

/// The same for file systems that store times in seconds; FAT stores the modification time in steps of two.
const COARSE_TICK_NS: i128 = 2_000_000_000;

/// The metadata that identify a version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileVersion {
    device: u64,
    inode: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Change time in nanoseconds since the epoch: updated by every write, and cannot be set back.
    pub ctime_ns: i128,
    /// The number of hard links.
    links: nlink_t,
    mode: u32,
    owner: (u32, u32),
}

/// The change of an open file since an earlier check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// No change.
    None,
    /// Its names, permissions or owner changed, but not its content.
    Outside,
    /// It grew. The earlier bytes are unchanged, unless the file was truncated and overwritten with more bytes between two
    /// checks, which cannot be distinguished from an append.
    Grown,
    /// Only its change time changed: its content was overwritten and its modification time set back, or something else
    /// happened that leaves no other trace.
    Unclear,
    /// Its content changed.
    Content,
}

impl FileVersion {
    /// Returns the change from this version to the version `now`.
    ///
    /// A write updates the modification time. That can be set back (touch -r), the change time cannot. The latter is also
    /// updated with names, permissions and owner, but then one of these differs, which explains it.
    fn change(&self, now: &FileVersion) -> Change {
        let outside = |version: &FileVersion| (version.links, version.mode, version.owner);
        match now {
            now if now.size > self.size => Change::Grown,
            now if (now.size, now.mtime_ns) != (self.size, self.mtime_ns) => Change::Content,
            now if now.ctime_ns == self.ctime_ns => Change::None,
            now if outside(now) != outside(self) => Change::Outside,
            _ => Change::Unclear,
        }
    }

    fn is_same_file(&self, other: &FileVersion) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Returns whether any later write changes its identity. Until then, two contents can have the same. A time in the future,
    /// from before the clock was set back, is also one that no write sets now.
    fn is_settled(&self, now: SystemTime) -> bool {
        self.is_over(self.ctime_ns, now)
    }

    /// Returns whether no write of the present would have this time.
    fn is_over(&self, time_ns: i128, now: SystemTime) -> bool {
        let tick_ns = if self.ctime_ns % 1_000_000_000 == 0 { COARSE_TICK_NS } else { TICK_NS };
        (since_epoch_ns(now) - time_ns).abs() > tick_ns
    }

    /// Returns Last-Modified, in seconds since the epoch. None for a fixed value that says nothing about the last write, and
    /// for a second that is not over: another write in it would not change the field (RFC 9110 §8.8.2.2).
    pub fn last_modified_s(&self, now: SystemTime) -> Option<u64> {
        let modified_s = self.mtime_ns.div_euclid(1_000_000_000);
        let is_over = modified_s < since_epoch_ns(now).div_euclid(1_000_000_000);
        (self.has_time() && is_over).then_some(modified_s as u64)
    }

    /// Returns whether the modification time tells when it was written.
    pub fn has_time(&self) -> bool {
        self.mtime_ns >= EARLIEST_MTIME_NS
    }

    /// Returns whether it is read into memory as a whole.
    pub fn is_small(&self) -> bool {
        self.size <= MAX_IN_MEMORY_BYTES
    }

    /// Returns what its entity tag is made of, if the digest of its content is `content`. None while a write could leave the
    /// version as it is.
    pub fn validator(&self, content: Option<Digest>, now: SystemTime) -> Option<Validator> {
        let by_time = self.size > MAX_HASHED_BYTES && self.has_time();
        match content {
            Some(content) if self.is_small() => Some(Validator::Content(content)),
            Some(content) => Some(Validator::HashedLater { content, identity: self.identity().digest() }),
            None if by_time => {
                self.is_over(self.mtime_ns, now).then_some(Validator::Time { size: self.size, mtime_ns: self.mtime_ns })
            }
            None if !self.is_settled(now) => None,
            None if self.size > MAX_HASHED_BYTES => Some(Validator::LargeIdentity(self.identity().digest())),
            None => Some(Validator::Identity(self.identity().digest())),
        }
    }

    /// Returns what identifies the version.
    pub fn identity(&self) -> FileIdentity {
        let FileVersion { device, inode, size, mtime_ns, ctime_ns, .. } = *self;
        FileIdentity { device, inode, size, mtime_ns, ctime_ns }
    }
}

impl From<&FileStat> for FileVersion {
    fn from(stat: &FileStat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        FileVersion {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size.unsigned_abs(),
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
            links: stat.st_nlink,
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
        }
    }
}

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
        self.version.size == content.len() as u64
            && chunks.all(|(expected, offset)| {
                let buffer = &mut buffer[..expected.len()];
                self.read_at(buffer, offset).is_ok() && buffer == expected
            })
    }

    /// Returns its path below the root, for the log.
    pub fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Returns whether it still has the bytes that it had when it was opened, as far as metadata show.
    pub fn is_unchanged(&self) -> Result<bool, Refusal> {
        // Locked before fstat(2), so that an older result never replaces a newer one.
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut checks = 0;
        loop {
            let now = FileVersion::from(&fstat(&self.fd).map_err(refuse_open)?);
            match checked.change(&now) {
                // An append in progress updates the time before the size.
                Change::Content if now.size == checked.size && checks < APPEND_CHECKS => {
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
        let begin = bytes.len();
        bytes.resize(begin + self.version.size as usize, 0);
        self.read_at(&mut bytes[begin..], 0)?;
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

/// Returns a time in nanoseconds since the epoch.
pub fn since_epoch_ns(time: SystemTime) -> i128 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_nanos() as i128)
}

pub(super) fn refuse(errno: Errno) -> Refusal {
    match errno {
        // A name that no file can have gets 404 as well.
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::ELOOP | Errno::EINVAL => Refusal::NotFound,
        Errno::EACCES | Errno::EPERM => Refusal::Unreadable,
        Errno::EXDEV => Refusal::OutsideRoot,
        Errno::ENXIO | Errno::ENODEV => Refusal::NotAFile,
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => Refusal::Exhausted(errno as i32),
        errno => Refusal::Disk(errno as i32),
    }
}

/// Converts an error of an open file: the file exists and is a file, whatever the error number.
fn refuse_open(errno: Errno) -> Refusal {
    match refuse(errno) {
        Refusal::NotFound | Refusal::OutsideRoot | Refusal::NotAFile => Refusal::Disk(errno as i32),
        refusal => refusal,
    }
}

#[cfg(test)]
mod tests;
