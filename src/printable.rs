//! Text from clients and file names, made safe to show: it cannot end a line, move the cursor of a terminal or change
//! the direction of writing.

use std::fmt::{Display, Formatter, Result, Write};

/// Something to be shown with every character that is not printable as `\u{...}`; quotation marks and backslashes stay.
///
/// ```
/// use otus_httpd::printable::Printable;
/// assert_eq!(Printable("a\u{9b}2J\n\"\u{202e}ф\"").to_string(), "a\\u{9b}2J\\n\"\\u{202e}ф\"");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Printable<T>(pub T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(Escape(f), "{}", self.0)
    }
}

/// Writes printable characters, and escapes the others.
#[derive(Debug)]
pub struct Escape<W>(pub W);

impl<W: Write> Write for Escape<W> {
    fn write_str(&mut self, text: &str) -> Result {
        for part in text.split_inclusive(['\\', '"', '\'']) {
            // A single byte is written as one.
            let (rest, mark) = part.split_at(part.trim_end_matches(['\\', '"', '\'']).len());
            write!(self.0, "{}{mark}", rest.escape_debug())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unprintable_characters_are_escaped() {
        for (text, expected) in [
            ("", ""),
            ("/a b?c=d", "/a b?c=d"),
            ("ä\u{444}\u{4e2d}\u{1f600}", "ä\u{444}\u{4e2d}\u{1f600}"),
            ("e\u{301}", "e\u{301}"),
            ("\"it's\" \\ \\\\ ''", "\"it's\" \\ \\\\ ''"),
            ("\n\r\t\0\x1b[2J\x7f", "\\n\\r\\t\\0\\u{1b}[2J\\u{7f}"),
            ("\u{80}\u{9b}2J\u{9f}", "\\u{80}\\u{9b}2J\\u{9f}"),
            (
                "\u{202a}\u{202e}\u{2066}\u{2069}\u{200e}\u{200b}",
                "\\u{202a}\\u{202e}\\u{2066}\\u{2069}\\u{200e}\\u{200b}",
            ),
            ("\u{2028}\u{2029}\u{feff}\u{ad}", "\\u{2028}\\u{2029}\\u{feff}\\u{ad}"),
        ] {
            assert_eq!(Printable(text).to_string(), expected, "{text:?}");
        }
    }
}
