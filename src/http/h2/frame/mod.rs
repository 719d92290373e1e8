//! Frames (RFC 9113 §4, §6; RFC 9218 §7.1): each by itself. Which of them may follow others is not decided here.

mod settings;
pub mod write;

pub use settings::{Setting, Settings};

use super::{ErrorCode, FrameError};

/// The length of what precedes the payload, in bytes.
pub const HEAD_BYTES: usize = 9;

/// The longest payload that is accepted, in bytes: the default of SETTINGS_MAX_FRAME_SIZE.
pub const MAX_PAYLOAD_BYTES: usize = 16_384;

/// The end of a stream, in DATA and HEADERS.
pub const END_STREAM: u8 = 0x1;

/// The acknowledgement of a SETTINGS or a PING.
pub const ACK: u8 = 0x1;

/// The end of a field section, in HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 0x4;

/// The payload of a DATA or HEADERS has padding.
const PADDED: u8 = 0x8;

/// The payload of a HEADERS has the priority of RFC 7540, which is ignored.
const PRIORITY_FIELDS: u8 = 0x20;

/// The length of that priority, in bytes.
const PRIORITY_BYTES: usize = 5;

/// The highest bit of a stream number and of a window increment is reserved and ignored.
const NUMBER_MASK: u32 = 0x7fff_ffff;

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// Content.
    Data = 0x0,
    /// The beginning of a field section.
    Headers = 0x1,
    /// A priority of RFC 7540.
    Priority = 0x2,
    /// The end of a stream.
    ResetStream = 0x3,
    /// Settings, or their acknowledgement.
    Settings = 0x4,
    /// A pushed request.
    PushPromise = 0x5,
    /// A question whether the other side is there, or its answer.
    Ping = 0x6,
    /// The end of the connection.
    GoAway = 0x7,
    /// More room in a window.
    WindowUpdate = 0x8,
    /// More of a field section.
    Continuation = 0x9,
    /// A priority of RFC 9218.
    PriorityUpdate = 0x10,
}

/// A frame of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'b> {
    /// Content. Its padding counts in the windows as well.
    Data {
        /// The stream.
        stream: u32,
        /// The content without padding.
        data: &'b [u8],
        /// What it takes of the windows, in bytes.
        window_bytes: u32,
        /// Whether it is the last of the stream.
        ends_stream: bool,
    },
    /// The beginning of a field section.
    Headers {
        /// The stream.
        stream: u32,
        /// The bytes of the section.
        fragment: &'b [u8],
        /// Whether the stream ends with the section.
        ends_stream: bool,
        /// Whether the section ends here.
        ends_headers: bool,
    },
    /// More of a field section.
    Continuation {
        /// The stream.
        stream: u32,
        /// The bytes of the section.
        fragment: &'b [u8],
        /// Whether the section ends here.
        ends_headers: bool,
    },
    /// The end of a stream.
    ResetStream {
        /// The stream.
        stream: u32,
        /// The error code.
        code: u32,
    },
    /// Settings.
    Settings(Settings<'b>),
    /// The acknowledgement of the server's settings.
    SettingsAck,
    /// A PING that is to be answered.
    Ping([u8; 8]),
    /// The answer to a PING.
    PingAck([u8; 8]),
    /// The client will open no more streams.
    GoAway {
        /// The error code.
        code: u32,
    },
    /// More room in the window of a stream, or of the connection, which is stream 0.
    WindowUpdate {
        /// The stream.
        stream: u32,
        /// The bytes, at least 1.
        increment: u32,
    },
    /// The priority of a stream.
    PriorityUpdate {
        /// The stream, which may not be open yet.
        stream: u32,
        /// The priority field (RFC 9218 §4).
        priority: &'b [u8],
    },
    /// A frame that says nothing to this server: a priority of RFC 7540, or of a type that it does not know.
    Ignored,
}

/// Parses the frame at the beginning of `bytes`. Returns it with the bytes that it takes; None if more are needed.
///
/// After an error of a stream, the frame takes its whole length, which [`length`] returns.
pub fn parse(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some(total) = length(bytes)? else { return Ok(None) };
    let Some(payload) = bytes.get(HEAD_BYTES..total) else { return Ok(None) };
    let (kind, flags) = (bytes[3], bytes[4]);
    let stream = number(&bytes[5..]) & NUMBER_MASK;
    Ok(Some((interpret(kind, flags, stream, payload)?, total)))
}

/// Returns the length of the frame at the beginning of `bytes`; None if that has not arrived.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(&[high, middle, low]) = bytes.get(..HEAD_BYTES).and_then(|head| head.first_chunk()) else {
        return Ok(None);
    };
    let payload = u32::from_be_bytes([0, high, middle, low]) as usize;
    if payload > MAX_PAYLOAD_BYTES {
        return Err(FrameError::Connection(ErrorCode::FrameSizeError, "a frame is longer than allowed"));
    }
    Ok(Some(HEAD_BYTES + payload))
}

