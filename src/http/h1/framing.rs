//! Where the body of a request ends, as its head says it (RFC 9112 §6).
//!
//! | Transfer-Encoding and Content-Length | what becomes of the request | RFC 9112 |
//! |---|---|---|
//! | neither | no body | §6.3, 7 |
//! | one Content-Length, or several that are the same number | a body of that length | §6.3, 6 |
//! | a Content-Length that is no number, or several that differ | 400 | §6.3, 5 |
//! | `chunked` alone, once | a chunked body | §7.1 |
//! | any Transfer-Encoding in HTTP/1.0 | 400: its framing is faulty | §6.1 |
//! | both fields, whatever they hold | 400: an attempt to smuggle a request | §6.1 |
//! | a member that is empty or no transfer coding by its syntax | 400 | §7 |
//! | `chunked` twice, with a parameter, or not the last one | 400 | §6.1, §6.3, 4, §7.1 |
//! | other codings without `chunked` | 400: the end of the body cannot be known | §6.3, 4 |
//! | other codings, and `chunked` as the last one | 501: no other coding is known here | §6.1 |
//!
//! The members of several lines are those of one list (RFC 9110 §5.3). A list with an empty member is refused although
//! RFC 9110 §5.6.1 would overlook it, and so is a list in Content-Length: no client sends them, and what one recipient
//! overlooks another does not.

use crate::http::{Refusal, syntax};

/// How to find the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// After this number of bytes; none if there is no body.
    Length(u64),
    /// At the end of its chunks.
    Chunked,
}

/// The framing by the lines of the head that were read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    None,
    /// A body of this number of bytes.
    Length(u64),
    /// A chunked body.
    Chunked,
    /// Other codings, without `chunked` so far.
    Coded,
    /// Other codings and `chunked`.
    CodedAndChunked,
}

impl Framing {
    /// Adds a line of Content-Length.
    pub fn with_length(self, value: &[u8]) -> Result<Framing, Refusal> {
        let length = syntax::number(value).ok_or(Refusal::Malformed("a Content-Length is not a number"))?;
        match self {
            Framing::None => Ok(Framing::Length(length)),
            Framing::Length(before) if before == length => Ok(self),
            Framing::Length(_) => Err(Refusal::Malformed("two Content-Length fields differ")),
            _ => Err(Refusal::Malformed("Content-Length and Transfer-Encoding exclude each other")),
        }
    }

    /// Adds a line of Transfer-Encoding, in a request of HTTP/1.`minor`.
    pub fn with_codings(self, value: &[u8], minor: u8) -> Result<Framing, Refusal> {
        if minor == 0 {
            return Err(Refusal::Malformed("HTTP/1.0 has no Transfer-Encoding"));
        }
        let mut framing = self;
        let mut rest = value;
        loop {
            let (is_chunked, behind) = coding(rest).ok_or(Refusal::Malformed("a Transfer-Encoding is malformed"))?;
            framing = framing.with_coding(is_chunked)?;
            match behind {
                [b',', next @ ..] => rest = next,
                _ => return Ok(framing),
            }
        }
    }

    fn with_coding(self, is_chunked: bool) -> Result<Framing, Refusal> {
        match self {
            Framing::None if is_chunked => Ok(Framing::Chunked),
            Framing::Coded if is_chunked => Ok(Framing::CodedAndChunked),
            Framing::None | Framing::Coded => Ok(Framing::Coded),
            Framing::Length(_) => Err(Refusal::Malformed("Content-Length and Transfer-Encoding exclude each other")),
            Framing::Chunked | Framing::CodedAndChunked => Err(Refusal::Malformed("a transfer coding follows chunked")),
        }
    }

    /// Returns the framing by all lines.
    pub fn end(self) -> Result<End, Refusal> {
        match self {
            Framing::None => Ok(End::Length(0)),
            Framing::Length(length) => Ok(End::Length(length)),
            Framing::Chunked => Ok(End::Chunked),
            Framing::Coded => Err(Refusal::Malformed("the last transfer coding is not chunked")),
            Framing::CodedAndChunked => Err(Refusal::UnknownCoding),
        }
    }
}

