//! The frames that this server sends.

use super::{ACK, END_HEADERS, END_STREAM, FrameType, HEAD_BYTES, MAX_PAYLOAD_BYTES, Setting};
use crate::http::h2::ErrorCode;

/// Returns the head of a frame with a payload of `length` bytes, at most [`MAX_PAYLOAD_BYTES`].
pub fn head(kind: FrameType, flags: u8, stream: u32, length: usize) -> [u8; HEAD_BYTES] {
    let [_, high, middle, low] = (length as u32).to_be_bytes();
    let [first, second, third, fourth] = stream.to_be_bytes();
    [high, middle, low, kind as u8, flags, first, second, third, fourth]
}

/// Appends the settings of the server.
pub fn settings(out: &mut Vec<u8>, settings: &[(Setting, u32)]) {
    let length = settings.len() * super::settings::ENTRY_BYTES;
    out.extend_from_slice(&head(FrameType::Settings, 0, 0, length));
    for (setting, value) in settings {
        out.extend_from_slice(&(*setting as u16).to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends the acknowledgement of the client's settings.
pub fn settings_ack(out: &mut Vec<u8>) {
    out.extend_from_slice(&head(FrameType::Settings, ACK, 0, 0));
}

/// Appends a PING.
pub fn ping(out: &mut Vec<u8>, data: [u8; 8]) {
    out.extend_from_slice(&head(FrameType::Ping, 0, 0, data.len()));
    out.extend_from_slice(&data);
}

/// Appends the answer to a PING.
pub fn ping_ack(out: &mut Vec<u8>, data: [u8; 8]) {
    out.extend_from_slice(&head(FrameType::Ping, ACK, 0, data.len()));
    out.extend_from_slice(&data);
}

/// Appends the end of a stream.
pub fn reset_stream(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    out.extend_from_slice(&head(FrameType::ResetStream, 0, stream, 4));
    out.extend_from_slice(&(code as u32).to_be_bytes());
}

/// Appends the end of the connection: streams up to `last_stream` are or were acted on.
pub fn go_away(out: &mut Vec<u8>, last_stream: u32, code: ErrorCode) {
    out.extend_from_slice(&head(FrameType::GoAway, 0, 0, 8));
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&(code as u32).to_be_bytes());
}

/// Appends more room in the window of a stream, or of the connection, which is stream 0.
pub fn window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    out.extend_from_slice(&head(FrameType::WindowUpdate, 0, stream, 4));
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Appends a field section, in as many frames as it takes. `ends_stream`: nothing follows it.
pub fn headers(out: &mut Vec<u8>, stream: u32, section: &[u8], ends_stream: bool) {
    let mut rest = section;
    let mut kind = FrameType::Headers;
    let mut flags = if ends_stream { END_STREAM } else { 0 };
    loop {
        let (fragment, behind) = rest.split_at(rest.len().min(MAX_PAYLOAD_BYTES));
        if behind.is_empty() {
            flags |= END_HEADERS;
        }
        out.extend_from_slice(&head(kind, flags, stream, fragment.len()));
        out.extend_from_slice(fragment);
        if behind.is_empty() {
            return;
        }
        (rest, kind, flags) = (behind, FrameType::Continuation, 0);
    }
}