fn interpret(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<Frame<'_>, FrameError> {
    let has = |flag: u8| flags & flag != 0;
    let Some(kind) = FrameType::of(kind) else { return Ok(Frame::Ignored) };
    check_stream(kind, stream)?;
    check_length(kind, flags, stream, payload.len())?;
    Ok(match kind {
        FrameType::Data => {
            let data = if has(PADDED) { without_padding(payload, 0)? } else { payload };
            Frame::Data { stream, data, window_bytes: payload.len() as u32, ends_stream: has(END_STREAM) }
        }
        FrameType::Headers => {
            let ignored_bytes = if has(PRIORITY_FIELDS) { PRIORITY_BYTES } else { 0 };
            let fragment = if has(PADDED) { without_padding(payload, ignored_bytes)? } else { payload };
            let fragment = fragment.get(ignored_bytes..).ok_or(TOO_SHORT)?;
            Frame::Headers { stream, fragment, ends_stream: has(END_STREAM), ends_headers: has(END_HEADERS) }
        }
        FrameType::Continuation => Frame::Continuation { stream, fragment: payload, ends_headers: has(END_HEADERS) },
        FrameType::Priority => Frame::Ignored,
        FrameType::ResetStream => Frame::ResetStream { stream, code: number(payload) },
        FrameType::Settings if has(ACK) => Frame::SettingsAck,
        FrameType::Settings => Frame::Settings(Settings::check(payload)?),
        FrameType::PushPromise => {
            return Err(FrameError::Connection(ErrorCode::ProtocolError, "a client cannot push"));
        }
        FrameType::Ping => {
            let data = payload.first_chunk().copied().unwrap_or_default();
            if has(ACK) { Frame::PingAck(data) } else { Frame::Ping(data) }
        }
        FrameType::GoAway => Frame::GoAway { code: number(&payload[4..]) },
        FrameType::WindowUpdate => match (number(payload) & NUMBER_MASK, stream) {
            (0, 0) => return Err(FrameError::Connection(ErrorCode::ProtocolError, "a window grows by nothing")),
            (0, _) => return Err(FrameError::Stream(stream, ErrorCode::ProtocolError, "a window grows by nothing")),
            (increment, _) => Frame::WindowUpdate { stream, increment },
        },
        FrameType::PriorityUpdate => match number(payload) & NUMBER_MASK {
            0 => return Err(FrameError::Connection(ErrorCode::ProtocolError, "a priority is for stream 0")),
            stream => Frame::PriorityUpdate { stream, priority: &payload[4..] },
        },
    })
}

impl FrameType {
    fn of(number: u8) -> Option<FrameType> {
        use FrameType::*;
        const KNOWN: [FrameType; 11] = [
            Data,
            Headers,
            Priority,
            ResetStream,
            Settings,
            PushPromise,
            Ping,
            GoAway,
            WindowUpdate,
            Continuation,
            PriorityUpdate,
        ];
        KNOWN.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Checks whether a frame is for a stream or for the connection, as its type says.
fn check_stream(kind: FrameType, stream: u32) -> Result<(), FrameError> {
    use FrameType::*;
    let fits = match kind {
        Data | Headers | Priority | ResetStream | Continuation | PushPromise => stream != 0,
        Settings | Ping | GoAway | PriorityUpdate => stream == 0,
        WindowUpdate => true,
    };
    let why = if stream == 0 { "a frame for a stream has none" } else { "a frame for the connection has a stream" };
    if fits { Ok(()) } else { Err(FrameError::Connection(ErrorCode::ProtocolError, why)) }
}

fn check_length(kind: FrameType, flags: u8, stream: u32, length: usize) -> Result<(), FrameError> {
    let fits = match kind {
        FrameType::Priority => length == PRIORITY_BYTES,
        FrameType::ResetStream | FrameType::WindowUpdate => length == 4,
        FrameType::Settings if flags & ACK != 0 => length == 0,
        FrameType::Settings => length.is_multiple_of(settings::ENTRY_BYTES),
        FrameType::Ping => length == 8,
        FrameType::GoAway => length >= 8,
        FrameType::PriorityUpdate => length >= 4,
        FrameType::Data | FrameType::Headers | FrameType::Continuation | FrameType::PushPromise => true,
    };
    let why = "a frame has not the length of its type";
    match kind {
        _ if fits => Ok(()),
        FrameType::Priority => Err(FrameError::Stream(stream, ErrorCode::FrameSizeError, why)),
        _ => Err(FrameError::Connection(ErrorCode::FrameSizeError, why)),
    }
}

/// What a frame needs besides its padding is not there.
const TOO_SHORT: FrameError = FrameError::Connection(ErrorCode::FrameSizeError, "a frame is too short for its flags");

/// Removes the padding: its length is in the first byte. `needed_bytes` of the rest cannot be padding.
fn without_padding(payload: &[u8], needed_bytes: usize) -> Result<&[u8], FrameError> {
    let (&padding, rest) = payload.split_first().ok_or(TOO_SHORT)?;
    let most_padding = rest.len().checked_sub(needed_bytes).ok_or(TOO_SHORT)?;
    if usize::from(padding) > most_padding {
        return Err(FrameError::Connection(ErrorCode::ProtocolError, "a frame has more padding than bytes"));
    }
    Ok(&rest[..rest.len() - usize::from(padding)])
}

/// Returns the 32 bits at the beginning, which the caller has checked to be there.
fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
pub(super) mod tests;
