//! Evaluation of a request's preconditions against the selected representation (RFC 9110 §13).
//!
//! Preconditions apply to GET and HEAD, and only if the response would be a 200 without them: redirects and errors ignore
//! them (§13.2.1).

use std::time::UNIX_EPOCH;

use super::Fields;

/// The validators of the selected representation (RFC 9110 §8.8), with the values that ETag and Last-Modified send.
#[derive(Debug, Clone, Copy)]
pub struct Selected<'s> {
    /// The entity tag, strong, quotes included.
    pub etag: &'s str,
    /// The modification time in seconds since the epoch, as it is sent: never later than now. None if no Last-Modified is
    /// sent: then conditions with a date are ignored (RFC 9110 §13.1.3, §13.1.4).
    pub modified_s: Option<u64>,
}

/// The result of the evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Respond as without preconditions. [`range_applies`] decides about Range.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// Evaluates the preconditions in the order of RFC 9110 §13.2.2.
///
/// A date is compared with Last-Modified and never with a clock: a date in the future means that nothing has changed
/// since. A date that httpdate cannot parse, which includes years before 1970, or that is given twice is ignored (§13.1.3,
/// §13.1.4).
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

/// Returns whether If-Range lets a Range apply (RFC 9110 §13.1.5). For GET only: HEAD has no ranges (§14.2).
///
/// True without If-Range, and if it matches the selected representation: the same strong tag, or exactly the time of
/// Last-Modified. With any other value, a weak tag included, the whole representation is sent. The client is responsible
/// for a date being a strong validator (§8.8.2.2), and must not send a date if it has a tag.
pub fn range_applies(fields: Fields, selected: &Selected) -> bool {
    if !fields.has("if-range") {
        return true;
    }
    let same_tag = |value: &[u8]| value.trim_ascii() == selected.etag.as_bytes();
    fields.only("if-range").is_some_and(same_tag)
        || dates(fields, selected, "if-range").is_some_and(|(date, modified)| date == modified)
}

/// Returns the date of the request and that of Last-Modified, if both exist.
fn dates(fields: Fields, selected: &Selected, name: &'static str) -> Option<(u64, u64)> {
    Some((date(fields, name)?, selected.modified_s?))
}

/// Returns whether the field, on one line or several, is `*` or has a member that is `same`.
///
/// Members are compared byte by byte with the selected tag, which is well-formed: a malformed member, or a `*` among
/// others, matches nothing and is skipped.
fn lists<'b>(fields: Fields<'_, 'b>, name: &'static str, same: impl Fn(&'b [u8]) -> bool) -> bool {
    let any = fields.only(name).is_some_and(|value| value.trim_ascii() == b"*");
    any || fields.all(name).flat_map(members).any(same)
}

/// Splits a list of entity tags into its members, which may be empty. A comma between quotes is part of a tag, and quotes
/// cannot be escaped (RFC 9110 §8.8.3).
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let separates = move |&byte: &u8| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    };
    value.split(separates).map(<[u8]>::trim_ascii)
}

/// Parses the date of the only line with this name, in any of the three formats (RFC 9110 §5.6.7).
fn date(fields: Fields, name: &'static str) -> Option<u64> {
    let value = std::str::from_utf8(fields.only(name)?).ok()?;
    let time = httpdate::parse_http_date(value).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests;
