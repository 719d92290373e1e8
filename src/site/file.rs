//! One file of the site, open: everything that is said or sent of it comes from the same descriptor.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::nlink_t;
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::sys::uio::pread;

use super::listings::Share;
use super::root::Root;
use crate::http::Refusal;
use crate::http::etag::Validator;
use crate::os::sys::file_type;

/// How often, and after which pause, a file is looked at again whose time has moved while its size has not: whoever appends
/// to it moves the time first.
const APPEND_LOOKS: u32 = 10;
const APPEND_PAUSE: Duration = Duration::from_millis(1);

/// What tells one state of one file from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileVersion {
    device: u64,
    inode: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Change time in nanoseconds since the epoch: moves with every write and cannot be set back.
    pub ctime_ns: i128,
    /// How many names it has.
    links: nlink_t,
    mode: u32,
    owner: (u32, u32),
}

/// What became of a file that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Nothing.
    None,
    /// Its names, its permissions or its owner, but not its content.
    Outside,
    /// It grew. What was there before is still there, unless a longer file was written into it and it was cut to nothing
    /// in between, between two looks: that cannot be told from bytes that were appended.
    Grown,
    /// Its change time alone moved: its content, with its time set back, or something else that leaves no trace.
    Unclear,
    /// Its content.
    Content,
}

impl FileVersion {
    /// What was done to the file since it was in this state, if it is in the state `now`.
    ///
    /// A write moves the modification time. That can be set back (touch -r), the change time cannot; but the latter moves
    /// with names, permissions and owner as well, and then one of these differs, which explains it.
    fn change(&self, now: &FileVersion) -> Change {
        let outside = |state: &FileVersion| (state.links, state.mode, state.owner);
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

/// A regular file or a directory, open; or a listing.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    /// Where its path leads by now.
    root: Root,
    path: CString,
    version: FileVersion,
    is_directory: bool,
    /// Its state when it was looked at last: what was done to it is told from that, step by step.
    seen: Mutex<FileVersion>,
    /// Where it is in memory: what it takes of that.
    _share: Option<Share>,
}

impl File {
    /// Opens what `path` names beneath `root`.
    pub fn open(root: &Root, path: &CStr) -> Result<File, Refusal> {
        let place = root.locate(path).map_err(refuse)?;
        let stat = fstat(&place).map_err(refuse_open)?;
        let (fd, is_directory) = match file_type(&stat) {
            // One that may be passed through, and not read, is a directory as well.
            SFlag::S_IFDIR => (place, true),
            SFlag::S_IFREG => (root.open_located(&place, path).map_err(refuse)?, false),
            _ => return Err(Refusal::NotAFile),
        };
        let version = FileVersion::from(&stat);
        let seen = Mutex::new(version);
        Ok(File { fd, root: root.clone(), path: path.into(), version, is_directory, seen, _share: None })
    }

    /// A listing of the directory at `path`, in memory.
    pub fn in_memory(fd: OwnedFd, root: &Root, path: &[u8], share: Share) -> Result<File, Refusal> {
        let version = FileVersion::from(&fstat(&fd).map_err(refuse_open)?);
        let path = CString::new(path).unwrap_or_default();
        let seen = Mutex::new(version);
        Ok(File { fd, root: root.clone(), path, version, is_directory: false, seen, _share: Some(share) })
    }

    /// Whether its content is this.
    pub fn holds(&self, content: &[u8]) -> bool {
        let mut piece = [0; 16 * 1024];
        let mut pieces = content.chunks(piece.len()).zip((0..).step_by(piece.len()));
        self.version.size == content.len() as u64
            && pieces.all(|(expected, offset)| {
                let piece = &mut piece[..expected.len()];
                self.read_at(piece, offset).is_ok() && piece == expected
            })
    }

    /// Where it was found beneath the root, for the log.
    pub fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Whether the bytes that it had when it was opened are still there, as far as can be told.
    pub fn is_unchanged(&self) -> Result<bool, Refusal> {
        // Locked before it is looked at, so that no older look comes after a newer one.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut looks = 0;
        loop {
            let now = FileVersion::from(&fstat(&self.fd).map_err(refuse_open)?);
            match seen.change(&now) {
                // While something is appended, the time moves first and the size follows.
                Change::Content if now.size == seen.size && looks < APPEND_LOOKS => {
                    looks += 1;
                    std::thread::sleep(APPEND_PAUSE);
                    continue;
                }
                Change::Content => return Ok(false),
                Change::Unclear if self.is_at_its_path(&now)? => return Ok(false),
                Change::None | Change::Outside | Change::Grown | Change::Unclear => {}
            }
            *seen = now;
            return Ok(true);
        }
    }

    /// Whether its path still leads to it. Else it was moved away, which moves its change time and nothing else.
    fn is_at_its_path(&self, now: &FileVersion) -> Result<bool, Refusal> {
        match self.root.stat(&self.path) {
            Ok(there) => Ok(FileVersion::from(&there).is_same_file(now)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
            Err(errno) => Err(refuse_open(errno)),
        }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.is_directory
    }

    /// Which state of which file it is.
    pub fn version(&self) -> FileVersion {
        self.version
    }

    /// What its entity tag is made from.
    pub fn validator(&self) -> Validator {
        let FileVersion { size, mtime_ns, inode, ctime_ns, .. } = self.version;
        Validator { size, mtime_ns, inode, ctime_ns }
    }

    /// Appends its content to `bytes`. Says whether its identity is still what it was: if only a link or its permissions
    /// have changed meanwhile, what was read is true, and of no use to whoever compares identities later.
    pub fn read(&self, bytes: &mut Vec<u8>) -> Result<bool, Refusal> {
        let begin = bytes.len();
        bytes.resize(begin + self.version.size as usize, 0);
        self.read_at(&mut bytes[begin..], 0)?;
        // A write that came while it was read shows here; the caller keeps none that were written to a moment ago.
        let now = fstat(&self.fd).map_err(refuse_open)?;
        if FileVersion::from(&now) == self.version {
            return Ok(true);
        }
        if self.is_unchanged()? { Ok(false) } else { Err(Refusal::Changed) }
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

#[cfg(test)]
mod tests;
