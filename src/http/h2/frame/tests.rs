use super::*;
use ErrorCode::*;

/// A frame with any type, flags and payload.
pub fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = write::head(FrameType::Data, flags, stream, payload.len()).to_vec();
    bytes[3] = kind;
    bytes.extend_from_slice(payload);
    bytes
}

fn parsed(bytes: &[u8]) -> Frame<'_> {
    let (frame, length) = parse(bytes).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    frame
}

#[test]
fn frames_are_what_was_sent() {
    let data = raw(0, END_STREAM, 3, b"abc");
    assert_eq!(parsed(&data), Frame::Data { stream: 3, data: b"abc", window_bytes: 3, ends_stream: true });
    let padded = raw(0, PADDED, 3, b"\x02abc\0\0");
    assert_eq!(parsed(&padded), Frame::Data { stream: 3, data: b"abc", window_bytes: 6, ends_stream: false });
    let all_padding = raw(0, PADDED, 3, b"\x02\0\0");
    assert_eq!(parsed(&all_padding), Frame::Data { stream: 3, data: b"", window_bytes: 3, ends_stream: false });
    let headers = raw(1, END_HEADERS | PADDED | PRIORITY_FIELDS, 1, b"\x01\0\0\0\x01\x10abc\0");
    let expected = Frame::Headers { stream: 1, fragment: b"abc", ends_stream: false, ends_headers: true };
    assert_eq!(parsed(&headers), expected);
    let continuation = raw(9, 0, 1, b"abc");
    assert_eq!(parsed(&continuation), Frame::Continuation { stream: 1, fragment: b"abc", ends_headers: false });
    assert_eq!(parsed(&raw(3, 0, 5, &[0, 0, 0, 8])), Frame::ResetStream { stream: 5, code: 8 });
    assert_eq!(parsed(&raw(4, ACK, 0, b"")), Frame::SettingsAck);
    assert_eq!(parsed(&raw(6, 0, 0, b"12345678")), Frame::Ping(*b"12345678"));
    assert_eq!(parsed(&raw(6, ACK, 0, b"12345678")), Frame::PingAck(*b"12345678"));
    assert_eq!(parsed(&raw(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 2, b'x'])), Frame::GoAway { code: 2 });
    assert_eq!(parsed(&raw(8, 0, 0, &[0x80, 0, 0, 1])), Frame::WindowUpdate { stream: 0, increment: 1 });
    let update = raw(0x10, 0, 0, b"\0\0\0\x07u=1, i");
    assert_eq!(parsed(&update), Frame::PriorityUpdate { stream: 7, priority: b"u=1, i" });
    // The reserved bit of a stream is ignored; types that are not known are, too, whatever they are for.
    assert_eq!(parsed(&raw(3, 0, 5 | 1 << 31, &[0; 4])), Frame::ResetStream { stream: 5, code: 0 });
    for ignored in [raw(2, 0, 1, &[0; 5]), raw(0xb, 0xff, 0, b"x"), raw(0xff, 0xff, 9, b"")] {
        assert_eq!(parsed(&ignored), Frame::Ignored);
    }
}

