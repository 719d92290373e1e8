//! A request as a value, independent of its wire format (RFC 9110 §6, §9).

use std::fmt;

use super::{Authority, Fields};

/// The method (RFC 9110 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The file.
    Get,
    /// The field lines that GET would get.
    Head,
    /// The methods that are supported.
    Options,
    /// A known method that files do not support.
    Other,
    /// An unknown method.
    Unknown,
}

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// Returns its number.
    pub fn number(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP/{}", self.number())
    }
}

/// A request. Its body has arrived, unless [`Body`] says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Request<'f, 'b> {
    /// The method.
    pub method: Method,
    /// The method as it was sent.
    pub method_name: &'b str,
    /// The target as it was sent: path and query, a whole URI, or `*`.
    pub target: &'b str,
    /// The authority that the request is for, from the target or from Host (RFC 9112 §3.3). None in HTTP/1.0 without both.
    pub authority: Option<Authority<'b>>,
    /// The version of the protocol.
    pub version: Version,
    /// The field lines of the head.
    pub fields: Fields<'f, 'b>,
    /// The state of the body.
    pub body: Body,
}

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is no body, or it has arrived and is discarded.
    Dropped,
    /// The body stays unread, so the connection ends after the response.
    Unread,
    /// The body is larger than the limit and stays unread (RFC 9110 §15.5.14).
    TooLarge,
}

impl<'b> Request<'_, 'b> {
    /// Returns the target without its query. The query is not part of a file name and may be confidential.
    pub fn path(&self) -> &'b str {
        self.target.split('?').next().unwrap_or_default()
    }
}

impl Method {
    /// Returns the method with this name; names are case-sensitive (RFC 9110 §9.1).
    pub fn named(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "OPTIONS" => Method::Options,
            "POST" | "PUT" | "DELETE" | "CONNECT" | "TRACE" | "PATCH" => Method::Other,
            _ => Method::Unknown,
        }
    }
}
