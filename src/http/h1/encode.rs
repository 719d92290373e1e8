//! The head of a response in HTTP/1.1 (RFC 9112 §4, §5), appended to a buffer that the caller sends.

use std::io::Write;

use crate::http::field::Field;
use crate::http::head_lines::{self, FieldLines};
use crate::http::{FieldChanges, Scheme, Status};

/// The parts of every head besides status and field lines.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// The time of the response in the form of RFC 9110 §5.6.7.
    pub date: &'c str,
    /// Whether the connection persists after the response.
    pub keep_alive: bool,
    /// The value of Strict-Transport-Security, if there is one (RFC 6797).
    pub hsts: Option<&'c str>,
    /// Whether only caches of single clients may store the response (RFC 9111 §5.2.2.7), whatever its Cache-Control says.
    pub is_private: bool,
}

/// Field lines at the end of a buffer.
struct Lines<'o>(&'o mut Vec<u8>);

impl FieldLines for Lines<'_> {
    fn add(&mut self, line: &Field) {
        field(self.0, line);
    }

    fn add_text(&mut self, name: &str, value: &str) {
        for part in [name, ": ", value, "\r\n"] {
            self.0.extend_from_slice(part.as_bytes());
        }
    }
}

/// Appends a complete head.
pub fn head<'f>(out: &mut Vec<u8>, status: Status, context: Context, fields: impl IntoIterator<Item = &'f Field<'f>>) {
    begin_head(out, status, context);
    head_lines::add(&mut Lines(out), fields, context.is_private);
    out.extend_from_slice(b"\r\n");
}

/// Appends a complete head with the changes of rules.
pub fn changed_head(
    out: &mut Vec<u8>,
    status: Status,
    context: Context,
    fields: &[Field],
    changes: &FieldChanges,
    scheme: Scheme,
) {
    begin_changed_head(out, status, context, changes);
    changed_fields(out, status, fields, changes, scheme, context.is_private);
}

/// The same as [`begin_head`] with the changes of rules.
pub fn begin_changed_head(out: &mut Vec<u8>, status: Status, context: Context, changes: &FieldChanges) {
    let (hsts, has_server) = changes.common(status, context.hsts);
    begin(out, status, Context { hsts, ..context }, has_server);
}

/// Appends the field lines of a head with the changes of rules, and the empty line. With `is_private`, only caches of single
/// clients may store the response.
pub fn changed_fields(
    out: &mut Vec<u8>,
    status: Status,
    fields: &[Field],
    changes: &FieldChanges,
    scheme: Scheme,
    is_private: bool,
) {
    head_lines::add_changed(&mut Lines(out), status, fields, changes, scheme, is_private);
    out.extend_from_slice(b"\r\n");
}

/// Appends the status line and the field lines that every response has. Further field lines and an empty line end the head.
pub fn begin_head(out: &mut Vec<u8>, status: Status, context: Context) {
    begin(out, status, context, true);
}

#[inline]
fn begin(out: &mut Vec<u8>, status: Status, context: Context, has_server: bool) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.line().as_bytes());
    out.extend_from_slice(if has_server { &b"\r\nServer: OtusServer\r\nDate: "[..] } else { b"\r\nDate: " });
    out.extend_from_slice(context.date.as_bytes());
    out.extend_from_slice(match context.keep_alive {
        true => b"\r\nConnection: keep-alive\r\n".as_slice(),
        false => b"\r\nConnection: close\r\n",
    });
    if let Some(hsts) = context.hsts {
        out.extend_from_slice(b"Strict-Transport-Security: ");
        out.extend_from_slice(hsts.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends one field line.
pub fn field(out: &mut Vec<u8>, field: &Field) {
    out.extend_from_slice(field.name().as_bytes());
    out.extend_from_slice(b": ");
    match field.text() {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        // Writing to a `Vec` does not fail.
        None => drop(write!(out, "{field}")),
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn text(status: Status, keep_alive: bool, fields: &[Field]) -> String {
        let mut out = Vec::new();
        head(&mut out, status, Context { date: DATE, keep_alive, hsts: None, is_private: false }, fields);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_head_has_its_status_its_fields_and_an_empty_line() {
        let common = format!("Server: OtusServer\r\nDate: {DATE}\r\nConnection: keep-alive\r\n");
        assert_eq!(
            text(Status::Ok, true, &[Field::ContentLength(7), Field::NoSniff]),
            format!("HTTP/1.1 200 OK\r\n{common}Content-Length: 7\r\nX-Content-Type-Options: nosniff\r\n\r\n")
        );
    }

    #[test]
    fn a_private_response_has_one_cache_control() {
        for (fields, expected) in [
            (&[Field::NoSniff][..], "X-Content-Type-Options: nosniff\r\nCache-Control: private\r\n\r\n"),
            (
                &[Field::CacheControl("public, max-age=5"), Field::NoSniff],
                "nosniff\r\nCache-Control: private, max-age=5\r\n\r\n",
            ),
        ] {
            let mut out = Vec::new();
            head(&mut out, Status::Ok, Context { date: DATE, keep_alive: true, hsts: None, is_private: true }, fields);
            let text = String::from_utf8(out).unwrap();
            assert!(text.ends_with(expected) && text.matches("Cache-Control").count() == 1, "{text}");
        }
    }

    #[test]
    fn the_last_response_has_connection_close() {
        assert!(text(Status::NotFound, false, &[]).contains("\r\nConnection: close\r\n"));
    }
}
