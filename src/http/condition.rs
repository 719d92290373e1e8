//! Evaluation of a request's preconditions against the selected representation (RFC 9110 §13).
//!
//! Preconditions apply to GET and HEAD, and only if the response would be a 200 without them: redirects and errors ignore
//! them (§13.2.1).

use std::time::UNIX_EPOCH;

use super::Fields;
use super::etag::EntityTag;

/// The validators of the selected representation (RFC 9110 §8.8), with the values that ETag and Last-Modified send.
#[derive(Debug, Clone, Copy)]
pub struct Selected<'s> {
    /// The entity tag. None while the file may be written again without a change of its times: then no tag matches.
    pub etag: Option<&'s EntityTag>,
    /// The modification time in seconds since the epoch, as it is sent: never later than now. None if no Last-Modified is
    /// sent: then conditions with a date are ignored (RFC 9110 §13.1.3, §13.1.4).
    pub modified_s: Option<u64>,
}

impl Selected<'_> {
    /// Returns whether `tag`, from a request, is its tag by strong comparison.
    fn is_strongly(&self, tag: &[u8]) -> bool {
        self.etag.is_some_and(|own| own.matches_strongly(tag))
    }
}

/// The result of the evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Respond as without preconditions. [`range_applies`] decides about Range.
    Proceed,
    /// 304.
    NotModified,
    /// 304 with this tag, which the same version of the file had before its digest was known: a 304 has the tag that
    /// matched, so that caches update the right response (RFC 9111 §4.3.4).
    NotModifiedSince(String),
    /// 412.
    PreconditionFailed,
}

/// Evaluates the preconditions in the order of RFC 9110 §13.2.2.
///
/// A date is compared with Last-Modified and never with a clock. If-Modified-Since must be the same second: a later date
/// says nothing about a file that was replaced by an older one, as a rollback does. A date that httpdate cannot parse,
/// which includes years before 1970, or that is given twice is ignored (§13.1.3, §13.1.4).
pub fn evaluate(fields: Fields, selected: &Selected) -> Verdict {
    let holds = lists(fields, "If-Match", |tag| selected.is_strongly(tag)).unwrap_or_else(|| {
        dates(fields, selected, "If-Unmodified-Since").is_none_or(|(since, modified)| modified <= since)
    });
    if !holds {
        return Verdict::PreconditionFailed;
    }
    match lists(fields, "If-None-Match", |tag| selected.etag.is_some_and(|own| own.matches_weakly(tag))) {
        Some(true) => Verdict::NotModified,
        Some(false) => {
            let mut tags = fields.all("If-None-Match").flat_map(members);
            let earlier = tags.find_map(|tag| selected.etag?.matching_earlier(tag));
            earlier.map_or(Verdict::Proceed, Verdict::NotModifiedSince)
        }
        None => match dates(fields, selected, "If-Modified-Since") {
            Some((since, modified)) if modified == since => Verdict::NotModified,
            _ => Verdict::Proceed,
        },
    }
}

/// Returns whether If-Range lets a Range apply (RFC 9110 §13.1.5). For GET only: HEAD has no ranges (§14.2).
///
/// True without If-Range, and if it is the strong tag of the selected representation. With any other value the whole
/// representation is sent. A weak tag and a date are such values: files of the same second can differ.
pub fn range_applies(fields: Fields, selected: &Selected) -> bool {
    let is_same = |value: &[u8]| selected.is_strongly(value.trim_ascii());
    !fields.has("If-Range") || fields.only("If-Range").is_some_and(is_same)
}

/// Returns the date of the request and that of Last-Modified, if both exist.
fn dates(fields: Fields, selected: &Selected, name: &'static str) -> Option<(u64, u64)> {
    Some((date(fields, name)?, selected.modified_s?))
}

/// Returns whether the field, on one line or several, is `*` or has a member that is `same`. None if there is no such field.
///
/// Members are compared byte by byte with the selected tag, which is well-formed: a malformed member, or a `*` among
/// others, matches nothing and is skipped.
fn lists<'b>(fields: Fields<'_, 'b>, name: &'static str, same: impl Fn(&'b [u8]) -> bool) -> Option<bool> {
    let mut lines = fields.all(name);
    let first = lines.next()?.trim_ascii();
    // A browser sends one tag. So it is compared before it is searched for commas, byte by byte.
    if same(first) {
        return Some(true);
    }
    let mut others = lines.peekable();
    let is_any = first == b"*" && others.peek().is_none();
    Some(is_any || members(first).chain(others.flat_map(members)).any(same))
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
