//! What a server may do with the frames of a client (RFC 9113, RFC 9218), one after the other. Where the RFCs leave a choice, or a
//! frame has several faults, more than one outcome is allowed:
//!
//! | what | allowed | section of RFC 9113 |
//! |---|---|---|
//! | a fault of a stream | an error of the connection with the same code | 5.4.1 |
//! | a frame with two faults | the code of either | 5.4 |
//! | DATA, HEADERS on a stream that the client has ended, answered or not | an error of the stream or of the connection, STREAM_CLOSED | 5.1 |
//! | the same, on a stream that the client has reset | the same | 5.1 |
//! | HEADERS on a closed stream, after numbers were left out | PROTOCOL_ERROR as well: the stream may never have been open | 5.1.1 |
//! | frames on a stream that the server has reset, long ago | STREAM_CLOSED, or nothing | 5.1 |
//! | WINDOW_UPDATE of 0 on a closed stream | nothing, or PROTOCOL_ERROR | 5.1, 6.9 |
//! | an error of a stream that the server has reset | nothing: it is not reset again | 5.4.2 |
//! | WINDOW_UPDATE of 0 and PRIORITY of a wrong length, on an idle stream | an error of the connection | 5.1, 6.3, 6.9 |
//! | more streams than allowed, among them some that the client has reset and the server works on | REFUSED_STREAM | 5.1.2 |
//! | content that is not as long as Content-Length, after an answer that does not need it | PROTOCOL_ERROR, or nothing | 8.1.1 |
//! | many frames that ask for nothing, resets, long sections | ENHANCE_YOUR_CALM | 10.5 |

use std::collections::BTreeMap;
use std::ops::ControlFlow::Continue;

use otus_httpd::http::h2::hpack::{Decoder, TABLE_BYTES};
use otus_httpd::http::{Limits, Scheme};

use super::frame::*;
use super::request::{self, Kind, Lines};

/// The windows at the beginning, and the largest (§6.9.1, §6.9.2).
const WINDOW: i64 = 65_535;
const LARGEST_WINDOW: i64 = 0x7fff_ffff;

/// The limits that the server announces or documents.
const STREAMS: usize = 128;
const RESETS: usize = 200;
const IDLE_FRAMES: usize = 1_000;
const SECTION_FRAMES: usize = 32;
const WAITING: usize = 8;

/// The idle frames whose answers alone may be too much for a client that does not read.
const UNREAD_FRAMES: usize = 900;

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Fine,
    Stream(u32),
    Connection(u32),
}

/// What may become of a frame: error codes of the stream and of the connection, and whether it may be no error.
#[derive(Debug, Default)]
pub struct Allowed {
    pub is_fine: bool,
    pub stream: Vec<u32>,
    pub connection: Vec<u32>,
}

impl Allowed {
    pub fn has(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Fine => self.is_fine,
            Outcome::Stream(code) => self.stream.contains(&code),
            Outcome::Connection(code) => self.connection.contains(&code),
        }
    }

    fn fatal(&mut self, codes: &[u32]) {
        self.connection.extend_from_slice(codes);
    }

    /// An error of the stream, which may end the connection as well.
    fn error(&mut self, code: u32) {
        self.stream.push(code);
        self.connection.push(code);
    }

    fn has_error(&self) -> bool {
        !self.connection.is_empty() || !self.stream.is_empty()
    }
}

#[derive(Debug, Default)]
pub struct Stream {
    /// The client has ended its side.
    pub is_sent: bool,
    /// The server has the request: it answers it.
    pub is_asked: bool,
    pub is_reset_by_client: bool,
    pub is_reset_by_server: bool,
    /// The server may have reset it.
    pub may_be_reset: bool,
    /// The server has ended its side.
    pub is_answered: bool,
    /// So many streams waited for their content with it that the server may have answered it without.
    may_be_crowded_out: bool,
    /// Nothing is done for it any more.
    pub is_over: bool,
    pub send_window: i64,
    pub receive_window: i64,
    pub lines: Lines,
    received: u64,
    length: Option<u64>,
}

