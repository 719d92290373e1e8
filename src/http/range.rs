//! The ranges of a representation that a GET asks for (RFC 9110 §14).
//!
//! GET is the only method that has ranges: with HEAD a Range is ignored (§14.2). So is one that comes on two lines,
//! since the field is no list; the caller hands over the value of the only line.

/// More ranges than this are a broken client or an attack, whose request may be ignored (RFC 9110 §14.2, §17.15). It
/// bounds what a request makes us allocate and send in heads of parts.
const MOST_RANGES: usize = 50;

/// What a part of a multipart answer costs besides its content, in bytes, as RFC 9110 §15.3.7.2 reckons.
const PART_OVERHEAD: u64 = 80;

/// Bytes of a representation that follow each other: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// One behind the last byte.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes.
    pub fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// A 200 with everything: nothing else was asked for, or it is ignored.
    Whole,
    /// A 206 with a [`ContentRange`](super::content_range::ContentRange).
    One(ByteRange),
    /// A 206 in parts ([`super::multipart`]): two or more spans, apart from each other, in the client's order.
    Several(Vec<ByteRange>),
    /// A 416 with a [`ContentRange`](super::content_range::ContentRange).
    Unsatisfiable,
}

/// What the value of Range selects of a representation of `size` bytes.
///
/// RFC 9110 §14.2 lets a server ignore the field, and the whole is sent, where the ranges are
///
/// - in a unit other than bytes, or not as the grammar has them;
/// - of an empty file: no Content-Range can name a part of it, and whoever asks for `0-` wants what there is;
/// - more than 50, or more than two that overlap;
/// - as much to send in parts as the whole is, or more.
///
/// So an answer is never longer than the whole by more than a few thousand bytes. Ranges that overlap, or with a gap
/// that costs less than a part's head, become one, in the place of the first of them (§15.3.7.2); the rest keep their
/// order.
pub fn select(value: Option<&[u8]>, size: u64) -> Selection {
    let spans = value.filter(|_| size > 0).and_then(|value| satisfiable(value, size)).and_then(coalesce);
    match spans {
        None => Selection::Whole,
        Some(spans) => match spans[..] {
            [] => Selection::Unsatisfiable,
            [span] => Selection::One(span),
            _ if in_parts(&spans) >= size => Selection::Whole,
            _ => Selection::Several(spans),
        },
    }
}

/// The spans that can be had, in order; none if the value is to be ignored.
fn satisfiable(value: &[u8], size: u64) -> Option<Vec<ByteRange>> {
    let unit = value.iter().position(|&byte| byte == b'=')?;
    if !value[..unit].eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut spans = Vec::new();
    let mut count = 0;
    let members = value[unit + 1..].split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    for member in members.filter(|member| !member.is_empty()) {
        count += 1;
        if count > MOST_RANGES {
            return None;
        }
        spans.extend(Spec::parse(member)?.within(size));
    }
    (count > 0).then_some(spans)
}

/// A range as it was asked for (RFC 9110 §14.1.2).
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

    /// The bytes that a representation of `size` bytes has of it.
    fn within(self, size: u64) -> Option<ByteRange> {
        let span = match self {
            Spec::Between { first, last } => ByteRange { start: first, end: last.saturating_add(1).min(size) },
            Spec::Suffix(length) => ByteRange { start: size.saturating_sub(length), end: size },
        };
        (span.start < span.end).then_some(span)
    }
}

/// A number of any length. One that is too large is larger than any file all the same.
fn number(digits: &[u8]) -> Option<u64> {
    let decimal = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    decimal.then(|| digits.iter().fold(0, |n: u64, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// Makes spans that overlap or nearly touch one; none if more than two of them overlap.
fn coalesce(spans: Vec<ByteRange>) -> Option<Vec<ByteRange>> {
    let mut overlaps = 0;
    let mut placed: Vec<(usize, ByteRange)> = spans.into_iter().enumerate().collect();
    placed.sort_unstable_by_key(|(_, span)| span.start);
    placed.dedup_by(|(place, next), (first_place, kept)| {
        let near = next.start < kept.end.saturating_add(PART_OVERHEAD);
        if near {
            overlaps += usize::from(next.start < kept.end);
            kept.end = kept.end.max(next.end);
            *first_place = *place.min(first_place);
        }
        near
    });
    placed.sort_unstable_by_key(|(place, _)| *place);
    (overlaps < 2).then(|| placed.into_iter().map(|(_, span)| span).collect())
}

/// About how many bytes a multipart answer takes.
fn in_parts(spans: &[ByteRange]) -> u64 {
    spans.iter().fold(0, |sum: u64, span| sum.saturating_add(span.length()).saturating_add(PART_OVERHEAD))
}

#[cfg(test)]
mod tests;
