use super::super::frame::tests::raw as frame;
use super::super::frame::{self, ACK, END_HEADERS, END_STREAM, Frame, FrameType};
use super::super::hpack::encoder;
use super::requests::MAX_WAITING;
use super::*;

mod cases;
mod notation;

const GET: &[(&str, &str)] = &[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")];
const POST: &[(&str, &str)] = &[(":method", "POST"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")];

/// A client of one connection, and what the connection says to it in words.
struct Client {
    session: Session,
    scratch: Scratch,
    unread: Vec<u8>,
    ended: bool,
}

fn section(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut section = Vec::new();
    lines.iter().for_each(|(name, value)| encoder::put(&mut section, name, value.as_bytes()));
    section
}

fn headers(stream: u32, flags: u8, lines: &[(&str, &str)]) -> Vec<u8> {
    frame(1, flags | END_HEADERS, stream, &section(lines))
}

fn get(stream: u32) -> Vec<u8> {
    headers(stream, END_STREAM, GET)
}

/// A POST whose content follows.
fn post(stream: u32, further: &[(&str, &str)]) -> Vec<u8> {
    headers(stream, 0, &[POST, further].concat())
}

fn data(stream: u32, flags: u8, length: usize) -> Vec<u8> {
    frame(0, flags, stream, &vec![b'x'; length])
}

fn setting(number: u8, value: u32) -> Vec<u8> {
    frame(4, 0, 0, &[&[0, number][..], &value.to_be_bytes()].concat())
}

fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(8, 0, stream, &increment.to_be_bytes())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &[0, 0, 0, 8])
}

impl Client {
    /// Connects, and exchanges settings.
    fn new() -> Self {
        let mut client = Client::silent();
        assert_eq!(client.send(&[PREFACE, &frame(4, 0, 0, b""), &frame(4, ACK, 0, b"")].concat()), "settings ack");
        assert!(client.session.has_acknowledged());
        client
    }

    fn silent() -> Self {
        let mut out = Vec::new();
        let session = Session::new(Limits::default(), Scheme::Https, &mut out);
        assert_eq!(words(&out, &[]), "settings");
        Client { session, scratch: Scratch::default(), unread: Vec::new(), ended: false }
    }

    /// Sends bytes, and returns the answers and events.
    fn send(&mut self, bytes: &[u8]) -> String {
        let (mut out, mut events) = (Vec::new(), Vec::new());
        self.unread.extend_from_slice(bytes);
        let Client { session, scratch, unread, .. } = self;
        match session.receive(unread, 0, scratch, &mut out, &mut events) {
            Ok(used) => drop(unread.drain(..used)),
            Err(_) => self.ended = true,
        }
        words(&out, &events)
    }
}

fn words(mut out: &[u8], events: &[Event]) -> String {
    let mut words = Vec::new();
    while let Some((frame, length)) = frame::parse(out).unwrap() {
        words.push(match frame {
            Frame::Settings(_) => "settings".into(),
            Frame::SettingsAck => "settings ack".into(),
            Frame::PingAck(_) => "ping ack".into(),
            Frame::Ping(_) => "ping".into(),
            Frame::ResetStream { stream, code } => format!("reset {stream}: {code:#x}"),
            Frame::GoAway { code } => format!("go away: {code:#x}"),
            Frame::WindowUpdate { stream, increment } => format!("window {stream}: {increment}"),
            frame => panic!("{frame:?}"),
        });
        out = &out[length..];
    }
    assert!(out.is_empty());
    words.extend(events.iter().map(|event| match event {
        Event::Request { stream, body, .. } => format!("request {stream}: {body:?}"),
        Event::Cancelled { stream } => format!("cancelled {stream}"),
    }));
    words.join(", ")
}

/// What becomes of these frames after the settings.
fn outcome(frames: &[Vec<u8>]) -> String {
    let whole = Client::new().send(&frames.concat());
    // Byte by byte, the result is the same.
    let (mut client, mut parts) = (Client::new(), Vec::new());
    for byte in frames.concat() {
        if !client.ended {
            parts.push(client.send(&[byte]));
        }
    }
    parts.retain(|part| !part.is_empty());
    let sorted = |text: &str| {
        let mut parts: Vec<_> = text.split(", ").map(String::from).collect();
        parts.sort();
        parts
    };
    assert_eq!(sorted(&parts.join(", ")), sorted(&whole));
    whole
}

#[test]
fn requests_and_their_content() {
    for (frames, expected) in [
        (vec![get(1)], "request 1: Dropped"),
        (vec![get(1), get(3)], "request 1: Dropped, request 3: Dropped"),
        (vec![get(7), get(9)], "request 7: Dropped, request 9: Dropped"),
        (vec![post(1, &[]), data(1, 0, 10), data(1, END_STREAM, 0)], "request 1: Dropped"),
        (vec![post(1, &[("content-length", "5")]), data(1, END_STREAM, 5)], "request 1: Dropped"),
        (vec![post(1, &[]), data(1, 0, 10), headers(1, END_STREAM, &[("x", "y")])], "request 1: Dropped"),
        (vec![post(1, &[]), data(1, 0, 8_193)], "request 1: TooLarge"),
        (vec![post(1, &[("content-length", "8193")])], "request 1: TooLarge"),
        (vec![post(1, &[("expect", "100-continue")])], "request 1: Unread"),
        (vec![post(1, &[])], ""),
        (vec![post(1, &[]), reset(1)], ""),
        (vec![get(1), reset(1)], "request 1: Dropped, cancelled 1"),
        // The field section in several frames.
        (
            vec![frame(1, END_STREAM, 1, &section(GET)[..3]), frame(9, END_HEADERS, 1, &section(GET)[3..])],
            "request 1: Dropped",
        ),
        // What this server has no use for.
        (
            vec![frame(2, 0, 1, &[0; 5]), frame(0xfa, 0, 3, b"x"), setting(0x77, 1), get(1)],
            "settings ack, request 1: Dropped",
        ),
        (vec![frame(6, 0, 0, b"12345678")], "ping ack"),
        (vec![frame(7, 0, 0, &[0; 8]), get(1)], "request 1: Dropped"),
        // A refusal that HTTP/1.1 has as well is an answer.
        (vec![headers(1, END_STREAM, &[GET, &[("x", "a\u{1}")]].concat())], "request 1: Dropped"),
    ] {
        assert_eq!(outcome(&frames), expected, "{frames:?}");
    }
}

#[test]
fn faults_of_streams() {
    let closed = "request 1: Dropped";
    for (frames, expected) in [
        (vec![headers(1, END_STREAM, &GET[1..])], "reset 1: 0x1".into()),
        (vec![headers(1, END_STREAM, &[GET, &[("connection", "close")]].concat())], "reset 1: 0x1".into()),
        (vec![headers(1, END_STREAM, &[GET, &[("content-length", "1")]].concat())], "reset 1: 0x1".into()),
        (vec![post(1, &[("content-length", "5")]), data(1, END_STREAM, 4)], "reset 1: 0x1".into()),
        (vec![post(1, &[("content-length", "5")]), data(1, 0, 6)], "reset 1: 0x1".into()),
        (vec![post(1, &[]), headers(1, 0, &[("x", "y")])], "reset 1: 0x1".into()),
        (vec![post(1, &[]), headers(1, END_STREAM, &[(":path", "/")])], "reset 1: 0x1".into()),
        (vec![post(1, &[]), headers(1, END_STREAM, &[("X", "y")])], "reset 1: 0x1".into()),
        (vec![post(1, &[]), window(1, 0)], "reset 1: 0x1".into()),
        (vec![post(1, &[]), window(1, 0x7fff_ffff)], "reset 1: 0x3".into()),
        (vec![get(1), data(1, 0, 1)], format!("reset 1: 0x5, {closed}, cancelled 1")),
        (vec![get(1), get(1)], format!("reset 1: 0x5, {closed}, cancelled 1")),
        (vec![get(1), frame(2, 0, 1, &[0; 4])], format!("reset 1: 0x6, {closed}, cancelled 1")),
        // Frames for a stream that was reset are ignored for a while.
        (
            vec![
                headers(1, 0, &POST[1..]),
                data(1, 0, 1),
                window(1, 1),
                reset(1),
                headers(1, END_STREAM, &[("x", "y")]),
                get(3),
            ],
            "reset 1: 0x1, request 3: Dropped".into(),
        ),
    ] {
        assert_eq!(outcome(&frames), expected, "{frames:?}");
    }
}

#[test]
fn faults_of_connections() {
    let part = || frame(1, END_STREAM, 1, &section(GET)[..3]);
    for (frames, code) in [
        (vec![get(2)], 1),
        (vec![data(1, 0, 1)], 1),
        (vec![data(2, 0, 1)], 1),
        (vec![reset(1)], 1),
        (vec![window(1, 1)], 1),
        (vec![get(3), data(1, 0, 1)], 5),
        (vec![get(3), headers(1, END_STREAM, GET)], 1),
        (vec![part(), get(3)], 1),
        (vec![part(), frame(6, 0, 0, &[0; 8])], 1),
        (vec![part(), frame(0xfa, 0, 0, b"")], 1),
        (vec![part(), frame(9, END_HEADERS, 3, b"")], 1),
        (vec![part(), window(1, 0)], 1),
        (vec![frame(9, END_HEADERS, 1, b"")], 1),
        (vec![frame(1, END_HEADERS | END_STREAM, 1, &[0x80])], 9),
        (vec![frame(1, END_HEADERS | END_STREAM, 1, &[0x40])], 9),
        (vec![window(0, 0x7fff_ffff)], 3),
        (vec![window(0, 0)], 1),
        (vec![setting(4, 0x8000_0000)], 3),
        (vec![post(1, &[]), window(1, 0x7fff_0000), setting(4, 0x1_0000 + 0xffff)], 3),
        (vec![setting(5, 1)], 1),
        (vec![frame(5, END_HEADERS, 1, &[0; 4])], 1),
        (vec![frame(0x10, 0, 0, &[0, 0, 0, 2])], 1),
        (vec![write::head(FrameType::Data, 0, 1, 16_385).to_vec()], 6),
        (vec![frame(4, ACK, 0, &[0; 6])], 6),
    ] {
        let outcome = outcome(&frames);
        assert!(outcome.split(", ").any(|word| word == format!("go away: {code:#x}")), "{frames:?}: {outcome}");
    }
}

#[test]
fn the_preface_and_the_first_settings() {
    let mut client = Client::silent();
    for byte in PREFACE {
        assert_eq!(client.send(&[*byte]), "");
    }
    assert_eq!(client.send(&setting(4, 1)), "settings ack");
    assert!(!client.session.has_acknowledged());
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx"] {
        assert_eq!(Client::silent().send(bytes), "go away: 0x1");
    }
    for first in [get(1), frame(4, ACK, 0, b""), frame(0xfa, 0, 0, b""), frame(6, 0, 0, &[0; 8])] {
        assert_eq!(Client::silent().send(&[PREFACE, &first].concat()), "go away: 0x1", "{first:?}");
    }
}

