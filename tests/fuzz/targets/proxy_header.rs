//! A header of the PROXY protocol: what becomes of it does not depend on how many bytes after it have arrived, a part of it is
//! incomplete or rejected, and its length is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otus_httpd::connection::preface::proxy::{MAX_V1_BYTES, MAX_V2_BYTES, parse};
use otus_httpd::connection::preface::{Parsed, Peer};

// The first byte says where it is cut.
fuzz_target!(|input: &[u8]| {
    let Some((&cut, bytes)) = input.split_first() else { return };
    let peer = Peer::at(Some(([127, 0, 0, 1], 1).into()));
    let whole = parse(bytes, peer);
    match &whole {
        Parsed::NeedMore => assert!(bytes.len() < MAX_V2_BYTES),
        Parsed::Done { consumed, authority, .. } => {
            let most = if bytes.starts_with(b"P") { MAX_V1_BYTES } else { MAX_V2_BYTES };
            assert!(*consumed <= bytes.len().min(most) && authority.len() < *consumed);
            assert_eq!(parse(&bytes[..*consumed], peer), whole);
        }
        Parsed::Rejected(_) => {}
    }
    let end = match whole {
        Parsed::Done { consumed, .. } => consumed,
        _ => bytes.len(),
    };
    let part = parse(&bytes[..usize::from(cut) * end / 256], peer);
    assert!(part == Parsed::NeedMore || (matches!(part, Parsed::Rejected(_)) && part == whole), "{part:?} {whole:?}");
});
