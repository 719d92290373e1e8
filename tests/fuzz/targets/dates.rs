//! Dates: every parsed date can be formatted again and has the same value; the date in a listing equals the HTTP date.
#![no_main]

use std::time::{Duration, SystemTime};

use httparse::Header;
use libfuzzer_sys::fuzz_target;
use otus_httpd::http::Fields;
use otus_httpd::http::condition::{self, Selected, Verdict};
use otus_httpd::http::timestamp::Rfc3339;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Converts an HTTP date to RFC 3339.
fn from_http(date: &str) -> String {
    let month = 1 + MONTHS.iter().position(|month| *month == &date[8..11]).expect("a month");
    format!("{}-{month:02}-{}T{}Z", &date[12..16], &date[5..7], &date[17..25])
}

fn verdict(name: &str, value: &[u8], modified_s: u64) -> Verdict {
    let fields = [Header { name, value }];
    condition::evaluate(Fields(&fields), &Selected { etag: None, modified_s: Some(modified_s) })
}

// Eight bytes are a time; the rest is the text of a date.
fuzz_target!(|input: &[u8]| {
    let Some((number, text)) = input.split_first_chunk::<8>() else { return };
    let number = u64::from_le_bytes(*number);
    let said = Rfc3339(number).to_string();
    assert_eq!(said.len(), "1994-11-06T08:49:37Z".len(), "{said}");
    if number < 253_402_300_800 {
        assert_eq!(said, from_http(&httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(number))));
    }

    let date = std::str::from_utf8(text).ok().and_then(|text| httpdate::parse_http_date(text).ok());
    let seconds = date.and_then(|date| Some(date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()));
    let Some(seconds) = seconds else {
        assert_eq!(verdict("If-Modified-Since", text, 0), Verdict::Proceed);
        assert_eq!(verdict("If-Unmodified-Since", text, u64::MAX), Verdict::Proceed);
        return;
    };
    let date = httpdate::fmt_http_date(date.unwrap_or(SystemTime::UNIX_EPOCH));
    assert_eq!(httpdate::parse_http_date(&date).ok(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)));
    assert_eq!(from_http(&date), Rfc3339(seconds).to_string());
    for text in [text, date.as_bytes()] {
        assert_eq!(verdict("If-Modified-Since", text, seconds), Verdict::NotModified);
        assert_eq!(verdict("If-Modified-Since", text, seconds + 1), Verdict::Proceed);
        assert_eq!(verdict("If-Unmodified-Since", text, seconds), Verdict::Proceed);
        assert_eq!(verdict("If-Unmodified-Since", text, seconds + 1), Verdict::PreconditionFailed);
    }
});
