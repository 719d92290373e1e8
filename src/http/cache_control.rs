//! The lifetime of a file in caches (RFC 9111 §5.2).

/// What caches may do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheControl {
    /// Nothing is said: caches decide by Last-Modified (RFC 9111 §4.2.2).
    Unstated,
    /// They ask before each use, and get a 304 if the file is the same.
    Revalidate,
    /// They need not ask for a year, not even on a reload (RFC 8246): another version of the file has another name.
    Immutable,
}

impl CacheControl {
    /// Returns the value of Cache-Control.
    pub fn value(self) -> Option<&'static str> {
        match self {
            CacheControl::Unstated => None,
            CacheControl::Revalidate => Some("no-cache"),
            CacheControl::Immutable => Some("public, max-age=31536000, immutable"),
        }
    }
}