#[test]
fn windows_are_what_the_client_gives() {
    let mut client = Client::new();
    client.send(&[get(1), get(3)].concat());
    assert_eq!((client.session.sendable_bytes(1), client.session.sendable_bytes(5)), (65_535, 0));
    client.session.take_window(1, 60_000);
    // The connection's is the smaller one for the other stream.
    assert_eq!((client.session.sendable_bytes(1), client.session.sendable_bytes(3)), (5_535, 5_535));
    client.send(&[window(0, 100_000), window(1, 1)].concat());
    assert_eq!((client.session.sendable_bytes(1), client.session.sendable_bytes(3)), (5_536, 65_535));
    // A smaller initial window makes that of a stream negative.
    client.send(&setting(4, 10));
    assert_eq!((client.session.sendable_bytes(1), client.session.sendable_bytes(3)), (0, 10));
    client.send(&setting(4, 65_545));
    assert_eq!((client.session.sendable_bytes(1), client.session.sendable_bytes(3)), (5_546, 65_545));
    client.send(&get(5));
    assert_eq!(client.session.sendable_bytes(5), 65_545);
    client.send(&reset(5));
    assert_eq!(client.session.sendable_bytes(5), 0);
}

#[test]
fn content_that_is_dropped_is_given_back_to_the_connection() {
    let mut client = Client::new();
    // Eight streams, so that none is beyond its own limit.
    for number in 0..64 {
        let id = 2 * number + 1;
        let answers = client.send(&[post(id, &[]), data(id, END_STREAM, 8_000)].concat());
        assert_eq!(answers.contains("window 0: "), number % 5 == 4, "{number}: {answers}");
        client.session.end(id, true, &mut Vec::new());
    }
    // Also that of streams that were reset; a client that sends more than its window is wrong.
    let mut client = Client::new();
    client.send(&[post(1, &[]), reset(1)].concat());
    assert_eq!(client.send(&data(1, 0, 100)), "go away: 0x5");
    let mut client = Client::new();
    client.send(&headers(1, 0, &POST[1..]));
    for number in 0..20 {
        let answers = client.send(&data(1, 0, 16_384));
        assert_eq!(answers, if number % 2 == 1 { "window 0: 32768" } else { "" });
    }
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let mut client = Client::new();
    for number in 0..MAX_STREAMS as u32 {
        assert_eq!(client.send(&get(2 * number + 1)), format!("request {}: Dropped", 2 * number + 1));
    }
    assert_eq!(client.send(&get(257)), "reset 257: 0x7");
    client.session.end(1, true, &mut Vec::new());
    assert_eq!(client.send(&get(259)), "request 259: Dropped");
    // A stream that was reset keeps its place until the work for it has ended.
    assert_eq!(client.send(&reset(3)), "cancelled 3");
    assert_eq!(client.send(&get(261)), "reset 261: 0x7");
    client.session.end(3, false, &mut Vec::new());
    assert_eq!(client.send(&get(263)), "request 263: Dropped");
}

