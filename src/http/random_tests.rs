//! Random bytes against every parser of this room: no panic, and every promise kept. The seed is fixed; `cargo test` runs
//! 200,000 inputs of each kind.

use super::etag::EntityTag;
use super::forwarded::AddressField;
use super::h1::parse::{self, Message};
use super::request::Body;
use super::{Fields, Limits, coding, condition, listing, range, target};

const INPUTS: usize = 200_000;

/// Knuth's MMIX generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    /// Pieces that matter, in any order, and now and then any byte.
    fn bytes(&mut self, pieces: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..1 + self.below(24) {
            match self.below(12) {
                0 => bytes.push(self.below(256) as u8),
                _ => bytes.extend_from_slice(pieces[self.below(pieces.len())].as_bytes()),
            }
        }
        bytes
    }
}

#[test]
fn requests() {
    let pieces = [
        "GET ",
        "HEAD ",
        "POST ",
        "/",
        "a",
        "*",
        "http://x/",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "Host: x\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        ": ",
        "Content-Length: 3\r\n",
        "Content-Length: ",
        "9",
        "Transfer-Encoding: chunked\r\n",
        "3\r\nabc\r\n",
        "0\r\n\r\n",
        "Range: bytes=0-1,5-\r\n",
        "If-None-Match: \"a\", *\r\n",
        "Expect: 100-continue\r\n",
        " ",
        "\t",
        "Connection: close\r\n",
        "Accept-Encoding: br;q=0.5, *;q=0\r\n",
        "Accept: application/json\r\n",
        "If-Range: \"a\"\r\n",
    ];
    let mut random = Random(1);
    let (limits, mut whole) = (Limits::default(), 0);
    let tag = EntityTag::from_text("\"a\"");
    for _ in 0..INPUTS {
        let mut bytes = random.bytes(&pieces);
        if random.below(2) == 0 {
            bytes.splice(..0, *b"GET / HTTP/1.1\r\nHost: x\r\n");
        }
        let mut storage = parse::storage();
        let Ok(Some(Message { request, length, .. })) = parse::parse(&bytes, &mut storage, &limits) else { continue };
        whole += 1;
        assert!(0 < length && length <= bytes.len());
        // What was taken for a request is one by itself, too, and no beginning of it is: nothing behind it was needed.
        if request.body == Body::Dropped {
            for (length, is_whole) in [(length, true), (length - 1, false)] {
                let mut storage = parse::storage();
                let again = parse::parse(&bytes[..length], &mut storage, &limits);
                assert_eq!(matches!(again, Ok(Some(_))), is_whole, "{}", bytes.escape_ascii());
            }
        }
        let selected = condition::Selected { etag: Some(&tag), modified_s: Some(5) };
        condition::evaluate(request.fields, &selected);
        condition::range_applies(request.fields, &selected);
        range::select(request.fields.only("range"), 1_000);
        listing::Form::of(request.fields, Some(request.target));
        let codings: Vec<_> = coding::acceptable(request.fields).order().collect();
        assert!(codings.len() <= 4);
    }
    assert!(whole > INPUTS / 100, "only {whole} were requests");
}

#[test]
fn targets_never_escape() {
    let pieces = [
        "/", "..", ".", "%2e", "%2E", "%2f", "%", "%00", "%5c", "a", "b", "\u{444}", "?", "#", "//", "http://x", "%25",
        "\\", ";", ":",
    ];
    let mut random = Random(2);
    let mut path = Vec::new();
    let mut decoded = 0;
    for _ in 0..INPUTS {
        let bytes = random.bytes(&pieces);
        let text = format!("/{}", String::from_utf8_lossy(&bytes));
        let Ok(target) = target::decode(&text, &mut path) else { continue };
        decoded += 1;
        assert!(!target.path.starts_with(b"/") && !target.path.contains(&0), "{text}");
        assert!(target.path.split(|&b| b == b'/').all(|name| name != b"." && name != b".."), "{text}");
        // A redirect leads to the same place, whatever a front has cut off before it: by RFC 3986 §5.2, for a reference that is
        // one segment.
        let location = target.with_slash();
        let segment = location.split('?').next().unwrap_or_default();
        let segment = segment.strip_prefix("./").unwrap_or(segment);
        let name = segment.strip_suffix('/').unwrap_or(segment);
        assert!(location.is_ascii() && !name.contains(['/', '\\']) && name != "." && name != "..", "{location}");
        assert!(!name.contains(':') || location.starts_with("./"), "{location}");
        let base = text.split('?').next().and_then(|path| path.rsplit_once('/')).unwrap().0;
        let location = format!("{base}/{location}");
        let expected = target.path.to_vec();
        let mut again = Vec::new();
        let again = target::decode(&location, &mut again).unwrap();
        // What ends with a segment that goes up is a directory, where nothing is sent elsewhere.
        let is_directory = matches!(expected.last(), None | Some(b'/'));
        assert!(is_directory || again.path.strip_suffix(b"/") == Some(&expected), "{text}");
    }
    assert!(decoded > INPUTS / 10, "only {decoded} were paths");
}

/// Whatever comes before, the element that a proxy has appended is read.
#[test]
fn forwarded_fields() {
    let pieces = [
        "for=",
        "proto=https",
        "host=",
        "by=",
        "192.0.2.9",
        "10.0.0.1",
        "[::1]",
        ":80",
        "\"",
        "\\",
        "\\\"",
        ",",
        ";",
        " ",
        "_x",
        "=",
    ];
    let mut random = Random(10);
    for _ in 0..INPUTS {
        let sent = random.bytes(&pieces);
        for (name, appended) in [("X-Forwarded-For", &b", 192.0.2.7"[..]), ("Forwarded", b", for=192.0.2.7")] {
            let value = [&sent[..], appended].concat();
            let lines = [httparse::Header { name, value: &value }];
            let forwarded = AddressField::Either.read(Fields(&lines), |address| address.to_string().starts_with("10."));
            assert_eq!(forwarded.client, Some(([192, 0, 2, 7], 0).into()), "{}", String::from_utf8_lossy(&value));
            let lines = [httparse::Header { name, value: &sent }];
            let _ = AddressField::Either.read(Fields(&lines), |_| true);
        }
    }
}
