//! Whether a request's preconditions hold for the representation that it selected (RFC 9110 §13).
//!
//! They are for GET and HEAD, and only where the answer would be a 200 without them: what ends in a redirect or an
//! error ignores them (§13.2.1).

use std::time::UNIX_EPOCH;

use super::Fields;

/// The validators of the selected representation (RFC 9110 §8.8), exactly as its ETag and Last-Modified say them.
#[derive(Debug, Clone, Copy)]
pub struct Selected<'s> {
    /// The entity tag, strong, quotes included.
    pub etag: &'s str,
    /// The modification time, seconds since the epoch: what is sent, so never later than now. None if no Last-Modified is
    /// sent: then dates select nothing (RFC 9110 §13.1.3, §13.1.4).
    pub modified_s: Option<u64>,
}

/// What the preconditions make of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were none; whether a Range counts, [`range_applies`] says.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// Evaluates the preconditions in the order of RFC 9110 §13.2.2.
///
/// A date is compared with the one that was sent and never with a clock, so one in the future means what it says:
/// nothing has changed since. One that httpdate cannot read is ignored, and so is one that comes twice (§13.1.3,
/// §13.1.4); years before 1970 are among them.
pub fn evaluate(fields: Fields, selected: &Selected) -> Verdict {
    if fields.has("if-match") {
        if !lists(fields, "if-match", |tag| tag == selected.etag.as_bytes()) {
            return Verdict::PreconditionFailed;
        }
    } else if dates(fields, selected, "if-unmodified-since").is_some_and(|(since, modified)| modified > since) {
        return Verdict::PreconditionFailed;
    }

    if fields.has("if-none-match") {
        let opaque = |tag| <[u8]>::strip_prefix(tag, b"W/").unwrap_or(tag);
        if lists(fields, "if-none-match", |tag| opaque(tag) == selected.etag.as_bytes()) {
            return Verdict::NotModified;
        }
    } else if dates(fields, selected, "if-modified-since").is_some_and(|(since, modified)| modified <= since) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a Range counts, as far as If-Range goes (RFC 9110 §13.1.5). For a GET alone: HEAD has no ranges (§14.2).
///
/// True without an If-Range, and where it names what is selected: the same strong tag, or exactly the time of
/// Last-Modified. Anything else, a weak tag too, asks for the whole. That a date is a strong validator (§8.8.2.2) the
/// client has to have made sure of, and one that was given a tag may not send a date at all.
pub fn range_applies(fields: Fields, selected: &Selected) -> bool {
    if !fields.has("if-range") {
        return true;
    }
    let same_tag = |value: &[u8]| value.trim_ascii() == selected.etag.as_bytes();
    fields.only("if-range").is_some_and(same_tag)
        || dates(fields, selected, "if-range").is_some_and(|(date, modified)| date == modified)
}

/// The date that the request has and the one that was sent, if there are both.
fn dates(fields: Fields, selected: &Selected, name: &'static str) -> Option<(u64, u64)> {
    Some((date(fields, name)?, selected.modified_s?))
}

/// Whether the field, on one line or several, is `*` or has a member that is `same`.
///
/// A member is compared byte by byte with a tag of ours, which is well-formed; a malformed one, or a `*` among others,
/// is equal to none and so passed over.
fn lists<'b>(fields: Fields<'_, 'b>, name: &'static str, same: impl Fn(&'b [u8]) -> bool) -> bool {
    let any = fields.only(name).is_some_and(|value| value.trim_ascii() == b"*");
    any || fields.all(name).flat_map(members).any(same)
}

/// The members of a list of entity tags, some perhaps empty. A comma between quotes belongs to a tag, and nothing
/// escapes a quote (RFC 9110 §8.8.3).
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let separates = move |&byte: &u8| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    };
    value.split(separates).map(<[u8]>::trim_ascii)
}

