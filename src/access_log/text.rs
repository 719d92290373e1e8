//! Escaping of texts from clients, which must not end a line or a quotation, nor control a terminal; the combined log format.

use std::fmt::Write;

use super::record::{Record, Text};

/// The size limit of an escaped text, as a multiple of its capacity in a record.
const GROWTH: usize = 2;

/// The end of a truncated text.
const ELLIPSIS: &str = "...";

/// Returns a text of a record for a journal field; None if it is empty.
pub fn field(record: &Record, text: Text) -> Option<String> {
    let bytes = record.text(text);
    (!bytes.is_empty()).then(|| {
        let mut out = String::with_capacity(bytes.len() + 16);
        push(&mut out, record, text, false);
        out
    })
}

/// Appends a text of a record to a quotation; `-` if it is empty.
pub fn quote(out: &mut String, record: &Record, text: Text) {
    match record.text(text) {
        [] => out.push('-'),
        _ => push(out, record, text, true),
    }
}

/// Appends a text as one word.
fn push_word(out: &mut String, record: &Record, text: Text) {
    let begin = out.len();
    push(out, record, text, true);
    if out[begin..].contains(' ') {
        let word = out[begin..].replace(' ', "\\x20");
        out.truncate(begin);
        out.push_str(&word);
    }
}

/// Appends a text, with `\xHH` for bytes that are not printable ASCII, for backslashes, and in quotations for `"`.
fn push(out: &mut String, record: &Record, text: Text, is_quoted: bool) {
    let end = out.len() + GROWTH * text.capacity();
    for &byte in record.text(text) {
        if out.len() >= end {
            return out.push_str(ELLIPSIS);
        }
        match byte {
            b'\\' => out.push_str("\\x5C"),
            b'"' if is_quoted => out.push_str("\\x22"),
            b' '..=b'~' => out.push(byte.into()),
            // Writing to a String does not fail.
            _ => _ = write!(out, "\\x{byte:02X}"),
        }
    }
    if record.is_truncated(text) {
        out.push_str(ELLIPSIS);
    }
}

/// The time of the combined log format, in UTC.
#[derive(Debug, Default)]
pub struct Stamp {
    second: u64,
    text: String,
}

impl Stamp {
    /// Formats a second since the epoch.
    pub fn of(&mut self, second: u64) -> &str {
        if second != self.second || self.text.is_empty() {
            self.second = second;
            let date = std::time::UNIX_EPOCH + std::time::Duration::from_secs(second);
            // "Sun, 06 Nov 1994 08:49:37 GMT"
            let date = httpdate::fmt_http_date(date);
            self.text = format!("{}/{}/{}:{} +0000", &date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        }
        &self.text
    }
}

/// Appends a record in the combined log format, as Apache calls it.
pub fn combined(out: &mut String, record: &Record, stamp: &mut Stamp) {
    match record.client {
        Some(client) => _ = write!(out, "{}", client.ip()),
        None => out.push('-'),
    }
    out.push_str(" - ");
    match record.text(Text::User) {
        [] => out.push('-'),
        // A space would end it.
        _ => push_word(out, record, Text::User),
    }
    _ = write!(out, " [{}] \"", stamp.of(record.ended_s));
    if !record.text(Text::Method).is_empty() {
        quote(out, record, Text::Method);
        out.push(' ');
    }
    quote(out, record, Text::Target);
    if !record.text(Text::Method).is_empty() {
        _ = write!(out, " {}", record.version);
    }
    match record.status {
        0 => out.push_str("\" -"),
        status => _ = write!(out, "\" {status}"),
    }
    _ = write!(out, " {} \"", record.bytes);
    quote(out, record, Text::Referer);
    out.push_str("\" \"");
    quote(out, record, Text::UserAgent);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Limits;
    use crate::http::h1::parse;

    fn record(head: &[u8]) -> Record {
        let mut record = Record::new();
        (record.is_full, record.status, record.bytes, record.ended_s) = (true, 200, 97, 784_111_777);
        record.client = Some("[2001:db8::1]:1234".parse().unwrap());
        let mut storage = parse::storage();
        match parse::parse(head, &mut storage, &Limits::default()) {
            Ok(Some(message)) => record.describe(&message.request, true),
            _ => record.describe_malformed(head, true),
        }
        record
    }

    fn line(record: &Record) -> String {
        let mut line = String::new();
        combined(&mut line, record, &mut Stamp::default());
        line
    }

    #[test]
    fn a_line_is_of_the_combined_format() {
        assert_eq!(
            line(&record(b"GET /a?b=c HTTP/1.0\r\nHost: h\r\nReferer: http://r/\r\nUser-Agent: u \"v\"\\\r\n\r\n")),
            "2001:db8::1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b=c HTTP/1.0\" 200 97 \"http://r/\" \"u \\x22v\\x22\\x5C\""
        );
        assert_eq!(
            line(&Record::new()),
            "- - - [01/Jan/1970:00:00:00 +0000] \"-\" - 0 \"-\" \"-\"",
            "a connection without a request"
        );
    }

    #[test]
    fn quotes_and_control_characters_are_escaped() {
        let line = line(&record(b"\x16\x03\"\x1b[2J\xff\xc3\xa4\x7f\xe2\x80\xae 200 5\nGET / HTTP/1.1"));
        assert!(
            line.ends_with("] \"\\x16\\x03\\x22\\x1B[2J\\xFF\\xC3\\xA4\\x7F\\xE2\\x80\\xAE 200 5\" 200 97 \"-\" \"-\""),
            "{line}"
        );
    }

    #[test]
    fn escaped_text_is_bounded() {
        let record = record(&[b"GET /\xff".as_slice(), &[0xff; 600]].concat());
        let field = field(&record, Text::Target).unwrap();
        assert!(field.starts_with("GET /\\xFF\\xFF") && field.ends_with("\\xFF..."), "{field}");
        assert!(field.len() < GROWTH * Text::Target.capacity() + 8);
    }
}
