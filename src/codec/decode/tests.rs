use super::*;
use std::io::{self, BufReader, Write};

use ::brotli::enc::BrotliEncoderParams;
use ::zstd::stream::raw::CParameter;
use flate2::{Compression, Crc, GzBuilder};

const CODINGS: [Coding; 3] = [Coding::Gzip, Coding::Zstd, Coding::Brotli];

/// Decodes `encoded` in parts of `step` bytes.
fn decode_in_parts(coding: Coding, encoded: &[u8], max: u64, step: usize) -> Result<Vec<u8>, Rejected> {
    let mut decoded = Vec::new();
    let mut sink = |part: &[u8]| {
        assert!(!part.is_empty());
        decoded.extend_from_slice(part);
        Ok(())
    };
    let length = decode(coding, &mut BufReader::with_capacity(step, encoded), max, &mut sink);
    assert!(decoded.len() as u64 <= max);
    assert!(length.is_err() || length == Ok(decoded.len() as u64));
    length.map(|_| decoded)
}

/// Decodes `encoded`; the result does not depend on the parts in which it is read.
fn result(coding: Coding, encoded: &[u8], max: u64) -> Result<Vec<u8>, Rejected> {
    let decoded = decode_in_parts(coding, encoded, max, 64 * 1024);
    // Steps of a long content take too long.
    let is_short = decoded.as_ref().map_or(true, |decoded| decoded.len() < 100_000);
    for step in [1, 7].into_iter().filter(|_| is_short) {
        assert!(decode_in_parts(coding, encoded, max, step) == decoded, "{coding:?} in parts of {step}");
    }
    decoded
}

#[track_caller]
fn accepted(coding: Coding, encoded: &[u8], content: &[u8]) {
    let decoded = result(coding, encoded, content.len() as u64);
    assert!(decoded.as_deref() == Ok(content), "{coding:?}: {:?}", decoded.map(|decoded| decoded.len()));
}

#[track_caller]
fn rejected(coding: Coding, encoded: &[u8], expected: Rejected) {
    let decoded = result(coding, encoded, 1 << 26).map(|decoded| decoded.len());
    assert_eq!(decoded, Err(expected), "{coding:?}");
}

fn text(length: usize) -> Vec<u8> {
    let words = (0_u32..).map(|n| format!("function f{}(){{return {n}}}\n", n.wrapping_mul(2_654_435_761) >> 20));
    let mut text = String::new();
    words.take_while(|word| (text.push_str(word), text.len() < length).1).for_each(drop);
    text.truncate(length);
    text.into()
}

fn gzip(content: &[u8], builder: GzBuilder, level: u32) -> Vec<u8> {
    let mut encoder = builder.write(Vec::new(), Compression::new(level));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Encodes a zstd frame: a single segment if the encoder is told the size, and with a window otherwise.
fn zstd(content: &[u8], level: i32, parameters: &[CParameter], is_single_segment: bool) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), level).unwrap();
    parameters.iter().for_each(|parameter| encoder.set_parameter(*parameter).unwrap());
    encoder.set_pledged_src_size(is_single_segment.then_some(content.len() as u64)).unwrap();
    encoder.write_all(content).unwrap();
    let frame = encoder.finish().unwrap();
    // An encoder that gets no content at all knows the size.
    assert_eq!(frame[4] & 0x20 != 0, is_single_segment || content.is_empty());
    frame
}

fn brotli(content: &[u8], quality: i32, lgwin: i32, large_window: bool) -> Vec<u8> {
    let parameters = BrotliEncoderParams { quality, lgwin, large_window, ..Default::default() };
    let mut encoded = Vec::new();
    ::brotli::BrotliCompress(&mut &content[..], &mut encoded, &parameters).unwrap();
    encoded
}

fn encode(coding: Coding, content: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Identity => content.to_vec(),
        Coding::Gzip => gzip(content, GzBuilder::new(), 9),
        Coding::Zstd => zstd(content, 19, &[CParameter::ChecksumFlag(true)], true),
        Coding::Brotli => brotli(content, 9, 22, false),
    }
}

/// A single-segment zstd frame of `blocks` blocks, each with 128 KiB of the same byte (RFC 8878 §3.1.1).
fn single_segment(blocks: u32) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend((blocks << 17).to_le_bytes());
    for block in 1..=blocks {
        let is_last = u32::from(block == blocks);
        frame.extend(&(is_last | 1 << 1 | 1 << 17 << 3).to_le_bytes()[..3]);
        frame.push(b'a');
    }
    frame
}

