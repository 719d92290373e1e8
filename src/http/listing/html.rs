//! The listing as an HTML page for people.
//!
//! It works without its script: the headings of the columns are links. With the script, they sort at once, and a long
//! listing has a box that filters. The icons are shapes of the style sheet, so that the page loads nothing.

use std::fmt::{self, Write};

use super::kind::Kind;
use super::order::{Column, Order};
use super::{DirEntry, Listing, chars, push_link};
use crate::http::timestamp::Rfc3339;

/// The style sheet. It uses the reader's preference for light or dark.
pub const STYLE: &str = concat!(include_str!("../page/colors.css"), include_str!("listing.css"));

/// The script.
pub const SCRIPT: &str = include_str!("listing.js");

/// The Content-Security-Policy: this style sheet and script, the site's icon, and nothing else.
pub const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-eFbaBOWcHMmA6R2Yb2AE4wewIwBPWDPkS0o/kT6BSrU='; \
    script-src 'sha256-g8WfjHVYtmnlHdoZ/3Z/YpamJl+ootGRHVDexHJ9Z88='; \
    img-src 'self'; base-uri 'none'; form-action 'none'";

/// The number of entries from which a page has a box that filters: they do not fit on a screen.
const LONG: usize = 20;

/// The number of rows in a part of the table. A browser lays out only the parts that it shows: with 10,000 rows in one part, a
/// telephone would take seconds to sort them.
const PART: usize = 100;

/// The number of directories above this one that the heading links to, besides the document root. Each link repeats `../`, so that
/// all of a very deep path would be megabytes.
const MAX_LINKED: usize = 20;

/// The length of a row without its name and link, in bytes.
const ROW: usize = 80;

/// Formats the page. `path` is the directory's decoded path below the root: empty, or with a slash at its end.
pub fn html(path: &[u8], listing: &Listing, order: Order) -> String {
    let title = format!("Index of /{}", text(path));
    let mut page =
        String::with_capacity(STYLE.len() + SCRIPT.len() + 1024 + ROW * listing.len() + 2 * listing.names_len());
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <nav aria-label=\"Path\"><h1>Index of {}</h1></nav>\n<main>\n<p>{}</p>\n",
        steps(path),
        summary(listing),
    );
    if listing.is_cut {
        page.push_str("<p>This list is not complete: the directory has more entries.</p>\n");
    }
    if listing.len() >= LONG {
        page.push_str(
            "<p id=\"filter\" hidden><label>Filter <input type=\"search\" autocomplete=\"off\" spellcheck=\"false\">\
             </label> <output></output></p>\n",
        );
    }
    page.push_str("<table>\n");
    heading(&mut page, order);
    if !path.is_empty() {
        page.push_str("<tbody class=\"u\"><tr><td><a href=\"../\">Parent directory</a><td><td>\n");
    }
    for part in order.sort(listing).chunks(PART) {
        page.push_str(if part.len() == PART { "<tbody class=c>\n" } else { "<tbody>\n" });
        for place in part {
            row(&mut page, listing.entry(place.index()), (order != Order::default()).then_some(place.rank));
        }
    }
    page.push_str("</table>\n</main>\n");
    let _ = write!(page, "<script>{SCRIPT}</script>\n</html>\n");
    page
}

/// The path as links to the directories above.
fn steps(path: &[u8]) -> String {
    let names: Vec<_> = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
    let mut steps = match names.len() {
        0 => "<b aria-current=\"page\">/</b>".to_string(),
        depth => format!("<a href=\"{}\" aria-label=\"Top directory\">/</a>", "../".repeat(depth)),
    };
    for (index, name) in names.iter().enumerate() {
        let (above, name) = (names.len() - 1 - index, text(name));
        let _ = match above {
            0 => write!(steps, "<b aria-current=\"page\"><bdi>{name}</bdi></b>/"),
            1..=MAX_LINKED => write!(steps, "<a href=\"{}\"><bdi>{name}</bdi></a>/", "../".repeat(above)),
            _ => write!(steps, "<bdi>{name}</bdi>/"),
        };
    }
    steps
}

