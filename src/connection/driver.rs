//! The driver of connections: the buffers that a thread uses for one connection after the other. How it drives one is in
//! [`drive`](super::drive), [`receive`](super::receive), [`respond`](super::respond) and [`send`](super::send).

use super::http2::buffers::Buffers;
use super::http2::task::Assignment;
use super::read_buffer::ReadBuffer;
use super::scratch::Scratch;
use crate::http::h2::frame::{HEAD_BYTES, MAX_PAYLOAD_BYTES};

/// The smallest read buffer, in bytes: for one frame of HTTP/2, and the beginning of another.
const MIN_INPUT_BYTES: usize = MAX_PAYLOAD_BYTES + 2 * HEAD_BYTES;

/// The buffers of a thread, for one connection after the other.
#[derive(Debug)]
pub struct ConnectionDriver {
    pub(super) input: ReadBuffer,
    pub(super) output: Vec<u8>,
    pub(super) scratch: Scratch,
    pub(super) http2: Buffers,
    /// The task that the last turn has ended with.
    pub(super) assignment: Option<Assignment>,
    /// A logical time at which the next request had begun to arrive.
    pub(super) arrival_began: u64,
    /// A logical time at which all bytes that were read had arrived; 0 while nothing was read in this turn.
    pub(super) arrival_ended: u64,
}

/// The result of a turn: what the connection waits for, or that it ends.
#[derive(Debug, PartialEq, Eq)]
pub enum DriveResult {
    /// The [task](ConnectionDriver::take_task) of a stream, which may block. Another thread can drive the connection meanwhile;
    /// the result is for [`resume`](ConnectionDriver::resume).
    Task,
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
            input: ReadBuffer::new(request_bytes.max(MIN_INPUT_BYTES)),
            output: Vec::new(),
            scratch: Scratch::new(slot),
            http2: Buffers::default(),
            assignment: None,
            arrival_began: 0,
            arrival_ended: 0,
        }
    }
}