#[test]
fn rapid_resets_end_the_connection_and_a_page_that_is_left_does_not() {
    let mut client = Client::new();
    let mut id = 1;
    // A browser leaves pages with 100 streams, and reads others.
    for _ in 0..10 {
        for _ in 0..100 {
            client.send(&[get(id), reset(id)].concat());
            client.session.end(id, false, &mut Vec::new());
            id += 2;
        }
        for _ in 0..100 {
            client.send(&get(id));
            client.session.end(id, true, &mut Vec::new());
            id += 2;
        }
    }
    let mut resets = 0;
    let last = loop {
        let answers = client.send(&[get(id), reset(id)].concat());
        client.session.end(id, false, &mut Vec::new());
        if client.ended {
            break answers;
        }
        (id, resets) = (id + 2, resets + 1);
    };
    assert!(last.contains("go away: 0xb") && (100..=200).contains(&resets), "{resets}: {last}");
}

#[test]
fn resets_that_the_client_provokes_count_as_well() {
    let mut client = Client::new();
    let mut provoked = 0;
    while !client.ended {
        let id = 2 * provoked + 1;
        client.send(&[get(id), window(id, 0)].concat());
        client.session.end(id, false, &mut Vec::new());
        provoked += 1;
    }
    assert!(provoked <= 202, "{provoked}");
}

