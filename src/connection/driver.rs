//! The driver of connections: the buffers that a thread uses for one connection after the other. How it drives one is in
//! [`drive`](super::drive), [`receive`](super::receive), [`respond`](super::respond) and [`send`](super::send).

use super::read_buffer::ReadBuffer;
use crate::handler;
use crate::os::clock::Date;

/// The buffers of a thread, for one connection after the other.
#[derive(Debug)]
pub struct ConnectionDriver {
    pub(super) input: ReadBuffer,
    pub(super) output: Vec<u8>,
    pub(super) scratch: Scratch,
    /// A logical time at which the next request had begun to arrive.
    pub(super) arrival_began: u64,
    /// A logical time at which all bytes that were read had arrived; 0 while nothing was read in this turn.
    pub(super) arrival_ended: u64,
}

/// Buffers of a thread that are reused for each request.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) date: Date,
    /// The buffers of the handler.
    pub handler: handler::Scratch,
}

impl Scratch {
    /// Creates the scratch space of the thread at `slot` of [`BlockingLimits`](crate::service::blocking::BlockingLimits).
    pub fn new(slot: Option<usize>) -> Self {
        Scratch { date: Date::default(), handler: handler::Scratch::new(slot) }
    }
}

/// The result of a turn: what the connection waits for, or that it ends.
#[derive(Debug, PartialEq, Eq)]
pub enum DriveResult {
    /// Bytes from the client.
    Readable,
    /// Space in the send buffer.
    Writable,
    /// Its next turn, after other connections.
    Yield,
    /// A listing that is being made.
    Listing,
    /// A retry by the main loop: too many threads are blocked on the file, or make handshakes.
    Retry,
    /// The connection ends.
    Close,
}

impl ConnectionDriver {
    /// Creates the buffers for requests of up to `request_bytes`. `slot` is the thread's in
    /// [`BlockingLimits`](crate::service::blocking::BlockingLimits).
    pub fn new(request_bytes: usize, slot: Option<usize>) -> Self {
        ConnectionDriver {
            input: ReadBuffer::new(request_bytes),
            output: Vec::new(),
            scratch: Scratch::new(slot),
            arrival_began: 0,
            arrival_ended: 0,
        }
    }
}
