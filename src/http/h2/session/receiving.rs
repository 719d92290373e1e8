//! The frames of a client, one after the other (RFC 9113 §3.4, §4.1).

use super::super::frame::{self, Frame, Setting, Settings, write};
use super::super::hpack::TABLE_BYTES;
use super::super::priority::Priority;
use super::super::{ErrorCode, FrameError};
use super::shutdown::{SHUTDOWN_PING, Shutdown};
use super::{Event, Failure, Handled, PREFACE, Scratch, Section, Session, fatal};

/// The limit of bytes for a client that does not read them, besides responses.
const MAX_UNREAD_BYTES: usize = 16 * 1024;

const CALM_UNREAD: FrameError = fatal(ErrorCode::EnhanceYourCalm, "the client does not read what it has asked for");

/// What has arrived of the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The preface has not arrived.
    Preface,
    /// The first frame, which is SETTINGS, has not arrived.
    Settings,
    Open,
}

impl Session {
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
                    self.go_away(code, out);
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
            Err(FrameError::Stream(id, code, _)) if self.section.is_none() && !self.is_idle(id) => {
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
                    self.credits.spend_frame()?;
                }
                self.receive_data(stream, data.len(), window_bytes, ends_stream, out, events)
            }
            Frame::ResetStream { stream, .. } => self.receive_reset(stream, events),
            Frame::WindowUpdate { stream, increment } => {
                self.credits.spend_frame()?;
                self.extend_window(stream, increment)
            }
            Frame::Settings(settings) => {
                self.credits.spend_frame()?;
                self.apply(settings)?;
                write::settings_ack(out);
                Ok(())
            }
            Frame::SettingsAck => {
                self.has_acknowledged = true;
                self.credits.spend_frame()
            }
            Frame::Ping(data) => {
                self.credits.spend_frame()?;
                write::ping_ack(out, data);
                Ok(())
            }
            Frame::PingAck(data) => {
                if data == SHUTDOWN_PING && self.shutdown == Shutdown::Announced {
                    self.end_shutdown(out);
                }
                self.credits.spend_frame()
            }
            Frame::PriorityUpdate { stream, priority } => {
                self.credits.spend_frame()?;
                self.set_priority(stream, Priority::parse(priority))
            }
            Frame::GoAway { .. } | Frame::Ignored => self.credits.spend_frame(),
        }
    }

    fn apply(&mut self, settings: Settings) -> Handled {
        let (mut highest, mut last) = (0, None);
        for (setting, value) in settings.iter() {
            match setting {
                Setting::HeaderTableSize if value < TABLE_BYTES.into() => self.encoder_table.lower(),
                Setting::InitialWindowSize => (highest, last) = (value.max(highest), Some(value)),
                // The others limit what this server does not do: it does not push, and its frames and sections are short.
                _ => {}
            }
        }
        match last {
            Some(last) => self.change_initial_window(highest, last),
            None => Ok(()),
        }
    }
}
