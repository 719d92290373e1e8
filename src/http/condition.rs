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
mod tests;
