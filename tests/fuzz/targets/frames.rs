//! Frames of a client in any order: what becomes of each is what a model of RFC 9113 allows; and it does not depend on how
//! they are cut, and is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otus_httpd::http::h2::session::{Event, PREFACE, Scratch, Session};
use otus_httpd::http::{Limits, Scheme};
use otus_httpd_fuzz::h2::frame::*;
use otus_httpd_fuzz::h2::model::{Model, Outcome};
use otus_httpd_fuzz::h2::script::{self, Step};

/// The bytes for the client at which a session may end the connection if they come at one time.
const UNREAD: usize = 16 * 1024;

/// A session, and all that it has done.
struct Server {
    session: Session,
    scratch: Scratch,
    out: Vec<u8>,
    events: Vec<Event>,
    said: Vec<String>,
}

impl Server {
    fn new() -> Server {
        let mut out = Vec::new();
        let session = Session::new(Limits::default(), Scheme::Http, &mut out);
        Server { session, scratch: Scratch::default(), out, events: Vec::new(), said: Vec::new() }
    }

    /// Receives bytes. Returns how many were used; none after an error.
    fn receive(&mut self, bytes: &[u8]) -> Option<usize> {
        self.events.clear();
        let used = self.session.receive(bytes, 0, &mut self.scratch, &mut self.out, &mut self.events);
        self.said.extend(self.events.iter().map(|event| format!("{event:?}")));
        used.ok()
    }

    /// The owner of the session sends content of a stream, and perhaps ends its work for it.
    fn serve(&mut self, id: u32, bytes: usize, ends: bool) -> usize {
        let bytes = bytes.min(self.session.sendable_bytes(id));
        self.session.take_window(id, bytes);
        if ends {
            let is_answered = self.session.stream(id).is_some();
            self.session.end(id, is_answered, &mut self.out);
        }
        bytes
    }
}

/// Lets the server do what the model allows for a frame, and the model know of it. Returns whether the connection goes on.
fn receive(server: &mut Server, model: &mut Model, bytes: &[u8], cut: usize) -> bool {
    let frame = Frame::take(&mut &bytes[..]).unwrap();
    let allowed = model.judge(&frame);
    let begin = server.out.len();
    // A part of a frame is none; but its head alone may be too much.
    let mut used = Some(0);
    if cut < bytes.len() {
        used = server.receive(&bytes[..cut]);
        assert!(used.is_none() || used == Some(0) && server.out.len() == begin && server.events.is_empty());
    }
    if used.is_some() {
        used = server.receive(bytes);
        assert!(used.is_none_or(|used| used == bytes.len()));
    }
    let mut out = &server.out[begin..];
    let (mut outcome, mut acknowledged, mut extended) = (Outcome::Fine, None, Vec::new());
    while let Some(sent) = Frame::take(&mut out) {
        match (sent.kind, sent.has(ACK)) {
            (RST_STREAM, _) => {
                assert_eq!((sent.stream, outcome), (frame.stream, Outcome::Fine));
                outcome = Outcome::Stream(sent.number(0));
            }
            (GOAWAY, _) => outcome = Outcome::Connection(sent.number(4)),
            (SETTINGS | PING, true) => acknowledged = Some((sent.kind, sent.payload.to_vec())),
            (WINDOW_UPDATE, _) => extended.push((sent.stream, sent.number(0))),
            _ => panic!("{sent:?}"),
        }
    }
    assert!(out.is_empty());
    assert!(allowed.has(outcome), "{frame:?}: {outcome:?}, not {allowed:?}");
    let is_over = matches!(outcome, Outcome::Connection(_));
    assert_eq!(is_over, used.is_none());
    if is_over {
        return false;
    }
    let is_due = matches!(frame.kind, SETTINGS | PING) && !frame.has(ACK);
    let due = is_due.then(|| (frame.kind, if frame.kind == PING { frame.payload.to_vec() } else { Vec::new() }));
    assert_eq!(acknowledged, due, "{frame:?}");
    model.apply(&frame, outcome);
    extended.iter().for_each(|&(stream, bytes)| model.extend(stream, bytes));
    check_events(server, model);
    true
}

