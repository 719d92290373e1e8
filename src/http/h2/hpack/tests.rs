use std::ops::ControlFlow;

use super::static_table::STATIC_TABLE;
use super::*;

type Lines = Vec<(String, String)>;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn decode(decoder: &mut Decoder, section: &[u8]) -> Result<Lines, DecodeError> {
    let mut lines = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    decoder.decode(section, &mut Vec::new(), |name, value| {
        lines.push((text(name), text(value)));
        ControlFlow::Continue(())
    })?;
    Ok(lines)
}

/// Decodes sections of one connection, and compares the lines, which are separated by line ends.
fn check(table_bytes: u16, sections: &[(&str, &str)]) {
    let mut decoder = Decoder::new(table_bytes);
    for (section, expected) in sections {
        let lines = decode(&mut decoder, &bytes(section)).unwrap();
        let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(lines, expected.lines().map(str::trim).collect::<Vec<_>>(), "{section}");
    }
}

#[test]
fn single_lines_of_the_rfc() {
    check(4096, &[("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header")]);
    check(4096, &[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path")]);
    check(4096, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret")]);
    check(4096, &[("82", ":method: GET")]);
}

/// RFC 7541 Appendix C.3 and C.4.
#[test]
fn requests_of_the_rfc() {
    let first = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com";
    let second = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache";
    let third =
        ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value";
    check(
        4096,
        &[
            ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", first),
            ("8286 84be 5808 6e6f 2d63 6163 6865", second),
            ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", third),
        ],
    );
    check(
        4096,
        &[
            ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", first),
            ("8286 84be 5886 a8eb 1064 9cbf", second),
            ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", third),
        ],
    );
}

/// RFC 7541 Appendix C.6: entries leave a table of 256 bytes.
#[test]
fn responses_of_the_rfc() {
    let lines = |status: &str, date: &str| {
        format!(
            ":status: {status}\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:{date} GMT\n\
             location: https://www.example.com"
        )
    };
    let third = ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n\
        location: https://www.example.com\ncontent-encoding: gzip\n\
        set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    check(
        256,
        &[
            (
                "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
                 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                &lines("302", "21"),
            ),
            ("4883 640e ffc1 c0bf", &lines("307", "21")),
            (
                "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2
                 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                third,
            ),
        ],
    );
}

#[test]
fn malformed_sections_are_refused() {
    for (section, why) in [
        ("80", "the index 0"),
        ("be", "an index of an empty dynamic table"),
        ("ff", "an index without its end"),
        ("ff80 8080 8000", "an integer of many zeros"),
        ("ffff ffff ff0f", "an integer that is too large"),
        ("40", "a line without its name"),
        ("4001", "a name without its bytes"),
        ("4001 61", "a line without its value"),
        ("0002 61", "a name that is shorter than its length"),
        ("7f", "the index of a name without its end"),
        ("8220", "a change of the size behind a line"),
        ("3fe2 1f", "a table that is larger than announced"),
        ("0081 ff00", "a byte of padding alone"),
        ("0081 1e00", "padding with a zero"),
        ("0082 ffff00", "two bytes of padding"),
        ("0084 ffff ffff00", "the symbol for the end"),
        ("0085 1fff ffff ff00", "a byte, and the symbol for the end"),
    ] {
        let result = decode(&mut Decoder::new(4096), &bytes(section));
        assert!(matches!(result, Err(DecodeError::Malformed(_))), "{why}: {result:?}");
    }
}

#[test]
fn the_table_has_the_size_that_the_client_says() {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, &bytes("4001 6101 62")).unwrap(), [("a".into(), "b".into())]);
    assert_eq!(decode(&mut decoder, &bytes("be")).unwrap(), [("a".into(), "b".into())]);
    // The size 0 and 4,096 again: the table is empty.
    assert_eq!(decode(&mut decoder, &bytes("20 3fe1 1f")).unwrap(), []);
    assert!(decode(&mut decoder, &bytes("be")).is_err());
    // An entry that is larger than the table empties it, and is no error.
    let mut decoder = Decoder::new(64);
    assert!(decode(&mut decoder, &bytes("4001 6101 62")).is_ok());
    let large = [&bytes("4001 617f 00")[..], &[b'v'; 127]].concat();
    assert_eq!(decode(&mut decoder, &large).unwrap()[0].1.len(), 127);
    assert!(decode(&mut decoder, &bytes("be")).is_err());
}

#[test]
fn the_name_of_an_entry_that_leaves_the_table_is_used() {
    let mut decoder = Decoder::new(64);
    decode(&mut decoder, &bytes("4002 6162 02 6364")).unwrap();
    let long = [&bytes("7e1e")[..], &[b'x'; 30]].concat();
    assert_eq!(decode(&mut decoder, &long).unwrap(), [("ab".into(), "x".repeat(30))]);
    assert_eq!(decode(&mut decoder, &bytes("be")).unwrap(), [("ab".into(), "x".repeat(30))]);
}

#[test]
fn a_caller_stops_a_section_that_expands_too_much() {
    let mut decoder = Decoder::new(4096);
    let large = [&bytes("4001 617f c11e")[..], &[b'v'; 4032]].concat();
    decode(&mut decoder, &large).unwrap();
    let mut total = 0;
    let result = decoder.decode(&[0xbe; 60_000], &mut Vec::new(), |name, value| {
        total += name.len() + value.len();
        if total > 100_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(result, Err(DecodeError::Stopped));
    assert!(total < 110_000);
}

#[test]
fn every_byte_survives_the_huffman_code() {
    let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    for text in [&b""[..], b"a", b"www.example.com", &[0], &[255; 40], &all] {
        let (mut coded, mut decoded) = (Vec::new(), Vec::new());
        huffman::encode(text, &mut coded);
        assert_eq!(coded.len(), huffman::encoded_bytes(text));
        assert_eq!(huffman::decode(&coded, &mut decoded), Some(()));
        assert_eq!(decoded, text);
    }
    let mut coded = Vec::new();
    huffman::encode(b"www.example.com", &mut coded);
    assert_eq!(coded, bytes("f1e3 c2e5 f23a 6ba0 ab90 f4ff"));
}

#[test]
fn integers_of_the_rfc() {
    for (prefix_bits, value, expected) in [(5, 10, "0a"), (5, 1337, "1f9a 0a"), (8, 42, "2a"), (7, 127, "7f00")] {
        let mut out = Vec::new();
        integer::put(&mut out, 0, prefix_bits, value);
        assert_eq!(out, bytes(expected));
        assert_eq!(integer::take(&mut &out[..], prefix_bits), Ok(value as u32));
    }
}

#[test]
fn what_is_encoded_is_decoded_and_leaves_no_trace() {
    let lines = [
        (":status", "200"),
        (":status", "206"),
        (":status", "421"),
        ("server", "OtusServer"),
        ("date", "Sun, 29 Nov 2026 10:00:00 GMT"),
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "97"),
        ("accept-encoding", "gzip, deflate"),
        ("x-own", ""),
        ("etag", "\"\u{e9}\""),
        ("age", ""),
    ];
    let mut section = Vec::new();
    lines.iter().for_each(|(name, value)| encoder::put(&mut section, name, value.as_bytes()));
    let mut decoder = Decoder::new(4096);
    let expected = lines.map(|(name, value)| (name.to_string(), value.to_string()));
    for _ in 0..2 {
        assert_eq!(decode(&mut decoder, &section).unwrap(), expected);
    }
    assert!(decode(&mut decoder, &[0xbe]).is_err(), "nothing was added to the table");
    // The lines of the table are one byte each.
    assert!(section.starts_with(&[0x88, 0x8a]));
}

#[test]
fn statuses_and_dates_are_what_they_are_as_other_lines() {
    let date = "Sun, 29 Nov 2026 10:00:00 GMT";
    for code in 200..600 {
        let mut section = Vec::new();
        encoder::put_status(&mut section, code);
        encoder::put_date(&mut section, date);
        let lines = [(":status".to_string(), code.to_string()), ("date".to_string(), date.to_string())];
        assert_eq!(decode(&mut Decoder::new(4096), &section).unwrap(), lines);
    }
}

/// More of them, and other codecs, are in tests/hpack.
#[test]
fn random_lists_are_decoded_as_they_were() {
    let mut state = 7u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut decoder = Decoder::new(4096);
    for _ in 0..5_000 {
        let (mut section, mut lines) = (Vec::new(), Vec::new());
        for _ in 0..random(8) {
            let name = STATIC_TABLE.get(random(120) as usize).map_or("x-other", |(name, _)| name);
            let longest = if random(20) == 0 { 20_000 } else { 80 };
            let value: Vec<u8> = (0..random(longest)).map(|_| random(256) as u8).collect();
            encoder::put(&mut section, name, &value);
            lines.push((name.as_bytes().to_vec(), value));
        }
        let mut decoded = Vec::new();
        let result = decoder.decode(&section, &mut Vec::new(), |name, value| {
            decoded.push((name.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        });
        assert!(result.is_ok() && decoded == lines);
    }
}
