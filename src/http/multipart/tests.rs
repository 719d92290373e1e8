use super::super::range::{Selection, select};
use super::*;

/// What goes over the wire for `file`.
fn sent(multipart: &Multipart, file: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    for Part { head, range } in &multipart.parts {
        content.extend_from_slice(head.as_bytes());
        content.extend_from_slice(&file[range.start as usize..range.end as usize]);
    }
    content.extend_from_slice(multipart.end.as_bytes());
    content
}

#[test]
fn two_parts() {
    let ranges = [ByteRange { start: 7, end: 10 }, ByteRange { start: 0, end: 1 }];
    let multipart = Multipart::new(&ranges, 10, "text/html; charset=utf-8", "B");
    let expected = "\r\n--B\r\nContent-Type: text/html; charset=utf-8\r\nContent-Range: bytes 7-9/10\r\n\r\nhij\
                    \r\n--B\r\nContent-Type: text/html; charset=utf-8\r\nContent-Range: bytes 0-0/10\r\n\r\na\
                    \r\n--B--\r\n";
    assert_eq!(String::from_utf8(sent(&multipart, b"abcdefghij")).unwrap(), expected);
    assert_eq!(multipart.length(), expected.len() as u64);
    assert_eq!(multipart.media_type, "multipart/byteranges; boundary=B");
}

#[test]
fn the_length_of_the_largest_file_does_not_wrap() {
    let ranges = [ByteRange { start: 0, end: u64::MAX - 200 }, ByteRange { start: u64::MAX - 1, end: u64::MAX }];
    assert_eq!(Multipart::new(&ranges, u64::MAX, "a/b", "B").length(), u64::MAX);
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
fn ranges_of_any_request_lie_within_the_file_and_lengths_add_up() {
    let mut random = Random(9110);
    let mut seen = [0; 4];
    for _ in 0..50_000 {
        let size = random.below(2000);
        let (value, asked) = random.set(size);
        let selection = select(Some(&value), size);
        let context = format!("{} of {size}: {selection:?}", value.escape_ascii());
        let (kind, ranges) = match &selection {
            Selection::Whole => (0, &[][..]),
            Selection::Unsatisfiable => (1, &[][..]),
            Selection::One(range) => (2, std::slice::from_ref(range)),
            Selection::Several(ranges) => (3, &ranges[..]),
        };
        seen[kind] += 1;

        assert!(ranges.iter().all(|range| range.start < range.end && range.end <= size), "{context}");
        let apart = |a: &ByteRange, b: &ByteRange| a.end + 80 <= b.start || b.end + 80 <= a.start;
        assert!(ranges.iter().enumerate().all(|(n, a)| ranges[..n].iter().all(|b| apart(a, b))), "{context}");
        for (first, end) in asked.into_iter().flatten().filter(|_| kind > 0) {
            let end = end.min(size);
            let held = ranges.iter().any(|range| range.start <= first && end <= range.end);
            assert!(held || first >= end, "{first} to {end}: {context}");
        }
        if kind == 3 {
            assert!(ranges.len() > 1, "{context}");
            let multipart = Multipart::new(ranges, size, "text/html", &boundary("\"61-18c3\""));
            let content = sent(&multipart, &vec![b'x'; size as usize]);
            assert_eq!(multipart.length(), content.len() as u64, "{context}");
        }
    }
    assert!(seen.iter().all(|&count| count > 100), "not every kind of selection came up: {seen:?}");
}
