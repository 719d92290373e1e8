//! HTTP/2 without I/O (RFC 9113): so far, frames, the compression of field sections, and requests.

mod error_code;
pub mod frame;
pub mod hpack;
pub mod priority;
pub mod request_head;

pub use error_code::{ErrorCode, FrameError};
