//! What a client may do that costs this server something and the client nothing.

use super::super::{ErrorCode, FrameError};
use super::{Handled, fatal};

/// The credits, and what restores them.
const RESETS: u32 = 200;
const IDLE_FRAMES: u32 = 1_000;
const FRAMES_PER_ANSWER: u32 = 20;

/// The bytes of content that restore the credit for one frame. A client with a window of a byte gets none.
const BYTES_PER_FRAME: usize = 256;

const CALM_RESETS: FrameError = fatal(ErrorCode::EnhanceYourCalm, "the client has had too many streams reset");
const CALM_FRAMES: FrameError =
    fatal(ErrorCode::EnhanceYourCalm, "the client has sent too many frames that ask for nothing");

/// The credits that a client has left.
#[derive(Debug)]
pub(super) struct Credits {
    resets: u32,
    idle_frames: u32,
    /// The bytes of content that have not restored anything yet.
    data_bytes: usize,
}

impl Credits {
    pub fn new() -> Self {
        Credits { resets: RESETS, idle_frames: IDLE_FRAMES, data_bytes: 0 }
    }

    /// A stream was reset, or refused.
    pub fn spend_reset(&mut self) -> Handled {
        self.resets = self.resets.checked_sub(1).ok_or(CALM_RESETS)?;
        Ok(())
    }

    /// A frame has asked for nothing.
    pub fn spend_frame(&mut self) -> Handled {
        self.idle_frames = self.idle_frames.checked_sub(1).ok_or(CALM_FRAMES)?;
        Ok(())
    }

    /// A request was answered.
    pub fn restore_for_answer(&mut self) {
        self.resets = (self.resets + 1).min(RESETS);
        self.idle_frames = (self.idle_frames + FRAMES_PER_ANSWER).min(IDLE_FRAMES);
    }

    /// A DATA frame with so many bytes of content was sent.
    pub fn restore_for_data(&mut self, bytes: usize) {
        self.data_bytes += bytes;
        self.idle_frames = (self.idle_frames + (self.data_bytes / BYTES_PER_FRAME) as u32).min(IDLE_FRAMES);
        self.data_bytes %= BYTES_PER_FRAME;
    }
}