impl Stream {
    /// One that the client has never opened, and cannot any more (§5.1.1).
    pub fn left_out() -> Stream {
        Stream { is_sent: true, is_reset_by_client: true, is_over: true, ..Stream::default() }
    }

    fn is_alive(&self) -> bool {
        !(self.is_answered || self.is_reset_by_client || self.is_reset_by_server)
    }

    pub fn method(&self) -> &str {
        let line = self.lines.iter().find(|(name, _)| name == b":method");
        line.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default()
    }

    /// Whether the server may answer it before its content has arrived.
    fn may_be_early(&self, limits: &Limits) -> bool {
        let most = limits.body_bytes as u64;
        self.received > most
            || self.length.is_some_and(|length| length > most)
            || self.lines.iter().any(|line| line.0 == b"expect")
    }
}

struct Section {
    stream: u32,
    is_last: bool,
    bytes: Vec<u8>,
    frames: usize,
}

pub struct Model {
    limits: Limits,
    scheme: Scheme,
    /// Whether it learns of everything that the server does before the next frame. Otherwise that may be on its way.
    is_exact: bool,
    decoder: Decoder,
    has_settings: bool,
    section: Option<Section>,
    /// What was decoded for a frame that was judged.
    decoded: Lines,
    pub streams: BTreeMap<u32, Stream>,
    pub last: u32,
    has_skipped: bool,
    initial_window: i64,
    pub send_window: i64,
    pub receive_window: i64,
    /// Frames that have asked for nothing, and all that may have.
    idle_frames: usize,
    most_idle_frames: usize,
    /// Streams that were reset, and frames that may have counted as a reset.
    resets: usize,
    most_resets: usize,
    may_be_reset: bool,
    answers: usize,
    data_bytes: usize,
    /// Whether the server may have ended the connection for new streams.
    pub may_be_shut_down: bool,
}

impl Model {
    pub fn new(limits: Limits, scheme: Scheme, is_exact: bool) -> Model {
        Model {
            limits,
            scheme,
            is_exact,
            decoder: Decoder::new(TABLE_BYTES),
            has_settings: false,
            section: None,
            decoded: Lines::new(),
            streams: BTreeMap::new(),
            last: 0,
            has_skipped: false,
            initial_window: WINDOW,
            send_window: WINDOW,
            receive_window: WINDOW,
            idle_frames: 0,
            most_idle_frames: 0,
            resets: 0,
            most_resets: 0,
            may_be_reset: false,
            answers: 0,
            data_bytes: 0,
            may_be_shut_down: false,
        }
    }

    /// What may become of the next frame. [`apply`](Model::apply) says what did.
    pub fn judge(&mut self, frame: &Frame) -> Allowed {
        let mut allowed = Allowed::default();
        let expected = self.section.as_ref().map(|section| section.stream);
        if frame.is_too_long {
            allowed.fatal(&[FRAME_SIZE]);
        }
        if !self.has_settings && (frame.kind, frame.flags & ACK) != (SETTINGS, 0) {
            allowed.fatal(&[PROTOCOL]);
        }
        // §6.10, §5.5: nothing interrupts a section.
        if expected.is_some_and(|stream| (frame.kind, frame.stream) != (CONTINUATION, stream)) {
            allowed.fatal(&[PROTOCOL]);
        }
        self.judge_form(frame, &mut allowed);
        match allowed.has_error() {
            // What an error of the form leaves is not looked at; but an error of a stream that is idle is one of the connection.
            true => {}
            false => self.judge_meaning(frame, &mut allowed),
        }
        // What comes behind a reset is dropped.
        let stream = self.streams.get(&frame.stream);
        allowed.is_fine |= stream.is_some_and(|stream| stream.may_be_reset);
        self.may_be_reset = !allowed.stream.is_empty();
        self.judge_credit(frame, &mut allowed);
        allowed
    }

