//! A version of a file: what its metadata say about its content, and about the change from one version to the next.

use std::time::SystemTime;

use nix::libc::nlink_t;
use nix::sys::stat::FileStat;

use crate::digest::Digest;
use crate::http::etag::Validator;
use crate::ipc::file_identity::{FileIdentity, MAX_HASHED_BYTES};

/// The earliest modification time that is taken as the time of a write, in nanoseconds since the epoch: 1990. Nix, OSTree
/// and container images set the time of every file to 1970, npm to 1985.
const EARLIEST_MTIME_NS: i128 = 631_152_000_000_000_000;

/// The largest file that is read into memory, in bytes. For larger ones sendfile(2) costs less than copying.
pub const MAX_IN_MEMORY_BYTES: u64 = 32 * 1024;

/// The longest time between two ticks of the kernel's clock, in nanoseconds: before Linux 6.13, all writes within a tick give
/// a file the same times.
const TICK_NS: i128 = 20_000_000;

/// The same for file systems that store times in seconds; FAT stores the modification time in steps of two.
const COARSE_TICK_NS: i128 = 2_000_000_000;

/// A version of a file: its metadata when they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileVersion {
    /// What a write changes. The change time cannot be set back.
    pub identity: FileIdentity,
    /// The number of hard links.
    links: nlink_t,
    mode: u32,
    owner: (u32, u32),
}

/// The change of an open file since an earlier check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
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
    pub fn change(&self, now: &FileVersion) -> Change {
        let outside = |version: &FileVersion| (version.links, version.mode, version.owner);
        let (before, after) = (&self.identity, &now.identity);
        match () {
            () if after.size > before.size => Change::Grown,
            () if (after.size, after.mtime_ns) != (before.size, before.mtime_ns) => Change::Content,
            () if after.ctime_ns == before.ctime_ns => Change::None,
            () if outside(now) != outside(self) => Change::Outside,
            () => Change::Unclear,
        }
    }

    /// Returns whether both are versions of one file.
    pub fn is_same_file(&self, other: &FileVersion) -> bool {
        let number = |version: &FileVersion| (version.identity.device, version.identity.inode);
        number(self) == number(other)
    }

    /// Returns whether no write of the present would have this time of it. A time in the future, from before the clock was set
    /// back, is also one that no write sets now.
    fn is_over(&self, time_ns: i128, now: SystemTime) -> bool {
        let tick_ns = if self.identity.ctime_ns % 1_000_000_000 == 0 { COARSE_TICK_NS } else { TICK_NS };
        (since_epoch_ns(now) - time_ns).abs() > tick_ns
    }

    /// Returns Last-Modified, in seconds since the epoch. None for a fixed value that says nothing about the last write, and
    /// for a second that is not over: another write in it would not change the field (RFC 9110 §8.8.2.2).
    pub fn last_modified_s(&self, now: SystemTime) -> Option<u64> {
        let modified_s = self.identity.mtime_ns.div_euclid(1_000_000_000);
        let is_over = modified_s < since_epoch_ns(now).div_euclid(1_000_000_000);
        (self.has_time() && is_over).then_some(modified_s as u64)
    }

    /// Returns whether the modification time tells when it was written.
    pub fn has_time(&self) -> bool {
        self.identity.mtime_ns >= EARLIEST_MTIME_NS
    }

    /// Returns whether it is read into memory as a whole.
    pub fn is_small(&self) -> bool {
        self.size() <= MAX_IN_MEMORY_BYTES
    }

    /// Returns what its entity tag is made of, if the digest of its content is `content`. None while a write could leave the
    /// version as it is.
    pub fn validator(&self, content: Option<Digest>, now: SystemTime) -> Option<Validator> {
        let by_time = self.size() > MAX_HASHED_BYTES && self.has_time();
        match content {
            Some(content) if self.is_small() => Some(Validator::Content(content)),
            Some(content) => Some(Validator::HashedLater { content, identity: self.identity.digest() }),
            None if by_time => self
                .is_over(self.identity.mtime_ns, now)
                .then_some(Validator::Time { size: self.size(), mtime_ns: self.identity.mtime_ns }),
            None if !self.is_over(self.identity.ctime_ns, now) => None,
            None if self.size() > MAX_HASHED_BYTES => Some(Validator::LargeIdentity(self.identity.digest())),
            None => Some(Validator::Identity(self.identity.digest())),
        }
    }

    /// Returns its size in bytes.
    pub fn size(&self) -> u64 {
        self.identity.size
    }
}

impl From<&FileStat> for FileVersion {
    fn from(stat: &FileStat) -> Self {
        let owner = (stat.st_uid, stat.st_gid);
        FileVersion { identity: FileIdentity::from(stat), links: stat.st_nlink, mode: stat.st_mode, owner }
    }
}

/// Returns a time in nanoseconds since the epoch.
pub fn since_epoch_ns(time: SystemTime) -> i128 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_nanos() as i128)
}
