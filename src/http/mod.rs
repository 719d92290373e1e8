//! The protocol as values (RFC 9110, RFC 9112): what a request means, and what the response says. Its guarantees:
//!
//! - no I/O, no clock, no environment: the caller passes the time and the size of a file (a lint holds this, see
//!   `.clippy.toml`);
//! - no panic on any input, and no allocation whose size the client chooses;
//! - a [`request::Request`] borrows from the buffer that it was parsed from.

#![deny(clippy::disallowed_macros, clippy::disallowed_methods, clippy::disallowed_types)]

// A request: its parts, whatever the wire format, and the limits of its size.
pub mod authority;
pub mod fields;
pub mod forwarded;
pub mod limits;
pub mod request;
pub mod scheme;
pub mod syntax;
pub mod target;

// What it selects: a representation, if its conditions hold, and ranges of it.
pub mod coding;
pub mod condition;
pub mod etag;
mod extensions;
pub mod media_type;
pub mod quality;
pub mod range;
pub mod representation;

// A response: status, field lines, content.
pub mod cache_control;
pub mod content_range;
pub mod field;
pub mod field_changes;
pub mod head_lines;
pub mod listing;
pub mod multipart;
pub mod page;
pub mod private;
pub mod refusal;
pub mod response;
pub mod status;
pub mod timestamp;

// The wire format.
pub mod h1;
pub mod h2;

#[cfg(test)]
mod random_tests;

pub use authority::Authority;
pub use cache_control::CacheControl;
pub use coding::Coding;
pub use field::Field;
pub use field_changes::FieldChanges;
pub use fields::Fields;
pub use limits::Limits;
pub use refusal::Refusal;
pub use representation::{Outcome, Representation};
pub use request::Request;
pub use response::Response;
pub use scheme::Scheme;
pub use status::Status;
pub use target::Target;