#[test]
fn frames_that_ask_for_nothing_end_the_connection() {
    for flood in [
        window(0, 1),
        setting(1, 1),
        frame(4, ACK, 0, b""),
        frame(6, ACK, 0, &[0; 8]),
        frame(2, 0, 1, &[0; 5]),
        frame(0x10, 0, 0, b"\0\0\0\x01u=1"),
        frame(0xfa, 0, 0, b""),
        frame(7, 0, 0, &[0; 8]),
    ] {
        let mut client = Client::new();
        let count = (0..5_000).position(|_| client.send(&flood).contains("go away: 0xb"));
        assert!(count.is_some_and(|count| (900..=1_000).contains(&count)), "{flood:?}: {count:?}");
    }
    let mut client = Client::new();
    client.send(&post(1, &[]));
    assert!((0..5_000).any(|_| client.send(&data(1, 0, 0)).contains("go away: 0xb")));
    // A large download needs them for each part of it, and not for each byte.
    let mut client = Client::new();
    client.send(&get(1));
    for _ in 0..10_000 {
        client.session.take_window(1, 1_000);
        assert_eq!(client.send(&[window(0, 500), window(1, 500)].concat()), "");
        assert_eq!(client.send(&window(1, 500)), "");
    }
    let count = (0..5_000).position(|_| {
        client.session.take_window(1, 1);
        client.send(&window(1, 1)).contains("go away: 0xb")
    });
    assert!(count.is_some_and(|count| (900..=1_010).contains(&count)), "{count:?}");
}

