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
const MEMORY_BROTLI_QUALITY: i32 = 6;

/// The bytes of content after which gzip begins another block, with Huffman codes of its own. The encoder itself begins one after
/// the double or more; zlib does earlier. A style sheet of 137 KiB with images in it becomes 2.2 % smaller by this, and the sites of
/// four generators 0 to 0.4 %; text that is alike from the beginning to the end grows by 0.05 %, and blocks of 32 KiB by 0.2 %.
const GZIP_BLOCK_BYTES: u64 = 64 * 1024;

/// The highest level of zstd with a window that browsers must accept: 8 MiB (RFC 9659 §3).
const ZSTD_LEVEL: i32 = 19;
const ZSTD_WINDOW: u32 = 23;

/// Streams `size` bytes of `input` through an encoder. The output is the same on every machine.
pub fn encode(coding: Coding, mut input: impl Read, output: &File, size: u64) -> io::Result<()> {
    let mut output = BufWriter::with_capacity(1 << 16, output);
    match coding {
        Coding::Identity => drop(io::copy(&mut input, &mut output)?),
        Coding::Gzip => gzip(input, &mut output)?,
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

/// Compresses `content` for the memory of the server: by Brotli 6 or gzip 9, levels that cost little for what they save.
///
/// Measured with 130 files of HTML, CSS and JavaScript, 4.3 MB in all (part of their size; MB of them a second):
///
/// | | gzip 1 | gzip 6 | gzip 9 | zstd 3 | zstd 12 | zstd 19 | Brotli 5 | Brotli 6 | Brotli 8 | Brotli 11 |
/// |---|---|---|---|---|---|---|---|---|---|---|
/// | size | 0.242 | 0.181 | 0.181 | 0.194 | 0.173 | 0.167 | 0.168 | 0.166 | 0.165 | 0.148 |
/// | MB/s | 188 | 50 | 34 | 346 | 15 | 1 | 44 | 37 | 9 | 0.2 |
///
/// `OTUS_MEASURE=DIR cargo test --release --lib figures -- --nocapture` prints these figures for the site in DIR.
///
/// Brotli 6 is as small as zstd at its highest level, and every browser with zstd has Brotli as well: so zstd is not made here.
/// Browsers accept Brotli over HTTPS only, hence gzip; its highest level costs no more than Brotli, and no server beside this one
/// sends fewer bytes.
pub fn encode_in_memory(coding: Coding, content: &[u8]) -> io::Result<Vec<u8>> {
    let mut output = Vec::with_capacity(content.len() / 4);
    match coding {
        Coding::Gzip => gzip(content, &mut output)?,
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

/// Compresses `input` by gzip at the highest level.
fn gzip(mut input: impl Read, output: impl Write) -> io::Result<()> {
    let mut encoder = GzBuilder::new().write(output, Compression::best());
    while io::copy(&mut input.by_ref().take(GZIP_BLOCK_BYTES), &mut encoder)? == GZIP_BLOCK_BYTES {
        encoder.flush()?;
    }
    encoder.finish().map(drop)
}

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