    /// Faults that a frame has by itself (§6).
    fn judge_form(&self, frame: &Frame, allowed: &mut Allowed) {
        let length = frame.payload.len();
        let is_for_stream = matches!(frame.kind, DATA..=RST_STREAM | PUSH_PROMISE | CONTINUATION);
        let is_for_connection = matches!(frame.kind, SETTINGS | PING | GOAWAY | PRIORITY_UPDATE);
        if is_for_stream && frame.stream == 0 || is_for_connection && frame.stream != 0 {
            allowed.fatal(&[PROTOCOL]);
        }
        if frame.is_too_long {
            return;
        }
        match frame.kind {
            DATA | HEADERS => allowed.fatal(frame.content().err().unwrap_or_default()),
            PRIORITY if length != 5 => {
                allowed.error(FRAME_SIZE);
                allowed.is_fine = self.is_reset_by_server(frame.stream);
            }
            RST_STREAM | WINDOW_UPDATE if length != 4 => allowed.fatal(&[FRAME_SIZE]),
            SETTINGS if frame.has(ACK) && length > 0 || length % 6 != 0 => allowed.fatal(&[FRAME_SIZE]),
            SETTINGS if !frame.has(ACK) => {
                for setting in frame.settings() {
                    match setting {
                        (2 | 9, 2..) | (5, ..=16_383 | 0x100_0000..) => allowed.fatal(&[PROTOCOL]),
                        (4, 0x8000_0000..) => allowed.fatal(&[FLOW_CONTROL]),
                        _ => {}
                    }
                }
            }
            PUSH_PROMISE => allowed.fatal(&[PROTOCOL]),
            PING if length != 8 => allowed.fatal(&[FRAME_SIZE]),
            GOAWAY if length < 8 => allowed.fatal(&[FRAME_SIZE]),
            WINDOW_UPDATE if frame.number(0) == 0 => {
                if frame.stream == 0 || self.is_idle(frame.stream) {
                    allowed.fatal(&[PROTOCOL]);
                } else {
                    allowed.error(PROTOCOL);
                    allowed.is_fine = !self.is_alive(frame.stream);
                }
            }
            CONTINUATION if self.section.is_none() => allowed.fatal(&[PROTOCOL]),
            PRIORITY_UPDATE if length < 4 => allowed.fatal(&[FRAME_SIZE]),
            // RFC 9218 §7.1: there is no stream 0, and no pushed one.
            PRIORITY_UPDATE if frame.number(0) % 2 == 0 => allowed.fatal(&[PROTOCOL]),
            _ => {}
        }
    }

    /// Faults that it has behind those before it.
    fn judge_meaning(&mut self, frame: &Frame, allowed: &mut Allowed) {
        let id = frame.stream;
        match frame.kind {
            DATA => self.judge_data(frame, allowed),
            HEADERS if frame.has(END_HEADERS) => {
                self.judge_section(id, frame.has(END_STREAM), frame.content().unwrap_or_default(), allowed);
            }
            CONTINUATION => {
                let Some(mut section) = self.section.take() else { return };
                section.frames += 1;
                section.bytes.extend_from_slice(frame.payload);
                let is_beyond = section.frames > SECTION_FRAMES || section.bytes.len() > 4 * self.limits.head_bytes;
                if is_beyond {
                    allowed.fatal(&[CALM]);
                } else if frame.has(END_HEADERS) {
                    self.judge_section(id, section.is_last, &section.bytes, allowed);
                } else {
                    allowed.is_fine = true;
                }
                self.section = Some(section);
            }
            RST_STREAM if self.is_idle(id) => allowed.fatal(&[PROTOCOL]),
            SETTINGS if !frame.has(ACK) => {
                let mut initial = self.initial_window;
                allowed.is_fine = true;
                for (_, value) in frame.settings().filter(|(name, _)| *name == 4) {
                    // §6.9.2: what has changed applies to open streams as well.
                    let change = i64::from(value) - self.initial_window;
                    initial = initial.max(value.into());
                    let mut alive = self.streams.values().filter(|stream| stream.is_alive());
                    if alive.any(|stream| stream.send_window + change > LARGEST_WINDOW) {
                        allowed.fatal(&[FLOW_CONTROL]);
                        allowed.is_fine &= !self.is_exact;
                    }
                }
            }
            WINDOW_UPDATE if id == 0 => {
                let is_beyond = self.send_window + i64::from(frame.number(0)) > LARGEST_WINDOW;
                self.maybe(is_beyond, allowed, |allowed| allowed.fatal(&[FLOW_CONTROL]));
            }
            WINDOW_UPDATE if self.is_idle(id) => allowed.fatal(&[PROTOCOL]),
            WINDOW_UPDATE => {
                let stream = self.streams.get(&id).filter(|stream| stream.is_alive());
                let window = stream.map_or(0, |stream| stream.send_window);
                let is_beyond = window + i64::from(frame.number(0)) > LARGEST_WINDOW;
                self.maybe(is_beyond, allowed, |allowed| allowed.error(FLOW_CONTROL));
            }
            _ => allowed.is_fine = true,
        }
    }