#[test]
fn answers_that_the_client_does_not_read_end_the_connection() {
    let mut client = Client::new();
    let pings = frame(6, 0, 0, &[0; 8]).repeat(970);
    assert!(client.send(&pings).ends_with("go away: 0xb"));
}

#[test]
fn endless_field_sections_end_the_connection() {
    let begin = || frame(1, END_STREAM, 1, b"");
    let mut client = Client::new();
    assert!(client.send(&[begin(), frame(9, 0, 1, b"").repeat(40)].concat()).contains("go away: 0xb"));
    let mut client = Client::new();
    assert!(client.send(&[begin(), frame(9, 0, 1, &[0; 16_384]).repeat(6)].concat()).contains("go away: 0xb"));
    // A bomb: a large entry of the table, again and again.
    let mut client = Client::new();
    let entry = [&[0x40, 1, b'a', 0x7f, 0xe1, 0x1d][..], &[b'v'; 3_936]].concat();
    let bomb = [entry, vec![0xbe; 10_000]].concat();
    assert_eq!(client.send(&frame(1, END_HEADERS | END_STREAM, 1, &bomb)), "go away: 0xb");
}

#[test]
fn priorities_come_from_fields_and_frames() {
    let priority = |frames: &[Vec<u8>], id| {
        let mut client = Client::new();
        client.send(&frames.concat());
        client.session.stream(id).unwrap().priority.map(|priority| (priority.urgency, priority.incremental))
    };
    let update = |id: u8, text: &str| frame(0x10, 0, 0, &[&[0, 0, 0, id], text.as_bytes()].concat());
    let with_field = headers(1, END_STREAM, &[GET, &[("priority", "u=5, i")]].concat());
    assert_eq!(priority(&[get(1)], 1), None);
    assert_eq!(priority(&[update(1, "u=1"), with_field.clone()], 1), Some((1, false)));
    assert_eq!(priority(&[with_field], 1), Some((5, true)));
    assert_eq!(priority(&[get(1), update(1, "u=2")], 1), Some((2, false)));
    assert_eq!(priority(&[update(5, "u=2"), update(5, "u=6"), get(1), get(5)], 5), Some((6, false)));
    // Not those of streams that were skipped.
    assert_eq!(priority(&[update(1, "u=2"), get(3)], 3), None);
}

#[test]
fn a_shutdown_answers_what_is_on_its_way() {
    let mut client = Client::new();
    client.send(&get(1));
    let mut out = Vec::new();
    client.session.begin_shutdown(&mut out);
    assert_eq!(words(&out, &[]), "go away: 0x0, ping");
    assert_eq!(client.send(&get(3)), "request 3: Dropped");
    assert_eq!(client.send(&frame(6, ACK, 0, b"shutdown")), "go away: 0x0");
    // It is decoded, and not acted on.
    assert_eq!(client.send(&get(5)), "");
    assert_eq!(client.send(&data(5, END_STREAM, 5)), "");
    assert!(!client.session.has_ended());
    client.session.end(1, true, &mut Vec::new());
    client.session.end(3, true, &mut Vec::new());
    assert!(client.session.has_ended() && client.session.streams() == 0);
}

