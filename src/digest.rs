//! The digest of a file's content, by BLAKE3. It is infeasible to make a file with the digest of another. The digest is
//! the same on every machine.

use std::fmt;

/// The first 16 bytes of a BLAKE3 digest. A second content for a given digest takes 2^128 attempts. A pair of
/// contents with the same digest takes 2^64 attempts; its author can affect only files of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

/// Computes a digest from content that arrives in parts.
#[derive(Debug, Default)]
pub struct Hasher(blake3::Hasher);

impl Digest {
    /// Returns the digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Digest::truncate(blake3::hash(content))
    }

    /// Returns it as two numbers, for shared memory.
    pub fn to_words(self) -> [u64; 2] {
        let number = u128::from_be_bytes(self.0);
        [(number >> 64) as u64, number as u64]
    }

    /// Returns the digest of [`to_words`](Digest::to_words).
    pub fn from_words([high, low]: [u64; 2]) -> Self {
        Digest((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }

    fn truncate(hash: blake3::Hash) -> Self {
        let [first, _] = *hash.as_bytes().as_chunks::<16>().0 else { unreachable!("a BLAKE3 digest has 32 bytes") };
        Digest(first)
    }
}

impl Hasher {
    /// Appends content.
    pub fn update(&mut self, content: &[u8]) {
        self.0.update(content);
    }

    /// Returns the digest of the content so far.
    pub fn finish(&self) -> Digest {
        Digest::truncate(self.0.finalize())
    }
}

/// 32 hexadecimal digits: the first half of what b3sum(1) prints.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the test vectors of BLAKE3: the digest of nothing, and of the bytes 0, 1, 2.
    const EMPTY: &str = "af1349b9f5f9a1a6a0404dea36dcc949";
    const THREE_BYTES: &str = "e1be4d7a8ab5560aa4199eea339849ba";

    #[test]
    fn it_is_the_first_half_of_blake3() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(Digest::of(&[0, 1, 2]).to_string(), THREE_BYTES);
    }

    #[test]
    fn parts_have_the_digest_of_the_whole() {
        let mut hasher = Hasher::default();
        [&[0][..], &[], &[1, 2]].into_iter().for_each(|part| hasher.update(part));
        assert_eq!(hasher.finish(), Digest::of(&[0, 1, 2]));
    }

    #[test]
    fn words_make_the_same_digest() {
        let digest = Digest::of(b"content");
        assert_eq!(Digest::from_words(digest.to_words()), digest);
    }
}
