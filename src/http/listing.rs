//! Directory listings, as an HTML page for people or as JSON for programs.
//!
//! Guarantees, whatever bytes the names consist of:
//!
//! - a name appears in the page as text, never as markup;
//! - the link of an entry leads to an entry of this directory: it is a path reference (RFC 3986 §4.2) of one segment, in
//!   which all but unreserved characters are encoded, so that no name is parsed as a scheme or a host, and programs that
//!   decode neither entities nor `./` can follow it;
//! - a link contains exactly the bytes of the entry's name, also if they are not UTF-8 and are shown as U+FFFD.

mod html;
mod json;
mod kind;
pub mod natural;
mod order;

use std::fmt::Write;
use std::time::SystemTime;

use super::fields::Fields;
use super::quality;

pub use order::{Column, Order};

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name, without a slash.
    pub name: Vec<u8>,
    /// Whether it is a directory, or a symbolic link to one.
    pub is_directory: bool,
    /// The size of a file in bytes.
    pub size: u64,
    /// The modification time.
    pub modified: SystemTime,
}

/// The entries of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The entries, unsorted.
    pub entries: Vec<DirEntry>,
    /// Whether entries that come later in the order are left out.
    pub is_cut: bool,
}

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
    pub fn write(self, path: &[u8], mut listing: Listing) -> String {
        listing.entries.retain(|entry| !matches!(entry.name.as_slice(), b"" | b"." | b".."));
        match self {
            Form::Html(order) => html::html(path, listing, order),
            Form::Json => json::json(listing),
        }
    }
}

fn link(entry: &DirEntry) -> String {
    let mut link = String::with_capacity(entry.name.len() + 1);
    for &byte in &entry.name {
        match byte {
            // RFC 3986 §2.3.
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => link.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(link, "%{byte:02X}")),
        }
    }
    link.push_str(if entry.is_directory { "/" } else { "" });
    link
}

/// Returns the weight that Accept gives a media type: that of the most specific range that matches it, 0 if none does.
///
/// Parameters are ignored: a client that requests `application/json;charset=utf-8` accepts JSON.
fn weight(fields: Fields, kind: &str, subtype: &str) -> u16 {
    let ranges = fields.all("accept").flat_map(quality::choices);
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
