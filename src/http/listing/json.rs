//! The listing as a JSON array for programs.

use std::fmt::Write;

use super::order::directories_first;
use super::{DirEntry, Listing, chars, push_link};
use crate::http::timestamp::Rfc3339;

/// Formats the array: an object for each entry, directories first, then by the bytes of the name. Each has `href`, so that
/// a program never has to encode a name, and can follow the link if `name` is not exact. The `size` of a directory is null.
/// A cut listing is marked by the field [`ListingIncomplete`](crate::http::Field::ListingIncomplete): an additional object
/// would be taken for an entry.
pub fn json(listing: &Listing) -> String {
    let mut array = String::with_capacity(ROW * listing.len() + 2 * listing.names_len() + 4);
    array.push('[');
    for (position, index) in in_order(listing).into_iter().enumerate() {
        array.push_str(if position == 0 { "\n" } else { ",\n" });
        object(&mut array, listing.entry(index as usize));
    }
    array.push_str("\n]\n");
    array
}

/// The length of an object without its name and link, in bytes.
const ROW: usize = 96;

fn in_order(listing: &Listing) -> Vec<u32> {
    let mut order: Vec<_> = (0..listing.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| {
        let (a, b) = (listing.entry(a as usize), listing.entry(b as usize));
        directories_first(a, b).then_with(|| a.name.cmp(b.name))
    });
    order
}

fn object(array: &mut String, entry: DirEntry) {
    array.push_str("{\"name\":\"");
    push_quoted(array, entry.name);
    // A link has no character that JSON would escape.
    array.push_str("\",\"href\":\"");
    push_link(array, entry);
    let time = Rfc3339(entry.modified_s);
    let _ = match entry.is_directory {
        true => write!(array, "\",\"type\":\"directory\",\"size\":null,\"mtime\":\"{time}\"}}"),
        false => write!(array, "\",\"type\":\"file\",\"size\":{},\"mtime\":\"{time}\"}}", entry.size),
    };
}

/// Appends the content of a JSON string (RFC 8259 §7).
fn push_quoted(array: &mut String, name: &[u8]) {
    for char in chars(name) {
        match char {
            '"' | '\\' => array.extend(['\\', char]),
            '\0'..='\x1f' => drop(write!(array, "\\u{:04x}", u32::from(char))),
            _ => array.push(char),
        }
    }
}
