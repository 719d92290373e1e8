//! The encoders: each at its highest level for variants on disk, and at a lower one for the memory of the server.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use brotli::enc::BrotliEncoderParams;
use flate2::{Compression, GzBuilder};

use crate::http::coding::Coding;

/// Brotli's highest quality, with a window of at most 4 MiB: one of 16 MiB saves little and costs every client 12 MiB more.
const BROTLI_QUALITY: i32 = 11;
const BROTLI_WINDOW: std::ops::RangeInclusive<u32> = 18..=22;

/// The quality of Brotli for the memory of the server.
const MEMORY_BROTLI_QUALITY: i32 = 8;

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
            let best = brotli_parameters(BROTLI_QUALITY, size);
            brotli::BrotliCompress(&mut input, &mut output, &best)?;
        }
    }
    output.flush()
}

/// Compresses `content` for the memory of the server: at levels that cost little for what they save.
///
/// Measured with 131 files of HTML, CSS and JavaScript, 6.3 MB in all (part of their size; MB of them a second):
///
/// | | gzip 1 | gzip 6 | gzip 9 | zstd 3 | zstd 12 | zstd 19 | Brotli 5 | Brotli 8 | Brotli 9 | Brotli 11 |
/// |---|---|---|---|---|---|---|---|---|---|---|
/// | size | 0.189 | 0.154 | 0.152 | 0.165 | 0.143 | 0.137 | 0.141 | 0.137 | 0.136 | 0.123 |
/// | MB/s | 136 | 65 | 38 | 321 | 25 | 2 | 56 | 37 | 7 | 0.7 |
///
/// Brotli is smaller than zstd at any cost, and every client with zstd has it as well: so zstd is not made here. Browsers accept
/// Brotli over HTTPS only, hence gzip.
pub fn encode_in_memory(coding: Coding, content: &[u8]) -> io::Result<Vec<u8>> {
    let mut output = Vec::with_capacity(content.len() / 4);
    match coding {
        Coding::Gzip => {
            let mut encoder = GzBuilder::new().write(&mut output, Compression::best());
            encoder.write_all(content)?;
            encoder.finish()?;
        }
        Coding::Brotli => {
            let parameters = brotli_parameters(MEMORY_BROTLI_QUALITY, content.len() as u64);
            brotli::BrotliCompress(&mut &content[..], &mut output, &parameters)?;
        }
        Coding::Identity | Coding::Zstd => return Err(io::ErrorKind::Unsupported.into()),
    }
    Ok(output)
}

/// The codings of [`encode_in_memory`].
pub const MEMORY_CODINGS: [Coding; 2] = [Coding::Brotli, Coding::Gzip];

fn brotli_parameters(quality: i32, size: u64) -> BrotliEncoderParams {
    // The window is no larger than the file needs, since encoder and client allocate it. Its capacity is 16 bytes less than its
    // size.
    let window = (size.saturating_add(16)).checked_next_power_of_two().map_or(u64::BITS, u64::trailing_zeros);
    let lgwin = window.clamp(*BROTLI_WINDOW.start(), *BROTLI_WINDOW.end()) as i32;
    let size_hint = usize::try_from(size).unwrap_or(usize::MAX);
    BrotliEncoderParams { quality, lgwin, size_hint, ..Default::default() }
}

#[cfg(test)]
mod tests;
