use super::{Verdict::*, *};
use crate::digest::Digest;
use crate::http::etag::Validator;
use httparse::{EMPTY_HEADER, Header};
use std::sync::LazyLock;

const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const EXACT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const INVALID: &str = "Mon, 06 Nov 1994 08:49:37 GMT";

const MATCH: &str = "If-Match";
const UNMODIFIED: &str = "If-Unmodified-Since";
const NONE_MATCH: &str = "If-None-Match";
const MODIFIED: &str = "If-Modified-Since";
const RANGE: &str = "If-Range";

static TAG: LazyLock<EntityTag> = LazyLock::new(|| EntityTag::from_text("\"a,b\""));

fn selected() -> Selected<'static> {
    Selected { etag: Some(&TAG), modified_s: Some(784_111_777) }
}

fn fields_of<T>(lines: &[(&str, &str)], decide: impl FnOnce(Fields) -> T) -> T {
    let mut headers = [EMPTY_HEADER; 4];
    for (header, (name, value)) in headers.iter_mut().zip(lines) {
        *header = Header { name, value: value.as_bytes() };
    }
    decide(Fields(&headers[..lines.len()]))
}

fn check(lines: &[(&str, &str)], expected: Verdict) {
    assert_eq!(fields_of(lines, |fields| evaluate(fields, &selected())), expected, "{lines:?}");
}

fn check_range(lines: &[(&str, &str)], expected: bool) {
    assert_eq!(fields_of(lines, |fields| range_applies(fields, &selected())), expected, "{lines:?}");
}

#[test]
fn none() {
    check(&[], Proceed);
    check(&[("Host", "x"), ("Range", "bytes=0-1"), ("If-Range", "\"x\"")], Proceed);
}

#[test]
fn without_a_time_dates_select_nothing() {
    let selected = Selected { modified_s: None, ..selected() };
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
    for value in ["W/\"a,b\"", "\"x\"", "\"a\", \"b\"", "\"A,B\"", "a,b", "\"a,b", "", ",", "*, \"x\"", "**", "\"*\""] {
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
    check(&[(MODIFIED, AFTER)], Proceed);
    check(&[(MODIFIED, "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified);
    check(&[(MODIFIED, "Sunday, 06-Nov-94 08:49:36 GMT")], Proceed);
    check(&[(MODIFIED, "Sun Nov  6 08:49:37 1994")], NotModified);
    check(&[(MODIFIED, "Sun Nov  6 08:49:36 1994")], Proceed);
    check(&[(MODIFIED, "Fri, 31 Dec 9999 23:59:59 GMT")], Proceed);
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
    assert_eq!(evaluate(Fields(&bytes[..1]), &selected()), Proceed);
    assert_eq!(evaluate(Fields(&bytes), &selected()), NotModified);
}

#[test]
fn preconditions_are_evaluated_in_the_order_of_the_rfc() {
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
fn if_range_matches_the_same_strong_tag_and_no_date() {
    check_range(&[], true);
    check_range(&[("if-range", "\"a,b\"")], true);
    let dates = [EXACT, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", BEFORE, AFTER, INVALID];
    for value in ["W/\"a,b\"", "\"x\"", "\"a,b\", \"x\"", "*", "a,b", "", "garbage"].into_iter().chain(dates) {
        check_range(&[(RANGE, value)], false);
    }
    check_range(&[(RANGE, "\"a,b\""), (RANGE, "\"a,b\"")], false);
}

#[test]
fn a_weak_tag_selects_no_range_and_no_precondition_but_is_not_modified() {
    let weak = EntityTag::from_text("W/\"a,b\"");
    let selected = Selected { etag: Some(&weak), ..selected() };
    let verdict = |name, value| fields_of(&[(name, value)], |fields| evaluate(fields, &selected));
    for value in ["W/\"a,b\"", "\"a,b\""] {
        assert_eq!(verdict(MATCH, value), PreconditionFailed, "{value}");
        assert_eq!(verdict(NONE_MATCH, value), NotModified, "{value}");
        assert!(!fields_of(&[(RANGE, value)], |fields| range_applies(fields, &selected)), "{value}");
    }
    assert_eq!(verdict(MATCH, "*"), Proceed);
}

#[test]
fn without_a_tag_only_the_asterisk_matches() {
    let selected = Selected { etag: None, ..selected() };
    let verdict = |name, value| fields_of(&[(name, value)], |fields| evaluate(fields, &selected));
    for value in ["\"a,b\"", "\"\"", ""] {
        assert_eq!(verdict(MATCH, value), PreconditionFailed, "{value}");
        assert_eq!(verdict(NONE_MATCH, value), Proceed, "{value}");
        assert!(!fields_of(&[(RANGE, value)], |fields| range_applies(fields, &selected)), "{value}");
    }
    assert_eq!((verdict(MATCH, "*"), verdict(NONE_MATCH, "*")), (Proceed, NotModified));
}

#[test]
fn a_304_has_the_earlier_tag_if_that_matched() {
    let (content, identity) = (Digest::of(b"content"), Digest::of(b"identity"));
    let [present, earlier] = [Validator::HashedLater { content, identity }, Validator::Identity(identity)]
        .map(|validator| EntityTag::new(validator, ""));
    let selected = Selected { etag: Some(&present), ..selected() };
    let verdict = |value: &str| fields_of(&[(NONE_MATCH, value)], |fields| evaluate(fields, &selected));
    let (present, earlier) = (present.as_str(), earlier.as_str());
    assert_eq!(verdict(earlier), NotModifiedSince(earlier.into()));
    assert_eq!(verdict(&format!("\"x\", {earlier}")), NotModifiedSince(earlier.into()));
    assert_eq!(verdict(&format!("{earlier}, {present}")), NotModified);
    assert!(!fields_of(&[(RANGE, earlier)], |fields| range_applies(fields, &selected)));
}

#[test]
fn a_long_list_is_read_once() {
    let list = "\"x\",".repeat(100_000);
    check(&[(NONE_MATCH, &list)], Proceed);
    check(&[(NONE_MATCH, &(list + "\"a,b\""))], NotModified);
    check(&[(NONE_MATCH, &"\"".repeat(100_001)), (NONE_MATCH, &",".repeat(100_000))], Proceed);
}
