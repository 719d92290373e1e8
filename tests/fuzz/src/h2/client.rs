//! A client of HTTP/2 that sends a script to a worker, and checks all that it gets by what it has sent by then.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::ops::ControlFlow::Continue;
use std::os::unix::net::UnixStream;

use otus_httpd::access_log::{Record, RecordKind};
use otus_httpd::http::Scheme;
use otus_httpd::http::h2::hpack::{Decoder, TABLE_BYTES};
use otus_httpd::http::h2::session::PREFACE;

use super::frame::*;
use super::model::{Model, Outcome, Stream};
use super::request::Lines;
use super::script::Step;
use crate::answer::{Answer, number};
use crate::site::Site;
use crate::wire::{self, Cuts};

/// The number of a last stream that says only that the connection will end.
const ANY_STREAM: u32 = 0x7fff_ffff;

/// The window that a client gives which wants to have everything, in bytes.
const ENOUGH: u32 = 1 << 20;

/// The turns without progress after which nothing comes any more.
const IDLE_TURNS: usize = 60;

/// How a script is sent.
#[derive(Debug)]
pub struct Manner {
    pub cuts: Cuts,
    /// Whether the server has the smallest send buffer, and whether its tasks take longer than its turns.
    pub is_small: bool,
    pub has_slow_tasks: bool,
    /// The bytes of the end that are not sent.
    pub left_out: usize,
}

/// What has come of a response.
#[derive(Debug, Default)]
struct Response {
    lines: Lines,
    content: Vec<u8>,
    has_ended: bool,
    reset: Option<u32>,
}

struct Client<'s> {
    site: &'s mut Site,
    socket: UnixStream,
    has_ended: bool,
    received: Vec<u8>,
    model: Model,
    decoder: Decoder,
    responses: BTreeMap<u32, Response>,
    /// The codes with which the server may end each stream, and the connection.
    may_reset: BTreeMap<u32, Vec<u32>>,
    may_fail: Vec<u32>,
    /// Whether it has to end the connection with one of them.
    has_to_fail: bool,
    failure: Option<u32>,
    /// The last stream that the server acts on.
    last: u32,
    has_settings: bool,
    pings: VecDeque<Vec<u8>>,
    /// The initial window that the server uses, and those that it has not acknowledged.
    initial_window: u32,
    settings: VecDeque<u32>,
    has_to_pong: bool,
}

/// Sends a script, and everything that is needed to get all answers, and checks them.
pub fn exchange(site: &mut Site, steps: &[Step], manner: &Manner) {
    let slow = manner.has_slow_tasks;
    let socket = wire::open(|server, socket| server.accept_http2(socket, slow), &mut site.server, manner.is_small);
    // Those of the connection before, which has ended now.
    site.server.take_records();
    let model = Model::new(site.limits, Scheme::Http, false);
    let mut client = Client {
        site,
        socket,
        has_ended: false,
        received: Vec::new(),
        model,
        decoder: Decoder::new(TABLE_BYTES),
        responses: BTreeMap::new(),
        may_reset: BTreeMap::new(),
        may_fail: Vec::new(),
        has_to_fail: false,
        failure: None,
        last: ANY_STREAM,
        has_settings: false,
        pings: VecDeque::new(),
        initial_window: 65_535,
        settings: VecDeque::new(),
        has_to_pong: false,
    };
    let is_whole = client.send_script(steps, manner);
    if is_whole {
        client.get_all();
    }
    client.finish();
    client.check(is_whole);
}

