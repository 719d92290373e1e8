use super::*;
use std::fs;
use std::path::Path;

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

/// The HTML, CSS and JavaScript of 1 KiB to 1 MiB below `directory`, at most `count` files.
fn site(directory: &Path, count: usize) -> Vec<Vec<u8>> {
    let is_text = |path: &Path| {
        path.extension().is_some_and(|extension| ["html", "css", "js"].iter().any(|name| extension == *name))
    };
    let (mut pending, mut found) = (vec![directory.to_path_buf()], Vec::new());
    while let Some(next) = pending.pop() {
        let mut entries: Vec<_> = fs::read_dir(next).into_iter().flatten().flatten().collect();
        entries.sort_by_key(fs::DirEntry::path);
        for entry in entries {
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            } else if is_text(&entry.path()) && (1 << 10..1 << 20).contains(&entry.metadata().unwrap().len()) {
                found.push(entry.path());
            }
        }
    }
    let step = found.len().div_ceil(count).max(1);
    found.into_iter().step_by(step).map(|path| fs::read(path).unwrap()).collect()
}

/// Prints what the documentation of [`encode_in_memory`] has, for the site that `OTUS_MEASURE` names, or for a little text.
#[test]
fn figures_of_the_levels() {
    let contents = match std::env::var_os("OTUS_MEASURE") {
        Some(directory) => site(directory.as_ref(), 200),
        None => vec![text(5_000), text(2_000)],
    };
    let total: usize = contents.iter().map(Vec::len).sum();
    println!("{} files, {total} bytes", contents.len());
    let part = |name: &str, encode: &dyn Fn(&[u8]) -> Vec<u8>| {
        let begin = crate::os::clock::thread_ns();
        let size: usize = contents.iter().map(|content| encode(content).len()).sum();
        let ns = crate::os::clock::thread_ns() - begin;
        let part = size as f64 / total as f64;
        println!("{name:10} {part:.3} of the size, {:6.1} MB/s", total as f64 * 1e3 / ns as f64);
        part
    };
    for level in [1, 6, 9] {
        part(&format!("gzip {level}"), &|content| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::new(level));
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        });
    }
    for level in [3, 12, 19] {
        part(&format!("zstd {level}"), &|content| zstd::bulk::compress(content, level).unwrap());
    }
    for quality in [4, 5, 6, 7, 8, 9, 10, 11] {
        part(&format!("Brotli {quality}"), &|content| {
            let mut output = Vec::new();
            let parameters = brotli_parameters(quality, content.len() as u64);
            brotli::BrotliCompress(&mut &content[..], &mut output, &parameters).unwrap();
            output
        });
    }
    let [brotli, gzip] = MEMORY_CODINGS
        .map(|coding| part(&format!("{coding:?} here"), &|content| encode_in_memory(coding, content).unwrap()));
    assert!(brotli < 1.0 && gzip < 1.0);
}

#[test]
fn content_that_is_encoded_in_memory_decodes_to_the_original() {
    for length in [0, 1, 300, 70_000] {
        let content = text(length);
        for coding in MEMORY_CODINGS {
            let encoded = encode_in_memory(coding, &content).unwrap();
            assert!(decode(coding, &encoded) == content, "{coding:?}, {length} bytes");
        }
    }
    assert!(encode_in_memory(Coding::Zstd, b"").is_err() && encode_in_memory(Coding::Identity, b"").is_err());
}
