//! Field sections of HTTP/2: what is decoded is bounded, and what is encoded is decoded again.
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use otus_httpd::http::h2::hpack::{Decoder, TABLE_BYTES, encoder};

/// The limit of a section, in bytes of names and values.
const MAX_BYTES: usize = 64 * 1024;

// Each section is preceded by its length, in two bytes.
fuzz_target!(|input: &[u8]| {
    let (mut decoder, mut again) = (Decoder::new(TABLE_BYTES), Decoder::new(TABLE_BYTES));
    let (mut rest, mut buffer) = (input, Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (section, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)).min(behind.len()));
        rest = behind;
        let (mut lines, mut bytes) = (Vec::new(), 0);
        let result = decoder.decode(section, &mut buffer, |name, value| {
            bytes += name.len() + value.len();
            lines.push((name.to_vec(), value.to_vec()));
            if bytes > MAX_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(bytes <= MAX_BYTES + usize::from(TABLE_BYTES).max(2 * section.len()));
        if result.is_err() {
            return;
        }
        let mut encoded = Vec::new();
        lines.retain(|(name, value)| {
            let name = std::str::from_utf8(name).ok();
            name.inspect(|name| encoder::put(&mut encoded, name, value)).is_some()
        });
        let mut decoded = Vec::new();
        let result = again.decode(&encoded, &mut buffer, |name, value| {
            decoded.push((name.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        });
        assert!(result.is_ok() && decoded == lines);
    }
});
