//! What a client sends, as a script that stays meaningful when a fuzzer changes it: each step is a byte and its arguments.

use super::frame::{self, *};

/// What a step of a script is for.
#[derive(Debug)]
pub enum Step {
    /// A frame, or what looks like one.
    Frame(Vec<u8>),
    /// The server ends its work for a stream, or sends so many bytes of content.
    Serve { choice: u8, bytes: usize, ends: bool },
    /// The client reads what has come.
    Read,
}

/// The beginning of requests: method, path, and fields. Their content is that of files of [`crate::site`].
const REQUESTS: [(&str, &str, &[(&str, &str)]); 16] = [
    ("GET", "/a.txt", &[]),
    ("GET", "/", &[]),
    ("GET", "/large.bin", &[]),
    ("GET", "/page.html", &[("accept-encoding", "br, gzip;q=0.5")]),
    ("HEAD", "/page.html", &[]),
    ("GET", "/empty", &[("range", "bytes=0-")]),
    ("GET", "/large.bin", &[("range", "bytes=5-9")]),
    ("GET", "/large.bin", &[("range", "bytes=35000-,0-4")]),
    ("GET", "/a.txt", &[("if-none-match", "*")]),
    ("GET", "/dir", &[]),
    ("GET", "/none", &[("priority", "u=1, i")]),
    ("GET", "/large.bin", &[("priority", "u=7")]),
    ("POST", "/a.txt", &[("content-length", "5")]),
    ("PUT", "/a.txt", &[("content-length", "9000"), ("expect", "100-continue")]),
    ("GET", "/page.html", &[("range", "bytes=-7"), ("accept-encoding", "gzip")]),
    ("OPTIONS", "*", &[]),
];

/// Lines of sections that are right, and that are not.
const LINES: [(&str, &str); 48] = [
    (":method", "GET"),
    (":method", "HEAD"),
    (":method", "CONNECT"),
    (":method", "OPTIONS"),
    (":method", ""),
    (":method", "G T"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":scheme", "HTTP"),
    (":scheme", "ftp"),
    (":authority", "x"),
    (":authority", "x:80"),
    (":authority", ""),
    (":authority", "a b"),
    (":authority", "u@x"),
    (":path", "/"),
    (":path", "/large.bin"),
    (":path", ""),
    (":path", "*"),
    (":path", "a.txt"),
    (":path", "http://x/"),
    (":path", "/ x"),
    (":path", "/\u{e9}?a#b"),
    (":status", "200"),
    (":protocol", "websocket"),
    (":", ""),
    ("host", "x"),
    ("host", "X:80"),
    ("host", "y"),
    ("content-length", "0"),
    ("content-length", "3"),
    ("content-length", "+3"),
    ("content-length", "99999999999999999999999"),
    ("connection", "close"),
    ("keep-alive", "5"),
    ("proxy-connection", "close"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "h2c"),
    ("te", "trailers"),
    ("te", "gzip"),
    ("expect", "100-continue"),
    ("Accept", "a"),
    ("a b", "a"),
    ("", "a"),
    ("x", " a"),
    ("x", "a\0"),
    ("x", "a\u{7}"),
    ("cookie", "a=b"),
];

/// Values of windows and settings.
const VALUES: [u32; 12] =
    [0, 1, 2, 100, 4_096, 16_384, 65_535, 65_536, 0x3fff_ffff, 0x7fff_0000, 0x7fff_ffff, 0xffff_ffff];

/// The limit of bytes of a script's frames.
const MOST_BYTES: usize = 300 * 1024;

struct Script<'a> {
    rest: &'a [u8],
    /// The stream that was opened last.
    last: u32,
}

