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
mod tests {
    use super::super::range::{Selection, select};
    use super::*;

    /// What goes over the wire for `file`.
    fn sent(multipart: &Multipart, file: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        for Part { head, span } in &multipart.parts {
            content.extend_from_slice(head.as_bytes());
            content.extend_from_slice(&file[span.start as usize..span.end as usize]);
        }
        content.extend_from_slice(multipart.end.as_bytes());
        content
    }

    #[test]
    fn two_parts() {
        let spans = [ByteRange { start: 7, end: 10 }, ByteRange { start: 0, end: 1 }];
        let multipart = Multipart::new(&spans, 10, "text/html; charset=utf-8", "B");
        let expected = "\r\n--B\r\nContent-Type: text/html; charset=utf-8\r\nContent-Range: bytes 7-9/10\r\n\r\nhij\
                        \r\n--B\r\nContent-Type: text/html; charset=utf-8\r\nContent-Range: bytes 0-0/10\r\n\r\na\
                        \r\n--B--\r\n";
        assert_eq!(String::from_utf8(sent(&multipart, b"abcdefghij")).unwrap(), expected);
        assert_eq!(multipart.length(), expected.len() as u64);
        assert_eq!(multipart.media_type, "multipart/byteranges; boundary=B");
    }

    #[test]
    fn the_length_of_the_largest_file_does_not_wrap() {
        let spans = [ByteRange { start: 0, end: u64::MAX - 200 }, ByteRange { start: u64::MAX - 1, end: u64::MAX }];
        assert_eq!(Multipart::new(&spans, u64::MAX, "a/b", "B").length(), u64::MAX);
    }

    #[test]
    fn a_boundary_is_a_token_of_one_length_that_the_seed_decides() {
        assert_eq!(boundary("a"), "d228cb696f1a8caf78912b704e4a8964");
        assert_eq!(boundary("\"61-18c3\""), boundary("\"61-18c3\""));
        assert_ne!(boundary("\"61-18c3\""), boundary("\"61-18c4\""));
        for seed in ["", "\"\"", "\"61--1\"", "é", &"x".repeat(1000)] {
            let boundary = boundary(seed);
            assert!(boundary.len() == 32 && boundary.bytes().all(|b| b.is_ascii_alphanumeric()), "{boundary}");
        }
    }

    /// Knuth's MMIX generator: the same numbers in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }

        /// A set with the ranges of it, closed, or with garbage in it and then none.
        fn set(&mut self, size: u64) -> (Vec<u8>, Option<Vec<(u64, u64)>>) {
            let mut value = b"bytes=".to_vec();
            let mut ranges = Vec::new();
            for _ in 0..=self.below(6) {
                let (first, length) = (self.below(size + 20), self.below(60));
                let (text, range) = match self.below(4) {
                    0 => (format!("{first}-"), (first, size)),
                    1 => (format!("-{length}"), (size.saturating_sub(length), size)),
                    _ => (format!("{first}-{}", first + length), (first, first + length + 1)),
                };
                value.extend_from_slice(text.as_bytes());
                value.extend_from_slice([&b","[..], b", ", b" ,,"][self.below(3) as usize]);
                ranges.push(range);
            }
            if self.below(3) > 0 {
                return (value, Some(ranges));
            }
            for _ in 0..=self.below(3) {
                let place = self.below(value.len() as u64) as usize;
                value[place] = [b'-', b',', b'=', b' ', b'9', b'0', b'x', 0xff][self.below(8) as usize];
            }
            (value, None)
        }
    }

    #[test]
    fn whatever_is_asked_for_spans_lie_within_the_file_and_lengths_add_up() {
        let mut random = Random(9110);
        let mut seen = [0; 4];
        for _ in 0..50_000 {
            let size = random.below(2000);
            let (value, asked) = random.set(size);
            let selection = select(Some(&value), size);
            let context = format!("{} of {size}: {selection:?}", value.escape_ascii());
            let (kind, spans) = match &selection {
                Selection::Whole => (0, &[][..]),
                Selection::Unsatisfiable => (1, &[][..]),
                Selection::One(span) => (2, std::slice::from_ref(span)),
                Selection::Several(spans) => (3, &spans[..]),
            };
            seen[kind] += 1;

            assert!(spans.iter().all(|span| span.start < span.end && span.end <= size), "{context}");
            let apart = |a: &ByteRange, b: &ByteRange| a.end + 80 <= b.start || b.end + 80 <= a.start;
            assert!(spans.iter().enumerate().all(|(n, a)| spans[..n].iter().all(|b| apart(a, b))), "{context}");
            for (first, end) in asked.into_iter().flatten().filter(|_| kind > 0) {
                let end = end.min(size);
                let held = spans.iter().any(|span| span.start <= first && end <= span.end);
                assert!(held || first >= end, "{first} to {end}: {context}");
            }
            if kind == 3 {
                assert!(spans.len() > 1, "{context}");
                let multipart = Multipart::new(spans, size, "text/html", &boundary("\"61-18c3\""));
                let content = sent(&multipart, &vec![b'x'; size as usize]);
                assert_eq!(multipart.length(), content.len() as u64, "{context}");
            }
        }
        assert!(seen.iter().all(|&count| count > 100), "not every kind of selection came up: {seen:?}");
    }
}
