//! A connection of HTTP/2 as a state machine without I/O: bytes of the client in, events and bytes for the client out (RFC 9113).
//!
//! It knows the streams, the windows and what the client may still do, and nothing of files: the owner answers each
//! [`Event::Request`], and says when the work for a stream has [ended](Session::end).
//!
//! # Abuse
//!
//! Each thing that costs this server something and the client nothing has a credit, which useful work restores. A client without
//! credit gets ENHANCE_YOUR_CALM:
//!
//! | what | credit | restored by |
//! |---|---|---|
//! | streams that are reset or refused, by whichever side (CVE-2023-44487, CVE-2025-8671) | 200 | an answer: 1 |
//! | frames that ask for nothing: SETTINGS, PING, WINDOW_UPDATE, priorities, empty DATA, unknown ones | 1,000 | an answer: 20; a DATA frame that is sent: 4 |
//! | bytes of a field section, and its frames | 4 times `--max-head`; 32 | the end of the section |
//! | bytes of SETTINGS and PING answers that the client does not read | 16 KiB | that it reads them |
//!
//! A stream that was reset keeps its place among the [`MAX_STREAMS`] until the work for it has ended.

use std::collections::VecDeque;

use super::frame::{self, Frame, Setting, Settings, write};
use super::hpack::{DecodeError, Decoder, TABLE_BYTES};
use super::priority::Priority;
use super::request_head::{BadRequest, RequestHead};
use super::stream::{self, MAX_STREAMS, Stream, Streams};
use super::{ErrorCode, FrameError};
use crate::http::request::Body;
use crate::http::{Limits, Scheme};

/// What a client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The window of the connection for the client's content, in bytes (RFC 9113 §6.9.2).
const RECEIVE_WINDOW: u32 = 65_535;

/// The dropped content that is given back to the window of the connection at one time, in bytes.
const GIVEN_BACK_BYTES: u32 = RECEIVE_WINDOW / 2;

/// The limit of requests that wait for their content. Others are answered before it has arrived.
const MAX_WAITING: usize = 8;

/// The limit of priorities that are kept for streams that are not open yet.
const MAX_PRIORITIES: usize = MAX_STREAMS;

/// The limit of frames of a field section.
const MAX_SECTION_FRAMES: u32 = 32;

/// The bytes at which a field section is not received further, in multiples of the longest one.
const MAX_SECTION_HEADS: usize = 4;

/// The limit of bytes for a client that does not read them, besides responses.
const MAX_UNREAD_BYTES: usize = 16 * 1024;

/// The credits, and what restores them.
const RESETS: u32 = 200;
const IDLE_FRAMES: u32 = 1_000;
const FRAMES_PER_ANSWER: u32 = 20;
const FRAMES_PER_DATA: u32 = 4;

/// The number of the last stream in a GOAWAY that says only that the connection will end (RFC 9113 §6.8).
const ANY_STREAM: u32 = 0x7fff_ffff;

/// The content of the PING that follows such a GOAWAY.
const SHUTDOWN_PING: [u8; 8] = *b"shutdown";

/// What the client has asked for.
#[derive(Debug)]
pub enum Event {
    /// A request. [`RequestHead::request`] has succeeded, or its refusal is to be answered.
    Request {
        /// The stream.
        stream: u32,
        /// The head.
        head: Box<RequestHead>,
        /// The state of the content.
        body: Body,
    },
    /// The response of a stream is not needed any more.
    Cancelled {
        /// The stream.
        stream: u32,
    },
}

/// Why the connection ends. A GOAWAY with the code was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The error code.
    pub code: ErrorCode,
    /// The reason, for the journal.
    pub why: &'static str,
}

