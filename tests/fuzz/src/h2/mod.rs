//! HTTP/2 as a client and RFC 9113 see it, apart from the server's own code. Only field sections are decoded with the server's decoder,
//! which tests/http2 compares with two others.

pub mod client;
pub mod frame;
pub mod model;
pub mod request;
pub mod script;
