//! The record of a request and its response, in memory of a fixed size.

use std::fmt::{Display, Write};
use std::net::SocketAddr;

use crate::http::request::{Method, Version};
use crate::http::{Authority, Coding, Request};
use crate::tls::Properties;

/// A text of a record. Texts are stored in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// The method as it was sent.
    Method,
    /// The target as it was sent; the first line, if the request is malformed.
    Target,
    /// The Host field.
    Host,
    /// The Referer field.
    Referer,
    /// The User-Agent field.
    UserAgent,
    /// The Range field.
    Range,
    /// The user whose password was verified.
    User,
    /// The server name of TLS.
    TlsName,
    /// The host that a proxy says the client asked for.
    ProxyAuthority,
    /// The reason for an error, for an aborted response, or for the end of a connection without a request.
    Cause,
}

impl Text {
    /// Returns its capacity in bytes.
    pub fn capacity(self) -> usize {
        CAPACITY[self as usize]
    }
}

const TEXTS: usize = 10;

/// The capacity of each text in bytes.
const CAPACITY: [usize; TEXTS] = [24, 512, 128, 256, 256, 64, 64, 128, 128, 96];

const BYTES: usize = {
    let (mut sum, mut n) = (0, 0);
    while n < TEXTS {
        sum += CAPACITY[n];
        n += 1;
    }
    sum
};

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// A request.
    Request(Method),
    /// A malformed request.
    Malformed,
    /// A connection that ended without a request.
    NoRequest,
}

/// The properties of TLS in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsRecord {
    /// The version.
    pub version: &'static str,
    /// The cipher.
    pub cipher: &'static str,
    /// The group of the key exchange; empty if there was none.
    pub group: &'static str,
    /// Whether the session was resumed.
    pub is_resumed: bool,
}

/// A record of the access log.
#[derive(Debug)]
pub struct Record {
    /// The kind.
    pub kind: RecordKind,
    /// The version of the protocol.
    pub version: Version,
    /// The status of the response; 0 if there was none.
    pub status: u16,
    /// The content coding of the response.
    pub coding: Coding,
    /// Whether the response was not completely sent.
    pub is_aborted: bool,
    /// Whether it has all texts, or only method and target.
    pub is_full: bool,
    /// The client's address as it is logged.
    pub client: Option<SocketAddr>,
    /// The number of the connection in its worker.
    pub connection: u64,
    /// The number of the request in its connection.
    pub request: u64,
    /// The stream of HTTP/2; 0 if there is none.
    pub stream: u32,
    /// The bytes of content that were sent.
    pub bytes: u64,
    /// The time from the arrival of the request until the kernel has accepted the last byte of the response, in
    /// microseconds.
    pub duration_us: u64,
    /// TLS, if the connection has it.
    pub tls: Option<TlsRecord>,
    /// Whether the client uses HTTPS, with this server or with a proxy.
    pub is_https: bool,
    /// The time of the end, in seconds since the epoch.
    pub ended_s: u64,
    /// The end of each text; it begins at the end of the one before.
    ends: [u16; TEXTS],
    /// A bit for each text that is truncated.
    truncated: u16,
    text: [u8; BYTES],
}

impl Record {
    /// Creates an empty record.
    pub fn new() -> Self {
        Record {
            kind: RecordKind::NoRequest,
            version: Version::Http11,
            status: 0,
            coding: Coding::Identity,
            is_aborted: false,
            is_full: false,
            client: None,
            connection: 0,
            request: 0,
            stream: 0,
            bytes: 0,
            duration_us: 0,
            tls: None,
            is_https: false,
            ended_s: 0,
            ends: [0; TEXTS],
            truncated: 0,
            text: [0; BYTES],
        }
    }

    /// Resets the record for another request.
    pub fn clear(&mut self) {
        (self.ends, self.truncated, self.is_aborted, self.bytes, self.coding) =
            ([0; TEXTS], 0, false, 0, Coding::Identity);
        (self.tls, self.is_https, self.stream) = (None, false, 0);
    }

    /// Stores the texts of a request, with queries only if `query`.
    pub fn describe(&mut self, request: &Request, query: bool) {
        self.kind = RecordKind::Request(request.method);
        self.version = request.version;
        self.put(Text::Method, request.method_name.as_bytes());
        self.put(Text::Target, without_query(request.target.as_bytes(), query));
        if !self.is_full {
            return;
        }
        let [mut host, mut referer, mut user_agent, mut range] = [&b""[..]; 4];
        for line in request.fields.0 {
            let (text, name) = match line.name.len() {
                4 => (&mut host, "host"),
                5 => (&mut range, "range"),
                7 => (&mut referer, "referer"),
                10 => (&mut user_agent, "user-agent"),
                _ => continue,
            };
            if line.name.eq_ignore_ascii_case(name) {
                *text = line.value;
            }
        }
        // In HTTP/2, it may be in the target only.
        if host.is_empty() && request.version == Version::Http2 {
            host = request.authority.map_or(&b""[..], Authority::as_bytes);
        }
        self.put(Text::Host, host);
        self.put(Text::Referer, without_query(referer, query));
        self.put(Text::UserAgent, user_agent);
        self.put(Text::Range, range);
    }

