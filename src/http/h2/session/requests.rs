//! Field sections: requests and trailers (RFC 9113 §6.2, §6.10, §8.1).

use super::super::hpack::DecodeError;
use super::super::request_head::RequestHead;
use super::super::stream::Stream;
use super::super::{ErrorCode, FrameError};
use super::{Event, Handled, Scratch, Session, fatal};
use crate::http::request::Body;

/// The limit of requests that wait for their content. Others are answered before it has arrived.
pub(super) const MAX_WAITING: usize = 8;

/// The limit of frames of a field section.
const MAX_SECTION_FRAMES: u32 = 32;

/// The bytes at which a field section is not received further, in multiples of the longest one.
const MAX_SECTION_HEADS: usize = 4;

/// Why a stream is reset whose content has not the length that its Content-Length says (RFC 9113 §8.1.1).
pub(super) const LENGTH: &str = "Content-Length is not the length of the content";

const CALM_SECTION: FrameError = fatal(ErrorCode::EnhanceYourCalm, "a field section is far too long");

/// A stream may have been skipped, and is then closed (RFC 9113 §5.1.1).
const SKIPPED: FrameError = fatal(ErrorCode::ProtocolError, "a stream has a lower number than one before");

/// A field section that goes on in other frames.
#[derive(Debug)]
pub(super) struct Section {
    pub stream: u32,
    pub ends_stream: bool,
    pub bytes: Vec<u8>,
    pub frames: u32,
}

impl Session {
    pub(super) fn continue_section(
        &mut self,
        fragment: &[u8],
        ends_headers: bool,
        scratch: &mut Scratch,
        events: &mut Vec<Event>,
    ) -> Handled {
        let Some(mut section) = self.section.take() else {
            return Err(fatal(ErrorCode::ProtocolError, "a CONTINUATION has nothing before it"));
        };
        section.frames += 1;
        if section.frames > MAX_SECTION_FRAMES
            || section.bytes.len() + fragment.len() > MAX_SECTION_HEADS * self.limits.head_bytes
        {
            return Err(CALM_SECTION);
        }
        section.bytes.extend_from_slice(fragment);
        if !ends_headers {
            self.section = Some(section);
            return Ok(());
        }
        self.end_section(section.stream, section.ends_stream, &section.bytes, scratch, events)
    }

    /// Acts on a whole field section: a request, or trailers. It is always decoded, since later ones depend on it.
    pub(super) fn end_section(
        &mut self,
        id: u32,
        ends_stream: bool,
        section: &[u8],
        scratch: &mut Scratch,
        events: &mut Vec<Event>,
    ) -> Handled {
        let Scratch { buffer, head, spare } = scratch;
        head.clear();
        let limits = self.limits;
        let decoded = self.decoder.decode(section, buffer, |name, value| head.add(name, value, &limits));
        match decoded {
            Ok(()) => {}
            Err(DecodeError::Malformed(why)) => return Err(fatal(ErrorCode::CompressionError, why)),
            Err(DecodeError::Stopped) => return Err(CALM_SECTION),
        }
        if id.is_multiple_of(2) {
            return Err(fatal(ErrorCode::ProtocolError, "a client opens a stream with an even number"));
        }
        if id <= self.last_stream {
            return self.receive_trailers(id, ends_stream, head, events);
        }
        self.has_skipped |= id - self.last_stream > 2;
        self.last_stream = id;
        let priority = self.take_priority(id);
        if self.is_after_shutdown(id) {
            return self.credits.spend_frame();
        }
        if self.streams.is_full() {
            return Err(FrameError::Stream(id, ErrorCode::RefusedStream, "there are too many streams"));
        }
        let stream = self.streams.add(Stream::new(id, self.initial_window));
        stream.priority = priority.or_else(|| head.priority());
        stream.is_received = ends_stream;
        let has_content = head.content_length.is_some_and(|length| length > 0);
        let why = head.check(self.scheme, &limits).or_else(|| (ends_stream && has_content).then_some(LENGTH));
        if let Some(why) = why {
            self.streams.remove(id);
            return Err(FrameError::Stream(id, ErrorCode::ProtocolError, why));
        }
        let head = std::mem::replace(head, spare.pop().unwrap_or_default());
        let body = self.body(&head, ends_stream);
        match body {
            Some(body) => events.push(Event::Request { stream: id, head, body }),
            None => {
                if let Some(stream) = self.streams.get(id) {
                    stream.head = Some(head);
                }
            }
        }
        Ok(())
    }

    /// Returns the state of the content if the request is to be answered now; none if its content is waited for.
    fn body(&mut self, head: &RequestHead, ends_stream: bool) -> Option<Body> {
        let is_too_large = head.content_length.is_some_and(|length| length > self.limits.body_bytes as u64);
        match ends_stream {
            true => Some(Body::Dropped),
            false if head.expects_continue() => Some(Body::Unread),
            false if is_too_large => Some(Body::TooLarge),
            false => {
                let waiting = self.streams.iter_mut().filter(|stream| stream.head.is_some()).count();
                (waiting >= MAX_WAITING).then_some(Body::Unread)
            }
        }
    }

    fn receive_trailers(&mut self, id: u32, ends_stream: bool, head: &RequestHead, events: &mut Vec<Event>) -> Handled {
        let Some(stream) = self.streams.get(id).filter(|stream| !stream.is_reset) else {
            self.credits.spend_frame()?;
            return self.after_end(id).map_err(|error| if self.has_skipped { SKIPPED } else { error });
        };
        if stream.is_received {
            return Err(FrameError::Stream(
                id,
                ErrorCode::StreamClosed,
                "a field section follows the end of the stream",
            ));
        }
        if !ends_stream {
            return Err(FrameError::Stream(id, ErrorCode::ProtocolError, "trailers do not end the stream"));
        }
        if let Some(why) = head.fault_of_trailers() {
            return Err(FrameError::Stream(id, ErrorCode::ProtocolError, why));
        }
        self.end_content(id, events)
    }
}