#[test]
fn settings_are_those_that_are_known() {
    let payload = [[0, 4, 0, 1, 0, 0], [0xff, 0xff, 0, 0, 0, 9], [0, 1, 0, 0, 0, 0], [0, 4, 0x7f, 0xff, 0xff, 0xff]];
    let frame = raw(4, 0, 0, &payload.concat());
    let Frame::Settings(settings) = parsed(&frame) else { panic!() };
    let expected = [
        (Setting::InitialWindowSize, 65_536),
        (Setting::HeaderTableSize, 0),
        (Setting::InitialWindowSize, 0x7fff_ffff),
    ];
    assert_eq!(settings.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn errors_of_connections() {
    let setting = |number: u8, value: u32| raw(4, 0, 0, &[&[0, number][..], &value.to_be_bytes()].concat());
    let too_long = write::head(FrameType::Data, 0, 1, MAX_PAYLOAD_BYTES + 1).to_vec();
    for (frame, code) in [
        (too_long, FrameSizeError),
        (raw(0, 0, 0, b"x"), ProtocolError),
        (raw(0, PADDED, 1, b""), FrameSizeError),
        (raw(0, PADDED, 1, b"\x01"), ProtocolError),
        (raw(0, PADDED, 1, b"\x03ab"), ProtocolError),
        (raw(1, END_HEADERS, 0, b"x"), ProtocolError),
        (raw(1, PADDED, 1, b"\x05abc"), ProtocolError),
        (raw(1, PRIORITY_FIELDS, 1, b"abcd"), FrameSizeError),
        (raw(2, 0, 0, &[0; 5]), ProtocolError),
        (raw(3, 0, 0, &[0; 4]), ProtocolError),
        (raw(3, 0, 1, &[0; 3]), FrameSizeError),
        (raw(3, 0, 1, &[0; 5]), FrameSizeError),
        (raw(4, 0, 1, b""), ProtocolError),
        (raw(4, ACK, 0, &[0; 6]), FrameSizeError),
        (raw(4, 0, 0, &[0; 5]), FrameSizeError),
        (setting(2, 2), ProtocolError),
        (setting(4, 1 << 31), FlowControlError),
        (setting(5, (1 << 14) - 1), ProtocolError),
        (setting(5, 1 << 24), ProtocolError),
        (setting(9, 2), ProtocolError),
        (raw(5, END_HEADERS, 1, &[0; 4]), ProtocolError),
        (raw(6, 0, 1, &[0; 8]), ProtocolError),
        (raw(6, 0, 0, &[0; 7]), FrameSizeError),
        (raw(7, 0, 1, &[0; 8]), ProtocolError),
        (raw(7, 0, 0, &[0; 7]), FrameSizeError),
        (raw(8, 0, 0, &[0; 4]), ProtocolError),
        (raw(8, 0, 0, &[0x80, 0, 0, 0]), ProtocolError),
        (raw(8, 0, 1, &[0; 3]), FrameSizeError),
        (raw(9, END_HEADERS, 0, b"x"), ProtocolError),
        (raw(0x10, 0, 1, &[0, 0, 0, 1]), ProtocolError),
        (raw(0x10, 0, 0, &[0, 0, 1]), FrameSizeError),
        (raw(0x10, 0, 0, &[0, 0, 0, 0]), ProtocolError),
    ] {
        let result = parse(&frame);
        assert!(matches!(result, Err(FrameError::Connection(found, _)) if found == code), "{frame:?}: {result:?}");
    }
}

#[test]
fn errors_of_streams() {
    for (frame, code) in [(raw(2, 0, 3, &[0; 4]), FrameSizeError), (raw(8, 0, 3, &[0; 4]), ProtocolError)] {
        let result = parse(&frame);
        assert!(matches!(result, Err(FrameError::Stream(3, found, _)) if found == code), "{frame:?}: {result:?}");
        assert_eq!(length(&frame), Ok(Some(frame.len())));
    }
}

#[test]
fn a_frame_is_parsed_once_it_is_whole() {
    let frame = [raw(6, 0, 0, b"12345678"), raw(4, ACK, 0, b"")].concat();
    for end in 0..17 {
        assert_eq!(parse(&frame[..end]), Ok(None));
    }
    assert_eq!(parse(&frame), Ok(Some((Frame::Ping(*b"12345678"), 17))));
    // The length alone is an error as soon as it is there.
    assert!(parse(&write::head(FrameType::Data, 0, 1, 1 << 20)).is_err());
}

#[test]
fn what_is_written_can_be_parsed() {
    let mut out = Vec::new();
    write::settings(&mut out, &[(Setting::MaxConcurrentStreams, 128), (Setting::NoRfc7540Priorities, 1)]);
    write::settings_ack(&mut out);
    write::ping(&mut out, [1; 8]);
    write::ping_ack(&mut out, [2; 8]);
    write::reset_stream(&mut out, 3, RefusedStream);
    write::go_away(&mut out, 9, EnhanceYourCalm);
    write::window_update(&mut out, 0, 77);
    let section = vec![b'x'; 2 * MAX_PAYLOAD_BYTES + 5];
    write::headers(&mut out, 5, &section, true);
    write::headers(&mut out, 7, b"", false);
    let (mut rest, mut frames) = (&out[..], Vec::new());
    while let Some((frame, length)) = parse(rest).unwrap() {
        frames.push(frame);
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    let Frame::Settings(settings) = frames[0] else { panic!() };
    assert_eq!(settings.iter().next(), Some((Setting::MaxConcurrentStreams, 128)));
    let part = &section[..MAX_PAYLOAD_BYTES];
    assert_eq!(
        frames[1..],
        [
            Frame::SettingsAck,
            Frame::Ping([1; 8]),
            Frame::PingAck([2; 8]),
            Frame::ResetStream { stream: 3, code: 7 },
            Frame::GoAway { code: 0xb },
            Frame::WindowUpdate { stream: 0, increment: 77 },
            Frame::Headers { stream: 5, fragment: part, ends_stream: true, ends_headers: false },
            Frame::Continuation { stream: 5, fragment: part, ends_headers: false },
            Frame::Continuation { stream: 5, fragment: b"xxxxx", ends_headers: true },
            Frame::Headers { stream: 7, fragment: b"", ends_stream: false, ends_headers: true },
        ]
    );
}
