//! Settings (RFC 9113 §6.5, RFC 9218 §2.1).

use super::super::{ErrorCode, FrameError};

/// The length of a setting, in bytes.
pub const ENTRY_BYTES: usize = 6;

/// The largest window, in bytes (RFC 9113 §6.9.1).
const MAX_WINDOW: u32 = 0x7fff_ffff;

/// The limits of SETTINGS_MAX_FRAME_SIZE, in bytes.
const FRAME_SIZES: std::ops::RangeInclusive<u32> = 1 << 14..=(1 << 24) - 1;

/// A setting that a client or this server may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Setting {
    /// The size of the dynamic table, in bytes.
    HeaderTableSize = 0x1,
    /// Whether the client accepts pushed responses.
    EnablePush = 0x2,
    /// The limit of streams at one time.
    MaxConcurrentStreams = 0x3,
    /// The window of a new stream, in bytes.
    InitialWindowSize = 0x4,
    /// The longest payload of a frame, in bytes.
    MaxFrameSize = 0x5,
    /// The longest field section, in bytes as RFC 9113 §6.5.2 counts them.
    MaxHeaderListSize = 0x6,
    /// Whether the priorities of RFC 7540 are ignored.
    NoRfc7540Priorities = 0x9,
}

/// The settings of a frame. They are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings<'b>(&'b [u8]);

impl<'b> Settings<'b> {
    /// Checks the payload of a SETTINGS.
    pub fn check(payload: &'b [u8]) -> Result<Self, FrameError> {
        let settings = Settings(payload);
        for (setting, value) in settings.iter() {
            let (is_valid, code) = match setting {
                Setting::EnablePush | Setting::NoRfc7540Priorities => (value <= 1, ErrorCode::ProtocolError),
                Setting::InitialWindowSize => (value <= MAX_WINDOW, ErrorCode::FlowControlError),
                Setting::MaxFrameSize => (FRAME_SIZES.contains(&value), ErrorCode::ProtocolError),
                Setting::HeaderTableSize | Setting::MaxConcurrentStreams | Setting::MaxHeaderListSize => continue,
            };
            if !is_valid {
                return Err(FrameError::Connection(code, "a setting has a value that is not allowed"));
            }
        }
        Ok(settings)
    }

    /// Returns the settings that are known, with their values, in their order.
    pub fn iter(self) -> impl Iterator<Item = (Setting, u32)> + use<'b> {
        self.0.chunks_exact(ENTRY_BYTES).filter_map(|entry| {
            let (number, value) = entry.split_first_chunk()?;
            Some((Setting::of(u16::from_be_bytes(*number))?, u32::from_be_bytes(*value.first_chunk()?)))
        })
    }
}

impl Setting {
    fn of(number: u16) -> Option<Setting> {
        use Setting::*;
        const KNOWN: [Setting; 7] = [
            HeaderTableSize,
            EnablePush,
            MaxConcurrentStreams,
            InitialWindowSize,
            MaxFrameSize,
            MaxHeaderListSize,
            NoRfc7540Priorities,
        ];
        KNOWN.into_iter().find(|setting| *setting as u16 == number)
    }
}