/// A connection.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    scheme: Scheme,
    phase: Phase,
    decoder: Decoder,
    section: Option<Section>,
    streams: Streams,
    /// The highest number of a stream that the client has opened.
    last_stream: u32,
    /// The streams that were reset last: frames for them may be on their way.
    reset_streams: VecDeque<u32>,
    /// The bytes that may be sent.
    send_window: i64,
    /// The window of a new stream for responses.
    initial_window: u32,
    receive_window: u32,
    /// The bytes of content that were dropped, and were not given back yet.
    dropped_bytes: u32,
    priorities: Vec<(u32, Priority)>,
    resets: u32,
    idle_frames: u32,
    has_acknowledged: bool,
    shutdown: Shutdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The preface has not arrived.
    Preface,
    /// The first frame, which is SETTINGS, has not arrived.
    Settings,
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shutdown {
    /// There is none.
    No,
    /// The client knows that there will be one.
    Announced,
    /// Streams above this number are not acted on.
    After(u32),
}

/// A field section that goes on in other frames.
#[derive(Debug)]
struct Section {
    stream: u32,
    ends_stream: bool,
    bytes: Vec<u8>,
    frames: u32,
}

/// Scratch space of a thread.
#[derive(Debug, Default)]
pub struct Scratch {
    buffer: Vec<u8>,
    head: Box<RequestHead>,
}

/// Why a stream is reset whose content has not the length that its Content-Length says (RFC 9113 §8.1.1).
const LENGTH: &str = "Content-Length is not the length of the content";

/// The result of a frame.
type Handled = Result<(), FrameError>;

const fn fatal(code: ErrorCode, why: &'static str) -> FrameError {
    FrameError::Connection(code, why)
}

const CALM_RESETS: FrameError = fatal(ErrorCode::EnhanceYourCalm, "the client has had too many streams reset");
const CALM_FRAMES: FrameError =
    fatal(ErrorCode::EnhanceYourCalm, "the client has sent too many frames that ask for nothing");
const CALM_SECTION: FrameError = fatal(ErrorCode::EnhanceYourCalm, "a field section is far too long");
const CALM_UNREAD: FrameError = fatal(ErrorCode::EnhanceYourCalm, "the client does not read what it has asked for");

impl Session {
    /// Creates a connection, and appends the settings of the server.
    pub fn new(limits: Limits, scheme: Scheme, out: &mut Vec<u8>) -> Self {
        write::settings(
            out,
            &[
                (Setting::MaxConcurrentStreams, MAX_STREAMS as u32),
                (Setting::MaxHeaderListSize, limits.head_bytes as u32),
                (Setting::NoRfc7540Priorities, 1),
            ],
        );
        Session {
            limits,
            scheme,
            phase: Phase::Preface,
            decoder: Decoder::new(TABLE_BYTES),
            section: None,
            streams: Streams::default(),
            last_stream: 0,
            reset_streams: VecDeque::new(),
            send_window: RECEIVE_WINDOW.into(),
            initial_window: RECEIVE_WINDOW,
            receive_window: RECEIVE_WINDOW,
            dropped_bytes: 0,
            priorities: Vec::new(),
            resets: RESETS,
            idle_frames: IDLE_FRAMES,
            has_acknowledged: false,
            shutdown: Shutdown::No,
        }
    }

