//! The head of a response (RFC 9112 §4, RFC 9110 §6.6, §8), appended to a buffer that the caller sends.

use std::io::Write;

use super::content_range::ContentRange;
use super::listing::{Form, INCOMPLETE};
use super::representation::{Outcome, Representation};
use super::request::Method;
use super::{Coding, Status, page};

/// The methods that a file answers (RFC 9110 §10.2.1).
const ALLOW: &[u8] = b"Allow: GET, HEAD, OPTIONS\r\n";

/// The type is to be believed: a text is never run as a script.
const NOSNIFF: &str = "X-Content-Type-Options: nosniff\r\n";

/// Every cause of a 503 here can pass by itself, in seconds (RFC 9110 §10.2.3).
const RETRY_AFTER: &[u8] = b"Retry-After: 1\r\n";

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

/// Begins the answer to a GET or HEAD of a file, as it was planned; [`describe`] ends its head. A 412 or 416 is whole, with
/// its page.
pub fn file(out: &mut Vec<u8>, context: Context, representation: &Representation, plan: &Outcome) {
    let (length, content_type) = match plan {
        Outcome::Whole => {
            ok(out, context);
            describe(out, representation);
            return;
        }
        Outcome::PreconditionFailed => {
            begin(out, Status::PreconditionFailed, context);
            vary(out, representation.varies);
            return end(out, Status::PreconditionFailed, context);
        }
        Outcome::Unsatisfiable => {
            begin(out, Status::RangeNotSatisfiable, context);
            let range = ContentRange { span: None, size: representation.size };
            append(out, format_args!("Content-Range: {range}\r\n"));
            vary(out, representation.varies);
            return end(out, Status::RangeNotSatisfiable, context);
        }
        Outcome::NotModified => {
            not_modified(out, context);
            return validators(out, representation);
        }
        Outcome::Part(span) => {
            begin(out, Status::PartialContent, context);
            let range = ContentRange { span: Some(*span), size: representation.size };
            append(out, format_args!("Content-Range: {range}\r\n"));
            (span.length(), &representation.content_type)
        }
        Outcome::Parts(multipart) => {
            begin(out, Status::PartialContent, context);
            (multipart.length(), &multipart.media_type)
        }
    };
    content(out, length, content_type, representation.coding);
    validators(out, representation);
}

/// The status of an answer that has begun.
pub fn status(answer: &[u8]) -> u16 {
    // "HTTP/1.1 200 OK"
    let digits = answer.get(9..12).unwrap_or_default();
    digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit.wrapping_sub(b'0')))
}

/// How long the head of an answer is, with the empty line.
pub fn head_length(answer: &[u8]) -> usize {
    answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |end| end + 4)
}

/// Begins a 200; [`describe`] ends its head.
pub fn ok(out: &mut Vec<u8>, context: Context) {
    begin(out, Status::Ok, context);
}

/// Begins a 304; the part of [`describe`] that it returns ends its head.
pub fn not_modified(out: &mut Vec<u8>, context: Context) {
    begin(out, Status::NotModified, context);
}

/// What a 200 says of its file, the same for every request, and the empty line. Returns where in `out` the part begins
/// that a 304 says as well (RFC 9110 §15.4.5).
pub fn describe(out: &mut Vec<u8>, representation: &Representation) -> usize {
    content(out, representation.size, &representation.content_type, representation.coding);
    let begin = out.len();
    validators(out, representation);
    begin
}

fn content(out: &mut Vec<u8>, length: u64, content_type: &str, coding: Coding) {
    append(out, format_args!("Content-Length: {length}\r\nContent-Type: {content_type}\r\nAccept-Ranges: bytes\r\n"));
    if coding != Coding::Identity {
        append(out, format_args!("Content-Encoding: {}\r\n", coding.token()));
    }
    out.extend_from_slice(NOSNIFF.as_bytes());
}

fn validators(out: &mut Vec<u8>, representation: &Representation) {
    vary(out, representation.varies);
    if let Some(modified) = representation.modified() {
        append(out, format_args!("Last-Modified: {}\r\n", httpdate::HttpDate::from(modified)));
    }
    append(out, format_args!("ETag: {}\r\n\r\n", representation.etag));
}

