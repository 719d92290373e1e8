//! A request as a value, whatever wire format it came in (RFC 9110 §6, §9).

use std::fmt;

use super::Fields;

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
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        })
    }
}

/// A request that has arrived whole, or as far as it needs to.
#[derive(Debug, Clone, Copy)]
pub struct Request<'f, 'b> {
    /// The method.
    pub method: Method,
    /// The method as it was sent.
    pub method_name: &'b str,
    /// The target as it was sent: path and query, a whole URI, or `*`.
    pub target: &'b str,
    /// The version of the protocol.
    pub version: Version,
    /// The field lines of the head.
    pub fields: Fields<'f, 'b>,
    /// What became of the body.
    pub body: Body,
}

/// The body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none, or it has arrived and is dropped.
    Dropped,
    /// It stays unread, so the connection ends after the response.
    Unread,
    /// It is larger than the limit, and stays unread (RFC 9110 §15.5.14).
    TooLarge,
}

impl<'b> Request<'_, 'b> {
    /// The target without its query, which is no part of a file's name and may be confidential.
    pub fn path(&self) -> &'b str {
        self.target.split('?').next().unwrap_or_default()
    }
}

impl Method {
    /// The method of this name; names are case-sensitive (RFC 9110 §9.1).
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
