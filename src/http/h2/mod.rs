//! HTTP/2 without I/O (RFC 9113): so far, the compression of field sections.

pub mod hpack;
