//! The head of a response in HTTP/2 (RFC 9113 §8.3.2): a field section, for [`write::headers`](super::frame::write::headers).

use std::sync::LazyLock;

use super::hpack::encoder;
use crate::http::head_lines::{self, FieldLines};
use crate::http::{Field, FieldChanges, Scheme, Status};

/// The parts of every head besides status and field lines.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// The time of the response in the form of RFC 9110 §5.6.7.
    pub date: &'c str,
    /// The value of Strict-Transport-Security, if there is one (RFC 6797).
    pub hsts: Option<&'c str>,
    /// Whether only caches of single clients may store the response (RFC 9111 §5.2.2.7), whatever its Cache-Control says.
    pub is_private: bool,
}

/// Field lines at the end of a field section. Their names are in lower case (RFC 9113 §8.2).
struct Lines<'o>(&'o mut Vec<u8>);

impl FieldLines for Lines<'_> {
    fn add(&mut self, field: &Field) {
        match field.text() {
            Some(text) => self.add_text(field.name(), text),
            None => self.add_text(field.name(), &field.to_string()),
        }
    }

    fn add_text(&mut self, name: &str, value: &str) {
        encoder::put(self.0, &name.to_ascii_lowercase(), value.as_bytes());
    }
}

/// Appends the field section of a response.
pub fn head<'f>(out: &mut Vec<u8>, status: Status, context: Context, fields: impl IntoIterator<Item = &'f Field<'f>>) {
    begin(out, status, context, true);
    head_lines::add(&mut Lines(out), fields, context.is_private);
}

/// Appends the field section of a response with the changes of rules.
pub fn changed_head(
    out: &mut Vec<u8>,
    status: Status,
    context: Context,
    fields: &[Field],
    changes: &FieldChanges,
    scheme: Scheme,
) {
    let (hsts, has_server) = changes.common(status, context.hsts);
    begin(out, status, Context { hsts, ..context }, has_server);
    head_lines::add_changed(&mut Lines(out), status, fields, changes, scheme, context.is_private);
}

/// Appends one field line of a response.
pub fn field(out: &mut Vec<u8>, field: &Field) {
    Lines(out).add(field);
}

/// Appends the status and the field lines that every response has. Further field lines follow.
pub fn begin_head(out: &mut Vec<u8>, status: Status, context: Context) {
    begin(out, status, context, true);
}

fn begin(out: &mut Vec<u8>, status: Status, context: Context, has_server: bool) {
    static SERVER: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut line = Vec::new();
        encoder::put(&mut line, "server", b"OtusServer");
        line
    });
    encoder::put_status(out, status.code());
    if has_server {
        out.extend_from_slice(&SERVER);
    }
    encoder::put_date(out, context.date);
    if let Some(hsts) = context.hsts {
        Lines(out).add_text("strict-transport-security", hsts);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::super::hpack::{Decoder, TABLE_BYTES};
    use super::*;
    use crate::http::field_changes::FieldLine;
    use crate::http::h1;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    /// The lines of a field section.
    fn lines(section: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut decoder = Decoder::new(TABLE_BYTES);
        let decoded = decoder.decode(section, &mut Vec::new(), |name, value| {
            lines.push(format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
            ControlFlow::Continue(())
        });
        decoded.unwrap();
        lines
    }

    /// The same lines of a head of HTTP/1.1: without those of the connection, and with names in lower case.
    fn lines_of_http11(head: &[u8]) -> Vec<String> {
        let head = String::from_utf8(head.to_vec()).unwrap();
        let mut lines = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).map(|code| format!(":status: {code}"));
        let fields = lines.map(|line| line.split_once(": ").unwrap());
        let fields = fields.map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase()));
        status.into_iter().chain(fields.filter(|line| !line.starts_with("connection: "))).collect()
    }

    #[test]
    fn heads_say_the_same_as_in_http11() {
        let line = |name: &str, value: &str| FieldLine { name: name.into(), value: value.into() };
        let set = vec![line("X-A", "1"), line("Cache-Control", "public, max-age=60"), line("X-A", "2")];
        let changes =
            FieldChanges { removed: vec!["Server".into()], set, vary: vec!["Accept".into()], has_password: false };
        let fields = [
            Field::ContentLength(7),
            Field::ContentType("text/html; charset=utf-8".into()),
            Field::NoSniff,
            Field::CacheControl("no-cache"),
            Field::Vary("Accept-Encoding"),
            Field::ETag("\"abc\""),
        ];
        for status in [Status::Ok, Status::NotFound, Status::NotModified] {
            for (hsts, is_private) in [(None, false), (Some("max-age=5"), true)] {
                let own = Context { date: DATE, hsts, is_private };
                let other = h1::encode::Context { date: DATE, hsts, is_private, keep_alive: true };
                let (mut section, mut text) = (Vec::new(), Vec::new());
                head(&mut section, status, own, &fields);
                h1::encode::head(&mut text, status, other, &fields);
                assert_eq!(lines(&section), lines_of_http11(&text));
                let (mut section, mut text) = (Vec::new(), Vec::new());
                changed_head(&mut section, status, own, &fields, &changes, Scheme::Https);
                h1::encode::changed_head(&mut text, status, other, &fields, &changes, Scheme::Https);
                assert_eq!(lines(&section), lines_of_http11(&text));
            }
        }
    }
}
