//! What the digest table says about a version of a file with a content coding.

use super::digests::Entry;
use crate::codec::Rejected;
use crate::digest::Digest;

/// What a file decodes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// Content with this digest.
    Digest(Digest),
    /// Nothing that every browser accepts.
    Rejected {
        /// Why.
        reason: Rejected,
        /// The most bytes that the decoded content could have: with a higher limit, [`Rejected::Longer`] may not hold.
        max_bytes: u64,
    },
}

impl Decoded {
    /// Returns the entry that says so.
    pub fn to_entry(self) -> Entry {
        match self {
            Decoded::Digest(digest) => Entry { digest, detail: 0 },
            Decoded::Rejected { reason, max_bytes } => {
                Entry { digest: Digest::from_words([max_bytes, 0]), detail: reason.code().into() }
            }
        }
    }

    /// Returns what an entry says. One with an unknown reason, as of another version of the server, says that the content is
    /// rejected.
    pub fn from_entry(entry: Entry) -> Self {
        if entry.detail == 0 {
            return Decoded::Digest(entry.digest);
        }
        let reason = u8::try_from(entry.detail).ok().and_then(Rejected::from_code).unwrap_or(Rejected::Damaged);
        Decoded::Rejected { reason, max_bytes: entry.digest.to_words()[0] }
    }

    /// Returns whether decoding with the limit `max_bytes` would have the same result.
    pub fn is_valid_for(self, limit: u64) -> bool {
        match self {
            Decoded::Rejected { reason: Rejected::Longer, max_bytes } => limit <= max_bytes,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_what_was_found() {
        let digest = Decoded::Digest(Digest::of(b"color:red;"));
        assert_eq!(Decoded::from_entry(digest.to_entry()), digest);
        for reason in Rejected::ALL {
            let rejected = Decoded::Rejected { reason, max_bytes: 1 << 40 };
            assert_eq!(Decoded::from_entry(rejected.to_entry()), rejected);
        }
        let entry = Entry { digest: Digest::of(b""), detail: u64::MAX };
        assert!(matches!(Decoded::from_entry(entry), Decoded::Rejected { .. }));
    }

    #[test]
    fn a_higher_limit_makes_only_one_reason_invalid() {
        for reason in Rejected::ALL {
            let rejected = Decoded::Rejected { reason, max_bytes: 100 };
            assert!(rejected.is_valid_for(100) && rejected.is_valid_for(99));
            assert_eq!(rejected.is_valid_for(101), reason != Rejected::Longer);
        }
        assert!(Decoded::Digest(Digest::of(b"")).is_valid_for(u64::MAX));
    }
}
