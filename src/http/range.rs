//! Selection of the ranges that a GET requests (RFC 9110 §14).
//!
//! GET is the only method with ranges: with HEAD, Range is ignored (§14.2). So is a Range on two lines, since the field is
//! not a list; the caller passes the value of the only line.

/// The limit of ranges in a request. More come from a broken client or an attack, and may be ignored (RFC 9110 §14.2,
/// §17.15). The limit bounds the memory of a request and the number of part heads in its response.
const MAX_RANGES: usize = 50;

/// The size of a part in a multipart response besides its content, in bytes, as estimated in RFC 9110 §15.3.7.2.
const PART_OVERHEAD: u64 = 80;

/// A contiguous range of at least one byte of a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteRange {
    /// Returns the number of bytes.
    pub fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// The content to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// A 200 with the whole representation: there is no Range, or it is ignored.
    Whole,
    /// A 206 with a [`ContentRange`](super::content_range::ContentRange).
    One(ByteRange),
    /// A 206 in parts ([`super::multipart`]): two or more disjoint ranges, in the client's order.
    Several(Vec<ByteRange>),
    /// A 416 with a [`ContentRange`](super::content_range::ContentRange).
    Unsatisfiable,
}

/// Returns the part of a representation of `size` bytes that the value of Range selects.
///
/// The field is ignored (RFC 9110 §14.2), and the whole representation is sent, if
///
/// - the unit is not bytes, or the syntax is invalid;
/// - the file is empty: no Content-Range can describe a part of it, and a client that requests `0-` wants all of it;
/// - there are more than 50 ranges, or more than two that overlap;
/// - the parts would take as many bytes as the whole, or more.
///
/// So a response is never longer than the whole by more than a few thousand bytes. Ranges that overlap, or whose gap is
/// smaller than a part's head, are merged, in the place of the first of them (§15.3.7.2); the others keep their order.
pub fn select(value: Option<&[u8]>, size: u64) -> Selection {
    let ranges = value.filter(|_| size > 0).and_then(|value| satisfiable(value, size)).and_then(coalesce);
    match ranges {
        None => Selection::Whole,
        Some(ranges) => match ranges[..] {
            [] => Selection::Unsatisfiable,
            [range] => Selection::One(range),
            _ if multipart_size(&ranges) >= size => Selection::Whole,
            _ => Selection::Several(ranges),
        },
    }
}

/// Returns the satisfiable ranges, in order; None if the value is to be ignored.
fn satisfiable(value: &[u8], size: u64) -> Option<Vec<ByteRange>> {
    let unit = value.iter().position(|&byte| byte == b'=')?;
    if !value[..unit].eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut ranges = Vec::new();
    let mut count = 0;
    let members = value[unit + 1..].split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    for member in members.filter(|member| !member.is_empty()) {
        count += 1;
        if count > MAX_RANGES {
            return None;
        }
        ranges.extend(Spec::parse(member)?.within(size));
    }
    (count > 0).then_some(ranges)
}

/// A range as it was requested (RFC 9110 §14.1.2).
enum Spec {
    Between { first: u64, last: u64 },
    Suffix(u64),
}

impl Spec {
    fn parse(member: &[u8]) -> Option<Spec> {
        let dash = member.iter().position(|&byte| byte == b'-')?;
        match (&member[..dash], &member[dash + 1..]) {
            (b"", length) => Some(Spec::Suffix(number(length)?)),
            (first, b"") => Some(Spec::Between { first: number(first)?, last: u64::MAX }),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Spec::Between { first, last })
            }
        }
    }

    /// Returns the bytes of it that a representation of `size` bytes has.
    fn within(self, size: u64) -> Option<ByteRange> {
        let range = match self {
            Spec::Between { first, last } => ByteRange { start: first, end: last.saturating_add(1).min(size) },
            Spec::Suffix(length) => ByteRange { start: size.saturating_sub(length), end: size },
        };
        (range.start < range.end).then_some(range)
    }
}

/// Parses a number of any length. A number beyond 64 bits saturates, and is larger than any file as well.
fn number(digits: &[u8]) -> Option<u64> {
    let decimal = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    decimal.then(|| digits.iter().fold(0, |n: u64, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// Merges ranges that overlap or nearly touch; returns None if more than two of them overlap.
fn coalesce(ranges: Vec<ByteRange>) -> Option<Vec<ByteRange>> {
    let mut overlaps = 0;
    let mut indexed: Vec<(usize, ByteRange)> = ranges.into_iter().enumerate().collect();
    indexed.sort_unstable_by_key(|(_, range)| range.start);
    indexed.dedup_by(|(index, next), (first_index, kept)| {
        let near = next.start < kept.end.saturating_add(PART_OVERHEAD);
        if near {
            overlaps += usize::from(next.start < kept.end);
            kept.end = kept.end.max(next.end);
            *first_index = *index.min(first_index);
        }
        near
    });
    indexed.sort_unstable_by_key(|(index, _)| *index);
    (overlaps < 2).then(|| indexed.into_iter().map(|(_, range)| range).collect())
}

/// Estimates the size of a multipart response in bytes.
fn multipart_size(ranges: &[ByteRange]) -> u64 {
    ranges.iter().fold(0, |sum: u64, range| sum.saturating_add(range.length()).saturating_add(PART_OVERHEAD))
}

#[cfg(test)]
mod tests;
