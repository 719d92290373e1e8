//! HTTP/2 without I/O (RFC 9113): so far, frames and the compression of field sections.

mod error_code;
pub mod frame;
pub mod hpack;

pub use error_code::{ErrorCode, FrameError};