#[test]
fn content_of_any_length_and_level_is_accepted() {
    for length in [0, 1, 60, 5_000, 140_000] {
        let content = text(length);
        for level in [0, 1, 6, 9] {
            accepted(Coding::Gzip, &gzip(&content, GzBuilder::new(), level), &content);
        }
        for level in [1, 3, 19] {
            for has_checksum in [false, true] {
                for is_single_segment in [false, true] {
                    let parameters = [CParameter::ChecksumFlag(has_checksum)];
                    accepted(Coding::Zstd, &zstd(&content, level, &parameters, is_single_segment), &content);
                }
            }
        }
        for (quality, window) in [(0, 10), (1, 16), (5, 18), (9, 24)] {
            accepted(Coding::Brotli, &brotli(&content, quality, window, false), &content);
        }
        accepted(Coding::Identity, &content, &content);
    }
}

#[test]
fn a_gzip_header_may_have_all_fields() {
    let content = text(500);
    let builder =
        || GzBuilder::new().filename("app.js").comment("built").extra(&b"ab\x02\0xy"[..]).mtime(1).operating_system(3);
    accepted(Coding::Gzip, &gzip(&content, builder(), 6), &content);
    // FHCRC (RFC 1952 §2.3.1): the header's checksum after the ten bytes of a header without other fields.
    let plain = gzip(&content, GzBuilder::new(), 6);
    let mut header = plain[..10].to_vec();
    header[3] |= 2;
    let mut checksum = Crc::new();
    checksum.update(&header);
    let with_checksum = |checksum: u16| [&header[..], &checksum.to_le_bytes(), &plain[10..]].concat();
    accepted(Coding::Gzip, &with_checksum(checksum.sum() as u16), &content);
    rejected(Coding::Gzip, &with_checksum(!checksum.sum() as u16), Rejected::Damaged);
}

#[test]
fn bytes_after_the_end_are_rejected() {
    for coding in CODINGS {
        for length in [0, 60, 70_000] {
            let encoded = encode(coding, &text(length));
            for trailer in [&b"\0"[..], b"\n", b"trailer", &[0; 1000]] {
                rejected(coding, &[&encoded[..], trailer].concat(), Rejected::TrailingBytes);
            }
        }
    }
}

#[test]
fn several_members_frames_and_streams_are_rejected() {
    for (coding, expected) in [
        (Coding::Gzip, Rejected::SeveralMembers),
        (Coding::Zstd, Rejected::SeveralMembers),
        (Coding::Brotli, Rejected::TrailingBytes),
    ] {
        for length in [0, 500] {
            let encoded = encode(coding, &text(length));
            rejected(coding, &[&encoded[..], &encoded].concat(), expected);
        }
    }
}

