//! The frames of a connection that are not sent yet, and what becomes of each stream once they are.

use std::collections::VecDeque;

use super::content::FRAME_CONTENT;
use super::exchange::Exchange;
use crate::http::h2::frame::HEAD_BYTES;
use crate::os::clock;

/// The sent bytes at the beginning of the buffer that are removed at one time.
const COMPACT_BYTES: usize = 64 * 1024;

/// Frames in the order in which they are sent.
#[derive(Debug, Default)]
pub struct Output {
    /// The frames, of which the first `sent` bytes were sent.
    bytes: Vec<u8>,
    sent: usize,
    /// The bytes of all frames that were queued, and that were sent.
    queued_bytes: u64,
    sent_bytes: u64,
    /// What the frames are for, in their order.
    segments: VecDeque<Segment>,
    /// The bytes of frames that are no responses.
    control_bytes: usize,
}

/// Frames that were queued together.
#[derive(Debug)]
struct Segment {
    /// The position of their end in all frames of the connection.
    end: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// No response: so many bytes.
    Control(usize),
    /// Content of a stream: so many bytes, at the end of one frame.
    Content(u32, usize),
    /// The end of a response, complete or not.
    End(Box<Exchange>),
}

impl Output {
    /// Returns the buffer, to append frames.
    pub fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Records that the frames which were appended are no response.
    pub fn end_control(&mut self) {
        let length = self.count_queued();
        if length > 0 {
            self.control_bytes += length;
            self.push(Kind::Control(length));
        }
    }

    /// Records that the frame which was appended has `bytes` of content of a stream.
    pub fn end_content(&mut self, stream: u32, bytes: usize) {
        self.count_queued();
        self.push(Kind::Content(stream, bytes));
    }

    /// Records that a response ends with the frames which were appended.
    pub fn end_response(&mut self, exchange: Box<Exchange>) {
        self.count_queued();
        // Otherwise it has ended now.
        if self.unsent_bytes() > 0 {
            self.push(Kind::End(exchange));
        }
    }

    /// Records that the frames which were appended are the head of a response.
    pub fn end_head(&mut self) {
        self.count_queued();
    }

    fn push(&mut self, kind: Kind) {
        self.segments.push_back(Segment { end: self.queued_bytes, kind });
    }

    /// Counts the bytes that were appended since the last call, and returns their number.
    fn count_queued(&mut self) -> usize {
        let queued_bytes = self.sent_bytes + (self.bytes.len() - self.sent) as u64;
        let length = queued_bytes - self.queued_bytes;
        self.queued_bytes = queued_bytes;
        length as usize
    }

    /// Appends DATA frames of a stream with `bytes` of content: all are full but the last. Without a copy if nothing else is
    /// queued; then `frames` gets the other buffer.
    pub fn append(&mut self, stream: u32, mut bytes: usize, frames: &mut Vec<u8>) {
        if self.unsent_bytes() == 0 {
            self.bytes.clear();
            self.sent = 0;
            std::mem::swap(&mut self.bytes, frames);
        } else {
            self.bytes.extend_from_slice(frames);
        }
        while bytes > 0 {
            let content = bytes.min(FRAME_CONTENT);
            self.queued_bytes += (HEAD_BYTES + content) as u64;
            self.push(Kind::Content(stream, content));
            bytes -= content;
        }
    }

    /// Returns the frames that are not sent yet.
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Returns the number of bytes that are not sent yet.
    pub fn unsent_bytes(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Returns the number of these that belong to no response.
    pub fn control_bytes(&self) -> usize {
        self.control_bytes
    }

    /// Records that the transport has accepted `length` bytes. Responses that end within them are complete.
    pub fn accept(&mut self, length: usize) {
        self.sent += length;
        self.sent_bytes += length as u64;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent >= COMPACT_BYTES {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        // All responses that end here end at the same time.
        let mut now_ns = None;
        while self.segments.front().is_some_and(|segment| segment.end <= self.sent_bytes) {
            match self.segments.pop_front().map(|segment| segment.kind) {
                Some(Kind::Control(length)) => self.control_bytes -= length,
                Some(Kind::End(mut exchange)) => exchange.end_at(*now_ns.get_or_insert_with(clock::now_ns)),
                Some(Kind::Content(..)) | None => {}
            }
        }
    }

    /// Ends the responses whose end is not sent. Returns, for each stream, the bytes of content that are queued and not sent.
    pub fn abort(&mut self, cause: &str) -> Vec<(u32, u64)> {
        let mut begin = self.sent_bytes;
        let mut unsent = Vec::new();
        for segment in self.segments.drain(..) {
            match segment.kind {
                Kind::Control(_) => {}
                // The content is at the end of the frame.
                Kind::Content(stream, bytes) => unsent.push((stream, (segment.end - begin).min(bytes as u64))),
                Kind::End(mut exchange) => exchange.abort(cause, &unsent),
            }
            begin = segment.end;
        }
        unsent
    }

    /// Returns the memory of a buffer that is empty.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        if self.bytes.is_empty() { std::mem::take(&mut self.bytes) } else { Vec::new() }
    }

    /// Uses the memory of `buffer`, if it has none of its own.
    pub fn use_buffer(&mut self, buffer: &mut Vec<u8>) {
        if self.bytes.capacity() == 0 {
            buffer.clear();
            std::mem::swap(&mut self.bytes, buffer);
        }
    }
}