/// Returns the steps of a script.
pub fn steps(script: &[u8]) -> Vec<Step> {
    let mut script = Script { rest: script, last: 0 };
    let (mut steps, mut bytes) = (Vec::new(), 0);
    while !script.rest.is_empty() && bytes < MOST_BYTES {
        let step = script.step();
        let times = match script.rest.first() {
            // Again and again.
            Some(0xff) => {
                script.byte();
                1 + usize::from(script.byte())
            }
            _ => 1,
        };
        match step {
            Step::Frame(frame) => {
                let times = times.min(1 + MOST_BYTES / (frame.len() + 1));
                bytes += times * frame.len();
                steps.extend((0..times).map(|_| Step::Frame(frame.clone())));
            }
            step => steps.push(step),
        }
    }
    steps
}

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        byte
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        taken.to_vec()
    }

    fn value(&mut self) -> u32 {
        VALUES[usize::from(self.byte()) % VALUES.len()]
    }

    /// A stream: one of the last ones, or one that cannot be.
    fn stream(&mut self) -> u32 {
        match self.byte() % 16 {
            back @ 0..=9 => self.last.saturating_sub(2 * u32::from(back)),
            10 => self.last + 2 - (self.last + 1) % 2,
            11 => 0,
            12 => self.last / 2 * 2,
            13 => 1,
            14 => self.last + 6 - (self.last + 1) % 2,
            _ => 1 << 31 | self.last,
        }
    }

    fn step(&mut self) -> Step {
        let mut out = Vec::new();
        let mut payload = Vec::new();
        match self.byte() % 20 {
            0..=2 => self.request(&mut out),
            3 => self.section(&mut out),
            4 => {
                let (stream, flags) = (self.stream(), self.byte());
                let length = usize::from(u16::from_be_bytes([self.byte(), self.byte()])) % (MAX_PAYLOAD + 8);
                payload.resize(length, b'd');
                put(&mut out, DATA, flags & (END_STREAM | PADDED), stream, &payload);
            }
            5 => {
                let stream = self.stream();
                put(&mut out, RST_STREAM, 0, stream, &self.value().to_be_bytes());
            }
            6 => {
                for _ in 0..self.byte() % 4 {
                    payload.extend_from_slice(&[0, self.byte() % 10]);
                    payload.extend_from_slice(&self.value().to_be_bytes());
                }
                put(&mut out, SETTINGS, 0, 0, &payload);
            }
            7 => put(&mut out, SETTINGS, ACK, 0, &[]),
            8 => {
                let flags = self.byte() & ACK;
                put(&mut out, PING, flags, 0, &if flags == ACK { *b"shutdown" } else { [self.byte(); 8] });
            }
            9 | 10 => {
                let stream = if self.byte() % 2 == 0 { 0 } else { self.stream() };
                put(&mut out, WINDOW_UPDATE, 0, stream, &self.value().to_be_bytes());
            }
            11 => {
                payload.extend_from_slice(&self.stream().to_be_bytes());
                let length = usize::from(self.byte() % 8);
                payload.extend_from_slice(&self.bytes(length));
                put(&mut out, PRIORITY_UPDATE, 0, 0, &payload);
            }
            12 => {
                let stream = self.stream();
                put(&mut out, PRIORITY, 0, stream, &self.bytes(5));
            }
            13 => put(&mut out, GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, self.byte()]),
            14 => {
                let (stream, flags, length) = (self.stream(), self.byte(), self.byte());
                put(&mut out, CONTINUATION, flags, stream, &self.bytes(usize::from(length % 16)));
            }
            15 => {
                // Any frame, of a length that may be wrong.
                let (kind, flags, stream) = (self.byte(), self.byte(), self.stream());
                let (length, more) = (usize::from(self.byte()), self.byte());
                payload = self.bytes(length);
                let length = if more > 250 { payload.len() << (more - 240) } else { payload.len() };
                put_with_length(&mut out, length, kind % 18, flags, stream, &payload);
            }
            16 => return Step::Read,
            17 | 18 => {
                let (choice, bytes, flags) = (self.byte(), self.byte(), self.byte());
                return Step::Serve { choice, bytes: usize::from(bytes) * 300, ends: flags % 4 != 0 };
            }
            _ => {
                let length = usize::from(self.byte() % 32);
                out = self.bytes(length);
            }
        }
        Step::Frame(out)
    }

    /// A request on the next stream: whole, with content to come, or in many frames.
    fn request(&mut self, out: &mut Vec<u8>) {
        let (kind, flags) = (self.byte(), self.byte());
        let (method, path, fields) = REQUESTS[usize::from(kind) % REQUESTS.len()];
        self.last = (self.last + 1) / 2 * 2 + 1;
        let mut section = Vec::new();
        for (name, value) in
            [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path)].iter().chain(fields)
        {
            literal(&mut section, flags >> 6, name.as_bytes(), value.as_bytes());
        }
        self.headers(out, self.last, flags & !END_HEADERS ^ END_STREAM, &section);
    }

    /// A section of lines that may be wrong, on a stream that may be.
    fn section(&mut self, out: &mut Vec<u8>) {
        let (stream, flags, count) = (self.stream(), self.byte(), self.byte());
        let mut section = Vec::new();
        // Those of a request, with one in another place.
        if count & 0x10 != 0 {
            for (name, value) in [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")] {
                literal(&mut section, flags >> 6, name.as_bytes(), value.as_bytes());
            }
        }
        for _ in 0..count % 16 {
            match self.byte() {
                0xf0.. => section.push(self.byte()),
                line => {
                    let (name, value) = LINES[usize::from(line) % LINES.len()];
                    literal(&mut section, flags >> 6, name.as_bytes(), value.as_bytes());
                }
            }
        }
        if stream % 2 == 1 && stream < 1 << 31 {
            self.last = self.last.max(stream);
        }
        self.headers(out, stream, flags & !END_HEADERS, &section);
    }

    /// HEADERS with a section. With END_STREAM in `flags`, and in 8 of 16 in several frames.
    fn headers(&mut self, out: &mut Vec<u8>, stream: u32, flags: u8, section: &[u8]) {
        let parts = if flags & 0x10 != 0 { 1 + usize::from(self.byte() % 4) } else { 1 };
        let flags = flags & (END_STREAM | PADDED | PRIORITY_FIELDS);
        let mut fragments = section.chunks(section.len().div_ceil(parts).max(1));
        let first = fragments.next().unwrap_or_default();
        let fragments: Vec<_> = fragments.collect();
        let padding = if flags & PADDED != 0 { self.byte() } else { 0 };
        let mut payload = Vec::new();
        if flags & PADDED != 0 {
            payload.push(padding);
        }
        if flags & PRIORITY_FIELDS != 0 {
            payload.extend_from_slice(&[0, 0, 0, 1, 15]);
        }
        payload.extend_from_slice(first);
        payload.resize(payload.len() + usize::from(padding), 0);
        let last_flag = |is_last| if is_last { END_HEADERS } else { 0 };
        put(out, HEADERS, flags | last_flag(fragments.is_empty()), stream, &payload);
        for (number, fragment) in fragments.iter().enumerate() {
            frame::put(out, CONTINUATION, last_flag(number + 1 == fragments.len()), stream, fragment);
        }
    }
}

/// A literal line (RFC 7541 §6.2), without a Huffman code: added to the table, or not.
fn literal(out: &mut Vec<u8>, form: u8, name: &[u8], value: &[u8]) {
    out.push([0x00, 0x40, 0x10, 0x00][usize::from(form % 4)]);
    for text in [name, value] {
        out.push(text.len() as u8);
        out.extend_from_slice(text);
    }
}

/// Empty SETTINGS, which come first.
pub fn settings() -> Step {
    let mut frame = Vec::new();
    put(&mut frame, SETTINGS, 0, 0, &[]);
    Step::Frame(frame)
}
