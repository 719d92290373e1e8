//! HTTP/2 without I/O (RFC 9113): what a client may send and what it asks for, the order in which streams send, and the heads of
//! responses.

pub mod encode;
mod error_code;
pub mod frame;
pub mod hpack;
pub mod priority;
pub mod request_head;
pub mod scheduler;
pub mod session;
pub mod stream;

pub use error_code::{ErrorCode, FrameError};
