//! The decoder of field sections (RFC 7541 §3).

use std::ops::ControlFlow;

use super::dynamic_table::DynamicTable;
use super::static_table::STATIC_TABLE;
use super::{huffman, integer};

/// Why a field section cannot be decoded. The connection has to end: what follows would be decoded wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// It is malformed, which is a COMPRESSION_ERROR (RFC 9113 §4.3).
    Malformed(&'static str),
    /// The caller has stopped it.
    Stopped,
}

/// The decoder of a connection.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// The largest table that the client may use, in bytes.
    max_table_bytes: u16,
}

/// Where the name of a literal field line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Literal {
    Indexed,
    NotIndexed,
}

impl Decoder {
    /// Creates the decoder of a client that was told that it may use a table of `max_table_bytes`.
    pub fn new(max_table_bytes: u16) -> Self {
        Decoder { table: DynamicTable::new(max_table_bytes), max_table_bytes }
    }

    /// Decodes a whole field section, and calls `each` with name and value of its field lines, in their order, until it breaks.
    /// `buffer` is scratch space.
    pub fn decode(
        &mut self,
        mut section: &[u8],
        buffer: &mut Vec<u8>,
        mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), DecodeError> {
        let mut has_line = false;
        while let Some(&first) = section.first() {
            let next = match first {
                0x80.. => self.indexed(&mut section, &mut each)?,
                0x40.. => self.literal(&mut section, 6, Literal::Indexed, buffer, &mut each)?,
                0x20.. if has_line => return Err(DecodeError::Malformed("the size of the table changes too late")),
                0x20.. => {
                    self.resize(integer::take(&mut section, 5)?)?;
                    continue;
                }
                // Without indexing, and never indexed: the difference is one for proxies.
                _ => self.literal(&mut section, 4, Literal::NotIndexed, buffer, &mut each)?,
            };
            has_line = true;
            if next.is_break() {
                return Err(DecodeError::Stopped);
            }
        }
        Ok(())
    }

    fn indexed(
        &self,
        section: &mut &[u8],
        each: &mut impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, DecodeError> {
        let (name, value) = self.line(integer::take(section, 7)?)?;
        Ok(each(name, value))
    }

    fn literal(
        &mut self,
        section: &mut &[u8],
        prefix_bits: u32,
        literal: Literal,
        buffer: &mut Vec<u8>,
        each: &mut impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, DecodeError> {
        buffer.clear();
        match integer::take(section, prefix_bits)? {
            0 => take_string(section, buffer)?,
            // It is copied: the entry with the name may have to leave the table for the one that is added.
            index => buffer.extend_from_slice(self.line(index)?.0),
        }
        let name_bytes = buffer.len();
        take_string(section, buffer)?;
        let (name, value) = buffer.split_at(name_bytes);
        if literal == Literal::Indexed {
            self.table.insert(name, value);
        }
        Ok(each(name, value))
    }

    /// Returns the field line with an index, which counts from 1 (RFC 7541 §2.3.3).
    fn line(&self, index: u32) -> Result<(&[u8], &[u8]), DecodeError> {
        let position = (index as usize).checked_sub(1).ok_or(DecodeError::Malformed("an index is 0"))?;
        let line = match STATIC_TABLE.get(position) {
            Some((name, value)) => Some((name.as_bytes(), value.as_bytes())),
            None => self.table.get(position - STATIC_TABLE.len()),
        };
        line.ok_or(DecodeError::Malformed("an index is beyond the table"))
    }

    fn resize(&mut self, bytes: u32) -> Result<(), DecodeError> {
        if bytes > u32::from(self.max_table_bytes) {
            return Err(DecodeError::Malformed("the table would be larger than announced"));
        }
        self.table.resize(bytes as usize);
        Ok(())
    }
}

/// Removes a string at the beginning of `bytes`, and appends what it stands for (RFC 7541 §5.2).
fn take_string(bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let is_coded = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer::take(bytes, 7)? as usize;
    let (string, rest) = bytes.split_at_checked(length).ok_or(DecodeError::Malformed("a string ends too early"))?;
    *bytes = rest;
    if is_coded {
        return huffman::decode(string, out).ok_or(DecodeError::Malformed("a string is no Huffman code"));
    }
    out.extend_from_slice(string);
    Ok(())
}
