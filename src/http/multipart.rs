//! The content of a multipart 206: multipart/byteranges (RFC 9110 §14.6, RFC 2046 §5.1).

use super::content_range::ContentRange;
use super::range::ByteRange;

/// A multipart 206 without the bytes of the file. Its length is known before the file is read.
///
/// The content is, for each part, its head and its range of the file, then the end.
#[derive(Debug, PartialEq, Eq)]
pub struct Multipart {
    /// The value of the response's Content-Type.
    pub media_type: String,
    /// The parts, in order.
    pub parts: Vec<Part>,
    /// The delimiter after the last part.
    pub end: String,
}

/// One part of the content.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The delimiter, the fields and the empty line.
    pub head: String,
    /// The range of the file that follows.
    pub range: ByteRange,
}

impl Multipart {
    /// Creates the parts for these ranges of a file of `size` bytes. `media_type` is the Content-Type of a 200.
    pub fn new(ranges: &[ByteRange], size: u64, media_type: &str, boundary: &str) -> Multipart {
        let part = |&range: &ByteRange| {
            // The line end before a delimiter is part of it. RFC 2046 §5.1.1 makes it optional for the first delimiter;
            // nginx and Apache send it, and zsync discards the first line of the content in any case.
            let content_range = ContentRange { range: Some(range), size };
            let head =
                format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {content_range}\r\n\r\n");
            Part { head, range }
        };
        Multipart {
            media_type: format!("multipart/byteranges; boundary={boundary}"),
            parts: ranges.iter().map(part).collect(),
            end: format!("\r\n--{boundary}--\r\n"),
        }
    }

    /// Returns the value of Content-Length.
    pub fn length(&self) -> u64 {
        let part = |part: &Part| (part.head.len() as u64).saturating_add(part.range.length());
        self.parts.iter().map(part).fold(self.end.len() as u64, u64::saturating_add)
    }
}

/// Returns a boundary of 32 letters and digits that depends on the seed only: with the entity tag as the seed, the response
/// is the same on every machine that has the same file.
///
/// A file does not contain its boundary by accident, but its author can include it on purpose. Against authors who are not
/// trusted, a secret can be added to the seed; the length remains the same. The hash is FNV-1a of 128 bits.
pub fn boundary(seed: &str) -> String {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = seed.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests;