    /// An error, if it `is_error`. What the server has done meanwhile may have made it none.
    fn maybe(&self, is_error: bool, allowed: &mut Allowed, error: impl Fn(&mut Allowed)) {
        if is_error {
            error(allowed);
        }
        allowed.is_fine = !is_error || !self.is_exact;
    }

    fn judge_data(&self, frame: &Frame, allowed: &mut Allowed) {
        if self.is_idle(frame.stream) {
            return allowed.fatal(&[PROTOCOL]);
        }
        let bytes = frame.payload.len() as i64;
        if bytes > self.receive_window {
            allowed.fatal(&[FLOW_CONTROL]);
            if self.is_exact {
                return;
            }
        }
        let Some(stream) = self.open_for_client(frame.stream, allowed) else { return };
        let received = stream.received + frame.content().unwrap_or_default().len() as u64;
        if bytes > stream.receive_window {
            allowed.error(FLOW_CONTROL);
        }
        if stream.length.is_some_and(|length| received > length || frame.has(END_STREAM) && received < length) {
            allowed.error(PROTOCOL);
            allowed.is_fine = self.may_be_asked(stream);
        }
        allowed.is_fine |= !allowed.has_error() || !self.is_exact && self.may_be_asked(stream);
        allowed.is_fine |= !self.is_exact && bytes > stream.receive_window.min(self.receive_window);
    }

    /// A whole section: a request, or trailers.
    fn judge_section(&mut self, id: u32, is_last: bool, bytes: &[u8], allowed: &mut Allowed) {
        let mut lines = Lines::new();
        let add = |name: &[u8], value: &[u8]| {
            lines.push((name.to_vec(), value.to_vec()));
            Continue(())
        };
        if self.decoder.decode(bytes, &mut Vec::new(), add).is_err() {
            allowed.fatal(&[COMPRESSION]);
        }
        if request::size(&lines) > 4 * self.limits.head_bytes {
            allowed.fatal(&[CALM]);
        }
        if id % 2 == 0 {
            allowed.fatal(&[PROTOCOL]);
        }
        self.decoded = lines;
        if allowed.has_error() {
            return;
        }
        let lengths = self.decoded.iter().find(|line| line.0 == b"content-length");
        let length = lengths.and_then(|line| request::length(&line.1));
        if id > self.last {
            let places = self.streams.values().filter(|stream| !stream.is_over).count();
            let open = self.streams.values().filter(|stream| stream.is_alive() && !stream.is_over).count();
            let sure = self.streams.values().filter(|stream| stream.is_alive() && !self.may_be_asked(stream)).count();
            if places >= STREAMS {
                allowed.error(REFUSED);
            }
            if (if self.is_exact { open } else { sure }) >= STREAMS {
                return;
            }
            let kind = request::kind(&self.decoded, self.scheme, &self.limits);
            let is_short = is_last && length.is_some_and(|length| length > 0);
            if kind != Kind::Request || is_short {
                allowed.error(PROTOCOL);
            }
            allowed.is_fine = kind == Kind::Either || kind == Kind::Request && !is_short || self.may_be_shut_down;
            return;
        }
        let Some(stream) = self.open_for_client(id, allowed) else {
            if self.has_skipped && !allowed.connection.is_empty() {
                allowed.fatal(&[PROTOCOL]);
            }
            return;
        };
        let kind = request::kind_of_trailers(&self.decoded, &self.limits);
        let is_short = stream.length.is_some_and(|length| length != stream.received);
        if !is_last || kind != Kind::Request || is_short {
            allowed.error(PROTOCOL);
        }
        let may_be_fine = is_last && kind != Kind::Malformed;
        allowed.is_fine = may_be_fine && (!is_short || self.may_be_asked(stream));
        allowed.is_fine |= !self.is_exact && self.may_be_asked(stream);
    }