    /// Acts on the frames at the beginning of `bytes`, and appends what is to be sent for them. Returns the number of bytes that were
    /// used: what is left is the beginning of a frame. `unread_bytes` are those that the client has not read of what was appended
    /// before, besides responses.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        unread_bytes: usize,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Result<usize, Failure> {
        let begin = out.len();
        let mut used = 0;
        loop {
            let step = self.step(&bytes[used..], scratch, out, events);
            let step = step.and_then(|length| {
                let is_flood = unread_bytes + (out.len() - begin) > MAX_UNREAD_BYTES;
                if is_flood { Err(CALM_UNREAD) } else { Ok(length) }
            });
            match step {
                Ok(None) => return Ok(used),
                Ok(Some(length)) => used += length,
                Err(FrameError::Connection(code, why) | FrameError::Stream(_, code, why)) => {
                    write::go_away(out, self.last_stream, code);
                    return Err(Failure { code, why });
                }
            }
        }
    }

    /// Acts on one frame. Returns its length; none if it is not whole.
    fn step(
        &mut self,
        bytes: &[u8],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Result<Option<usize>, FrameError> {
        if self.phase == Phase::Preface {
            let length = bytes.len().min(PREFACE.len());
            if bytes[..length] != PREFACE[..length] {
                return Err(fatal(
                    ErrorCode::ProtocolError,
                    "the connection does not begin with the preface of HTTP/2",
                ));
            }
            if length < PREFACE.len() {
                return Ok(None);
            }
            self.phase = Phase::Settings;
            return Ok(Some(length));
        }
        let (result, length) = match frame::parse(bytes) {
            Ok(None) => return Ok(None),
            Ok(Some((frame, length))) => (self.handle(frame, scratch, out, events), length),
            Err(error) => (Err(error), frame::length(bytes)?.unwrap_or(0)),
        };
        match result {
            Ok(()) => {}
            Err(FrameError::Stream(id, code, _)) if self.section.is_none() && id <= self.last_stream => {
                self.reset(id, code, out, events)?;
            }
            Err(FrameError::Stream(_, code, why)) => return Err(fatal(code, why)),
            Err(error) => return Err(error),
        }
        Ok(Some(length))
    }

    fn handle(&mut self, frame: Frame, scratch: &mut Scratch, out: &mut Vec<u8>, events: &mut Vec<Event>) -> Handled {
        if self.phase == Phase::Settings {
            let Frame::Settings(_) = frame else {
                return Err(fatal(ErrorCode::ProtocolError, "the first frame is not SETTINGS"));
            };
            self.phase = Phase::Open;
        }
        if let Some(section) = &self.section
            && !matches!(frame, Frame::Continuation { stream, .. } if stream == section.stream)
        {
            return Err(fatal(ErrorCode::ProtocolError, "a field section is interrupted"));
        }
        match frame {
            Frame::Headers { stream, fragment, ends_stream, ends_headers: true } => {
                self.end_section(stream, ends_stream, fragment, scratch, events)
            }
            Frame::Headers { stream, fragment, ends_stream, ends_headers: false } => {
                self.section = Some(Section { stream, ends_stream, bytes: fragment.to_vec(), frames: 1 });
                Ok(())
            }
            Frame::Continuation { fragment, ends_headers, .. } => {
                self.continue_section(fragment, ends_headers, scratch, events)
            }
            Frame::Data { stream, data, window_bytes, ends_stream } => {
                if data.is_empty() && !ends_stream {
                    self.spend_frame()?;
                }
                self.receive_data(stream, data.len(), window_bytes, ends_stream, out, events)
            }
            Frame::ResetStream { stream, .. } => self.receive_reset(stream, events),
            Frame::WindowUpdate { stream, increment } => {
                self.spend_frame()?;
                self.extend_window(stream, increment)
            }
            Frame::Settings(settings) => {
                self.spend_frame()?;
                self.apply(settings)?;
                write::settings_ack(out);
                Ok(())
            }
            Frame::SettingsAck => {
                self.has_acknowledged = true;
                self.spend_frame()
            }
            Frame::Ping(data) => {
                self.spend_frame()?;
                write::ping_ack(out, data);
                Ok(())
            }
            Frame::PingAck(data) => {
                if data == SHUTDOWN_PING && self.shutdown == Shutdown::Announced {
                    self.end_shutdown(out);
                }
                self.spend_frame()
            }
            Frame::PriorityUpdate { stream, priority } => {
                self.spend_frame()?;
                self.set_priority(stream, Priority::parse(priority))
            }
            Frame::GoAway { .. } | Frame::Ignored => self.spend_frame(),
        }
    }

    fn continue_section(
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
    fn end_section(
        &mut self,
        id: u32,
        ends_stream: bool,
        section: &[u8],
        scratch: &mut Scratch,
        events: &mut Vec<Event>,
    ) -> Handled {
        let Scratch { buffer, head } = scratch;
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
        self.last_stream = id;
        let priority = self.take_priority(id);
        if matches!(self.shutdown, Shutdown::After(last) if id > last) {
            self.remember_reset(id);
            return Ok(());
        }
        if self.streams.is_full() {
            return Err(FrameError::Stream(id, ErrorCode::RefusedStream, "there are too many streams"));
        }
        let stream = self.streams.add(Stream::new(id, self.initial_window));
        stream.priority = priority.or_else(|| head.priority());
        stream.is_received = ends_stream;
        let is_malformed = match head.request(self.scheme, Body::Dropped, &limits, &mut Vec::new()) {
            Err(BadRequest::Malformed(why)) => Some(why),
            Ok(_) | Err(BadRequest::Refused(_)) => None,
        };
        let has_content = head.content_length.is_some_and(|length| length > 0);
        let why = is_malformed.or_else(|| (ends_stream && has_content).then_some(LENGTH));
        if let Some(why) = why {
            self.streams.remove(id);
            return Err(FrameError::Stream(id, ErrorCode::ProtocolError, why));
        }
        let head = std::mem::take(head);
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
        let Some(stream) = self.streams.get(id) else { return self.after_end(id) };
        if stream.is_reset {
            return Ok(());
        }
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

    fn receive_data(
        &mut self,
        id: u32,
        length: usize,
        window_bytes: u32,
        ends_stream: bool,
        out: &mut Vec<u8>,
        events: &mut Vec<Event>,
    ) -> Handled {
        if id > self.last_stream {
            return Err(fatal(ErrorCode::ProtocolError, "content of a stream that is not open"));
        }
        self.receive_window = self
            .receive_window
            .checked_sub(window_bytes)
            .ok_or(fatal(ErrorCode::FlowControlError, "the client has sent more than the window of the connection"))?;
        self.give_back(window_bytes, out);
        let max_bytes = self.limits.body_bytes as u64;
        let Some(stream) = self.streams.get(id) else { return self.after_end(id) };
        if stream.is_reset {
            return Ok(());
        }
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
        Ok(())
    }

    /// The content of a request is complete.
    fn end_content(&mut self, id: u32, events: &mut Vec<Event>) -> Handled {
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

    /// A frame is for a stream that has no place any more: it was on its way when the stream was reset, or comes too late.
    fn after_end(&self, id: u32) -> Handled {
        match self.reset_streams.contains(&id) {
            true => Ok(()),
            false => Err(fatal(ErrorCode::StreamClosed, "a frame is for a stream that has ended")),
        }
    }

    /// Gives content that was dropped back to the window of the connection.
    fn give_back(&mut self, bytes: u32, out: &mut Vec<u8>) {
        self.dropped_bytes += bytes;
        if self.dropped_bytes >= GIVEN_BACK_BYTES {
            self.receive_window += self.dropped_bytes;
            write::window_update(out, 0, std::mem::take(&mut self.dropped_bytes));
        }
    }

    fn receive_reset(&mut self, id: u32, events: &mut Vec<Event>) -> Handled {
        if id > self.last_stream {
            return Err(fatal(ErrorCode::ProtocolError, "a stream is reset that is not open"));
        }
        if self.streams.get(id).is_none_or(|stream| stream.is_reset) {
            return self.spend_frame();
        }
        self.cancel(id, events);
        self.spend_reset()
    }

    /// Resets a stream, open or not.
    fn reset(&mut self, id: u32, code: ErrorCode, out: &mut Vec<u8>, events: &mut Vec<Event>) -> Handled {
        write::reset_stream(out, id, code);
        self.cancel(id, events);
        self.remember_reset(id);
        self.spend_reset()
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

    fn remember_reset(&mut self, id: u32) {
        if self.reset_streams.len() >= MAX_STREAMS {
            self.reset_streams.pop_front();
        }
        self.reset_streams.push_back(id);
    }

    fn spend_reset(&mut self) -> Handled {
        self.resets = self.resets.checked_sub(1).ok_or(CALM_RESETS)?;
        Ok(())
    }

    fn spend_frame(&mut self) -> Handled {
        self.idle_frames = self.idle_frames.checked_sub(1).ok_or(CALM_FRAMES)?;
        Ok(())
    }

    fn extend_window(&mut self, id: u32, increment: u32) -> Handled {
        if id == 0 {
            let extended = stream::extend(&mut self.send_window, increment.into());
            return extended
                .map_err(|_| fatal(ErrorCode::FlowControlError, "the window of the connection is too large"));
        }
        if id > self.last_stream {
            return Err(fatal(ErrorCode::ProtocolError, "the window of a stream that is not open is extended"));
        }
        let Some(stream) = self.streams.get(id).filter(|stream| !stream.is_reset) else { return Ok(()) };
        let extended = stream::extend(&mut stream.send_window, increment.into());
        extended.map_err(|_| FrameError::Stream(id, ErrorCode::FlowControlError, "the window of a stream is too large"))
    }

    fn apply(&mut self, settings: Settings) -> Handled {
        for (setting, value) in settings.iter() {
            // The others limit what this server does not do: it has no table for encoding, does not push, and its frames and
            // sections are short.
            if setting == Setting::InitialWindowSize {
                let change = i64::from(value) - i64::from(self.initial_window);
                self.initial_window = value;
                let mut windows = self.streams.iter_mut().map(|stream| &mut stream.send_window);
                let extended = windows.try_for_each(|window| stream::extend(window, change));
                extended.map_err(|_| fatal(ErrorCode::FlowControlError, "the window of a stream is too large"))?;
            }
        }
        Ok(())
    }

    fn set_priority(&mut self, id: u32, priority: Priority) -> Handled {
        if id.is_multiple_of(2) {
            return Err(fatal(ErrorCode::ProtocolError, "a priority is for a stream that a client cannot open"));
        }
        if let Some(stream) = self.streams.get(id) {
            stream.priority = Some(priority);
        } else if id > self.last_stream {
            self.priorities.retain(|(known, _)| *known != id);
            if self.priorities.len() < MAX_PRIORITIES {
                self.priorities.push((id, priority));
            }
        }
        Ok(())
    }

    /// Returns the priority that was sent before the stream was opened, and forgets those of streams that cannot be opened any more.
    fn take_priority(&mut self, id: u32) -> Option<Priority> {
        let priority = self.priorities.iter().find(|(known, _)| *known == id).map(|(_, priority)| *priority);
        self.priorities.retain(|(known, _)| *known > id);
        priority
    }

    /// Returns a stream to which something can be sent.
    pub fn stream(&mut self, id: u32) -> Option<&Stream> {
        self.streams.get(id).filter(|stream| !stream.is_reset).map(|stream| &*stream)
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
        self.idle_frames = (self.idle_frames + FRAMES_PER_DATA).min(IDLE_FRAMES);
    }

    /// Frees the place of a stream for which nothing is done any more. If its response was sent whole, and its request has not arrived
    /// whole, the client is told not to send the rest (RFC 9113 §8.1).
    pub fn end(&mut self, id: u32, is_answered: bool, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get(id) else { return };
        if is_answered && !stream.is_reset {
            self.resets = (self.resets + 1).min(RESETS);
            self.idle_frames = (self.idle_frames + FRAMES_PER_ANSWER).min(IDLE_FRAMES);
            if !stream.is_received {
                write::reset_stream(out, id, ErrorCode::NoError);
                self.remember_reset(id);
            }
        }
        self.streams.remove(id);
    }

    /// Returns whether the client has acknowledged the settings (RFC 9113 §6.5.3).
    pub fn has_acknowledged(&self) -> bool {
        self.has_acknowledged
    }

    /// Returns the number of streams that have a place.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Announces the end of the connection: new streams are answered until the client knows (RFC 9113 §6.8).
    pub fn begin_shutdown(&mut self, out: &mut Vec<u8>) {
        if self.shutdown == Shutdown::No {
            self.shutdown = Shutdown::Announced;
            write::go_away(out, ANY_STREAM, ErrorCode::NoError);
            write::ping(out, SHUTDOWN_PING);
        }
    }

    /// Ends the connection for new streams: the client knows of it, or has had its time.
    pub fn end_shutdown(&mut self, out: &mut Vec<u8>) {
        if !matches!(self.shutdown, Shutdown::After(_)) {
            self.shutdown = Shutdown::After(self.last_stream);
            write::go_away(out, self.last_stream, ErrorCode::NoError);
        }
    }

    /// Returns whether the connection has ended: new streams are not acted on, and there are no others.
    pub fn has_ended(&self) -> bool {
        matches!(self.shutdown, Shutdown::After(_)) && self.streams.is_empty()
    }
}

#[cfg(test)]
mod tests;
