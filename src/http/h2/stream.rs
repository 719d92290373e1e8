//! The streams of a connection, as far as the client's frames change them (RFC 9113 §5.1, §6.9).

use super::priority::Priority;
use super::request_head::RequestHead;

/// The window that a stream has for the client's content, in bytes (RFC 9113 §6.9.2).
const RECEIVE_WINDOW: u32 = 65_535;

/// The largest window, in bytes (RFC 9113 §6.9.1).
pub const MAX_WINDOW: i64 = 0x7fff_ffff;

/// The limit of streams at one time.
pub const MAX_STREAMS: usize = 128;

/// The streams for which a connection without any keeps memory.
const KEPT_STREAMS: usize = 16;

/// A stream that takes one of the places: it is open, or what was begun for it has not ended.
#[derive(Debug)]
pub struct Stream {
    /// The number.
    pub id: u32,
    /// Whether the client has ended its side.
    pub is_received: bool,
    /// Whether the client or the server has reset it: nothing more is sent.
    pub is_reset: bool,
    /// The bytes that may be sent. Negative, if the client has made its windows smaller (RFC 9113 §6.9.2).
    pub send_window: i64,
    /// The priority of the response; none without a signal of the client.
    pub priority: Option<Priority>,
    /// The request, until its content has arrived.
    pub head: Option<Box<RequestHead>>,
    /// The bytes of content that have arrived.
    pub received_bytes: u64,
    /// The bytes that the client may still send, padding included.
    receive_window: u32,
}

/// A window would be larger than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

impl Stream {
    /// Creates a stream with these bytes to send.
    pub fn new(id: u32, send_window: u32) -> Self {
        Stream {
            id,
            is_received: false,
            is_reset: false,
            send_window: send_window.into(),
            priority: None,
            head: None,
            received_bytes: 0,
            receive_window: RECEIVE_WINDOW,
        }
    }

    /// Takes bytes that the client has sent from the window. Returns whether there were so many.
    pub fn receive(&mut self, window_bytes: u32) -> bool {
        let rest = self.receive_window.checked_sub(window_bytes);
        self.receive_window = rest.unwrap_or(0);
        rest.is_some()
    }

    /// Makes the window whole again if less than half of it is left. Returns the bytes that the client may send in addition.
    pub fn give_back(&mut self) -> Option<u32> {
        let bytes = RECEIVE_WINDOW - self.receive_window;
        (bytes > RECEIVE_WINDOW / 2).then(|| {
            self.receive_window = RECEIVE_WINDOW;
            bytes
        })
    }
}

/// Extends a window.
pub fn extend(window: &mut i64, bytes: i64) -> Result<(), Overflow> {
    let extended = *window + bytes;
    if extended > MAX_WINDOW {
        return Err(Overflow);
    }
    *window = extended;
    Ok(())
}

/// The streams that have a place, by number.
#[derive(Debug, Default)]
pub struct Streams(Vec<Stream>);

impl Streams {
    /// Returns a stream that has a place.
    pub fn get(&mut self, id: u32) -> Option<&mut Stream> {
        let index = self.0.binary_search_by_key(&id, |stream| stream.id).ok()?;
        self.0.get_mut(index)
    }

    /// Returns whether there is no place left.
    pub fn is_full(&self) -> bool {
        self.0.len() >= MAX_STREAMS
    }

    /// Adds a stream whose number is higher than that of all others.
    pub fn add(&mut self, stream: Stream) -> &mut Stream {
        let index = self.0.len();
        self.0.push(stream);
        &mut self.0[index]
    }

    /// Removes a stream.
    pub fn remove(&mut self, id: u32) {
        self.0.retain(|stream| stream.id != id);
        // An idle connection keeps no memory for a hundred of them.
        if self.0.is_empty() && self.0.capacity() > KEPT_STREAMS {
            self.0 = Vec::new();
        }
    }

    /// Returns all streams, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.0.iter()
    }

    /// The same, for changes.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.0.iter_mut()
    }

    /// Returns the number of streams.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
