//! The head of a response (RFC 9112 §4, RFC 9110 §6.6, §8), appended to a buffer that the caller sends.

use std::io::Write;
use std::time::{Duration, SystemTime};

use super::etag::Validator;
use super::request::Method;
use super::{Status, page};

/// The methods that a file answers (RFC 9110 §10.2.1).
const ALLOW: &[u8] = b"Allow: GET, HEAD, OPTIONS\r\n";

/// What every response says besides its status.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// The time of the response in the form of RFC 9110 §5.6.7.
    pub date: &'c str,
    /// Whether the connection goes on after the response.
    pub keep_alive: bool,
    /// HEAD gets the fields of GET and no content (RFC 9110 §9.3.2).
    pub method: Method,
}

/// What a 200 says of the file: its own fields, the same for every request, and the empty line.
#[derive(Debug, Clone, Copy)]
pub struct Representation<'t> {
    /// Size and modification time.
    pub validator: Validator,
    /// The media type, without parameters.
    pub media_type: &'static str,
    /// The value of the charset parameter, where one is wanted.
    pub charset: Option<&'t str>,
    /// Now: Last-Modified is never later (RFC 9110 §8.8.2.1).
    pub now: SystemTime,
}

impl Representation<'_> {
    /// Appends Content-Length, Content-Type, Last-Modified, ETag, and that the type is to be believed; and the empty line.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Validator { size, mtime_ns } = self.validator;
        let modified = http_time(mtime_ns).min(self.now);
        append(out, format_args!("Content-Length: {size}\r\nContent-Type: {}", self.media_type));
        if let Some(charset) = self.charset {
            append(out, format_args!("; charset={charset}"));
        }
        append(out, format_args!("\r\nLast-Modified: {}\r\n", httpdate::HttpDate::from(modified)));
        append(out, format_args!("ETag: {}\r\nX-Content-Type-Options: nosniff\r\n\r\n", self.validator));
    }
}

/// Begins a 200; [`Representation::write`] ends its head.
pub fn ok(out: &mut Vec<u8>, context: Context) {
    begin(out, Status::Ok, context);
}

/// A 301 to `location`.
pub fn moved(out: &mut Vec<u8>, context: Context, location: &str) {
    begin(out, Status::MovedPermanently, context);
    append(out, format_args!("Location: {location}\r\n"));
    end(out, Status::MovedPermanently, context);
}

/// An error with its page. A 405 says what is allowed (RFC 9110 §15.5.6).
pub fn error(out: &mut Vec<u8>, context: Context, status: Status) {
    begin(out, status, context);
    if status == Status::MethodNotAllowed {
        out.extend_from_slice(ALLOW);
    }
    end(out, status, context);
}

/// A 204 that says what is allowed (RFC 9110 §9.3.7).
pub fn options(out: &mut Vec<u8>, context: Context) {
    begin(out, Status::NoContent, context);
    out.extend_from_slice(ALLOW);
    out.extend_from_slice(b"\r\n");
}

fn begin(out: &mut Vec<u8>, status: Status, context: Context) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.line().as_bytes());
    out.extend_from_slice(b"\r\nServer: OtusServer\r\nDate: ");
    out.extend_from_slice(context.date.as_bytes());
    out.extend_from_slice(match context.keep_alive {
        true => b"\r\nConnection: keep-alive\r\n".as_slice(),
        false => b"\r\nConnection: close\r\n",
    });
}

fn end(out: &mut Vec<u8>, status: Status, context: Context) {
    let content = page::of(status);
    append(out, format_args!("Content-Length: {}\r\nContent-Type: {}\r\n\r\n", content.len(), page::MEDIA_TYPE));
    if context.method != Method::Head {
        out.extend_from_slice(content.as_bytes());
    }
}

/// Writing to a `Vec` does not fail.
fn append(out: &mut Vec<u8>, text: std::fmt::Arguments) {
    let _ = out.write_fmt(text);
}

/// A file's time within what an HTTP date can say: the years 1970 to 9999.
fn http_time(mtime_ns: i128) -> SystemTime {
    const END_OF_9999: i128 = 253_402_300_799;
    let seconds = mtime_ns.div_euclid(1_000_000_000).clamp(0, END_OF_9999);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Context = Context { date: "Sun, 06 Nov 1994 08:49:37 GMT", keep_alive: true, method: Method::Get };

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn representation(mtime_ns: i128, charset: Option<&str>) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let validator = Validator { size: 97, mtime_ns };
        text(|out| Representation { validator, media_type: "text/html", charset, now }.write(out))
    }

    #[test]
    fn a_200() {
        assert_eq!(
            text(|out| ok(out, CONTEXT)),
            "HTTP/1.1 200 OK\r\nServer: OtusServer\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n"
        );
        assert_eq!(
            representation(784_111_777_000_000_001, None),
            "Content-Length: 97\r\nContent-Type: text/html\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             ETag: \"61-ae1b981bc490a01\"\r\nX-Content-Type-Options: nosniff\r\n\r\n"
        );
    }

    #[test]
    fn a_charset_only_where_it_is_asked_for() {
        assert!(representation(0, Some("utf-8")).contains("Content-Type: text/html; charset=utf-8\r\n"));
    }

    #[test]
    fn last_modified_is_neither_in_the_future_nor_out_of_range() {
        let modified = |mtime_s: i128| {
            let text = representation(mtime_s * 1_000_000_000, None);
            text.lines().find_map(|line| line.strip_prefix("Last-Modified: ")).unwrap().to_string()
        };
        assert_eq!(modified(-1), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(modified(2_000_000_000), "Sun, 09 Sep 2001 01:46:40 GMT");
        assert_eq!(modified(i128::from(i64::MAX)), "Sun, 09 Sep 2001 01:46:40 GMT");
    }

    #[test]
    fn an_error_has_a_page_of_the_length_that_it_names() {
        let text = text(|out| error(out, CONTEXT, Status::NotFound));
        let (head, page) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", page.len())), "{head}");
        assert!(page.contains("404 Not Found"));
        assert!(!head.contains("Allow:"));
    }

    #[test]
    fn head_gets_the_fields_and_no_content() {
        let get = text(|out| error(out, CONTEXT, Status::NotFound));
        let head = text(|out| error(out, Context { method: Method::Head, ..CONTEXT }, Status::NotFound));
        assert_eq!(get.split_inclusive("\r\n\r\n").next(), Some(head.as_str()));
    }

    #[test]
    fn a_405_says_what_is_allowed_and_a_301_where_it_went() {
        assert!(
            text(|out| error(out, CONTEXT, Status::MethodNotAllowed)).contains("\r\nAllow: GET, HEAD, OPTIONS\r\n")
        );
        assert!(text(|out| moved(out, CONTEXT, "/a/")).contains("\r\nLocation: /a/\r\n"));
    }

    #[test]
    fn a_closing_response_says_so() {
        let context = Context { keep_alive: false, ..CONTEXT };
        assert!(text(|out| ok(out, context)).contains("\r\nConnection: close\r\n"));
    }
}
