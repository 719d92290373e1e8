//! Brotli (RFC 7932).

use std::io::BufRead;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

use super::{Output, Rejected, fill};

/// The first byte of a stream with the large-window extension, without its highest bit: a window size that RFC 7932 §9.1
/// does not permit.
const LARGE_WINDOW: u8 = 0x11;

/// Decodes one stream. Brotli has no checksum: a damaged stream may decode to other content.
pub fn decode(input: &mut dyn BufRead, mut output: Output) -> Result<u64, Rejected> {
    if fill(input)?.first().is_some_and(|first| first & 0x7f == LARGE_WINDOW) {
        return Err(Rejected::LargeWindowBrotli);
    }
    let allocator = StandardAlloc::default;
    let mut state = BrotliState::new_strict(allocator(), allocator(), allocator());
    loop {
        let available = fill(input)?;
        let (mut unread, mut read) = (available.len(), 0);
        let (mut space, mut written) = (output.buffer.len(), 0);
        let result = BrotliDecompressStream(
            &mut unread,
            &mut read,
            available,
            &mut space,
            &mut written,
            &mut output.buffer,
            &mut 0,
            &mut state,
        );
        let is_end = available.is_empty();
        input.consume(read);
        output.pass(written)?;
        match result {
            BrotliResult::ResultSuccess if fill(input)?.is_empty() => return Ok(output.length),
            BrotliResult::ResultSuccess => return Err(Rejected::TrailingBytes),
            BrotliResult::NeedsMoreInput if is_end => return Err(Rejected::CutShort),
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultFailure => return Err(Rejected::Damaged),
        }
    }
}