#[test]
fn skippable_frames_are_rejected() {
    let frame = encode(Coding::Zstd, &text(500));
    for first in [0x50, 0x5f] {
        let skippable = [first, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        for encoded in [[&frame[..], &skippable].concat(), [&skippable, &frame[..]].concat(), skippable.to_vec()] {
            rejected(Coding::Zstd, &encoded, Rejected::SkippableFrame);
        }
    }
}

#[test]
fn dictionaries_are_rejected() {
    let content = text(500);
    let frame = zstd(&content, 3, &[], false);
    for (flag, length) in [(1, 1), (2, 2), (3, 4)] {
        // After the magic number, the descriptor and the window (RFC 8878 §3.1.1.1).
        let with_dictionary = |number: u8| {
            let mut number = vec![number];
            number.resize(length, 0);
            [&frame[..4], &[frame[4] | flag, frame[5]], &number, &frame[6..]].concat()
        };
        rejected(Coding::Zstd, &with_dictionary(7), Rejected::Dictionary);
        // 0 stands for no dictionary.
        accepted(Coding::Zstd, &with_dictionary(0), &content);
    }
}

#[test]
fn zstd_windows_of_more_than_8_mib_are_rejected() {
    let content = text(500);
    let window = |log| zstd(&content, 3, &[CParameter::WindowLog(log)], false);
    accepted(Coding::Zstd, &window(23), &content);
    rejected(Coding::Zstd, &window(24), Rejected::LargeWindow);
    // An eighth more than 8 MiB.
    let mut frame = window(23);
    frame[5] |= 1;
    rejected(Coding::Zstd, &frame, Rejected::LargeWindow);
    // The window of a single segment is its content.
    accepted(Coding::Zstd, &single_segment(64), &vec![b'a'; 8 << 20]);
    let large = single_segment(65);
    assert_eq!(::zstd::decode_all(&large[..]).unwrap().len(), 65 << 17);
    rejected(Coding::Zstd, &large, Rejected::LargeWindow);
}

#[test]
fn the_large_windows_of_brotli_are_rejected() {
    for window in [20, 25] {
        let encoded = brotli(&text(500), 5, window, true);
        assert_eq!(::brotli::BrotliDecompress(&mut &encoded[..], &mut Vec::new()).ok(), Some(()));
        rejected(Coding::Brotli, &encoded, Rejected::LargeWindowBrotli);
    }
}

#[test]
fn empty_and_other_content_is_rejected() {
    for coding in CODINGS {
        rejected(coding, b"", Rejected::Empty);
    }
    rejected(Coding::Gzip, b"<!doctype html>", Rejected::Format);
    rejected(Coding::Zstd, b"<!doctype html>", Rejected::Format);
    rejected(Coding::Gzip, &encode(Coding::Zstd, b"content"), Rejected::Format);
    rejected(Coding::Zstd, &encode(Coding::Gzip, b"content"), Rejected::Format);
    // The other methods of compression and the reserved flags of gzip, and the reserved bit of zstd.
    rejected(Coding::Gzip, b"\x1f\x8b\x07\0\0\0\0\0\0\x03", Rejected::Format);
    rejected(Coding::Gzip, b"\x1f\x8b\x08\x20\0\0\0\0\0\x03", Rejected::Damaged);
    rejected(Coding::Zstd, b"\x28\xb5\x2f\xfd\x28\x00\x01\0\0", Rejected::Damaged);
}

#[test]
fn truncated_content_is_rejected_at_every_byte() {
    for coding in CODINGS {
        let encoded = encode(coding, &text(200));
        for length in 1..encoded.len() {
            rejected(coding, &encoded[..length], Rejected::CutShort);
        }
    }
    let frame = zstd(&text(200), 3, &[], false);
    (1..frame.len()).for_each(|length| rejected(Coding::Zstd, &frame[..length], Rejected::CutShort));
}

/// Where there is a checksum, content with one changed bit is rejected or decodes to the same content. Brotli has none.
#[test]
fn content_with_a_changed_bit_is_rejected_or_the_same() {
    let content = text(60);
    for coding in CODINGS {
        let encoded = encode(coding, &content);
        let mut rejections = 0;
        for bit in 0..encoded.len() * 8 {
            let mut changed = encoded.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            match result(coding, &changed, content.len() as u64) {
                Ok(decoded) => assert!(decoded == content || coding == Coding::Brotli, "{coding:?}, bit {bit}"),
                Err(_) => rejections += 1,
            }
        }
        assert!(rejections > encoded.len(), "{coding:?}: {rejections} of {} bytes", encoded.len());
    }
}

#[test]
fn longer_content_is_rejected_before_it_is_decoded() {
    let content = vec![b'a'; 4 << 20];
    for coding in [Coding::Gzip, Coding::Zstd, Coding::Brotli, Coding::Identity] {
        // Without a content size in the frame, for zstd.
        let encoded = if coding == Coding::Zstd { zstd(&content, 1, &[], false) } else { encode(coding, &content) };
        for max in [0, 1, 100_000, (4 << 20) - 1] {
            let mut length = 0;
            let mut input = &encoded[..];
            let mut sink = |part: &[u8]| {
                length += part.len() as u64;
                Ok(())
            };
            assert_eq!(decode(coding, &mut input, max, &mut sink), Err(Rejected::Longer), "{coding:?}, {max}");
            assert!(length <= max, "{coding:?}: {length} of {max}");
        }
        accepted(coding, &encoded, &content);
    }
    // The content size in the frame is enough.
    let encoded = encode(Coding::Zstd, &content[..1000]);
    assert_eq!(result(Coding::Zstd, &encoded[..10], 999), Err(Rejected::Longer));
}

#[test]
fn failures_of_reading_and_of_the_sink_are_returned() {
    /// Content that ends with an error.
    struct Failing<'c>(&'c [u8]);
    impl io::Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Err(io::Error::from_raw_os_error(5)) } else { self.0.read(buffer) }
        }
    }
    for coding in CODINGS {
        let encoded = encode(coding, &text(300));
        for length in 0..=encoded.len() {
            let mut input = BufReader::with_capacity(5, Failing(&encoded[..length]));
            assert_eq!(decode(coding, &mut input, 1000, &mut |_| Ok(())), Err(Rejected::Unreadable), "{coding:?}");
        }
        let mut calls = 0;
        let mut sink = |_: &[u8]| {
            calls += 1;
            Err(Rejected::Differs)
        };
        assert_eq!(decode(coding, &mut &encoded[..], 1000, &mut sink), Err(Rejected::Differs));
        assert_eq!(calls, 1);
    }
}
