//! Streams that end early, and what still arrives for them (RFC 9113 §5.1, §5.4.2, §6.4).

use super::super::ErrorCode;
use super::super::frame::write;
use super::{Event, Handled, Session, fatal};

/// The limit of streams that were reset and are known: more than a client can have had reset without an answer.
const MAX_RESET_STREAMS: usize = 256;

impl Session {
    pub(super) fn receive_reset(&mut self, id: u32, events: &mut Vec<Event>) -> Handled {
        if self.is_idle(id) {
            return Err(fatal(ErrorCode::ProtocolError, "a stream is reset that is not open"));
        }
        if self.streams.get(id).is_none_or(|stream| stream.is_reset) {
            return self.credits.spend_frame();
        }
        self.cancel(id, events);
        self.credits.spend_reset()
    }

    /// Resets a stream, open or not; once only (RFC 9113 §5.4.2).
    pub(super) fn reset(&mut self, id: u32, code: ErrorCode, out: &mut Vec<u8>, events: &mut Vec<Event>) -> Handled {
        if !self.is_past(id) {
            write::reset_stream(out, id, code);
            self.cancel(id, events);
            self.remember_reset(id);
        }
        self.credits.spend_reset()
    }

    /// Nothing more is sent for a stream. If it is worked on, it keeps its place until that has ended.
    fn cancel(&mut self, id: u32, events: &mut Vec<Event>) {
        let Some(stream) = self.streams.get(id) else { return };
        if stream.head.is_some() {
            self.streams.remove(id);
        } else if !std::mem::replace(&mut stream.is_reset, true) {
            events.push(Event::Cancelled { stream: id });
        }
    }

    /// Resets a stream whose response cannot be completed because of the server.
    pub fn abandon(&mut self, id: u32, out: &mut Vec<u8>) {
        write::reset_stream(out, id, ErrorCode::InternalError);
        self.remember_reset(id);
    }

    pub(super) fn remember_reset(&mut self, id: u32) {
        if self.reset_streams.len() >= MAX_RESET_STREAMS {
            self.reset_streams.pop_front();
        }
        self.reset_streams.push_back(id);
    }

    /// Returns whether the client has not opened a stream, and could not have (RFC 9113 §5.1).
    pub(super) fn is_idle(&self, id: u32) -> bool {
        id > self.last_stream || id.is_multiple_of(2)
    }

    /// Returns whether the server has said that it does not act on a stream: its frames may have been on their way.
    fn is_past(&self, id: u32) -> bool {
        self.reset_streams.contains(&id) || self.is_after_shutdown(id)
    }

    /// A frame is for a stream that has ended: it was on its way when the server reset it, or comes too late.
    pub(super) fn after_end(&self, id: u32) -> Handled {
        match self.is_past(id) {
            true => Ok(()),
            false => Err(fatal(ErrorCode::StreamClosed, "a frame is for a stream that has ended")),
        }
    }
}
