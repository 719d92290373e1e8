//! The protocol between the login process, which alone has the hashes of passwords, and the workers, which have passwords only.
//!
//! Neither side trusts the other: each field has a largest length, and a frame that is not exactly right ends the connection.

pub mod client;
pub mod failures;
pub mod frame;
mod memory;

pub use client::{LoginClient, LoginStep, Question, Verdict};
pub use failures::{FailureMemory, Failures};
