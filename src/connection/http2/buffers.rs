//! The buffers of a thread for connections of HTTP/2.

use crate::http::h2::session::{Event, Scratch};

/// The buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    /// What a session needs while it receives.
    pub session: Scratch,
    /// What it has received.
    pub events: Vec<Event>,
    /// Frames with content of a file.
    pub frames: Vec<u8>,
    /// The memory for frames that are to be sent, while no connection uses it.
    pub frames_to_send: Vec<u8>,
}
