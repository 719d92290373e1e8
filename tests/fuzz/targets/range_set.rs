//! Range selection: the selected ranges lie within the file, contain the requested bytes, and make no response much
//! longer than the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otus_httpd::http::multipart::{Multipart, boundary};
use otus_httpd::http::range::{ByteRange, Selection, select};

/// The maximum number of bytes by which a multipart response may be longer than the whole file: fifty heads of parts,
/// without the bytes that the parts omit.
const MOST_OVERHEAD: u64 = 50 * 160;

/// The ranges of a well-formed set; none if it is malformed.
fn asked(value: &str, size: u64) -> Option<Vec<(u64, u64)>> {
    let (unit, set) = value.split_once('=').filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"))?;
    assert!(!unit.is_empty());
    let members = set.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty());
    let number = |digits: &str| -> Option<u64> {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let range = |member: &str| match member.split_once('-')? {
        ("", length) => Some((size.saturating_sub(number(length)?), size)),
        (first, "") => Some((number(first)?, size)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some((first, last.saturating_add(1).min(size)))
        }
    };
    members.map(range).collect()
}

// Eight bytes are the size of the file, shifted right by the ninth; the rest is the value.
fuzz_target!(|input: &[u8]| {
    let Some((size, rest)) = input.split_first_chunk::<8>() else { return };
    let Some((shift, value)) = rest.split_first() else { return };
    if !value.iter().all(|&byte| byte == b'\t' || byte >= b' ') {
        return; // No field's value holds these.
    }
    let size = u64::from_le_bytes(*size) >> (shift % 64);
    let selection = select(Some(value), size);
    let ranges = match &selection {
        Selection::Whole | Selection::Unsatisfiable => &[][..],
        Selection::One(range) => std::slice::from_ref(range),
        Selection::Several(ranges) => &ranges[..],
    };
    assert!(ranges.iter().all(|range| range.start < range.end && range.end <= size));
    let apart = |a: &ByteRange, b: &ByteRange| a.end < b.start || b.end < a.start;
    assert!(ranges.iter().enumerate().all(|(n, a)| ranges[..n].iter().all(|b| apart(a, b))));

    let text = std::str::from_utf8(value).ok();
    let asked = text.and_then(|value| asked(value, size));
    if let Some(asked) = asked.filter(|_| selection != Selection::Whole) {
        for (first, end) in asked.into_iter().filter(|(first, end)| first < end) {
            assert!(
                ranges.iter().any(|range| range.start <= first && end <= range.end),
                "{first} to {end}: {ranges:?}"
            );
        }
    } else {
        assert_eq!(selection, Selection::Whole, "not well-formed");
    }

    if let Selection::Several(ranges) = &selection {
        assert!((2..=50).contains(&ranges.len()));
        let multipart = Multipart::new(ranges, size, "text/html; charset=utf-8", &boundary("\"a-b\""));
        let heads: usize = multipart.parts.iter().map(|part| part.head.len()).sum();
        let length = (heads + multipart.end.len()) as u64 + ranges.iter().map(|range| range.length()).sum::<u64>();
        assert_eq!(multipart.length(), length);
        assert!(length <= size.saturating_add(MOST_OVERHEAD), "{length} bytes for {size}");
    }
});