impl Client<'_> {
    /// Sends the steps in pieces. Returns whether the server can go on behind them.
    fn send_script(&mut self, steps: &[Step], manner: &Manner) -> bool {
        let mut bytes = PREFACE.to_vec();
        // Where the client reads what has come.
        let mut reads = Vec::new();
        for step in steps {
            match step {
                Step::Frame(frame) => bytes.extend_from_slice(frame),
                Step::Read | Step::Serve { .. } => reads.push(bytes.len()),
            }
        }
        bytes.truncate(bytes.len().saturating_sub(manner.left_out).max(PREFACE.len()));
        let (mut sent, mut judged) = (0, PREFACE.len());
        for (number, cut) in manner.cuts.0.iter().cycle().enumerate() {
            if sent == bytes.len() || self.has_ended {
                break;
            }
            let next_read = reads.iter().find(|&&read| read > sent).copied().unwrap_or(usize::MAX);
            let end = sent + wire::piece(*cut, number, bytes.len() - sent);
            let end = end.min(next_read);
            // Before it is sent, since the server may act on it at once.
            judged = self.judge(&bytes, judged, end);
            sent += self.write(&bytes[sent..end]);
            for _ in 0..cut >> 12 & 3 {
                self.site.server.turn();
            }
            if cut >> 14 & 1 == 1 || sent == next_read {
                self.site.server.turn();
                self.receive();
            }
        }
        judged == bytes.len() && !self.has_to_fail
    }

    /// Judges the frames from `begin` on that end up to `end`. Returns where the last one ends.
    fn judge(&mut self, bytes: &[u8], begin: usize, end: usize) -> usize {
        let mut rest = &bytes[begin..end.max(begin)];
        while !self.has_to_fail
            && let Some(frame) = Frame::take(&mut rest)
        {
            self.judge_frame(&frame);
        }
        end.max(begin) - rest.len()
    }

    fn judge_frame(&mut self, frame: &Frame) {
        let allowed = self.model.judge(frame);
        self.may_fail.extend_from_slice(&allowed.connection);
        self.may_reset.entry(frame.stream).or_default().extend_from_slice(&allowed.stream);
        let outcome = match (allowed.is_fine, allowed.stream.first()) {
            (true, _) => Outcome::Fine,
            (false, Some(&code)) => Outcome::Stream(code),
            (false, None) => {
                self.has_to_fail = true;
                self.model.fail(frame);
                return;
            }
        };
        self.model.apply(frame, outcome);
        if allowed.is_fine && !allowed.stream.is_empty() {
            self.model.streams.entry(frame.stream).or_insert_with(Stream::left_out).may_be_reset = true;
        }
        self.model.may_be_shut_down |= self.model.streams.len() >= self.site.most_requests;
        if (frame.kind, frame.flags & ACK) == (PING, 0) {
            self.pings.push_back(frame.payload.to_vec());
        }
        if (frame.kind, frame.flags & ACK) == (SETTINGS, 0) {
            let before = self.settings.back().copied().unwrap_or(self.initial_window);
            // The largest of these is used in between.
            let values = frame.settings().filter(|setting| setting.0 == 4).map(|setting| setting.1);
            self.settings.push_back(values.last().unwrap_or(before));
        }
    }

    /// Returns how many bytes could be sent.
    fn write(&mut self, bytes: &[u8]) -> usize {
        match self.socket.write(bytes) {
            Ok(length) => return length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.site.server.turn();
                self.receive();
            }
            // The server has closed the connection.
            Err(_) => {
                self.receive();
                self.has_ended = true;
            }
        }
        0
    }

    /// Sends a frame behind the script.
    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        put(&mut bytes, kind, flags, stream, payload);
        self.judge(&bytes, 0, bytes.len());
        let mut sent = 0;
        while sent < bytes.len() && !self.has_ended {
            sent += self.write(&bytes[sent..]);
        }
    }

    /// Lets the server send until all requests are answered.
    fn get_all(&mut self) {
        let mut idle = 0;
        while !self.has_ended && self.failure.is_none() && idle < IDLE_TURNS {
            let before = (self.received_bytes(), self.is_complete());
            self.site.server.turn();
            self.receive();
            if std::mem::take(&mut self.has_to_pong) {
                self.send(PING, ACK, 0, b"shutdown");
            }
            let is_waiting = |id: &u32| self.is_due(*id);
            let waiting: Vec<_> = self.model.streams.keys().copied().filter(is_waiting).collect();
            if !waiting.is_empty() && self.model.send_window <= 0 {
                self.send(WINDOW_UPDATE, 0, 0, &ENOUGH.to_be_bytes());
            }
            for id in waiting {
                let window = self.model.streams[&id].send_window;
                if window <= 0 {
                    let bytes = (i64::from(ENOUGH) - window).min(ANY_STREAM.into()) as u32;
                    self.send(WINDOW_UPDATE, 0, id, &bytes.to_be_bytes());
                }
            }
            idle = if before == (self.received_bytes(), self.is_complete()) { idle + 1 } else { 0 };
            if self.is_complete() && idle > 3 {
                break;
            }
        }
    }

    fn received_bytes(&self) -> usize {
        self.responses.values().map(|response| response.content.len() + 1).sum()
    }

    /// The client closes its side. Then the server has to end the connection.
    fn finish(&mut self) {
        // If the server has closed the connection already, there is nothing to do.
        let _ = self.socket.shutdown(Shutdown::Write);
        for _ in 0..10_000 {
            if self.has_ended {
                return;
            }
            self.site.server.turn();
            self.receive();
        }
        panic!("the connection does not end");
    }

    /// Whether a response is to come for a stream: its request is complete, and nothing has ended it.
    fn is_due(&self, id: u32) -> bool {
        let stream = &self.model.streams[&id];
        let response = self.responses.get(&id);
        let is_open = stream.is_sent && !stream.is_reset_by_client && id <= self.last;
        is_open && response.is_none_or(|response| !response.has_ended && response.reset.is_none())
    }

    fn is_complete(&self) -> bool {
        !self.model.streams.keys().any(|id| self.is_due(*id))
    }

    /// Reads all that has come.
    fn receive(&mut self) {
        self.has_ended |= wire::receive(&mut self.socket, &mut self.received);
        let received = std::mem::take(&mut self.received);
        let mut rest = &received[..];
        while let Some(frame) = Frame::take(&mut rest) {
            assert!(!frame.is_too_long, "{frame:?}");
            self.accept(&frame);
        }
        self.received = rest.to_vec();
    }

    fn accept(&mut self, frame: &Frame) {
        assert!(self.has_settings || (frame.kind, frame.flags) == (SETTINGS, 0), "the first frame is {frame:?}");
        assert!(self.failure.is_none(), "{frame:?} follows the error {:?}", self.failure);
        assert!(frame.stream <= self.last, "{frame:?} is for a stream above {}", self.last);
        match (frame.kind, frame.has(ACK)) {
            (DATA, _) => self.accept_data(frame),
            (HEADERS, _) => self.accept_headers(frame),
            (RST_STREAM, _) => self.accept_reset(frame),
            (SETTINGS, false) => assert!(!std::mem::replace(&mut self.has_settings, true), "SETTINGS twice"),
            (SETTINGS, true) => self.initial_window = self.settings.pop_front().expect("SETTINGS to acknowledge"),
            (PING, true) => assert_eq!(self.pings.pop_front().as_deref(), Some(frame.payload)),
            (PING, false) => {
                assert_eq!(frame.payload, b"shutdown");
                self.has_to_pong = true;
            }
            (GOAWAY, _) => {
                let (last, code) = (frame.number(0), frame.number(4));
                assert!(last <= self.last && (last <= self.model.last || last == ANY_STREAM), "{frame:?}");
                self.last = last;
                if code != NO_ERROR {
                    assert!(self.may_fail.contains(&code), "the connection fails with {code}, not {:?}", self.may_fail);
                    self.failure = Some(code);
                } else {
                    assert!(self.model.may_be_shut_down, "the connection ends");
                }
            }
            (WINDOW_UPDATE, _) => self.model.extend(frame.stream, frame.number(0)),
            _ => panic!("{frame:?}"),
        }
    }

    fn accept_headers(&mut self, frame: &Frame) {
        let stream = self.model.streams.get(&frame.stream).expect("a stream that the client has opened");
        assert!(frame.has(END_HEADERS) && self.model.may_be_asked(stream), "{frame:?}");
        let before = self.responses.insert(frame.stream, Response::default());
        assert!(before.is_none(), "{frame:?} follows {before:?}");
        let mut lines = Lines::new();
        let add = |name: &[u8], value: &[u8]| {
            lines.push((name.to_vec(), value.to_vec()));
            Continue(())
        };
        self.decoder.decode(frame.payload, &mut Vec::new(), add).expect("a field section");
        self.responses.get_mut(&frame.stream).unwrap().lines = lines;
        self.end(frame);
    }

    fn accept_data(&mut self, frame: &Frame) {
        let response = self.responses.get_mut(&frame.stream).expect("a response that has begun");
        assert!(!response.has_ended && response.reset.is_none(), "{frame:?} behind the end");
        response.content.extend_from_slice(frame.payload);
        self.model.take(frame.stream, frame.payload.len());
        // A smaller window is used once the server has acknowledged it.
        let now = self.settings.back().copied().unwrap_or(self.initial_window);
        let most = self.settings.iter().copied().max().unwrap_or(0).max(self.initial_window);
        let window = self.model.streams[&frame.stream].send_window + i64::from(most - now);
        assert!(window >= 0 && self.model.send_window >= 0, "{} {window}", self.model.send_window);
        self.end(frame);
    }

    fn end(&mut self, frame: &Frame) {
        if frame.has(END_STREAM) {
            self.responses.get_mut(&frame.stream).unwrap().has_ended = true;
            self.model.answer(frame.stream);
        }
    }

    fn accept_reset(&mut self, frame: &Frame) {
        let (id, code) = (frame.stream, frame.number(0));
        // The client may have left it out, and sent a frame with an error on it.
        assert!(id % 2 == 1 && id <= self.model.last, "{frame:?} is for a stream that is idle");
        let stream = self.model.streams.entry(id).or_insert_with(Stream::left_out);
        (stream.is_reset_by_server, stream.is_over) = (true, true);
        let response = self.responses.entry(id).or_default();
        let may_reset = self.may_reset.get(&id).is_some_and(|codes| codes.contains(&code));
        assert!(code == NO_ERROR && response.has_ended || may_reset, "{frame:?}, not {:?}", self.may_reset.get(&id));
        assert!(response.reset.is_none(), "stream {id} is reset again");
        response.reset = Some(code);
    }

    fn check(&self, is_whole: bool) {
        assert!(self.received.is_empty(), "a part of a frame: {}", self.received.escape_ascii());
        assert!(self.has_settings, "there are no SETTINGS");
        // After its last stream, the server reads nothing more.
        let is_over = self.failure.is_some() || self.last != ANY_STREAM;
        assert!(is_over || !self.has_to_fail, "the connection does not fail: {:?}", self.may_fail);
        let records = self.site.server.take_records();
        for (&id, response) in self.responses.iter().filter(|(_, response)| response.has_ended) {
            self.check_response(id, response);
        }
        for &id in self.model.streams.keys() {
            assert!(!is_whole || self.failure.is_some() || !self.is_due(id), "stream {id} is not answered");
            self.check_records(id, &records);
        }
        assert!(records.iter().all(|record| record.stream <= self.model.last));
    }

    /// A response is whole, and right.
    fn check_response(&self, id: u32, response: &Response) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let lines: Vec<_> = response.lines.iter().map(|(name, value)| (text(name), text(value))).collect();
        let method = self.model.streams[&id].method();
        let answer = Answer::of_http2(&lines, &response.content, method == "HEAD");
        // A section beyond the limits is not looked at: so is its method.
        if answer.status != 431 {
            self.site.check(&answer, method);
        }
    }

    /// A stream that was acted on is in the access log once, and with what was sent.
    fn check_records(&self, id: u32, records: &[Box<Record>]) {
        let records: Vec<_> = records.iter().filter(|record| record.stream == id).collect();
        assert!(records.len() <= 1, "stream {id} has {} records", records.len());
        let Some(response) = self.responses.get(&id).filter(|response| !response.lines.is_empty()) else { return };
        let [record] = records[..] else { panic!("stream {id} has no record") };
        assert_ne!(record.kind, RecordKind::NoRequest);
        assert_eq!(response.lines[0], (b":status".to_vec(), record.status.to_string().into_bytes()));
        assert_eq!(record.is_aborted, !response.has_ended, "stream {id}: {record:?}");
        assert_eq!(record.bytes, response.content.len() as u64, "stream {id}");
    }
}

impl<'a> Answer<'a> {
    /// A whole response of HTTP/2, which is checked as those of HTTP/1.1 are (RFC 9113 §8.1, §8.2.2, §8.3.2).
    pub fn of_http2(lines: &'a [(String, String)], content: &'a [u8], is_head: bool) -> Answer<'a> {
        let (status, fields) = lines.split_first().expect("a status");
        assert_eq!(status.0, ":status");
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let answer = Answer { status: number(&status.1) as u16, fields, body: content };
        answer.check_fields();
        let is_lower =
            |name: &str| name.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit());
        assert!(answer.field("Connection").is_none() && answer.fields.iter().all(|(name, _)| is_lower(name)));
        match answer.field("Content-Length").map(number) {
            Some(length) if !is_head && answer.status != 304 => assert_eq!(length, content.len() as u64, "{answer:?}"),
            length => {
                assert!(content.is_empty() && (length.is_some() || matches!(answer.status, 204 | 304)), "{answer:?}");
            }
        }
        answer.check_status(is_head);
        answer
    }
}
