//! Zstandard (RFC 8878).

use std::io::{BufRead, Read};

use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::{Output, Rejected, fill, read_up_to};

/// The magic number of a frame, little-endian (§3.1.1).
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// The logarithm of the largest window that browsers must support: 8 MiB (RFC 9659 §3).
const MAX_WINDOW_LOG: u32 = 23;

/// Decodes one frame. The decoder verifies its checksum and its content size if it has them.
pub fn decode(input: &mut dyn BufRead, mut output: Output) -> Result<u64, Rejected> {
    let magic = read_up_to::<4>(input)?;
    if is_skippable(&magic) {
        return Err(Rejected::SkippableFrame);
    }
    if !MAGIC.starts_with(&magic) {
        return Err(Rejected::Format);
    }
    let header = Header::read(input)?;
    if header.dictionary != 0 {
        return Err(Rejected::Dictionary);
    }
    if header.window > 1 << MAX_WINDOW_LOG {
        return Err(Rejected::LargeWindow);
    }
    if header.content_size.is_some_and(|size| size > output.max_length) {
        return Err(Rejected::Longer);
    }
    // Both fail only without memory.
    let mut decoder = Decoder::new().map_err(|_| Rejected::Unreadable)?;
    decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(|_| Rejected::Unreadable)?;
    let start = [magic, header.bytes].concat();
    let mut input = start.chain(input);
    loop {
        let available = fill(&mut input)?;
        let is_end = available.is_empty();
        let status = decoder.run_on_buffers(available, &mut output.buffer).map_err(|_| Rejected::Damaged)?;
        input.consume(status.bytes_read);
        output.pass(status.bytes_written)?;
        if status.remaining == 0 {
            break;
        }
        if is_end && status.bytes_written == 0 {
            return Err(Rejected::CutShort);
        }
    }
    let rest = read_up_to::<4>(&mut input)?;
    match &rest[..] {
        [] => Ok(output.length),
        next if next == MAGIC => Err(Rejected::SeveralMembers),
        next if is_skippable(next) => Err(Rejected::SkippableFrame),
        _ => Err(Rejected::TrailingBytes),
    }
}

/// Returns whether these bytes are the magic number of a skippable frame, little-endian (§3.1.2).
fn is_skippable(magic: &[u8]) -> bool {
    matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18])
}

/// A frame header (§3.1.1.1).
struct Header {
    /// The header as it was read, without the magic number.
    bytes: Vec<u8>,
    /// The size of the window, in bytes. For a single segment it is the size of the content.
    window: u64,
    /// The number of the dictionary; 0 for none.
    dictionary: u64,
    content_size: Option<u64>,
}

impl Header {
    fn read(input: &mut dyn BufRead) -> Result<Header, Rejected> {
        let mut bytes = Vec::with_capacity(14);
        let mut number = |length: u64| -> Result<u64, Rejected> {
            let start = bytes.len();
            input.take(length).read_to_end(&mut bytes).map_err(|_| Rejected::Unreadable)?;
            let field = &bytes[start..];
            if (field.len() as u64) < length {
                return Err(Rejected::CutShort);
            }
            Ok(field.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
        };
        let descriptor = number(1)?;
        let is_single_segment = descriptor & 0x20 != 0;
        // The reserved bit (§3.1.1.1.1.4).
        if descriptor & 0x08 != 0 {
            return Err(Rejected::Damaged);
        }
        let window = if is_single_segment { None } else { Some(window_size(number(1)?)) };
        let dictionary = number([0, 1, 2, 4][(descriptor & 3) as usize])?;
        let content_size = match (descriptor >> 6, is_single_segment) {
            (0, false) => None,
            (0, true) => Some(number(1)?),
            (1, _) => Some(number(2)? + 256),
            (2, _) => Some(number(4)?),
            _ => Some(number(8)?),
        };
        let window = window.or(content_size).unwrap_or_default();
        Ok(Header { bytes, window, dictionary, content_size })
    }
}

/// Returns the size that a window descriptor stands for (§3.1.1.1.2).
fn window_size(descriptor: u64) -> u64 {
    let base = 1 << (10 + (descriptor >> 3));
    base + base / 8 * (descriptor & 7)
}