/// What the choice of a representation depended on, for caches (RFC 9110 §12.5.5).
fn vary(out: &mut Vec<u8>, varies: bool) {
    if varies {
        out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
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
    vary(out, status == Status::NotAcceptable);
    end(out, status, context);
}

/// A 204 that says what is allowed (RFC 9110 §9.3.7).
pub fn options(out: &mut Vec<u8>, context: Context) {
    begin(out, Status::NoContent, context);
    out.extend_from_slice(ALLOW);
    out.extend_from_slice(b"\r\n");
}

/// An error with a page of the site.
pub fn error_with_page(out: &mut Vec<u8>, context: Context, status: Status, content_type: &str, page: &[u8]) {
    begin(out, status, context);
    end_with(out, context, content_type, NOSNIFF, page);
}

/// The head of a 200 with `length` bytes of what a directory holds, or of as much of it as is listed. The form depends on Accept,
/// the content on the moment: caches have to ask again.
pub fn listing(out: &mut Vec<u8>, context: Context, form: Form, length: u64, is_cut: bool) {
    begin(out, Status::Ok, context);
    let content_type = form.content_type();
    append(out, format_args!("Content-Length: {length}\r\nContent-Type: {content_type}\r\n"));
    out.extend_from_slice(NOSNIFF.as_bytes());
    out.extend_from_slice(b"Cache-Control: no-cache\r\nVary: Accept\r\n");
    if is_cut {
        out.extend_from_slice(INCOMPLETE.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// What the server says of itself, now: to GET and HEAD alone, and not to be kept.
pub fn report(out: &mut Vec<u8>, context: Context, status: Status, content_type: &str, content: &str) {
    begin(out, status, context);
    let allow = if status == Status::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
    end_with(out, context, content_type, &format!("{NOSNIFF}Cache-Control: no-store\r\n{allow}"), content.as_bytes());
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
    if status == Status::ServiceUnavailable {
        out.extend_from_slice(RETRY_AFTER);
    }
}

fn end(out: &mut Vec<u8>, status: Status, context: Context) {
    end_with(out, context, page::MEDIA_TYPE, "", page::of(status).as_bytes());
}

/// Ends a head with the fields of `content` and `further` ones, and appends the content, unless for HEAD.
fn end_with(out: &mut Vec<u8>, context: Context, content_type: &str, further: &str, content: &[u8]) {
    let length = content.len();
    append(out, format_args!("Content-Length: {length}\r\nContent-Type: {content_type}\r\n{further}\r\n"));
    if context.method != Method::Head {
        out.extend_from_slice(content);
    }
}

/// Writing to a `Vec` does not fail.
fn append(out: &mut Vec<u8>, text: std::fmt::Arguments) {
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::super::multipart::Multipart;
    use super::super::range::ByteRange;
    use super::*;

    const CONTEXT: Context = Context { date: "Sun, 06 Nov 1994 08:49:37 GMT", keep_alive: true, method: Method::Get };

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn planned(plan: &Outcome) -> String {
        let representation = Representation {
            size: 97,
            etag: "\"61-1\"".into(),
            modified_s: Some(784_111_777),
            content_type: "text/html".into(),
            coding: Coding::Identity,
            varies: false,
        };
        text(|out| file(out, CONTEXT, &representation, plan))
    }

    const COMMON: &str = "Server: OtusServer\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n";
    const VALIDATORS: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \"61-1\"\r\n\r\n";

    #[test]
    fn a_200() {
        let content = "Content-Length: 97\r\nContent-Type: text/html\r\nAccept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n";
        assert_eq!(planned(&Outcome::Whole), format!("HTTP/1.1 200 OK\r\n{COMMON}{content}{VALIDATORS}"));
    }

    #[test]
    fn a_206_and_a_416_say_which_bytes() {
        let part = planned(&Outcome::Part(ByteRange { start: 10, end: 20 }));
        assert!(part.starts_with("HTTP/1.1 206 Partial Content\r\n") && part.ends_with(VALIDATORS), "{part}");
        assert!(part.contains("Content-Range: bytes 10-19/97\r\nContent-Length: 10\r\n"), "{part}");
        let parts =
            Multipart::new(&[ByteRange { start: 0, end: 1 }, ByteRange { start: 9, end: 10 }], 97, "text/html", "B");
        let length = parts.length();
        let parts = planned(&Outcome::Parts(parts));
        assert!(
            parts.contains(&format!("Content-Length: {length}\r\nContent-Type: multipart/byteranges; boundary=B\r\n"))
        );
        assert!(!parts.contains("Content-Range"), "{parts}");
        let none = planned(&Outcome::Unsatisfiable);
        assert!(none.starts_with("HTTP/1.1 416 ") && none.contains("Content-Range: bytes */97\r\n"), "{none}");
    }

    #[test]
    fn a_304_has_the_validators_and_no_content() {
        assert_eq!(planned(&Outcome::NotModified), format!("HTTP/1.1 304 Not Modified\r\n{COMMON}{VALIDATORS}"));
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
