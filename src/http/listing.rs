//! Directory listings, as an HTML page for people or as JSON for programs.
//!
//! Guarantees, whatever bytes the names consist of:
//!
//! - a name appears in the page as text, never as markup;
//! - a link leads to an entry of this directory: it is a path reference (RFC 3986 §4.2) of one segment, in which all but
//!   unreserved characters are encoded, so that no name is parsed as a scheme or a host, and programs that decode neither
//!   entities nor `./` can follow it;
//! - a link contains exactly the bytes of the entry's name, also if they are not UTF-8 and are shown as U+FFFD.

use std::fmt::Write;
use std::time::SystemTime;

use super::fields::Fields;
use super::{quality, timestamp};

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
    /// An HTML page for people.
    Html,
    /// A JSON array for programs.
    Json,
}

impl Form {
    /// Returns the format for a request: JSON if the client prefers it to HTML (RFC 9110 §12.5.1), otherwise HTML.
    pub fn of(fields: Fields) -> Self {
        match weight(fields, "application", "json") > weight(fields, "text", "html") {
            true => Form::Json,
            false => Form::Html,
        }
    }

    /// Returns the Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Html => "text/html; charset=utf-8",
            Form::Json => "application/json",
        }
    }

    /// Formats the listing of the directory at `path`.
    pub fn write(self, path: &[u8], listing: Listing) -> String {
        match self {
            Form::Html => html(path, listing),
            Form::Json => json(listing),
        }
    }
}

/// Formats the page. `path` is the directory's decoded path below the root: empty, or with a slash at its end.
fn html(path: &[u8], listing: Listing) -> String {
    let title = format!("Index of /{}", text(path));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <h1>{title}</h1>\n<table>\n<tr><th>Name<th>Size<th>Modified (UTC)\n"
    );
    if !path.is_empty() {
        page.push_str("<tr><td><a href=\"../\">Parent directory</a><td><td>\n");
    }
    for entry in in_order(listing.entries) {
        let (link, name) = (link(&entry), text(&entry.name));
        let slash = if entry.is_directory { "/" } else { "" };
        let size = if entry.is_directory { String::new() } else { size(entry.size) };
        let time = timestamp::rfc3339(entry.modified);
        let (date, time) = (&time[..10], &time[11..16]);
        let _ = writeln!(
            page,
            "<tr><td><a href=\"{link}\"><bdi>{name}</bdi>{slash}</a><td>{size}\
             <td><time datetime=\"{date}T{time}Z\">{date} {time}</time>",
        );
    }
    page.push_str("</table>\n");
    if listing.is_cut {
        page.push_str("<p>This list is not complete: the directory has more entries.\n");
    }
    page.push_str("</html>\n");
    page
}

/// Formats the array: an object for each entry. Each has `href`, so that a program never has to encode a name, and can
/// follow the link if `name` is not exact. The `size` of a directory is null. A cut listing is marked by the field
/// [`ListingIncomplete`](super::Field::ListingIncomplete): an additional object would be taken for an entry.
fn json(listing: Listing) -> String {
    let mut array = String::from("[");
    for (index, entry) in in_order(listing.entries).iter().enumerate() {
        array.push_str(if index == 0 { "\n" } else { ",\n" });
        let (name, link) = (quoted(&String::from_utf8_lossy(&entry.name)), quoted(&link(entry)));
        let (kind, size) = match entry.is_directory {
            true => ("directory", "null".to_string()),
            false => ("file", entry.size.to_string()),
        };
        let time = timestamp::rfc3339(entry.modified);
        let _ = write!(
            array,
            "{{\"name\":{name},\"href\":{link},\"type\":\"{kind}\",\"size\":{size},\"mtime\":\"{time}\"}}"
        );
    }
    array.push_str("\n]\n");
    array
}

/// The style sheet: uses the reader's preference for light or dark, loads nothing.
const STYLE: &str = ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
    body{max-width:60rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.25rem}h1,a{overflow-wrap:anywhere}\
    a{white-space:pre-wrap}table{width:100%;border-collapse:collapse}\
    th,td{padding:.2rem .5rem;text-align:left;vertical-align:top;border-bottom:1px solid #8884}\
    :is(th,td):nth-child(n+2){text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}";

/// Sorts directories first, then by the bytes of the name; removes `.` and `..`.
fn in_order(mut entries: Vec<DirEntry>) -> Vec<DirEntry> {
    entries.retain(|entry| !matches!(entry.name.as_slice(), b"" | b"." | b".."));
    entries.sort_by(|a, b| b.is_directory.cmp(&a.is_directory).then_with(|| a.name.cmp(&b.name)));
    entries
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

/// Converts bytes to text for a page; control characters, such as a line end, become U+FFFD, and so do bytes that are not
/// UTF-8.
fn text(bytes: &[u8]) -> String {
    escaped(&String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}"))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(char),
        }
    }
    escaped
}

/// Formats a JSON string (RFC 8259 §7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\0'..='\x1f' => quoted.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// Formats a size for people: rounded down, with the exact size as a tooltip.
fn size(bytes: u64) -> String {
    format!("<span title=\"{bytes} B\">{}</span>", rounded(bytes))
}

fn rounded(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = bytes.checked_ilog2().unwrap_or(0) as usize / 10;
    let whole = bytes >> (10 * unit);
    match unit {
        1.. if whole < 10 => {
            let tenths = ((bytes >> (10 * (unit - 1))) & 1023) * 10 / 1024;
            format!("{whole}.{tenths} {}", UNITS[unit])
        }
        _ => format!("{whole} {}", UNITS[unit]),
    }
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
