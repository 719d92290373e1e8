//! Directory listings, as an HTML page for people or as JSON for programs.
//!
//! Guarantees, whatever bytes the names consist of:
//!
//! - a name appears in the page as text, never as markup;
//! - the link of an entry leads to an entry of this directory: it is a path reference (RFC 3986 §4.2) of one segment, in
//!   which all but unreserved characters are encoded, so that no name is parsed as a scheme or a host, and programs that
//!   decode neither entities nor `./` can follow it;
//! - a link contains exactly the bytes of the entry's name, also if they are not UTF-8 and are shown as U+FFFD.

mod entries;
mod html;
mod json;
mod kind;
pub mod natural;
mod order;

use std::fmt::Write;

use super::fields::Fields;
use super::quality;

pub use entries::{DirEntry, Listing};
pub use order::{Column, Order};

/// The format of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// An HTML page for people, in an order that they choose.
    Html(Order),
    /// A JSON array for programs.
    Json,
}

impl Form {
    /// Returns the format for a request: JSON if the client prefers it to HTML (RFC 9110 §12.5.1), otherwise HTML in the order
    /// that the query selects.
    pub fn of(fields: Fields, query: Option<&str>) -> Self {
        match weight(fields, "application", "json") > weight(fields, "text", "html") {
            true => Form::Json,
            false => Form::Html(Order::of(query)),
        }
    }

    /// Returns the Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Html(_) => "text/html; charset=utf-8",
            Form::Json => "application/json",
        }
    }

    /// Returns the Content-Security-Policy of a page.
    pub fn policy(self) -> Option<&'static str> {
        match self {
            Form::Html(_) => Some(html::POLICY),
            Form::Json => None,
        }
    }

    /// Returns whether names are in natural order, not in that of their bytes: programs expect what they know.
    pub fn is_natural(self) -> bool {
        matches!(self, Form::Html(_))
    }

    /// Formats the listing of the directory at `path`.
    pub fn write(self, path: &[u8], listing: &Listing) -> String {
        match self {
            Form::Html(order) => html::html(path, listing, order),
            Form::Json => json::json(listing),
        }
    }
}

/// Appends the link of an entry.
fn push_link(text: &mut String, entry: DirEntry) {
    for &byte in entry.name {
        match byte {
            // RFC 3986 §2.3.
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text.push_str(if entry.is_directory { "/" } else { "" });
}

/// The characters of a name. Each part that is not UTF-8 is U+FFFD.
fn chars(name: &[u8]) -> impl Iterator<Item = char> {
    let of_invalid = |bytes: &[u8]| (!bytes.is_empty()).then_some(char::REPLACEMENT_CHARACTER);
    name.utf8_chunks().flat_map(move |chunk| chunk.valid().chars().chain(of_invalid(chunk.invalid())))
}

/// Returns the weight that Accept gives a media type: that of the most specific range that matches it, 0 if none does.
///
/// Parameters are ignored: a client that requests `application/json;charset=utf-8` accepts JSON.
fn weight(fields: Fields, kind: &str, subtype: &str) -> u16 {
    let ranges = fields.all("Accept").flat_map(quality::choices);
    let covering = ranges.filter_map(|range| {
        let mut parts = range.name.splitn(2, |&byte| byte == b'/');
        let (range_kind, range_subtype) = parts.next().zip(parts.next())?;
        let specificity = match (range_kind, range_subtype) {
            (b"*", b"*") => 1,
            (k, b"*") if k.eq_ignore_ascii_case(kind.as_bytes()) => 2,
            (k, s) if k.eq_ignore_ascii_case(kind.as_bytes()) && s.eq_ignore_ascii_case(subtype.as_bytes()) => 3,
            _ => return None,
        };
        Some((specificity, range.weight))
    });
    covering.max().map_or(0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests;