    /// The stream, if the client may send content on it. Otherwise, what becomes of that (§5.1).
    fn open_for_client(&self, id: u32, allowed: &mut Allowed) -> Option<&Stream> {
        allowed.is_fine |= self.may_be_shut_down;
        match self.streams.get(&id) {
            None => allowed.fatal(&[STREAM_CLOSED, PROTOCOL]),
            Some(stream) if stream.is_reset_by_server => {
                allowed.is_fine = true;
                if self.most_resets > RESETS {
                    allowed.fatal(&[STREAM_CLOSED]);
                }
            }
            Some(stream) if stream.is_sent || !stream.is_alive() => allowed.error(STREAM_CLOSED),
            Some(stream) => return Some(stream),
        }
        None
    }

    /// Too much of what costs the client nothing.
    fn judge_credit(&self, frame: &Frame, allowed: &mut Allowed) {
        let restored = (20 * self.answers + self.data_bytes / 256, self.answers);
        let most_idle = if self.is_exact { IDLE_FRAMES } else { UNREAD_FRAMES };
        if self.most_idle_frames >= most_idle || self.most_resets >= RESETS {
            allowed.fatal(&[CALM]);
        }
        let is_idle = is_idle(frame) && self.idle_frames >= IDLE_FRAMES + restored.0;
        let is_reset = frame.kind == RST_STREAM && self.resets >= RESETS + restored.1 && self.is_alive(frame.stream);
        if self.is_exact && (is_idle || is_reset) {
            allowed.is_fine = false;
        }
    }

    /// Whether the server may have the request without its content.
    pub fn may_be_asked(&self, stream: &Stream) -> bool {
        let is_early = || stream.may_be_early(&self.limits) || stream.may_be_crowded_out;
        stream.is_asked || !self.is_exact && (stream.is_sent || is_early())
    }

