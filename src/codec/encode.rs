//! The encoders, each at its highest level.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use brotli::enc::BrotliEncoderParams;
use flate2::{Compression, GzBuilder};

use crate::http::coding::Coding;

/// Brotli's highest quality, with a window of at most 4 MiB: one of 16 MiB saves little and costs every client 12 MiB more.
const BROTLI_QUALITY: i32 = 11;
const BROTLI_WINDOW: std::ops::RangeInclusive<u32> = 18..=22;

/// The highest level of zstd with a window that browsers must accept: 8 MiB (RFC 9659 §3).
const ZSTD_LEVEL: i32 = 19;
const ZSTD_WINDOW: u32 = 23;

/// Streams `size` bytes of `input` through an encoder. The output is the same on every machine.
pub fn encode(coding: Coding, mut input: impl Read, output: &File, size: u64) -> io::Result<()> {
    let mut output = BufWriter::with_capacity(1 << 16, output);
    match coding {
        Coding::Identity => drop(io::copy(&mut input, &mut output)?),
        Coding::Gzip => {
            let mut encoder = GzBuilder::new().write(&mut output, Compression::best());
            io::copy(&mut input, &mut encoder)?;
            encoder.finish()?;
        }
        Coding::Zstd => {
            let mut encoder = zstd::Encoder::new(&mut output, ZSTD_LEVEL)?;
            encoder.window_log(ZSTD_WINDOW)?;
            encoder.set_pledged_src_size(Some(size))?;
            io::copy(&mut input, &mut encoder)?;
            encoder.finish()?;
        }
        Coding::Brotli => {
            // No larger than the file needs, since encoder and client allocate it. Its capacity is 16 bytes less than its size.
            let window = (size.saturating_add(16)).checked_next_power_of_two().map_or(u64::BITS, u64::trailing_zeros);
            let lgwin = window.clamp(*BROTLI_WINDOW.start(), *BROTLI_WINDOW.end()) as i32;
            let size_hint = usize::try_from(size).unwrap_or(usize::MAX);
            let best = BrotliEncoderParams { quality: BROTLI_QUALITY, lgwin, size_hint, ..Default::default() };
            brotli::BrotliCompress(&mut input, &mut output, &best)?;
        }
    }
    output.flush()
}

#[cfg(test)]
mod tests;