    /// Stores the first line of a malformed request.
    pub fn describe_malformed(&mut self, bytes: &[u8], query: bool) {
        self.kind = RecordKind::Malformed;
        let bytes = bytes.trim_ascii_start();
        let line = bytes.split(|&byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        self.put(Text::Target, without_query(line, query));
    }

    /// Stores the name of the user. The texts before must be stored already.
    pub fn describe_user(&mut self, user: &[u8]) {
        if self.is_full {
            self.put(Text::User, user);
        }
    }

    /// Stores the properties of TLS. The texts before must be stored already.
    pub fn describe_tls(&mut self, properties: &Properties) {
        let &Properties { version, cipher, group, is_resumed, .. } = properties;
        self.tls = Some(TlsRecord { version, cipher, group, is_resumed });
        self.is_https = true;
        if self.is_full {
            self.put(Text::TlsName, properties.name.as_deref().unwrap_or_default().as_bytes());
        }
    }

    /// Stores the host that a proxy says the client asked for. The texts before must be stored already.
    pub fn describe_authority(&mut self, authority: &[u8]) {
        if self.is_full {
            self.put(Text::ProxyAuthority, authority);
        }
    }

    /// Stores the cause, unless there is one already.
    pub fn set_cause(&mut self, cause: impl Display) {
        if self.text(Text::Cause).is_empty() {
            let mut text = BoundedText { record: self };
            // Truncated at the capacity.
            let _ = write!(text, "{cause}");
        }
    }

    /// Returns a text, truncated at its capacity; empty if there is none.
    pub fn text(&self, text: Text) -> &[u8] {
        let at = text as usize;
        let begin = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[usize::from(begin)..usize::from(self.ends[at].max(begin))]
    }

    /// Returns whether a text was truncated.
    pub fn is_truncated(&self, text: Text) -> bool {
        self.truncated & 1 << text as u16 != 0
    }

    /// Returns whether it is the record of an error or of an aborted response.
    pub fn is_error(&self) -> bool {
        self.status >= 400 || self.is_aborted
    }

    /// Appends bytes to a text; the texts after it must be empty.
    fn put(&mut self, text: Text, bytes: &[u8]) {
        let at = text as usize;
        let begin = usize::from(self.ends[at]);
        let used = self.text(text).len();
        let length = bytes.len().min(CAPACITY[at] - used);
        if length < bytes.len() {
            self.truncated |= 1 << at;
        }
        self.text[begin..begin + length].copy_from_slice(&bytes[..length]);
        self.ends[at..].fill((begin + length) as u16);
    }
}

impl Default for Record {
    fn default() -> Self {
        Record::new()
    }
}

/// Writes to the last text.
struct BoundedText<'r> {
    record: &'r mut Record,
}

impl Write for BoundedText<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.record.put(Text::Cause, text.as_bytes());
        Ok(())
    }
}

fn without_query(bytes: &[u8], query: bool) -> &[u8] {
    if query { bytes } else { bytes.split(|&byte| byte == b'?').next().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Limits;
    use crate::http::h1::parse;

    fn record(head: &str, is_full: bool, query: bool) -> Record {
        let mut storage = parse::storage();
        let request = parse::parse(head.as_bytes(), &mut storage, &Limits::default()).unwrap().unwrap().request;
        let mut record = Record { is_full, ..Record::new() };
        record.describe(&request, query);
        record
    }

    #[test]
    fn a_record_has_the_texts_of_its_request() {
        let head = "GET /a?b HTTP/1.0\r\nhost: h\r\nREFERER: http://r/?q\r\nUser-Agent: u\r\nRange: bytes=1-\r\n\r\n";
        let mut full = record(head, true, true);
        let texts = |record: &Record| {
            let all =
                [Text::Method, Text::Target, Text::Host, Text::Referer, Text::UserAgent, Text::Range, Text::Cause];
            all.map(|text| String::from_utf8(record.text(text).to_vec()).unwrap())
        };
        assert_eq!(texts(&full), ["GET", "/a?b", "h", "http://r/?q", "u", "bytes=1-", ""]);
        full.set_cause("why");
        full.set_cause("not this");
        assert_eq!(texts(&full), ["GET", "/a?b", "h", "http://r/?q", "u", "bytes=1-", "why"]);
        assert_eq!((full.version, full.truncated), (Version::Http10, 0));
        assert_eq!(texts(&record(head, true, false)), ["GET", "/a", "h", "http://r/", "u", "bytes=1-", ""]);
        assert_eq!(texts(&record(head, false, true)), ["GET", "/a?b", "", "", "", "", ""]);
        full.clear();
        assert_eq!(texts(&full), [""; 7]);
    }

    #[test]
    fn long_texts_are_truncated() {
        let long = "x".repeat(2_000);
        let mut record = record(&format!("GET /{long} HTTP/1.1\r\nHost: h\r\nUser-Agent: {long}\r\n\r\n"), true, true);
        record.set_cause(&long);
        assert!(record.text(Text::Target).len() == 512 && record.is_truncated(Text::Target));
        assert!(record.text(Text::Host) == b"h" && !record.is_truncated(Text::Host));
        assert!(record.text(Text::UserAgent).len() == 256 && record.is_truncated(Text::UserAgent));
        assert!(record.text(Text::Cause).len() == 96 && record.is_truncated(Text::Cause));
    }

    #[test]
    fn a_malformed_request_is_recorded_by_its_first_line() {
        let mut record = Record::new();
        record.describe_malformed(b"\r\n\x16\x03 secret?no\nmore", false);
        assert_eq!(record.text(Text::Target), b"\x16\x03 secret");
        record.clear();
        record.describe_malformed(b"", true);
        assert_eq!(record.text(Text::Target), b"");
    }
}
