//! Entity tags (RFC 9110 §8.8.3).
//!
//! A strong tag promises equal bytes. It is made of the content's digest, or, for a file that is too large to be read for
//! its tag, of its size and modification time. Until the digest is known, the tag is weak and identifies the version of the
//! file.

use std::fmt;

use crate::digest::Digest;

/// What is known of the content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validator {
    /// The digest of the content.
    Content(Digest),
    /// The digest of the content, and that of the file's identity, from which the tag was made before.
    HashedLater {
        /// The digest of the content.
        content: Digest,
        /// The digest of the identity.
        identity: Digest,
    },
    /// Only the digest of the file's identity: device, inode, size, modification and change time.
    Identity(Digest),
    /// The size and the time of the last write, of a file that is too large to be hashed.
    Time {
        /// Size in bytes.
        size: u64,
        /// Modification time, nanoseconds since the epoch.
        mtime_ns: i128,
    },
    /// The digest of the identity of a file that is too large to be hashed, and whose modification time is a fixed value.
    LargeIdentity(Digest),
}

/// An entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag {
    text: String,
    /// The opaque part of the weak tag that the same version of the file had before.
    earlier: Option<String>,
}

impl EntityTag {
    /// Creates the tag of a file's content; `suffix` distinguishes content codings (RFC 9110 §8.8.3.3).
    pub fn new(validator: Validator, suffix: &str) -> Self {
        let strong = |value: &dyn fmt::Display| format!("\"{value}{suffix}\"");
        let (text, earlier) = match validator {
            Validator::Content(digest) | Validator::LargeIdentity(digest) => (strong(&digest), None),
            Validator::HashedLater { content, identity } => (strong(&content), Some(strong(&identity))),
            Validator::Identity(digest) => (format!("W/{}", strong(&digest)), None),
            Validator::Time { size, mtime_ns } => (strong(&format_args!("{size:x}-{mtime_ns:x}")), None),
        };
        EntityTag { text, earlier }
    }

    /// Creates a tag for a test.
    #[cfg(test)]
    pub fn from_text(text: &str) -> Self {
        EntityTag { text: text.into(), earlier: None }
    }

    /// Returns it as ETag has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether it promises equal bytes.
    pub fn is_strong(&self) -> bool {
        !self.text.starts_with("W/")
    }

    /// Returns whether `tag`, from a request, is the same by strong comparison (RFC 9110 §8.8.3.2).
    pub fn matches_strongly(&self, tag: &[u8]) -> bool {
        self.is_strong() && tag == self.text.as_bytes()
    }

    /// Returns whether `tag`, from a request, is the same by weak comparison (RFC 9110 §8.8.3.2).
    pub fn matches_weakly(&self, tag: &[u8]) -> bool {
        opaque(tag) == opaque(self.text.as_bytes())
    }

    /// Returns the earlier tag of this version of the file if `tag`, from a request, is it.
    pub fn matching_earlier(&self, tag: &[u8]) -> Option<String> {
        let earlier = self.earlier.as_ref()?;
        (opaque(tag) == earlier.as_bytes()).then(|| format!("W/{earlier}"))
    }
}

/// Returns the tag without the prefix of a weak one.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &str = "\"af1349b9f5f9a1a6a0404dea36dcc949\"";

    fn tag(validator: Validator) -> EntityTag {
        EntityTag::new(validator, "")
    }

    #[test]
    fn a_strong_tag_is_the_digest_and_has_the_coding() {
        let validator = Validator::Content(Digest::of(b""));
        assert_eq!(tag(validator).as_str(), CONTENT);
        assert_eq!(EntityTag::new(validator, "-br").as_str(), "\"af1349b9f5f9a1a6a0404dea36dcc949-br\"");
        assert!(tag(validator).is_strong());
    }

    #[test]
    fn the_tag_of_an_identity_is_weak_until_the_digest_is_known() {
        let (content, identity) = (Digest::of(b""), Digest::of(b"identity"));
        let weak = tag(Validator::Identity(identity));
        assert!(!weak.is_strong() && weak.as_str().starts_with("W/\""));
        assert!(weak.matches_weakly(weak.as_str().as_bytes()) && !weak.matches_strongly(weak.as_str().as_bytes()));

        let strong = tag(Validator::HashedLater { content, identity });
        assert_eq!(strong.as_str(), CONTENT);
        assert_eq!(strong.matching_earlier(weak.as_str().as_bytes()).as_deref(), Some(weak.as_str()));
        assert!(!strong.matches_weakly(weak.as_str().as_bytes()));
        assert_eq!(strong.matching_earlier(CONTENT.as_bytes()), None);
        assert!(strong.matches_strongly(CONTENT.as_bytes()));
    }

    #[test]
    fn a_large_file_has_a_tag_by_size_and_time_or_by_identity() {
        let time = |size, mtime_ns| tag(Validator::Time { size, mtime_ns });
        assert_eq!(time(97, 0x18c3_1111_2222_3333).as_str(), "\"61-18c3111122223333\"");
        assert_ne!(time(97, 5), time(97, 6));
        assert!(time(97, 5).is_strong());
        assert!(tag(Validator::LargeIdentity(Digest::of(b""))).is_strong());
    }
}
