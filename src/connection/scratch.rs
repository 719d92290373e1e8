//! Buffers of a thread that are reused for each request.

use crate::handler;
use crate::os::clock::Date;

/// The buffers.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The Date field.
    pub date: Date,
    /// The buffers of the handler.
    pub handler: handler::Scratch,
}

impl Scratch {
    /// Creates the scratch space of the thread at `slot` of [`BlockingLimits`](crate::service::blocking::BlockingLimits).
    pub fn new(slot: Option<usize>) -> Self {
        Scratch { date: Date::default(), handler: handler::Scratch::new(slot) }
    }
}
