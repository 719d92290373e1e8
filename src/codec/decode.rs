//! Strict decoders: content that they accept is decoded to the same bytes by every browser.
//!
//! Browsers differ in what they do with bytes after the end, a second gzip member or zstd frame, and large windows, so all
//! these are rejected. The convenient interfaces of the crates accept most of them.

mod brotli;
mod gzip;
mod zstd;

use std::io::{BufRead, ErrorKind, Read};

use super::Rejected;
use crate::http::coding::Coding;

/// The size of the buffer for decoded content, in bytes.
const BUFFER_BYTES: u64 = 64 * 1024;

/// Decodes `input` to its end, calls `sink` with each part of the decoded content, and returns the length of all parts.
///
/// Accepts exactly one gzip member (RFC 1952), one zstd frame with a window of at most 8 MiB (RFC 8878, RFC 9659) and
/// without a dictionary, or one Brotli stream (RFC 7932), and verifies the checksums that it contains. Stops when `sink`
/// fails, and before a part that makes the decoded content longer than `max_output`.
///
/// The memory is that of the window and of small buffers: about 9 MiB, or 17 MiB for Brotli. It does not depend on the
/// length of the content.
pub fn decode(
    coding: Coding,
    input: &mut dyn BufRead,
    max_output: u64,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Rejected>,
) -> Result<u64, Rejected> {
    // One byte more than allowed, so that longer content is noticed.
    let buffer = vec![0; max_output.saturating_add(1).min(BUFFER_BYTES) as usize];
    let output = Output { sink, buffer, length: 0, max_length: max_output };
    if coding != Coding::Identity && fill(input)?.is_empty() {
        return Err(Rejected::Empty);
    }
    match coding {
        Coding::Identity => copy(input, output),
        Coding::Gzip => gzip::decode(input, output),
        Coding::Zstd => zstd::decode(input, output),
        Coding::Brotli => brotli::decode(input, output),
    }
}

/// The receiver of decoded content.
struct Output<'s> {
    sink: &'s mut dyn FnMut(&[u8]) -> Result<(), Rejected>,
    /// Space for a decoder to write to.
    buffer: Vec<u8>,
    /// The length of the content that was passed on, in bytes.
    length: u64,
    max_length: u64,
}

impl Output<'_> {
    /// Passes on the first `length` bytes of the buffer.
    fn pass(&mut self, length: usize) -> Result<(), Rejected> {
        self.length += length as u64;
        if self.length > self.max_length {
            return Err(Rejected::Longer);
        }
        if length > 0 { (self.sink)(&self.buffer[..length]) } else { Ok(()) }
    }
}

fn copy(input: &mut dyn BufRead, mut output: Output) -> Result<u64, Rejected> {
    loop {
        match input.read(&mut output.buffer) {
            Ok(0) => return Ok(output.length),
            Ok(length) => output.pass(length)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(Rejected::Unreadable),
        }
    }
}

/// Returns the next bytes of `input`; none at its end.
fn fill(input: &mut dyn BufRead) -> Result<&[u8], Rejected> {
    while input.fill_buf().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
    input.fill_buf().map_err(|_| Rejected::Unreadable)
}

/// Reads up to `N` bytes, fewer only at the end.
fn read_up_to<const N: usize>(input: &mut dyn BufRead) -> Result<Vec<u8>, Rejected> {
    let mut bytes = Vec::with_capacity(N);
    input.take(N as u64).read_to_end(&mut bytes).map_err(|_| Rejected::Unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
