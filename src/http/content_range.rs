//! The field Content-Range (RFC 9110 §14.4).

use std::fmt;

use super::range::ByteRange;

/// The value of Content-Range. A multipart 206 has it in each part, not in its own head (RFC 9110 §15.3.7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The range in a 206; None in a 416.
    pub range: Option<ByteRange>,
    /// The size of the representation in bytes.
    pub size: u64,
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.range {
            Some(ByteRange { start, end }) => write!(f, "bytes {start}-{}/{}", end.saturating_sub(1), self.size),
            None => write!(f, "bytes */{}", self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_position_is_inclusive() {
        let check = |range, size, expected| assert_eq!(ContentRange { range, size }.to_string(), expected);
        check(Some(ByteRange { start: 0, end: 10 }), 100, "bytes 0-9/100");
        check(Some(ByteRange { start: 99, end: 100 }), 100, "bytes 99-99/100");
        check(
            Some(ByteRange { start: 0, end: u64::MAX }),
            u64::MAX,
            "bytes 0-18446744073709551614/18446744073709551615",
        );
        check(None, 100, "bytes */100");
        check(None, 0, "bytes */0");
    }
}
