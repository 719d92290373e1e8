//! The strict decoders: the crates' own decoders decode accepted input to the same content, and the output is within its
//! limit. The parts in which the input is read change neither; of several reasons for a rejection, any may be returned.
#![no_main]

use std::io::{BufReader, Read};

use libfuzzer_sys::fuzz_target;
use otus_httpd::codec::{Rejected, decode};
use otus_httpd::http::coding::Coding;

/// More than any corpus needs, but so little that a decompression bomb takes no time.
const MAX_LIMIT: u64 = 1 << 20;

fn decode_in_parts(coding: Coding, encoded: &[u8], max: u64, step: usize) -> Result<Vec<u8>, Rejected> {
    let mut decoded = Vec::new();
    let mut sink = |part: &[u8]| {
        decoded.extend_from_slice(part);
        Ok(())
    };
    let length = decode(coding, &mut BufReader::with_capacity(step, encoded), max, &mut sink);
    assert!(decoded.len() as u64 <= max);
    assert!(length.is_err() || length == Ok(decoded.len() as u64));
    length.map(|_| decoded)
}

// The first byte selects the coding, the second one the size of the parts, the third one the number of bits of the
// limit.
fuzz_target!(|input: &[u8]| {
    let Some((&[coding, step, bits], encoded)) = input.split_first_chunk() else { return };
    let coding = [Coding::Gzip, Coding::Zstd, Coding::Brotli][usize::from(coding % 3)];
    let max = MAX_LIMIT >> (bits % 21);
    let decoded = decode_in_parts(coding, encoded, max, encoded.len().max(1));
    let in_parts = decode_in_parts(coding, encoded, max, usize::from(step).max(1));
    assert!(![&decoded, &in_parts].contains(&&Err(Rejected::Unreadable)));
    assert!(decoded.as_ref().ok() == in_parts.as_ref().ok(), "{coding:?} in parts of {step}");
    let Ok(decoded) = decoded else { return };
    let mut usual = Vec::new();
    match coding {
        Coding::Gzip => drop(flate2::read::MultiGzDecoder::new(encoded).read_to_end(&mut usual).unwrap()),
        Coding::Zstd => drop(zstd::Decoder::new(encoded).unwrap().read_to_end(&mut usual).unwrap()),
        _ => brotli::BrotliDecompress(&mut &*encoded, &mut usual).unwrap(),
    }
    assert!(usual == decoded, "{coding:?} decodes to other content");
});
