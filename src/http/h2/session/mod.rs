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
//! | frames that ask for nothing: SETTINGS, PING, WINDOW_UPDATE, priorities, empty DATA, HEADERS of closed streams, unknown ones | 1,000 | an answer: 20; 256 bytes of content that are sent: 1 |
//! | bytes of a field section, and its frames | 4 times `--max-head`; 32 | the end of the section |
//! | bytes of SETTINGS and PING answers that the client does not read | 16 KiB | that it reads them |
//!
//! A stream that was reset keeps its place among the [`MAX_STREAMS`] until the work for it has ended.

mod credits;
mod encoder_table;
mod priorities;
mod receiving;
mod requests;
mod resets;
mod shutdown;
mod windows;

use std::collections::VecDeque;

use super::frame::{Setting, write};
use super::hpack::{Decoder, TABLE_BYTES};
use super::priority::Priority;
use super::request_head::RequestHead;
use super::stream::{MAX_STREAMS, Stream, Streams};
use super::{ErrorCode, FrameError};
use crate::http::request::Body;
use crate::http::{Limits, Scheme};
use credits::Credits;
use encoder_table::EncoderTable;
use receiving::Phase;
use requests::Section;
use shutdown::Shutdown;
use windows::RECEIVE_WINDOW;

/// What a client sends first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the client has asked for.
#[derive(Debug)]
pub enum Event {
    /// A request that was [checked](RequestHead::check): it is not malformed.
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
    encoder_table: EncoderTable,
    section: Option<Section>,
    streams: Streams,
    /// The highest number of a stream that the client has opened.
    last_stream: u32,
    /// Whether the client has left out numbers.
    has_skipped: bool,
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
    credits: Credits,
    has_acknowledged: bool,
    shutdown: Shutdown,
}

/// Scratch space of a thread.
#[derive(Debug, Default)]
pub struct Scratch {
    buffer: Vec<u8>,
    head: Box<RequestHead>,
    /// Memory for further heads.
    #[expect(clippy::vec_box, reason = "events have heads in boxes")]
    spare: Vec<Box<RequestHead>>,
}

/// The limit of heads whose memory is kept.
const MAX_SPARE: usize = 16;

impl Scratch {
    /// Keeps the memory of a head for another request.
    pub fn recycle(&mut self, head: Box<RequestHead>) {
        if self.spare.len() < MAX_SPARE {
            self.spare.push(head);
        }
    }
}

/// The result of a frame.
type Handled = Result<(), FrameError>;

const fn fatal(code: ErrorCode, why: &'static str) -> FrameError {
    FrameError::Connection(code, why)
}

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
            encoder_table: EncoderTable::default(),
            section: None,
            streams: Streams::default(),
            last_stream: 0,
            has_skipped: false,
            reset_streams: VecDeque::new(),
            send_window: RECEIVE_WINDOW.into(),
            initial_window: RECEIVE_WINDOW,
            receive_window: RECEIVE_WINDOW,
            dropped_bytes: 0,
            priorities: Vec::new(),
            credits: Credits::new(),
            has_acknowledged: false,
            shutdown: Shutdown::No,
        }
    }

    /// Returns a stream to which something can be sent.
    pub fn stream(&mut self, id: u32) -> Option<&Stream> {
        self.streams.get(id).filter(|stream| !stream.is_reset).map(|stream| &*stream)
    }

    /// Frees the place of a stream for which nothing is done any more. If its response was sent whole, and its request has not arrived
    /// whole, the client is told not to send the rest (RFC 9113 §8.1).
    pub fn end(&mut self, id: u32, is_answered: bool, out: &mut Vec<u8>) {
        let Some(stream) = self.streams.get(id) else { return };
        if is_answered && !stream.is_reset {
            self.credits.restore_for_answer();
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

    /// Returns whether the client has begun something that it has not completed: the preface, a field section, or the content of a
    /// request that waits for it.
    pub fn is_receiving(&self) -> bool {
        self.phase != Phase::Open || self.section.is_some() || self.streams.iter().any(|stream| stream.head.is_some())
    }

    /// Returns the number of streams that have a place.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }
}

#[cfg(test)]
mod tests;
