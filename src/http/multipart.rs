//! The content of a 206 in several parts: multipart/byteranges (RFC 9110 §14.6, RFC 2046 §5.1).

use super::content_range::ContentRange;
use super::range::ByteRange;

/// A 206 in several parts: all of it but the bytes of the file, whose length is known before anything is read.
///
/// To send: for each part its head and its span of the file, then the end.
#[derive(Debug, PartialEq, Eq)]
pub struct Multipart {
    /// The value of the answer's Content-Type.
    pub media_type: String,
    /// The parts, in order.
    pub parts: Vec<Part>,
    /// The delimiter behind the last part.
    pub end: String,
}

/// One part of the content.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The delimiter, the fields and the empty line.
    pub head: String,
    /// What of the file follows.
    pub span: ByteRange,
}

impl Multipart {
    /// Parts for these spans of a file of `size` bytes. `media_type` is what a 200 has as its Content-Type.
    pub fn new(spans: &[ByteRange], size: u64, media_type: &str, boundary: &str) -> Multipart {
        let part = |&span: &ByteRange| {
            // The line end before a delimiter belongs to it. RFC 2046 §5.1.1 lets the first delimiter stand without one;
            // nginx and Apache send it, and zsync drops the first line of the content whatever it is.
            let range = ContentRange { span: Some(span), size };
            let head = format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n");
            Part { head, span }
        };
        Multipart {
            media_type: format!("multipart/byteranges; boundary={boundary}"),
            parts: spans.iter().map(part).collect(),
            end: format!("\r\n--{boundary}--\r\n"),
        }
    }

    /// The value of Content-Length.
    pub fn length(&self) -> u64 {
        let part = |part: &Part| (part.head.len() as u64).saturating_add(part.span.length());
        self.parts.iter().map(part).fold(self.end.len() as u64, u64::saturating_add)
    }
}

/// A boundary of 32 letters and digits, the same for the same seed: with the entity tag for a seed, the same answer on
/// every machine that holds the same file.
///
/// That the file does not hold it is as good as certain, unless its author took pains; who does not trust the authors
/// of files puts a secret into the seed, which leaves the length as it is. It is FNV-1a, of 128 bits.
pub fn boundary(seed: &str) -> String {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = seed.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests;
