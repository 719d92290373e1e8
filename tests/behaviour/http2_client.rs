//! A client of HTTP/2 that sees every frame, and can send any.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;

use otus_httpd::http::h2::frame::{FrameType, write};
use otus_httpd::http::h2::hpack::{Decoder, TABLE_BYTES, encoder};
use otus_httpd::http::h2::session::PREFACE;

use crate::support::DEADLINE;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;

/// The window that the client gives: more than any response.
const WINDOW: u32 = 0x4000_0000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn is(&self, kind: FrameType) -> bool {
        self.kind == kind as u8
    }

    /// The number at this position of the payload.
    pub fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// What has arrived of a response.
#[derive(Debug, Default, Clone)]
pub struct Answer {
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub has_ended: bool,
    /// The code of a RST_STREAM.
    pub reset: Option<u32>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.field(":status").expect("a status").parse().unwrap()
    }

    /// Returns the value of the only field with this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(field, _)| field == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice in {self:?}");
        value
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

pub struct Http2Client<S = TcpStream> {
    pub stream: S,
    decoder: Decoder,
    next: u32,
    scheme: &'static str,
    pub answers: HashMap<u32, Answer>,
    /// The streams in the order in which their responses have ended.
    pub ended: Vec<u32>,
    /// The GOAWAY frames: last stream and code.
    pub go_aways: Vec<(u32, u32)>,
    /// Whether PINGs are answered.
    pub answers_pings: bool,
    pub pings: Vec<Vec<u8>>,
}

impl Http2Client {
    /// Connects in clear, with large windows.
    pub fn connect(address: SocketAddr) -> Self {
        let mut client = Http2Client::new(tcp(address), "http");
        client.begin(WINDOW);
        client
    }

    /// Connects in clear. Each stream has a window of so many bytes.
    pub fn with_window(address: SocketAddr, window: u32) -> Self {
        let mut client = Http2Client::new(tcp(address), "http");
        client.begin(window);
        client
    }

    /// Connects in clear, and sends nothing.
    pub fn silent(address: SocketAddr) -> Self {
        Http2Client::new(tcp(address), "http")
    }
}

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

impl<S: Read + Write> Http2Client<S> {
    pub fn new(stream: S, scheme: &'static str) -> Self {
        Http2Client {
            stream,
            decoder: Decoder::new(TABLE_BYTES),
            next: 1,
            scheme,
            answers: HashMap::new(),
            ended: Vec::new(),
            go_aways: Vec::new(),
            answers_pings: true,
            pings: Vec::new(),
        }
    }

    /// Sends the preface, and settings with the window of each stream. The window of the connection is large.
    pub fn begin(&mut self, window: u32) {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(write::head(FrameType::Settings, 0, 0, 6));
        bytes.extend([0, 4]);
        bytes.extend(window.to_be_bytes());
        write::window_update(&mut bytes, 0, WINDOW);
        self.send(&bytes);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn frame(&mut self, kind: FrameType, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = write::head(kind, flags, stream, payload.len()).to_vec();
        bytes.extend(payload);
        self.send(&bytes);
    }

    /// Returns the HEADERS of a request with the next number. `fields` follow the pseudo-header fields, and replace those of the
    /// same name.
    pub fn headers(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        ends_stream: bool,
    ) -> (u32, Vec<u8>) {
        let stream = self.next;
        self.next += 2;
        let mut section = Vec::new();
        for (name, value) in [(":method", method), (":scheme", self.scheme), (":authority", "test"), (":path", target)]
        {
            let own = fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
            encoder::put(&mut section, name, own.unwrap_or(value).as_bytes());
        }
        for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with(':')) {
            encoder::put(&mut section, name, value.as_bytes());
        }
        let mut bytes = Vec::new();
        write::headers(&mut bytes, stream, &section, ends_stream);
        (stream, bytes)
    }

    /// Sends a request. Returns its stream.
    pub fn request(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> u32 {
        let (stream, bytes) = self.headers(method, target, fields, true);
        self.send(&bytes);
        stream
    }

    /// Sends a GET, and returns the whole response.
    pub fn get(&mut self, target: &str) -> Answer {
        let stream = self.request("GET", target, &[]);
        self.response(stream)
    }

    /// Reads until the response of a stream has ended.
    pub fn response(&mut self, stream: u32) -> Answer {
        self.read_until(|client| client.answers.get(&stream).is_some_and(|answer| answer.has_ended));
        self.answers.remove(&stream).unwrap()
    }

    /// Reads frames until `condition` holds.
    pub fn read_until(&mut self, condition: impl Fn(&Self) -> bool) {
        while !condition(self) {
            let frame = self.next_frame();
            assert!(frame.is_some(), "the connection has ended; GOAWAY {:?}", self.go_aways);
        }
    }

    /// Reads until the connection ends. Returns the last stream and code of the last GOAWAY.
    pub fn read_to_end(&mut self) -> (u32, u32) {
        while self.next_frame().is_some() {}
        *self.go_aways.last().expect("a GOAWAY")
    }

    /// Reads a frame and acts on it; none at the end of the connection.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        match self.stream.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
            result => result.unwrap(),
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).unwrap();
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        self.act(&frame);
        Some(frame)
    }

    fn act(&mut self, frame: &Frame) {
        let ends_stream = frame.flags & END_STREAM != 0;
        if frame.is(FrameType::Headers) {
            assert!(frame.flags & 0x4 != 0, "a section of several frames");
            let mut fields = Vec::new();
            let decoded = self.decoder.decode(&frame.payload, &mut Vec::new(), |name, value| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                fields.push((text(name), text(value)));
                ControlFlow::Continue(())
            });
            decoded.unwrap();
            self.answers.entry(frame.stream).or_default().fields = fields;
        } else if frame.is(FrameType::Data) {
            self.answers.entry(frame.stream).or_default().body.extend(&frame.payload);
        } else if frame.is(FrameType::ResetStream) {
            let answer = self.answers.entry(frame.stream).or_default();
            answer.reset = Some(frame.number(0));
            if !answer.has_ended {
                answer.has_ended = true;
                self.ended.push(frame.stream);
            }
        } else if frame.is(FrameType::GoAway) {
            self.go_aways.push((frame.number(0), frame.number(4)));
        } else if frame.is(FrameType::Settings) && frame.flags & ACK == 0 {
            self.frame(FrameType::Settings, ACK, 0, &[]);
        } else if frame.is(FrameType::Ping) && frame.flags & ACK == 0 {
            self.pings.push(frame.payload.clone());
            if self.answers_pings {
                self.frame(FrameType::Ping, ACK, 0, &frame.payload);
            }
        }
        if ends_stream && (frame.is(FrameType::Headers) || frame.is(FrameType::Data)) {
            self.answers.entry(frame.stream).or_default().has_ended = true;
            self.ended.push(frame.stream);
        }
    }
}
