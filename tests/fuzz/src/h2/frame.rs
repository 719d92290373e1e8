//! Frames (RFC 9113 §4.1), without a judgement.

use std::fmt;

pub const DATA: u8 = 0x0;
pub const HEADERS: u8 = 0x1;
pub const PRIORITY: u8 = 0x2;
pub const RST_STREAM: u8 = 0x3;
pub const SETTINGS: u8 = 0x4;
pub const PUSH_PROMISE: u8 = 0x5;
pub const PING: u8 = 0x6;
pub const GOAWAY: u8 = 0x7;
pub const WINDOW_UPDATE: u8 = 0x8;
pub const CONTINUATION: u8 = 0x9;
pub const PRIORITY_UPDATE: u8 = 0x10;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const PRIORITY_FIELDS: u8 = 0x20;

pub const NO_ERROR: u32 = 0x0;
pub const PROTOCOL: u32 = 0x1;
pub const FLOW_CONTROL: u32 = 0x3;
pub const STREAM_CLOSED: u32 = 0x5;
pub const FRAME_SIZE: u32 = 0x6;
pub const REFUSED: u32 = 0x7;
pub const COMPRESSION: u32 = 0x9;
pub const CALM: u32 = 0xb;

/// The longest payload that a side accepts which has said nothing else (RFC 9113 §4.2).
pub const MAX_PAYLOAD: usize = 16_384;

const HEAD: usize = 9;

/// A frame. The payload of one that is too long is not looked at.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: &'a [u8],
    pub is_too_long: bool,
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame { kind, flags, stream, payload, .. } = self;
        write!(f, "type {kind:#x} flags {flags:#x} stream {stream} {} {}", payload.len(), payload.escape_ascii())
    }
}

impl<'a> Frame<'a> {
    /// Takes the frame at the beginning, if it is whole.
    pub fn take(bytes: &mut &'a [u8]) -> Option<Frame<'a>> {
        let &[high, middle, low, kind, flags, a, b, c, d, ..] = *bytes else { return None };
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let stream = u32::from_be_bytes([a & 0x7f, b, c, d]);
        let is_too_long = length > MAX_PAYLOAD;
        let payload = if is_too_long { &[] } else { bytes[HEAD..].get(..length)? };
        *bytes = &bytes[HEAD + payload.len()..];
        Some(Frame { kind, flags, stream, payload, is_too_long })
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The 32 bits at this position without the highest one.
    pub fn number(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).map_or(0, |four| u32::from_be_bytes(four.try_into().unwrap()) & 0x7fff_ffff)
    }

    /// The settings of a SETTINGS.
    pub fn settings(&self) -> impl Iterator<Item = (u16, u32)> + use<'a> {
        self.payload
            .chunks_exact(6)
            .map(|entry| (u16::from_be_bytes([entry[0], entry[1]]), u32::from_be_bytes(entry[2..].try_into().unwrap())))
    }

    /// What is in a DATA or HEADERS besides padding and priority; or what its error may be, if that is not there (§6.1, §6.2). One that
    /// is too short for both has two faults.
    pub fn content(&self) -> Result<&'a [u8], &'static [u32]> {
        let mut content = self.payload;
        let priority = if self.kind == HEADERS && self.has(PRIORITY_FIELDS) { 5 } else { 0 };
        if self.has(PADDED) {
            let (&padding, rest) = content.split_first().ok_or(&[FRAME_SIZE][..])?;
            let is_short = rest.len() < priority;
            let left = rest.len().checked_sub(padding.into()).filter(|&left| left >= priority);
            content = &rest[..left.ok_or(if is_short { &[FRAME_SIZE, PROTOCOL][..] } else { &[PROTOCOL] })?];
        }
        content.get(priority..).ok_or(&[FRAME_SIZE])
    }
}

/// Appends a frame whose head says the length of its payload.
pub fn put(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    put_with_length(out, payload.len(), kind, flags, stream, payload);
}

/// Appends a frame whose head says any length.
pub fn put_with_length(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
