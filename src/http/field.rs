//! The field lines of a response, as values (RFC 9110). A wire format encodes them.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use super::Coding;
use super::content_range::ContentRange;

/// One field line of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field<'a> {
    /// Accept-Ranges: bytes (RFC 9110 §14.3).
    AcceptRanges,
    /// The methods that the resource supports (RFC 9110 §10.2.1).
    Allow(&'static str),
    /// How caches may use the response (RFC 9111 §5.2).
    CacheControl(&'static str),
    /// The content coding (RFC 9110 §8.4).
    ContentEncoding(Coding),
    /// The length of the content in bytes (RFC 9110 §8.6).
    ContentLength(u64),
    /// The range of the representation in the content (RFC 9110 §14.4).
    ContentRange(ContentRange),
    /// What a browser may run and load for a page of the server's own (CSP 3).
    ContentSecurityPolicy(&'static str),
    /// The media type of the content (RFC 9110 §8.3).
    ContentType(Cow<'a, str>),
    /// The entity tag of the representation, with its quotes (RFC 9110 §8.8.3).
    ETag(&'a str),
    /// When the representation was last modified (RFC 9110 §8.8.2).
    LastModified(SystemTime),
    /// The listing is not complete: a Boolean (RFC 9651 §3.3.6).
    ListingIncomplete,
    /// The target of a redirect (RFC 9110 §10.2.2).
    Location(String),
    /// X-Content-Type-Options: nosniff. Browsers use this media type: they never run text as a script.
    NoSniff,
    /// The time in seconds after which a client may retry (RFC 9110 §10.2.3).
    RetryAfter(u32),
    /// The credentials that are needed: a user name and a password in UTF-8, for this realm, which has no quotes (RFC 7617
    /// §2).
    WwwAuthenticate(Box<str>),
    /// The request fields that selected the representation (RFC 9110 §12.5.5).
    Vary(&'static str),
}

impl Field<'_> {
    /// Returns the value of the field if it is a text that needs no formatting.
    pub fn text(&self) -> Option<&str> {
        match self {
            Field::AcceptRanges => Some("bytes"),
            Field::Allow(text) | Field::CacheControl(text) | Field::ETag(text) | Field::Vary(text) => Some(text),
            Field::ContentSecurityPolicy(text) => Some(text),
            Field::ContentEncoding(coding) => Some(coding.token()),
            Field::ContentType(text) => Some(text),
            Field::ListingIncomplete => Some("?1"),
            Field::Location(text) => Some(text),
            Field::NoSniff => Some("nosniff"),
            Field::ContentLength(_)
            | Field::ContentRange(_)
            | Field::LastModified(_)
            | Field::RetryAfter(_)
            | Field::WwwAuthenticate(_) => None,
        }
    }

    /// The name of the field.
    pub fn name(&self) -> &'static str {
        match self {
            Field::AcceptRanges => "Accept-Ranges",
            Field::Allow(_) => "Allow",
            Field::CacheControl(_) => "Cache-Control",
            Field::ContentEncoding(_) => "Content-Encoding",
            Field::ContentLength(_) => "Content-Length",
            Field::ContentRange(_) => "Content-Range",
            Field::ContentSecurityPolicy(_) => "Content-Security-Policy",
            Field::ContentType(_) => "Content-Type",
            Field::ETag(_) => "ETag",
            Field::LastModified(_) => "Last-Modified",
            Field::ListingIncomplete => "Listing-Incomplete",
            Field::Location(_) => "Location",
            Field::NoSniff => "X-Content-Type-Options",
            Field::RetryAfter(_) => "Retry-After",
            Field::Vary(_) => "Vary",
            Field::WwwAuthenticate(_) => "WWW-Authenticate",
        }
    }
}

/// The value of the field.
impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::ContentLength(length) => length.fmt(f),
            Field::ContentRange(range) => range.fmt(f),
            Field::LastModified(time) => httpdate::HttpDate::from(*time).fmt(f),
            Field::RetryAfter(seconds) => seconds.fmt(f),
            Field::WwwAuthenticate(realm) => write!(f, "Basic realm=\"{realm}\", charset=\"UTF-8\""),
            text => f.write_str(text.text().unwrap_or_default()),
        }
    }
}