    /// What has become of a frame that was judged.
    pub fn apply(&mut self, frame: &Frame, outcome: Outcome) {
        self.has_settings = true;
        let id = frame.stream;
        self.idle_frames += usize::from(is_idle(frame) && outcome == Outcome::Fine);
        let may_be_idle = is_idle(frame) || frame.kind == HEADERS && id <= self.last || frame.kind == RST_STREAM;
        self.most_idle_frames += usize::from(may_be_idle);
        let is_reset = frame.kind == RST_STREAM && self.is_alive(id);
        self.resets += usize::from(is_reset || matches!(outcome, Outcome::Stream(_)));
        self.most_resets += usize::from(is_reset || self.may_be_reset);
        match frame.kind {
            DATA => {
                self.receive_window -= frame.payload.len() as i64;
                let content = frame.content().unwrap_or_default().len() as u64;
                if let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.is_alive() && !stream.is_sent) {
                    stream.receive_window -= frame.payload.len() as i64;
                    stream.received += content;
                    stream.is_sent |= frame.has(END_STREAM);
                }
            }
            HEADERS if frame.has(END_HEADERS) => self.apply_section(id, frame.has(END_STREAM)),
            HEADERS => {
                let bytes = frame.content().unwrap_or_default().to_vec();
                self.section = Some(Section { stream: id, is_last: frame.has(END_STREAM), bytes, frames: 1 });
            }
            CONTINUATION if frame.has(END_HEADERS) => {
                let is_last = self.section.take().is_some_and(|section| section.is_last);
                self.apply_section(id, is_last);
            }
            RST_STREAM => {
                if self.is_alive(id) {
                    self.streams.get_mut(&id).expect("a stream").is_reset_by_client = true;
                    self.end(id);
                }
            }
            SETTINGS if !frame.has(ACK) => {
                for (_, value) in frame.settings().filter(|(name, _)| *name == 4) {
                    let change = i64::from(value) - self.initial_window;
                    self.initial_window = value.into();
                    self.streams.values_mut().for_each(|stream| stream.send_window += change);
                }
            }
            WINDOW_UPDATE if outcome == Outcome::Fine => {
                let increment = i64::from(frame.number(0));
                match self.streams.get_mut(&id) {
                    _ if id == 0 => self.send_window += increment,
                    Some(stream) => stream.send_window += increment,
                    None => {}
                }
            }
            _ => {}
        }
        if let Outcome::Stream(_) = outcome {
            self.streams.entry(id).or_default().is_reset_by_server = true;
            self.end(id);
        }
    }

    /// The connection ends with a frame. Before that, the server may extend the window by what it has counted of it.
    pub fn fail(&mut self, frame: &Frame) {
        if frame.kind == DATA {
            self.receive_window -= frame.payload.len() as i64;
        }
    }

    /// A stream was reset. It keeps its place while the server may work on it.
    fn end(&mut self, id: u32) {
        let may_be_asked = self.streams.get(&id).is_some_and(|stream| self.may_be_asked(stream));
        self.streams.entry(id).or_default().is_over |= !may_be_asked;
    }

    fn apply_section(&mut self, id: u32, is_last: bool) {
        let lines = std::mem::take(&mut self.decoded);
        if id <= self.last {
            if let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.is_alive()) {
                stream.is_sent |= is_last;
            }
            return;
        }
        self.has_skipped |= id - self.last > 2;
        self.last = id;
        let length = lines.iter().find(|line| line.0 == b"content-length").and_then(|line| request::length(&line.1));
        let (send_window, receive_window) = (self.initial_window, WINDOW);
        let stream = Stream { is_sent: is_last, send_window, receive_window, lines, length, ..Stream::default() };
        self.streams.insert(id, stream);
        let waits = |stream: &Stream| !stream.is_sent && stream.is_alive();
        if self.streams.values().filter(|stream| waits(stream)).count() > WAITING {
            let waiting = self.streams.values_mut().filter(|stream| waits(stream));
            waiting.for_each(|stream| stream.may_be_crowded_out = true);
        }
    }

    /// The server has extended a window.
    pub fn extend(&mut self, id: u32, bytes: u32) {
        let window = match self.streams.get_mut(&id) {
            _ if id == 0 => &mut self.receive_window,
            Some(stream) => &mut stream.receive_window,
            None => panic!("the window of stream {id}, which is not open, is extended"),
        };
        *window += i64::from(bytes);
        assert!(bytes > 0 && *window <= WINDOW, "the window of {id} is extended to {window}");
    }

    /// The server has sent content.
    pub fn take(&mut self, id: u32, bytes: usize) {
        self.send_window -= bytes as i64;
        self.data_bytes += bytes;
        self.streams.get_mut(&id).expect("a stream").send_window -= bytes as i64;
    }

    /// The server has ended its side of a stream.
    pub fn answer(&mut self, id: u32) {
        self.answers += 1;
        let stream = self.streams.get_mut(&id).expect("a stream");
        (stream.is_answered, stream.is_over) = (true, true);
    }

    /// Whether a client cannot have opened a stream yet (§5.1).
    fn is_idle(&self, id: u32) -> bool {
        id % 2 == 0 || id > self.last
    }

    fn is_alive(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(Stream::is_alive)
    }

    fn is_reset_by_server(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.is_reset_by_server)
    }
}

/// Whether it asks for nothing, wherever it is.
fn is_idle(frame: &Frame) -> bool {
    match frame.kind {
        DATA => !frame.has(END_STREAM) && frame.content().is_ok_and(<[u8]>::is_empty),
        HEADERS | RST_STREAM | CONTINUATION => false,
        _ => true,
    }
}
