//! The head and body of a request: the result of parsing does not depend on the number of bytes that have arrived, and
//! equals that of the model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otus_httpd::http::Limits;
use otus_httpd::http::h1::parse;
use otus_httpd::http::request::Body;
use otus_httpd_fuzz::reading::{self, Front};

fn limits(choice: u8) -> Limits {
    match choice % 4 {
        0 => Limits::default(),
        1 => Limits { request_line_bytes: 20, ..Limits::default() },
        2 => Limits { head_bytes: 60, fields: 3, ..Limits::default() },
        _ => Limits { request_line_bytes: 32, head_bytes: 128, fields: 256, body_bytes: 16 },
    }
}

/// The length of the first request, whether the connection persists after it, and whether its body is too large. After
/// an error, nothing is parsed.
fn read(bytes: &[u8], limits: &Limits) -> Option<Result<(usize, bool, bool), ()>> {
    let mut storage = parse::storage();
    let mut bytes = bytes.to_vec();
    parse::lower_version(&mut bytes);
    let message = match parse::parse(&bytes, &mut storage, limits) {
        Ok(message) => message?,
        Err(_) => return Some(Err(())),
    };
    let is_last = !message.keep_alive || message.request.body != Body::Dropped;
    Some(Ok((message.length, is_last, message.request.body == Body::TooLarge)))
}

// One byte selects the limits; the rest are the bytes that have arrived.
fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let limits = limits(choice);
    let whole = read(bytes, &limits);

    match (reading::first(bytes, &limits), &whole) {
        (Front::Request { length, is_last, is_too_large, .. }, Some(Ok(request))) => {
            assert_eq!((length, is_last || is_too_large, is_too_large), *request);
        }
        // If there are too many chunks, an invalid one may be detected first.
        (Front::Request { is_too_large: true, .. }, Some(Err(()))) => {}
        (Front::Refused, Some(Err(()))) | (Front::Waiting, None) | (Front::Unclear, None | Some(Err(()))) => {}
        (expected, found) => panic!("{expected:?}, but {found:?}"),
    }

    // A result does not change when more bytes arrive, except that a body that is too large may turn out to be invalid.
    let is_too_large = |read: &Option<_>| matches!(read, Some(Ok((_, _, true))));
    let step = bytes.len().div_ceil(200).max(1);
    for early in (0..bytes.len()).step_by(step).filter_map(|length| read(&bytes[..length], &limits)) {
        let early = Some(early);
        assert!(early == whole || is_too_large(&early) && whole == Some(Err(())), "{early:?}, then {whole:?}");
    }
});
