//! The listing as a JSON array for programs.

use std::fmt::Write;

use super::order::directories_first;
use super::{DirEntry, Listing, link};
use crate::http::timestamp;

/// Formats the array: an object for each entry, directories first, then by the bytes of the name. Each has `href`, so that
/// a program never has to encode a name, and can follow the link if `name` is not exact. The `size` of a directory is null.
/// A cut listing is marked by the field [`ListingIncomplete`](crate::http::Field::ListingIncomplete): an additional object
/// would be taken for an entry.
pub fn json(listing: Listing) -> String {
    let mut array = String::from("[");
    for (index, entry) in in_order(listing).iter().enumerate() {
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

fn in_order(Listing { mut entries, .. }: Listing) -> Vec<DirEntry> {
    entries.sort_unstable_by(|a, b| directories_first(a, b).then_with(|| a.name.cmp(&b.name)));
    entries
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
