//! HTTP/2 without I/O (RFC 9113): so far, the side of a connection that receives, and the order in which streams send.

mod error_code;
pub mod frame;
pub mod hpack;
pub mod priority;
pub mod request_head;
pub mod scheduler;
pub mod session;
pub mod stream;

pub use error_code::{ErrorCode, FrameError};