/// The date that the only line with this name holds, in any of the three forms (RFC 9110 §5.6.7).
fn date(fields: Fields, name: &'static str) -> Option<u64> {
    let value = std::str::from_utf8(fields.only(name)?).ok()?;
    let time = httpdate::parse_http_date(value).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::{Verdict::*, *};
    use httparse::{EMPTY_HEADER, Header};

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const EXACT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const INVALID: &str = "Mon, 06 Nov 1994 08:49:37 GMT";

    const MATCH: &str = "If-Match";
    const UNMODIFIED: &str = "If-Unmodified-Since";
    const NONE_MATCH: &str = "If-None-Match";
    const MODIFIED: &str = "If-Modified-Since";
    const RANGE: &str = "If-Range";

    const SELECTED: Selected = Selected { etag: "\"a,b\"", modified_s: Some(784_111_777) };

    fn fields_of<T>(lines: &[(&str, &str)], decide: impl FnOnce(Fields) -> T) -> T {
        let mut headers = [EMPTY_HEADER; 4];
        for (header, (name, value)) in headers.iter_mut().zip(lines) {
            *header = Header { name, value: value.as_bytes() };
        }
        decide(Fields(&headers[..lines.len()]))
    }

    fn check(lines: &[(&str, &str)], expected: Verdict) {
        assert_eq!(fields_of(lines, |fields| evaluate(fields, &SELECTED)), expected, "{lines:?}");
    }

    fn check_range(lines: &[(&str, &str)], expected: bool) {
        assert_eq!(fields_of(lines, |fields| range_applies(fields, &SELECTED)), expected, "{lines:?}");
    }

    #[test]
    fn none() {
        check(&[], Proceed);
        check(&[("Host", "x"), ("Range", "bytes=0-1"), ("If-Range", "\"x\"")], Proceed);
    }

    #[test]
    fn without_a_time_dates_select_nothing() {
        let selected = Selected { modified_s: None, ..SELECTED };
        for name in [UNMODIFIED, MODIFIED] {
            for date in [BEFORE, AFTER] {
                assert_eq!(fields_of(&[(name, date)], |fields| evaluate(fields, &selected)), Proceed, "{name}: {date}");
            }
        }
        assert!(!fields_of(&[(RANGE, EXACT)], |fields| range_applies(fields, &selected)));
        assert!(fields_of(&[(RANGE, "\"a,b\"")], |fields| range_applies(fields, &selected)));
    }

    #[test]
    fn if_match_compares_strongly() {
        check(&[(MATCH, "\"a,b\"")], Proceed);
        check(&[("if-match", "\"x\", \"a,b\"")], Proceed);
        check(&[(MATCH, "*")], Proceed);
        check(&[(MATCH, " * ")], Proceed);
        for value in
            ["W/\"a,b\"", "\"x\"", "\"a\", \"b\"", "\"A,B\"", "a,b", "\"a,b", "", ",", "*, \"x\"", "**", "\"*\""]
        {
            check(&[(MATCH, value)], PreconditionFailed);
        }
        check(&[(MATCH, "\"x\""), (MATCH, "\"a,b\"")], Proceed);
        check(&[(MATCH, "\"x\""), (MATCH, "\"y\"")], PreconditionFailed);
        check(&[(MATCH, "*"), (MATCH, "*")], PreconditionFailed);
    }

    #[test]
    fn if_unmodified_since() {
        check(&[(UNMODIFIED, BEFORE)], PreconditionFailed);
        check(&[(UNMODIFIED, EXACT)], Proceed);
        check(&[(UNMODIFIED, AFTER)], Proceed);
        check(&[(UNMODIFIED, INVALID)], Proceed);
        check(&[(UNMODIFIED, BEFORE), (UNMODIFIED, BEFORE)], Proceed);
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for value in [
            "\"a,b\"",
            "W/\"a,b\"",
            "*",
            "\"x\", \"a,b\"",
            "\"x\",W/\"a,b\",\"y\"",
            "\"x,y\" ,\t\"a,b\"",
            ", ,\"a,b\",,",
            "\"\", \"a,b\"",
            "\"\\\", \"a,b\"",
        ] {
            check(&[(NONE_MATCH, value)], NotModified);
        }
        for value in
            ["\"x\"", "\"a\", \"b\"", "\"a\",b\"", "\"x,\"a,b\"", "w/\"a,b\"", "W/ \"a,b\"", "W/W/\"a,b\"", "\"A,b\""]
        {
            check(&[(NONE_MATCH, value)], Proceed);
        }
        check(&[(NONE_MATCH, "\"x\""), (NONE_MATCH, "W/\"a,b\"")], NotModified);
        check(&[(NONE_MATCH, "\"x\""), (NONE_MATCH, "\"y\"")], Proceed);
    }

    #[test]
    fn a_malformed_member_is_passed_over() {
        for value in
            ["x, \"a,b\"", "\"x\" \"y\", \"a,b\"", "*, \"a,b\"", "\"x y\", \"a,b\"", "x=\"y,z\", \"a,b\"", "é, \"a,b\""]
        {
            check(&[(NONE_MATCH, value)], NotModified);
        }
        // What follows a quote that nothing closes belongs to it, and never to the next line.
        for value in ["\"x, \"a,b\"", "\"a,b\" \"a,b\"", "\"a,b\"x", "x\"a,b\"", "\"a,b\"\"", "", "\"", "* *", "*, *"] {
            check(&[(NONE_MATCH, value)], Proceed);
        }
        check(&[(NONE_MATCH, "\"x"), (NONE_MATCH, "\"a,b\"")], NotModified);
        check(&[(NONE_MATCH, "\"a"), (NONE_MATCH, "b\"")], Proceed);
    }

    #[test]
    fn if_modified_since_in_all_three_forms() {
        check(&[(MODIFIED, BEFORE)], Proceed);
        check(&[(MODIFIED, EXACT)], NotModified);
        check(&[(MODIFIED, AFTER)], NotModified);
        check(&[(MODIFIED, "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified);
        check(&[(MODIFIED, "Sunday, 06-Nov-94 08:49:36 GMT")], Proceed);
        check(&[(MODIFIED, "Sun Nov  6 08:49:37 1994")], NotModified);
        check(&[(MODIFIED, "Sun Nov  6 08:49:36 1994")], Proceed);
        check(&[(MODIFIED, "Fri, 31 Dec 9999 23:59:59 GMT")], NotModified);
    }

    #[test]
    fn an_invalid_date_is_ignored() {
        for value in [
            "",
            "0",
            "784111777",
            INVALID,
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "sun, 06 nov 1994 08:49:37 gmt",
            "Sun, 31 Feb 2027 00:00:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Thu, 01 Jan 1900 00:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "Sün, 06 Nov 1994 08:49:37 GM",
            "\"a,b\"",
        ] {
            check(&[(MODIFIED, value)], Proceed);
            check(&[(UNMODIFIED, value)], Proceed);
        }
        check(&[(MODIFIED, EXACT), (MODIFIED, EXACT)], Proceed);
        let bytes =
            [Header { name: MODIFIED, value: b"\xff\xfe" }, Header { name: NONE_MATCH, value: b"\"\xff\", \"a,b\"" }];
        assert_eq!(evaluate(Fields(&bytes[..1]), &SELECTED), Proceed);
        assert_eq!(evaluate(Fields(&bytes), &SELECTED), NotModified);
    }

    #[test]
    fn the_order_and_what_outweighs_what() {
        check(&[(MATCH, "\"a,b\""), (UNMODIFIED, BEFORE)], Proceed);
        check(&[(MATCH, "\"x\""), (UNMODIFIED, AFTER)], PreconditionFailed);
        check(&[(NONE_MATCH, "\"x\""), (MODIFIED, AFTER)], Proceed);
        check(&[(NONE_MATCH, ""), (MODIFIED, AFTER)], Proceed);
        check(&[(NONE_MATCH, "\"a,b\""), (MODIFIED, BEFORE)], NotModified);
        check(&[(NONE_MATCH, "*"), (MATCH, "\"x\"")], PreconditionFailed);
        check(&[(NONE_MATCH, "\"a,b\""), (MATCH, "*")], NotModified);
        check(&[(MODIFIED, EXACT), (UNMODIFIED, BEFORE)], PreconditionFailed);
        check(&[(MODIFIED, EXACT), (UNMODIFIED, EXACT)], NotModified);
        check(&[(MATCH, "\"a,b\""), (MODIFIED, EXACT)], NotModified);
    }

    #[test]
    fn if_range_takes_the_same_strong_tag_or_the_very_date() {
        check_range(&[], true);
        check_range(&[("if-range", "\"a,b\"")], true);
        for date in [EXACT, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            check_range(&[(RANGE, date)], true);
        }
        for value in ["W/\"a,b\"", "\"x\"", "\"a,b\", \"x\"", "*", "a,b", "", BEFORE, AFTER, INVALID, "garbage"] {
            check_range(&[(RANGE, value)], false);
        }
        check_range(&[(RANGE, "\"a,b\""), (RANGE, "\"a,b\"")], false);
        check_range(&[(RANGE, EXACT), (RANGE, EXACT)], false);
    }

    #[test]
    fn a_long_list_is_read_once() {
        let list = "\"x\",".repeat(100_000);
        check(&[(NONE_MATCH, &list)], Proceed);
        check(&[(NONE_MATCH, &(list + "\"a,b\""))], NotModified);
        check(&[(NONE_MATCH, &"\"".repeat(100_001)), (NONE_MATCH, &",".repeat(100_000))], Proceed);
    }
}