/// Whether the transfer coding in front is `chunked`, and what follows it: a comma or nothing. None if it is malformed;
/// chunked has no parameters (RFC 9112 §7.1).
fn coding(list: &[u8]) -> Option<(bool, &[u8])> {
    let (name, rest) = syntax::token(syntax::skip_blanks(list))?;
    let is_chunked = name.eq_ignore_ascii_case(b"chunked");
    let mut rest = syntax::skip_blanks(rest);
    while let [b';', behind @ ..] = rest {
        let (has_value, behind) = syntax::parameter(behind)?;
        if is_chunked || !has_value {
            return None;
        }
        rest = syntax::skip_blanks(behind);
    }
    matches!(rest, [] | [b',', ..]).then_some((is_chunked, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Status;

    /// The framing by lines of Transfer-Encoding; a line that begins with a digit is one of Content-Length.
    fn end(lines: &[&str], minor: u8) -> Result<End, Refusal> {
        let add = |framing: Framing, line: &&str| match line.as_bytes() {
            value @ [b'0'..=b'9', ..] => framing.with_length(value),
            value => framing.with_codings(value, minor),
        };
        lines.iter().try_fold(Framing::None, add)?.end()
    }

    fn refused(lines: &[&str], expected: Status) {
        match end(lines, 1) {
            Err(refusal) => assert_eq!(refusal.status(), expected, "{lines:?}: {refusal}"),
            Ok(end) => panic!("{lines:?}: {end:?}"),
        }
    }

    #[test]
    fn valid_framing() {
        assert_eq!(end(&[], 1), Ok(End::Length(0)));
        assert_eq!(end(&["5"], 1), Ok(End::Length(5)));
        assert_eq!(end(&["5", "005"], 0), Ok(End::Length(5)));
        for chunked in ["chunked", "CHUNKED", "\tchunked "] {
            assert_eq!(end(&[chunked], 1), Ok(End::Chunked), "{chunked:?}");
        }
    }

    #[test]
    fn codings_that_are_not_known_before_chunked_are_501() {
        for lines in [
            &["gzip, chunked"][..],
            &["gzip,chunked"],
            &["x-gzip\t,\tChunked"],
            &["identity, chunked"],
            &["deflate, gzip, chunked"],
            &["gzip;level=9, chunked"],
            &["x ; a = b;c=\"d, \\\"e;\" , chunked"],
            &["gzip", "chunked"],
            &["gzip", "deflate", "chunked"],
            &["gzip, deflate", "br, chunked"],
        ] {
            refused(lines, Status::NotImplemented);
        }
    }

    #[test]
    fn invalid_framing_is_400_even_with_other_errors() {
        for lines in [
            // chunked is not the last one.
            &["gzip"][..],
            &["identity"],
            &["xchunked"],
            &["gzip, deflate"],
            &["gzip", "deflate"],
            &["chunked, gzip"],
            &["chunked", "gzip"],
            &["chunked, identity"],
            // chunked twice.
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &["gzip, chunked, chunked"],
            &["chunked, gzip, chunked"],
            &["gzip, chunked", "chunked"],
            // Parameters of chunked, or malformed ones.
            &["chunked;a=b"],
            &["chunked;"],
            &["gzip, chunked;a=b"],
            &["gzip;level, chunked"],
            &["gzip;, chunked"],
            &["gzip;a=, chunked"],
            &["gzip;a=\"b, chunked"],
            &["gzip;a=\"b, chunked\""],
            // No transfer coding.
            &[""],
            &[","],
            &["chunked,"],
            &[", chunked"],
            &["gzip,, chunked"],
            &["gzip chunked"],
            &["x chunked"],
            &["\"chunked\""],
            &["gzip, \"chunked\""],
            &["gzip/2, chunked"],
            &["gzip=1, chunked"],
            // Both fields, in any order and number.
            &["5", "chunked"],
            &["chunked", "5"],
            &["0", "chunked"],
            &["5", "gzip, chunked"],
            &["gzip, chunked", "5"],
            &["gzip", "5"],
            &["5", "gzip"],
            &["gzip", "5", "chunked"],
            &["5", "6"],
            &["5, 5"],
            &["18446744073709551616"],
        ] {
            refused(lines, Status::BadRequest);
        }
        for coding in ["chunked", "gzip, chunked", "gzip"] {
            assert!(matches!(end(&[coding], 0), Err(Refusal::Malformed(_))), "{coding} in HTTP/1.0");
        }
    }
}
