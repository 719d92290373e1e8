//! HTTP/1.1 on the wire (RFC 9112): a request is parsed, the head of a response is encoded.

pub mod chunked;
pub mod encode;
pub mod framing;
pub mod parse;