/// The number of entries and their total size.
fn summary(listing: &Listing) -> String {
    let text = |count: usize, one: &str, many: &str| {
        (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { many }))
    };
    let count = listing.iter().filter(|entry| entry.is_directory).count();
    let directories = text(count, "directory", "directories");
    let files = text(listing.len() - count, "file", "files");
    let sizes = listing.iter().filter(|entry| !entry.is_directory).map(|file| file.size);
    let bytes = sizes.fold(0, u64::saturating_add);
    let total = files.is_some().then(|| format!("<span title=\"{bytes} B\">{}</span> in total", Rounded(bytes)));
    let parts: Vec<_> = [directories, files, total].into_iter().flatten().collect();
    match parts.is_empty() {
        true => "This directory is empty.".into(),
        false => parts.join(", "),
    }
}

/// The headings of the columns. Search engines do not follow the links: each leads to the same entries.
fn heading(page: &mut String, order: Order) {
    page.push_str("<thead><tr>");
    for (column, name) in Column::ALL.into_iter().zip(["Name", "Size", "Modified (UTC)"]) {
        let sorted = match order.by == column {
            true if order.is_descending => " aria-sort=\"descending\"",
            true => " aria-sort=\"ascending\"",
            false => "",
        };
        let query = order.after_click(column).query().replace('&', "&amp;");
        let _ = write!(page, "<th{sorted}><a href=\"{query}\" rel=\"nofollow\">{name}</a>");
    }
    page.push('\n');
}

/// The row of an entry, in few bytes, since a page has up to ten thousand. In the order of names the script counts the rows; in
/// another one it needs their `rank`.
fn row(page: &mut String, entry: DirEntry, rank: Option<u32>) {
    page.push_str("<tr");
    let class = if entry.is_directory { Some("d") } else { Kind::of(entry.name).class() };
    let _ = class.map_or(Ok(()), |class| write!(page, " class={class}"));
    let _ = rank.map_or(Ok(()), |rank| write!(page, " data-n={rank}"));
    page.push_str("><td><a href=\"");
    push_link(page, entry);
    page.push_str("\">");
    push_name(page, entry.name);
    page.push_str(if entry.is_directory { "/</a><td" } else { "</a><td" });
    let _ = match (entry.is_directory, Rounded(entry.size)) {
        (true, _) => write!(page, ">"),
        (false, size) if entry.size < 1024 => write!(page, ">{size}"),
        // The exact size is a tooltip, and the script's.
        (false, size) => write!(page, " title=\"{} B\">{size}", entry.size),
    };
    let _ = writeln!(page, "<td>{:#}", Rfc3339(entry.modified_s));
}

/// Appends a name. Letters that are written from right to left would carry away what is beside them.
fn push_name(page: &mut String, name: &[u8]) {
    match name.is_ascii() {
        true => push_text(page, name),
        false => {
            page.push_str("<bdi>");
            push_text(page, name);
            page.push_str("</bdi>");
        }
    }
}

/// Converts bytes to text for a page.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    push_text(&mut text, bytes);
    text
}

/// Appends bytes as text; control characters, such as a line end, become U+FFFD, and so do bytes that are not UTF-8.
fn push_text(page: &mut String, bytes: &[u8]) {
    for char in chars(bytes) {
        match char {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            _ if char.is_control() => page.push(char::REPLACEMENT_CHARACTER),
            _ => page.push(char),
        }
    }
}

/// A size for people: rounded down.
pub struct Rounded(pub u64);

impl fmt::Display for Rounded {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let Rounded(bytes) = *self;
        let unit = bytes.checked_ilog2().unwrap_or(0) as usize / 10;
        let whole = bytes >> (10 * unit);
        match unit {
            1.. if whole < 10 => {
                let tenths = ((bytes >> (10 * (unit - 1))) & 1023) * 10 / 1024;
                write!(formatter, "{whole}.{tenths} {}", UNITS[unit])
            }
            _ => write!(formatter, "{whole} {}", UNITS[unit]),
        }
    }
}
