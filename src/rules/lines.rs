//! The lines of a rules file.

use crate::printable::Printable;

/// The bytes of a line that a reason quotes.
const MAX_QUOTED_BYTES: usize = 80;

/// Returns the lines of a file with their numbers from 1: those that are neither empty nor comments, without white space
/// around them. A line ends with LF or CR LF; a byte order mark at the beginning is skipped.
pub fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let lines = text.split(|&byte| byte == b'\n').map(trim).enumerate();
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#")).map(|(index, line)| (index + 1, line))
}

/// Removes spaces, tabs and carriage returns at both ends.
pub fn trim(line: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\r');
    let start = line.iter().position(is_text).unwrap_or(line.len());
    let end = line.iter().rposition(is_text).map_or(start, |last| last + 1);
    &line[start..end]
}

/// Returns a line as text, which has no control character but tabs; or what is wrong with it.
pub fn text(line: &[u8]) -> Result<&str, String> {
    if line.iter().any(|&byte| byte != b'\t' && (byte < b' ' || byte == 0x7f)) {
        return Err("the line contains a control character: remove it".into());
    }
    std::str::from_utf8(line).map_err(|_| "the line is not UTF-8: save the file in that encoding".into())
}

/// Returns the beginning of `text` in quotation marks, printable, for a reason.
pub fn quote(text: &str) -> String {
    let mut end = text.len().min(MAX_QUOTED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let more = if end < text.len() { "..." } else { "" };
    format!("\"{}{more}\"", Printable(&text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_numbers_and_no_white_space_around() {
        let text = b"\xef\xbb\xbf/a\r\n\n\t # comment\r\n \t/b c\t\r\n/d";
        let found: Vec<_> = lines(text).collect();
        assert_eq!(found, [(1, &b"/a"[..]), (4, b"/b c"), (5, b"/d")]);
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(lines(b"\r\n\r\r\n \t").count(), 0);
    }

    #[test]
    fn control_characters_and_other_encodings_are_mistakes() {
        assert_eq!(text("/\u{e4}\tb".as_bytes()), Ok("/\u{e4}\tb"));
        for line in [&b"/a\0"[..], b"/a\rb", b"/\x7f", b"/\x1b[0m", b"/\xe4"] {
            assert!(text(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_quotation_is_short_and_printable() {
        assert_eq!(quote("/a"), "\"/a\"");
        assert_eq!(quote("\u{202e}"), "\"\\u{202e}\"");
        let long = quote(&"\u{e4}".repeat(1 << 20));
        assert!(long.ends_with("...\"") && long.len() < 100, "{long}");
    }
}
