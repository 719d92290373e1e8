//! Entity tags (RFC 9110 §8.8.3).

/// The earliest modification time that is taken as the time of a write, in nanoseconds since the epoch: 1990. Nix, OSTree
/// and container images set the time of every file to 1970, npm to 1985.
const EARLIEST_MTIME_NS: i128 = 631_152_000_000_000_000;

/// The values that a strong validator is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validator {
    /// Size in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Inode number.
    pub inode: u64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i128,
}

impl Validator {
    /// Returns whether the modification time tells when the file was written. If not, it is the same for all versions.
    pub fn has_time(&self) -> bool {
        self.mtime_ns >= EARLIEST_MTIME_NS
    }
}

/// The entity tag, quotes included. It is strong: any write changes mtime, whose unit is a nanosecond. It is the same on
/// every machine that has the file with this time. Where mtime is a fixed value, inode and change time distinguish
/// versions instead, and the tag differs between machines.
impl std::fmt::Display for Validator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Validator { size, mtime_ns, inode, ctime_ns } = self;
        match self.has_time() {
            true => write!(f, "\"{size:x}-{mtime_ns:x}\""),
            false => write!(f, "\"{size:x}-{mtime_ns:x}-{inode:x}-{ctime_ns:x}\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EARLIEST_MTIME_NS, Validator};

    #[test]
    fn a_tag_is_quoted_and_differs_by_size_and_by_nanosecond() {
        let tag = |size, mtime_ns| Validator { size, mtime_ns, inode: 1, ctime_ns: 2 }.to_string();
        const NOW_NS: i128 = 0x18c3_1111_2222_3333;
        assert_eq!(tag(97, NOW_NS), "\"61-18c3111122223333\"");
        assert_ne!(tag(97, NOW_NS), tag(97, NOW_NS + 1));
        assert_ne!(tag(97, NOW_NS), tag(96, NOW_NS));
    }

    #[test]
    fn where_the_time_is_a_stamp_inode_and_change_time_tell_versions_apart() {
        let tag = |mtime_ns, inode, ctime_ns| Validator { size: 97, mtime_ns, inode, ctime_ns }.to_string();
        // npm's stamp, and the last nanosecond of 1989.
        for stamp in [0, 1_000_000_000, 499_162_500_000_000_000, EARLIEST_MTIME_NS - 1] {
            assert_ne!(tag(stamp, 1, 2), tag(stamp, 1, 3));
            assert_ne!(tag(stamp, 1, 2), tag(stamp, 2, 2));
        }
        assert_eq!(tag(EARLIEST_MTIME_NS, 1, 2), tag(EARLIEST_MTIME_NS, 2, 3));
    }

    #[test]
    fn times_before_the_epoch_make_a_valid_tag_too() {
        let tag = Validator { size: 0, mtime_ns: -1, inode: 1, ctime_ns: -1 }.to_string();
        assert!(tag.bytes().all(|b| b.is_ascii_graphic()), "{tag}");
    }
}
