//! Entity tags (RFC 9110 §8.8.3).

/// What a strong validator is made from: the same for the same file on every machine that holds it (no inode number).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validator {
    /// Size in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i128,
}

/// The entity tag, quotes included. Strong: any write moves mtime, whose unit is a nanosecond.
impl std::fmt::Display for Validator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{:x}-{:x}\"", self.size, self.mtime_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::Validator;

    #[test]
    fn a_tag_is_quoted_and_differs_by_size_and_by_nanosecond() {
        let tag = |size, mtime_ns| Validator { size, mtime_ns }.to_string();
        assert_eq!(tag(97, 0x18c3), "\"61-18c3\"");
        assert_ne!(tag(97, 1_000_000_000), tag(97, 1_000_000_001));
        assert_ne!(tag(97, 5), tag(96, 5));
    }

    #[test]
    fn times_before_the_epoch_make_a_valid_tag_too() {
        let tag = Validator { size: 0, mtime_ns: -1 }.to_string();
        assert!(tag.bytes().all(|b| b.is_ascii_graphic()), "{tag}");
    }
}
