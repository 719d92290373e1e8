//! DATA and the windows (RFC 9113 §5.2, §6.1, §6.9): what the client may send, and what it takes.

use super::super::frame::write;
use super::super::stream;
use super::super::{ErrorCode, FrameError};
use super::requests::LENGTH;
use super::{Event, Handled, Session, fatal};
use crate::http::request::Body;

/// The window of the connection for the client's content, in bytes (RFC 9113 §6.9.2).
pub(super) const RECEIVE_WINDOW: u32 = 65_535;

/// The dropped content that is given back to the window of the connection at one time, in bytes.
const GIVEN_BACK_BYTES: u32 = RECEIVE_WINDOW / 2;

impl Session {
    pub(super) fn receive_data(
        &mut self,
        id: u32,
        length: usize,
        window_bytes: u32,
        ends_stream: bool,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Handled {
        if self.is_idle(id) {
            return Err(fatal(ErrorCode::ProtocolError, "content of a stream that is not open"));
        }
        self.receive_window = self
            .receive_window
            .checked_sub(window_bytes)
            .ok_or(fatal(ErrorCode::FlowControlError, "the client has sent more than the window of the connection"))?;
        self.give_back(window_bytes, out);
        let max_bytes = self.limits.body_bytes as u64;
        let Some(stream) = self.streams.get(id).filter(|stream| !stream.is_reset) else { return self.after_end(id) };
        if stream.is_received {
            return Err(FrameError::Stream(id, ErrorCode::StreamClosed, "content follows the end of the stream"));
        }
        if !stream.receive(window_bytes) {
            let why = "the client has sent more than the window of the stream";
            return Err(FrameError::Stream(id, ErrorCode::FlowControlError, why));
        }
        stream.received_bytes += length as u64;
        let expected = stream.head.as_ref().and_then(|head| head.content_length);
        if expected.is_some_and(|expected| stream.received_bytes > expected) {
            return Err(FrameError::Stream(id, ErrorCode::ProtocolError, LENGTH));
        }
        if ends_stream {
            return self.end_content(id, events);
        }
        if stream.received_bytes > max_bytes
            && let Some(head) = stream.head.take()
        {
            events.push(Event::Request { stream: id, head, body: Body::TooLarge });
        }
        // Padding counts in the window as well: a client must not wait for one while its request waits for its content.
        if stream.head.is_some()
            && let Some(bytes) = stream.give_back()
        {
            write::window_update(out, id, bytes);
        }
        Ok(())
    }

    /// The content of a request is complete.
    pub(super) fn end_content(&mut self, id: u32, events: &mut Vec<Event>) -> Handled {
        let Some(stream) = self.streams.get(id) else { return Ok(()) };
        stream.is_received = true;
        let expected = stream.head.as_ref().and_then(|head| head.content_length);
        if expected.is_some_and(|expected| expected != stream.received_bytes) {
            return Err(FrameError::Stream(id, ErrorCode::ProtocolError, LENGTH));
        }
        let Some(head) = stream.head.take() else { return Ok(()) };
        events.push(Event::Request { stream: id, head, body: Body::Dropped });
        Ok(())
    }

    /// Gives content that was dropped back to the window of the connection.
    fn give_back(&mut self, bytes: u32, out: &mut Vec<u8>) {
        self.dropped_bytes += bytes;
        if self.dropped_bytes >= GIVEN_BACK_BYTES {
            self.receive_window += self.dropped_bytes;
            write::window_update(out, 0, std::mem::take(&mut self.dropped_bytes));
        }
    }

    pub(super) fn extend_window(&mut self, id: u32, increment: u32) -> Handled {
        if id == 0 {
            let extended = stream::extend(&mut self.send_window, increment.into());
            return extended
                .map_err(|_| fatal(ErrorCode::FlowControlError, "the window of the connection is too large"));
        }
        if self.is_idle(id) {
            return Err(fatal(ErrorCode::ProtocolError, "the window of a stream that is not open is extended"));
        }
        let Some(stream) = self.streams.get(id).filter(|stream| !stream.is_reset) else { return Ok(()) };
        let extended = stream::extend(&mut stream.send_window, increment.into());
        extended.map_err(|_| FrameError::Stream(id, ErrorCode::FlowControlError, "the window of a stream is too large"))
    }

    /// Changes the window of new streams, and by as much those of open ones, to `last`. It had the value `highest` in between: a
    /// frame of settings costs the same, however many it has.
    pub(super) fn change_initial_window(&mut self, highest: u32, last: u32) -> Handled {
        let change = |size: u32| i64::from(size) - i64::from(self.initial_window);
        let (largest_change, change) = (change(highest), change(last));
        self.initial_window = last;
        for stream in self.streams.iter_mut().filter(|stream| !stream.is_reset) {
            if stream.send_window + largest_change > stream::MAX_WINDOW {
                return Err(fatal(ErrorCode::FlowControlError, "the window of a stream is too large"));
            }
            stream.send_window += change;
        }
        Ok(())
    }

    /// Returns whether anything can be sent for a stream with a window of its own.
    pub fn has_window(&self) -> bool {
        self.send_window > 0
    }

    /// Returns the bytes of content that can be sent for a stream now.
    pub fn sendable_bytes(&mut self, id: u32) -> usize {
        let connection = self.send_window;
        self.stream(id).map_or(0, |stream| stream.send_window.min(connection).max(0) as usize)
    }

    /// Takes the windows of a DATA frame with `bytes` of content, at most what [can be sent](Session::sendable_bytes).
    pub fn take_window(&mut self, id: u32, bytes: usize) {
        self.send_window -= bytes as i64;
        if let Some(stream) = self.streams.get(id) {
            stream.send_window -= bytes as i64;
        }
        self.credits.restore_for_data(bytes);
    }

    /// Returns what was [taken](Session::take_window) for content that is not sent.
    pub fn return_window(&mut self, id: u32, bytes: usize) {
        self.send_window += bytes as i64;
        if let Some(stream) = self.streams.get(id) {
            stream.send_window += bytes as i64;
        }
    }
}
