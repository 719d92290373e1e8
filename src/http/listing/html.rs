//! The listing as an HTML page for people.
//!
//! It works without its script: the headings of the columns are links. With the script, they sort at once, and a long
//! listing has a box that filters. The icons are shapes of the style sheet, so that the page loads nothing.

use std::fmt::Write;

use super::kind::Kind;
use super::order::{Column, Order};
use super::{DirEntry, Listing, link};
use crate::http::timestamp;

/// The style sheet. It uses the reader's preference for light or dark.
pub const STYLE: &str = concat!(include_str!("../page/colors.css"), include_str!("listing.css"));

/// The script.
pub const SCRIPT: &str = include_str!("listing.js");

/// The Content-Security-Policy: this style sheet and script, the site's icon, and nothing else.
pub const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-QqvOo7EqLrAWJ+kKjgDmNHBo5kL3LiIH0V76PT4QB4s='; \
    script-src 'sha256-6nIQz+2XCoG++sBfCCj7gjqTEo79Fai1HDnzZ+CZUlg='; \
    img-src 'self'; base-uri 'none'; form-action 'none'";

/// The number of entries from which a page has a box that filters: they do not fit on a screen.
const LONG: usize = 20;

/// The number of rows in a part of the table. A browser lays out only the parts that it shows: with 10,000 rows in one part, a
/// telephone would take seconds to sort them.
const PART: usize = 100;

/// The number of directories above this one that the heading links to, besides the document root. Each link repeats `../`, so that
/// all of a very deep path would be megabytes.
const MAX_LINKED: usize = 20;

/// Formats the page. `path` is the directory's decoded path below the root: empty, or with a slash at its end.
pub fn html(path: &[u8], listing: Listing, order: Order) -> String {
    let Listing { entries, is_cut } = listing;
    let title = format!("Index of /{}", text(path));
    let mut page = String::with_capacity(STYLE.len() + SCRIPT.len() + 1024 + 256 * entries.len());
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <nav aria-label=\"Path\"><h1>Index of {}</h1></nav>\n<main>\n<p>{}</p>\n",
        steps(path),
        summary(&entries),
    );
    if is_cut {
        page.push_str("<p>This list is not complete: the directory has more entries.</p>\n");
    }
    if entries.len() >= LONG {
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
    for part in order.sort(entries).chunks(PART) {
        page.push_str(if part.len() == PART { "<tbody class=\"c\">\n" } else { "<tbody>\n" });
        for (rank, entry) in part {
            row(&mut page, entry, (order != Order::default()).then_some(*rank));
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
fn summary(entries: &[DirEntry]) -> String {
    let count = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let (directories, files): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.is_directory);
    let bytes = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size));
    let directories = (!directories.is_empty()).then(|| count(directories.len(), "directory", "directories"));
    let files = (!files.is_empty()).then(|| count(files.len(), "file", "files"));
    let total = files.is_some().then(|| format!("<span title=\"{bytes} B\">{}</span> in total", rounded(bytes)));
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

/// The row of an entry. In the order of names the script counts the rows; in another one it needs their `rank`.
fn row(page: &mut String, entry: &DirEntry, rank: Option<usize>) {
    page.push_str("<tr");
    let class = if entry.is_directory { Some("d") } else { Kind::of(&entry.name).class() };
    let _ = class.map_or(Ok(()), |class| write!(page, " class=\"{class}\""));
    let _ = rank.map_or(Ok(()), |rank| write!(page, " data-n=\"{rank}\""));
    let slash = if entry.is_directory { "/" } else { "" };
    let _ = write!(page, "><td><a href=\"{}\"><bdi>{}</bdi>{slash}</a><td", link(entry), text(&entry.name));
    let _ = match entry.is_directory {
        true => page.write_str(">"),
        // The exact size is a tooltip, and the script's.
        false => write!(page, " title=\"{} B\">{}", entry.size, rounded(entry.size)),
    };
    let time = timestamp::rfc3339(entry.modified);
    let (date, minutes) = (&time[..10], &time[11..16]);
    let _ = writeln!(page, "<td><time datetime=\"{time}\">{date} {minutes}</time>");
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

/// Formats a size for people: rounded down.
pub fn rounded(bytes: u64) -> String {
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
