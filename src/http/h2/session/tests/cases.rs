//! The cases of tests/http2/cases, without a socket: for a server that answers at once, and for one that answers late; and each byte
//! for byte as well.

use super::notation::{Case, Step, cases};
use super::*;
use crate::http::h2::request_head::BadRequest;
use crate::http::request::Method;

const FILES: [(&str, &str); 9] = [
    ("connection", include_str!("../../../../../tests/http2/cases/connection.txt")),
    ("settings", include_str!("../../../../../tests/http2/cases/settings.txt")),
    ("streams", include_str!("../../../../../tests/http2/cases/streams.txt")),
    ("frames", include_str!("../../../../../tests/http2/cases/frames.txt")),
    ("windows", include_str!("../../../../../tests/http2/cases/windows.txt")),
    ("requests", include_str!("../../../../../tests/http2/cases/requests.txt")),
    ("hpack", include_str!("../../../../../tests/http2/cases/hpack.txt")),
    ("priorities", include_str!("../../../../../tests/http2/cases/priorities.txt")),
    ("limits", include_str!("../../../../../tests/http2/cases/limits.txt")),
];

/// The longest case that is sent byte for byte.
const MAX_BYTES: usize = 2_000;

/// A server without files.
struct Server {
    session: Session,
    scratch: Scratch,
    is_fast: bool,
    unread: Vec<u8>,
    /// What the client gets, in the words of the cases.
    got: Vec<String>,
    /// The streams with a request that was not answered.
    waiting: Vec<u32>,
    is_over: bool,
}

impl Server {
    fn new(is_fast: bool, scheme: Scheme) -> Self {
        let session = Session::new(Limits::default(), scheme, &mut Vec::new());
        let (unread, got, waiting) = (Vec::new(), Vec::new(), Vec::new());
        Server { session, scratch: Scratch::default(), is_fast, unread, got, waiting, is_over: false }
    }

    fn receive(&mut self, bytes: &[u8]) {
        if self.is_over {
            return;
        }
        self.unread.extend_from_slice(bytes);
        let (mut out, mut events) = (Vec::new(), Vec::new());
        match self.session.receive(&self.unread, 0, &mut self.scratch, &mut out, &mut events) {
            Ok(used) => drop(self.unread.drain(..used)),
            Err(_) => self.is_over = true,
        }
        self.read(&out);
        for event in events {
            match event {
                Event::Request { stream, head, body } => {
                    self.got.push(format!("answer {stream} {}", status(&head, body)));
                    self.waiting.push(stream);
                    let is_large = format!("{:?}", head.request(body, &mut Vec::new()));
                    let is_large = is_large.contains("/large");
                    if self.is_fast && !is_large && self.session.sendable_bytes(stream) > 1_000 {
                        self.finish(stream);
                    }
                }
                Event::Cancelled { stream } => self.finish(stream),
            }
        }
    }

    fn read(&mut self, mut out: &[u8]) {
        while let Some((frame, length)) = frame::parse(out).unwrap() {
            match frame {
                Frame::ResetStream { stream, code } => self.got.push(format!("stream {stream} {}", code_name(code))),
                Frame::GoAway { code } => self.got.push(format!("connection {}", code_name(code))),
                Frame::PingAck(data) => self.got.push(format!("pong '{}'", data.escape_ascii())),
                Frame::SettingsAck | Frame::WindowUpdate { .. } => {}
                frame => panic!("{frame:?}"),
            }
            out = &out[length..];
        }
    }

    fn finish(&mut self, stream: u32) {
        let mut out = Vec::new();
        self.session.end(stream, true, &mut out);
        self.read(&out);
        self.waiting.retain(|waiting| *waiting != stream);
    }

    /// Returns whether the client got what it may get.
    fn fits(&mut self, wants: &[String]) -> bool {
        if let Some(want) = wants.iter().find(|want| want.starts_with("connection ")) {
            return self.got.last() == Some(want);
        }
        let (windows, wants): (Vec<_>, Vec<_>) = wants.iter().partition(|want| want.starts_with("sends "));
        let are_windows_right = windows.into_iter().all(|want| {
            let numbers: Vec<u32> = want.split(' ').skip(1).map(|number| number.parse().unwrap()).collect();
            self.session.sendable_bytes(numbers[0]) == numbers[1] as usize
        });
        let is = |want: &String, got: &String| {
            got == want
                || want.starts_with("answer ")
                    && got.strip_prefix(want.as_str()).is_some_and(|rest| rest.starts_with(' '))
        };
        let is_wanted = |got: &String| got.ends_with(" NO_ERROR") || wants.iter().any(|want| is(want, got));
        are_windows_right
            && self.got.iter().all(is_wanted)
            && wants.iter().all(|want| self.got.iter().any(|got| is(want, got)))
    }
}

fn code_name(code: u32) -> &'static str {
    const NAMES: [&str; 12] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
    ];
    NAMES[code as usize]
}

/// The status of a response for `/`.
fn status(head: &RequestHead, body: Body) -> u16 {
    match head.request(body, &mut Vec::new()) {
        Err(BadRequest::Refused(refusal)) => refusal.status().code(),
        Err(malformed) => panic!("{malformed:?}"),
        Ok(request) => match (request.method, body) {
            (Method::Other, _) => 405,
            (Method::Unknown, _) => 501,
            (_, Body::TooLarge) => 413,
            (Method::Options, _) => 204,
            _ => 200,
        },
    }
}

/// Returns what is wrong with what a client gets.
fn fault(case: &Case, is_fast: bool, scheme: Scheme, is_cut: bool) -> Option<String> {
    let mut server = Server::new(is_fast, scheme);
    for step in &case.steps {
        match step {
            Step::Send(bytes) if is_cut => bytes.chunks(1).for_each(|byte| server.receive(byte)),
            Step::Send(bytes) => server.receive(bytes),
            Step::Wait(stream) => server.finish(*stream),
        }
    }
    let may_go_on = case.wants.iter().any(|wants| !wants.iter().any(|want| want.starts_with("connection ")));
    if may_go_on && !server.is_over {
        server.receive(&frame(6, 0, 0, b"the end."));
        assert_eq!(server.got.pop().as_deref(), Some("pong 'the end.'"), "{}", case.name);
    }
    let is_right = case.wants.iter().any(|wants| server.fits(wants));
    (!is_right)
        .then(|| format!("{} (fast: {is_fast}, cut: {is_cut}): {:?}, not {:?}", case.name, server.got, case.wants))
}

#[test]
fn clients_get_what_the_rfcs_say() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for (scheme, is_tls) in [(Scheme::Https, true), (Scheme::Http, false)] {
        for case in FILES.iter().flat_map(|(name, text)| cases(name, text, is_tls)) {
            if case.only_tls && !is_tls || case.only_clear && is_tls {
                continue;
            }
            assert!(!case.wants.is_empty() && case.steps.len() > 1, "{}", case.name);
            count += 1;
            let bytes: usize =
                case.steps.iter().map(|step| if let Step::Send(bytes) = step { bytes.len() } else { 0 }).sum();
            for is_fast in [false, true] {
                faults.extend(fault(&case, is_fast, scheme, false));
                if bytes <= MAX_BYTES {
                    faults.extend(fault(&case, is_fast, scheme, true));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
    assert!(count > 2 * 250, "{count}");
}
