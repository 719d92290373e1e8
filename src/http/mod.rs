//! The protocol: bytes in, values out.
//!
//! Everything that HTTP/1.1 (RFC 9110, RFC 9112) lets a static origin decide is decided here, as values that a test can
//! compare. Guarantees:
//!
//! - no I/O, no clock, no environment: what the time is or what a file's size is, the caller says;
//! - no panic on any input, and no allocation that the client's bytes can size;
//! - a [`request::Request`] borrows from the buffer that it was read into.

pub mod coding;
pub mod condition;
pub mod content_range;
pub mod etag;
mod extensions;
pub mod field;
pub mod fields;
pub mod h1;
pub mod limits;
pub mod listing;
pub mod media_type;
pub mod multipart;
pub mod page;
pub mod quality;
#[cfg(test)]
mod random_tests;
pub mod range;
pub mod refusal;
pub mod representation;
pub mod request;
pub mod response;
pub mod status;
pub mod syntax;
pub mod target;
pub mod timestamp;

pub use coding::Coding;
pub use field::Field;
pub use fields::Fields;
pub use limits::Limits;
pub use refusal::Refusal;
pub use representation::{Outcome, Representation};
pub use request::Request;
pub use response::Response;
pub use status::Status;
pub use target::Target;