#[test]
fn a_goaway_never_says_more_than_the_one_before() {
    let mut client = Client::new();
    let mut out = Vec::new();
    client.send(&get(1));
    client.session.end_shutdown(&mut out);
    // Streams that were opened too late are ignored, with all that is sent for them.
    let late = [get(3), post(5, &[]), data(5, 0, 9), window(5, 0), window(3, 1), reset(5), headers(9, 0, &[("X", "")])];
    assert_eq!(client.send(&late.concat()), "");
    let (mut answers, mut events) = (Vec::new(), Vec::new());
    let failed = client.session.receive(&get(2), 0, &mut Scratch::default(), &mut answers, &mut events);
    assert_eq!(failed.unwrap_err().code, ErrorCode::ProtocolError);
    assert_eq!(answers[9..13], 1u32.to_be_bytes());
    let nothing = |client: &mut Client| {
        let mut out = Vec::new();
        client.session.begin_shutdown(&mut out);
        client.session.end_shutdown(&mut out);
        assert_eq!(words(&out, &[]), "");
    };
    nothing(&mut client);
    // Nothing follows an error.
    let mut client = Client::new();
    assert_eq!(client.send(&get(2)), "go away: 0x1");
    nothing(&mut client);
    // They cost what other frames cost that ask for nothing.
    let mut client = Client::new();
    client.session.end_shutdown(&mut out);
    assert!((0..2_000).any(|number| client.send(&get(2 * number + 1)).contains("go away: 0xb")));
}

#[test]
fn the_first_section_after_a_smaller_table_begins_with_its_size() {
    let section = |client: &mut Client| {
        let mut out = Vec::new();
        client.session.write_headers(&mut out, 1, b"\x88", true);
        out[9..].to_vec()
    };
    for (sizes, expected) in [
        (&[][..], [&b"\x88"[..], b"\x88"]),
        (&[4_096], [b"\x88", b"\x88"]),
        (&[65_536], [b"\x88", b"\x88"]),
        (&[4_095], [b"\x20\x88", b"\x88"]),
        (&[0, 4_096], [b"\x20\x88", b"\x88"]),
        (&[100, 65_536, 50], [b"\x20\x88", b"\x88"]),
    ] {
        let mut client = Client::new();
        sizes.iter().for_each(|size| assert_eq!(client.send(&setting(1, *size)), "settings ack"));
        assert_eq!([section(&mut client), section(&mut client)], expected, "{sizes:?}");
        client.send(&setting(1, 0));
        let later = if expected[0].len() == 2 { &b"\x88"[..] } else { b"\x20\x88" };
        assert_eq!(section(&mut client), later, "{sizes:?}");
    }
}

#[test]
fn a_request_that_waits_for_its_content_always_has_a_window() {
    let limits = Limits { body_bytes: 1_000_000, ..Limits::default() };
    let mut session = Session::new(limits, Scheme::Https, &mut Vec::new());
    let (mut out, mut events) = (Vec::new(), Vec::new());
    let mut send = |bytes: &[u8]| {
        out.clear();
        session.receive(bytes, 0, &mut Scratch::default(), &mut out, &mut events).unwrap();
        words(&out, &std::mem::take(&mut events))
    };
    send(&[PREFACE, &frame(4, 0, 0, b""), &post(1, &[])].concat());
    let mut left = [65_535i64; 2];
    for _ in 0..100 {
        // A byte, and 253 of padding.
        let answers = send(&frame(0, 8, 1, &[&[253, b'x'][..], &[0; 253]].concat()).repeat(20));
        for (index, left) in left.iter_mut().enumerate() {
            let given = answers.split(", ").filter_map(|word| word.strip_prefix(&format!("window {index}: ")));
            *left += given.map(|bytes| bytes.parse::<i64>().unwrap()).sum::<i64>() - 20 * 255;
            assert!(*left > 20_000 && *left <= 65_535, "{left}");
        }
    }
    assert_eq!(send(&data(1, END_STREAM, 5)), "request 1: Dropped");
}

#[test]
fn an_answer_before_the_content_tells_the_client_to_stop() {
    let mut client = Client::new();
    client.send(&post(1, &[("expect", "100-continue")]));
    let mut out = Vec::new();
    client.session.end(1, true, &mut out);
    assert_eq!(words(&out, &[]), "reset 1: 0x0");
    assert_eq!(client.send(&data(1, END_STREAM, 5)), "");
}

#[test]
fn few_requests_wait_for_their_content() {
    let mut client = Client::new();
    for number in 0..MAX_WAITING as u32 {
        assert_eq!(client.send(&post(2 * number + 1, &[])), "");
    }
    assert_eq!(client.send(&post(101, &[])), "request 101: Unread");
}
