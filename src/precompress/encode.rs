//! The encoders, each at its best level.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use brotli::enc::BrotliEncoderParams;
use flate2::{Compression, GzBuilder};

use crate::http::coding::Coding;

/// Brotli's best, with a window of 4 MiB at most: one of 16 MiB wins little and costs every client 12 MiB more.
const BROTLI_QUALITY: i32 = 11;
const BROTLI_WINDOW: std::ops::RangeInclusive<u32> = 18..=22;

/// The best level of zstd whose window a browser must take: 8 MiB (RFC 9659 §3).
const ZSTD_LEVEL: i32 = 19;
const ZSTD_WINDOW: u32 = 23;

/// Streams `size` bytes of `input` through an encoder at its best level. The same bytes come out on every machine.
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
            // No larger than the file needs: encoder and client allocate by it. It holds 16 bytes less than its name says.
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
mod tests {
    use super::*;
    use std::fs;

    fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::new();
        match coding {
            Coding::Identity => decoded.extend(bytes),
            Coding::Gzip => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut decoded).unwrap()),
            Coding::Zstd => drop(zstd::Decoder::new(bytes).unwrap().read_to_end(&mut decoded).unwrap()),
            Coding::Brotli => brotli::BrotliDecompress(&mut &bytes[..], &mut decoded).unwrap(),
        }
        decoded
    }

    /// Text that shrinks, but not to nothing.
    fn text(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut word = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            format!("{} ", state >> 16)
        };
        let mut text = String::new();
        while text.len() < length {
            text += &word();
        }
        text.truncate(length);
        text.into()
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for length in [0, 1, 300, 70_000] {
            let content = text(length);
            for coding in Coding::BY_SIZE {
                let file = tempfile::NamedTempFile::new().unwrap();
                encode(coding, &content[..], file.as_file(), length as u64).unwrap();
                assert!(decode(coding, &fs::read(file.path()).unwrap()) == content, "{coding:?}, {length} bytes");
            }
        }
    }

    #[test]
    fn windows_are_no_larger_than_every_browser_takes() {
        // Longer than the largest window, and made to compress at once.
        let length = (1 << ZSTD_WINDOW) + 1;
        let file = tempfile::NamedTempFile::new().unwrap();
        encode(Coding::Zstd, io::repeat(b'a').take(length), file.as_file(), length).unwrap();
        let frame = fs::read(file.path()).unwrap();
        // RFC 8878 §3.1.1.1: magic number, descriptor (not a single segment), then the window: 1 KiB << exponent.
        assert_eq!((&frame[..4], frame[4] & 0x20), (&[0x28, 0xb5, 0x2f, 0xfd][..], 0));
        assert_eq!((10 + (frame[5] >> 3), frame[5] & 7), (23, 0));
        // RFC 7932 §9.1: 22 bits are coded as 1011, the lowest bits of the first byte.
        let file = tempfile::NamedTempFile::new().unwrap();
        encode(Coding::Brotli, &[b'a'; 5 << 20][..], file.as_file(), 5 << 20).unwrap();
        assert_eq!(fs::read(file.path()).unwrap()[0] & 0x0f, 0b1011);
    }
}
