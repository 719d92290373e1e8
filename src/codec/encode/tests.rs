use super::*;
use std::fs;

/// Decodes strictly, as the server does before it sends a variant.
fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut sink = |part: &[u8]| {
        decoded.extend_from_slice(part);
        Ok(())
    };
    crate::codec::decode(coding, &mut &bytes[..], u64::MAX, &mut sink).unwrap();
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
fn encoded_content_decodes_to_the_original() {
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
fn windows_are_within_the_limits_of_all_browsers() {
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
