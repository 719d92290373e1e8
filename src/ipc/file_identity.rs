//! The identity of a version of a file, and the keys of what the [digest table](super::digests) has about it.

use nix::sys::stat::FileStat;

use super::digests::Key;
use crate::digest::Digest;
use crate::http::coding::Coding;

/// The largest file that is read for the digest of its content, in bytes. A larger one has one form of tag for good.
pub const MAX_HASHED_BYTES: u64 = 64 * 1024 * 1024;

/// The minimum time since the last write to a file whose content is kept or hashed, in nanoseconds: a second write within one
/// tick of the file system's clock would not change its identity. Two seconds is the coarsest clock of the file systems in use.
const MIN_AGE_NS: i128 = 2_000_000_000;

/// The metadata that identify a version of a file. A write changes it, except within the resolution of the file system's
/// times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The device of its file system.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Change time in nanoseconds since the epoch.
    pub ctime_ns: i128,
}

impl FileIdentity {
    /// Returns the key of the digest of its content.
    pub fn content_key(&self) -> Key {
        self.key(Coding::Identity)
    }

    /// Returns the key of the digest of what its content, which has `coding`, decodes to.
    pub fn decoded_key(&self, coding: Coding) -> Key {
        self.key(coding)
    }

    /// Returns whether, at `now_ns` since the epoch, its last write is old enough for its content to be kept under it.
    pub fn is_settled(&self, now_ns: i128) -> bool {
        let settled_ns = now_ns - MIN_AGE_NS;
        // A modification time after the change time was set, and a write changes it.
        self.ctime_ns < settled_ns && (self.mtime_ns < settled_ns || self.mtime_ns > self.ctime_ns)
    }

    /// Returns a digest of it, for a weak entity tag: the numbers themselves are nobody else's business.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes())
    }

    fn key(&self, coding: Coding) -> Key {
        Key::new(coding as u8, &self.bytes())
    }

    fn bytes(&self) -> [u8; 56] {
        let mut bytes = [0; 56];
        for (part, number) in bytes.chunks_exact_mut(8).zip([self.device, self.inode, self.size]) {
            part.copy_from_slice(&number.to_ne_bytes());
        }
        bytes[24..40].copy_from_slice(&self.mtime_ns.to_ne_bytes());
        bytes[40..].copy_from_slice(&self.ctime_ns.to_ne_bytes());
        bytes
    }
}

impl From<&FileStat> for FileIdentity {
    fn from(stat: &FileStat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        FileIdentity {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size.unsigned_abs(),
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_identity_and_each_question_makes_another_key() {
        let base = FileIdentity { device: 1, inode: 2, size: 3, mtime_ns: 4, ctime_ns: 5 };
        let changed = [
            FileIdentity { device: 9, ..base },
            FileIdentity { inode: 9, ..base },
            FileIdentity { size: 9, ..base },
            FileIdentity { mtime_ns: 9, ..base },
            FileIdentity { ctime_ns: 9, ..base },
        ];
        assert_eq!(base.content_key(), base.content_key());
        for identity in changed {
            assert_ne!(identity.content_key(), base.content_key(), "{identity:?}");
        }
        for coding in [Coding::Gzip, Coding::Zstd, Coding::Brotli] {
            assert_ne!(base.decoded_key(coding), base.content_key());
            assert_eq!(base.decoded_key(coding), base.decoded_key(coding));
        }
    }
}
