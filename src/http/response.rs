//! A response as a value, before any wire format: status, field lines, and content that is in memory.

use std::borrow::Cow;

use super::field::Field;
use super::{Status, page};

/// The methods that a file supports (RFC 9110 §10.2.1).
const ALLOW: &str = "GET, HEAD, OPTIONS";

/// The methods that metrics support.
const ALLOW_METRICS: &str = "GET, HEAD";

/// The value of Retry-After, in seconds: every cause of a 503 may be temporary.
const RETRY_AFTER_S: u32 = 1;

/// A response that is not a file of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: Status,
    /// The field lines, in the order in which they are sent, without those of the connection.
    pub fields: Vec<Field<'static>>,
    /// The content. A HEAD request gets its length and not the content (RFC 9110 §9.3.2).
    pub content: Vec<u8>,
}

impl Response {
    /// A 301 to `location`.
    pub fn redirect(location: String) -> Self {
        Response::redirect_by(Status::MovedPermanently, location)
    }

    /// A redirect to `location` with this status.
    pub fn redirect_by(status: Status, location: String) -> Self {
        let fields = vec![Field::Location(location)];
        Response::new(status, fields, page::MEDIA_TYPE.into(), page::redirect(status).into_bytes(), [])
    }

    /// An error with a page of the server. A 405 lists the methods that are allowed (RFC 9110 §15.5.6).
    pub fn error(status: Status) -> Self {
        let field = match status {
            Status::MethodNotAllowed => Some(Field::Allow(ALLOW)),
            Status::NotAcceptable => Some(Field::Vary("Accept-Encoding")),
            _ => retry_after(status),
        };
        Response::page(status, Vec::from_iter(field))
    }

    /// An error with a page of the site.
    pub fn error_with_page(status: Status, content_type: String, page: &[u8]) -> Self {
        let fields = Vec::from_iter(retry_after(status));
        Response::new(status, fields, content_type.into(), page.to_vec(), [Field::NoSniff])
    }

    /// A 204 that lists the methods that are allowed (RFC 9110 §9.3.7).
    pub fn options() -> Self {
        Response { status: Status::NoContent, fields: vec![Field::Allow(ALLOW)], content: Vec::new() }
    }

    /// A challenge of a certification authority. Caches must not store it.
    pub fn challenge(content: Vec<u8>) -> Self {
        let further = [Field::NoSniff, Field::CacheControl("no-store")];
        Response::new(Status::Ok, Vec::new(), "text/plain".into(), content, further)
    }

    /// A response with the state of the server, for GET and HEAD only. Caches must not store it.
    pub fn report(status: Status, content_type: &'static str, content: String) -> Self {
        let fields = Vec::from_iter(retry_after(status));
        let further = [Field::NoSniff, Field::CacheControl("no-store")];
        let mut response = Response::new(status, fields, content_type.into(), content.into_bytes(), further);
        if status == Status::MethodNotAllowed {
            response.fields.push(Field::Allow(ALLOW_METRICS));
        }
        response
    }

    /// An error on a connection without TLS to a socket for HTTPS. It quotes nothing: the request may be secret.
    pub fn needs_tls() -> Self {
        let sentence = "This port is for HTTPS: use an address that begins with https://.";
        Response::of_page(Status::BadRequest, Vec::new(), page::with_sentence(Status::BadRequest, sentence))
    }

    /// An error of a page that asks for a password, over a connection that does not encrypt it.
    pub fn clear_login() -> Self {
        let sentence = "This page asks for a password, which would be sent without encryption: use an address that begins with https://.";
        Response::of_page(Status::Forbidden, Vec::new(), page::with_sentence(Status::Forbidden, sentence))
    }

    /// An error with a page of the server and `fields`.
    pub fn page(status: Status, fields: Vec<Field<'static>>) -> Self {
        Response::of_page(status, fields, page::error(status))
    }

    fn of_page(status: Status, fields: Vec<Field<'static>>, page: String) -> Self {
        let policy = [Field::ContentSecurityPolicy(page::POLICY)];
        Response::new(status, fields, page::MEDIA_TYPE.into(), page.into_bytes(), policy)
    }

    /// A response with `content`. Its field lines are between `fields` and `further`.
    fn new<const N: usize>(
        status: Status,
        mut fields: Vec<Field<'static>>,
        content_type: Cow<'static, str>,
        content: Vec<u8>,
        further: [Field<'static>; N],
    ) -> Self {
        fields.extend([Field::ContentLength(content.len() as u64), Field::ContentType(content_type)]);
        fields.extend(further);
        Response { status, fields, content }
    }
}

fn retry_after(status: Status) -> Option<Field<'static>> {
    (status == Status::ServiceUnavailable).then_some(Field::RetryAfter(RETRY_AFTER_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_a_page_of_the_length_that_it_names() {
        let response = Response::error(Status::NotFound);
        assert_eq!(response.fields[0], Field::ContentLength(response.content.len() as u64));
        assert!(String::from_utf8(response.content).unwrap().contains("404 Not Found"));
    }

    #[test]
    fn each_status_has_the_field_that_belongs_to_it() {
        for (response, name, value) in [
            (Response::error(Status::MethodNotAllowed), "Allow", "GET, HEAD, OPTIONS"),
            (Response::error(Status::ServiceUnavailable), "Retry-After", "1"),
            (Response::error_with_page(Status::ServiceUnavailable, "text/html".into(), b""), "Retry-After", "1"),
            (Response::error(Status::NotAcceptable), "Vary", "Accept-Encoding"),
            (Response::options(), "Allow", "GET, HEAD, OPTIONS"),
            (Response::redirect("a/".into()), "Location", "a/"),
        ] {
            assert_eq!((response.fields[0].name(), response.fields[0].to_string().as_str()), (name, value));
        }
        let report = Response::report(Status::MethodNotAllowed, "text/plain", String::new());
        assert_eq!(report.fields.last(), Some(&Field::Allow("GET, HEAD")));
    }
}
