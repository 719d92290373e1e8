//! The dynamic table that the server does not use (RFC 7541 §4.2).

use super::super::frame::write;
use super::Session;

/// What the client knows of the table. Its size is that of the beginning, 4,096 bytes, until the client allows less; then the next
/// field section has to begin with the size that is used, which is none, and no later setting changes that.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum EncoderTable {
    #[default]
    Unused,
    /// The next field section says so.
    TooLarge,
    Empty,
}

/// A dynamic table size update to no bytes (RFC 7541 §6.3).
const EMPTY: u8 = 0x20;

impl EncoderTable {
    /// The client allows less than at the beginning.
    pub fn lower(&mut self) {
        if *self == EncoderTable::Unused {
            *self = EncoderTable::TooLarge;
        }
    }
}

impl Session {
    /// Appends the field section of a response. Sections are sent by this function alone, in the order of their frames.
    pub fn write_headers(&mut self, out: &mut Vec<u8>, stream: u32, section: &[u8], ends_stream: bool) {
        match self.encoder_table {
            EncoderTable::TooLarge => {
                self.encoder_table = EncoderTable::Empty;
                write::headers(out, stream, &[&[EMPTY], section].concat(), ends_stream);
            }
            EncoderTable::Unused | EncoderTable::Empty => write::headers(out, stream, section, ends_stream),
        }
    }
}