/// Each request is an event as soon as it is complete, and once; so is the end of one that was reset.
fn check_events(server: &Server, model: &mut Model) {
    let mut cancelled = Vec::new();
    for event in &server.events {
        match event {
            Event::Request { stream, .. } => {
                let stream = model.streams.get_mut(stream).expect("a stream that is open");
                assert!(!std::mem::replace(&mut stream.is_asked, true));
            }
            Event::Cancelled { stream } => cancelled.push(*stream),
        }
    }
    for (id, stream) in &model.streams {
        let is_reset = stream.is_reset_by_client || stream.is_reset_by_server;
        assert!(stream.is_asked || !stream.is_sent || is_reset, "stream {id} is not asked for");
        assert!(!cancelled.contains(id) || is_reset && stream.is_asked, "stream {id} is cancelled");
    }
}

/// What the model says that can be sent is what the session says.
fn check_windows(server: &mut Server, model: &Model) {
    for (&id, stream) in model.streams.iter().filter(|(_, stream)| !stream.is_over) {
        let is_reset = stream.is_reset_by_client || stream.is_reset_by_server;
        let window = if is_reset { 0 } else { stream.send_window.min(model.send_window).max(0) };
        assert_eq!(server.session.sendable_bytes(id) as i64, window, "stream {id}");
    }
    let places = model.streams.values().filter(|stream| !stream.is_over).count();
    assert_eq!(server.session.streams(), places);
}

// The first byte says where frames are cut; the rest is a script.
fuzz_target!(|input: &[u8]| {
    let Some((&cut, script)) = input.split_first() else { return };
    let (mut server, mut other) = (Server::new(), Server::new());
    assert_eq!((server.receive(PREFACE), other.receive(PREFACE)), (Some(PREFACE.len()), Some(PREFACE.len())));
    let mut model = Model::new(Limits::default(), Scheme::Http, true);
    let (mut unread, mut batch) = (Vec::new(), Vec::new());
    let mut received = 0;
    let settings = (cut & 1 == 0).then(script::settings);
    for step in settings.into_iter().chain(script::steps(script)).chain([Step::Read]) {
        match step {
            Step::Frame(bytes) => unread.extend_from_slice(&bytes),
            Step::Read => {}
            Step::Serve { choice, bytes, ends } => {
                let mut asked: Vec<_> = model.streams.iter().collect();
                asked.retain(|(_, stream)| stream.is_asked && !stream.is_over);
                let Some(&(&id, stream)) = asked.get(usize::from(choice) % asked.len().max(1)) else { continue };
                let (is_reset, is_sent) = (stream.is_reset_by_client || stream.is_reset_by_server, stream.is_sent);
                let begin = server.out.len();
                let taken = server.serve(id, bytes, ends);
                other.receive(&std::mem::take(&mut batch));
                other.serve(id, bytes, ends);
                model.take(id, taken);
                if ends && !is_reset {
                    model.answer(id);
                }
                let stream = model.streams.get_mut(&id).unwrap();
                stream.is_over |= ends;
                // The client need not send the rest (§8.1).
                let is_told = ends && !is_reset && !is_sent;
                stream.is_reset_by_server |= is_told;
                assert_eq!(server.out.len() > begin, is_told);
                check_windows(&mut server, &model);
            }
        }
        let whole = unread.len();
        let mut rest = &unread[..];
        let mut goes_on = true;
        while goes_on {
            let mut behind = rest;
            if Frame::take(&mut behind).is_none() {
                break;
            }
            let bytes = &rest[..rest.len() - behind.len()];
            batch.extend_from_slice(bytes);
            received += bytes.len();
            goes_on = receive(&mut server, &mut model, bytes, usize::from(cut));
            rest = behind;
        }
        let rest = rest.len();
        unread.drain(..whole - rest);
        if !goes_on {
            break;
        }
        check_windows(&mut server, &model);
    }
    // Another session has received the same in large pieces.
    let begin = other.out.len();
    let before = server.out.len() - begin;
    if before < UNREAD {
        other.receive(&batch);
        assert!(server.out == other.out);
        assert_eq!(server.said, other.said);
    }
    assert!(server.out.len() < 64 * 1024 + 20 * received);
});
