//! Access-log records of responses that are not completely sent.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use crate::access_log::{AccessLog, Record, RecordKind, Text};
use crate::handler::Answer;
use crate::http::request::Method;
use crate::http::{Coding, Request, Scheme};
use crate::listeners::Client;
use crate::os::clock;
use crate::tls::Properties;

/// The maximum number of responses of a connection that are sent at a time. It limits the memory for records if a
/// client receives nothing.
const MAX_PIPELINED: usize = 32;

/// What the records of a connection have in common.
#[derive(Debug, Clone)]
pub struct RecordSource {
    access_log: Option<&'static AccessLog>,
    connection: u64,
    /// TLS, after the handshake.
    tls: Option<Arc<Properties>>,
    /// The host that a proxy says the client asked for.
    authority: Option<Box<[u8]>>,
}

/// The records of a connection.
#[derive(Debug)]
pub struct PendingRecords {
    source: RecordSource,
    /// When it was accepted, in nanoseconds of the monotonic clock.
    since_ns: u64,
    /// Records of the responses that are being sent, in order.
    pending: Vec<PendingRecord>,
    cause: Option<Cow<'static, str>>,
}

/// The record of a response. Positions count the bytes from the beginning of the first response that is being sent:
/// `begin` is the first byte of this response, `content` the first byte of its content.
#[derive(Debug)]
struct PendingRecord {
    record: Box<Record>,
    begin: u64,
    content: u64,
}

/// The message that a response belongs to.
#[derive(Debug, Clone, Copy)]
pub enum ReceivedMessage<'a> {
    /// A request.
    Request(&'a Request<'a, 'a>),
    /// Bytes that are not a valid request.
    Malformed(&'a [u8]),
}

impl ReceivedMessage<'_> {
    /// Returns the method.
    pub fn method(&self) -> Method {
        match self {
            ReceivedMessage::Request(request) => request.method,
            ReceivedMessage::Malformed(_) => Method::Unknown,
        }
    }
}

/// The data about a response that its record contains.
pub struct ResponseSummary<'a> {
    /// The status code.
    pub status: u16,
    /// The position of the response in the output.
    pub begin: usize,
    /// The position of its content in the output.
    pub content: usize,
    /// The content coding.
    pub coding: Coding,
    /// The name of the user whose password was verified; empty if there is none.
    pub user: &'a [u8],
    /// The cause of an error.
    pub cause: Option<&'a dyn Display>,
    /// The scheme of the request.
    pub scheme: Scheme,
}

impl<'a> ResponseSummary<'a> {
    /// Creates the summary of `answer`, whose head is in the output from `begin` to `content`.
    pub fn new(answer: &'a Answer, begin: usize, content: usize) -> Self {
        let cause = answer.cause().map(|cause| cause as &dyn Display);
        ResponseSummary {
            status: answer.status().code(),
            begin,
            content,
            coding: answer.coding(),
            user: b"",
            cause,
            scheme: Scheme::Http,
        }
    }
}

impl PendingRecords {
    /// Creates the state of a connection that is not logged.
    pub fn none() -> Self {
        let source = RecordSource { access_log: None, connection: 0, tls: None, authority: None };
        PendingRecords { source, since_ns: 0, pending: Vec::new(), cause: None }
    }

    /// Creates the state of a client's connection.
    pub fn new(access: Option<&'static AccessLog>) -> Self {
        let Some(access_log) = access else { return PendingRecords::none() };
        let source =
            RecordSource { access_log: access, connection: access_log.next_connection(), tls: None, authority: None };
        PendingRecords { source, since_ns: clock::now_ns(), ..PendingRecords::none() }
    }

    /// Returns what its records have in common.
    pub fn source(&self) -> &RecordSource {
        &self.source
    }

    /// Returns whether there is room for the record of another response.
    pub fn has_room(&self) -> bool {
        self.pending.len() < MAX_PIPELINED
    }

    /// Sets the cause of the end of the connection.
    pub fn set_cause(&mut self, cause: impl Into<Cow<'static, str>>) {
        if self.source.access_log.is_some() {
            self.cause = Some(cause.into());
        }
    }

    /// Returns the cause of the end of the connection, if it is known.
    pub fn cause(&self) -> &str {
        self.cause.as_deref().unwrap_or("the connection ended")
    }

    /// Sets the properties of TLS, which are in all further records.
    pub fn set_tls(&mut self, properties: Arc<Properties>) {
        if self.source.access_log.is_some() {
            self.source.tls = Some(properties);
        }
    }

    /// Sets the host that a proxy says the client asked for, which is in all further records; empty if it is not known.
    pub fn set_authority(&mut self, authority: &[u8]) {
        if self.source.access_log.is_some() && !authority.is_empty() {
            self.source.authority = Some(authority[..authority.len().min(Text::ProxyAuthority.capacity() + 1)].into());
        }
    }

    /// Begins the record of a response to request number `number` of the connection, which `client` sent and which
    /// arrived at `since_ns` of the monotonic clock.
    pub fn add(
        &mut self,
        message: ReceivedMessage,
        client: Client,
        number: u64,
        since_ns: u64,
        response: &ResponseSummary,
    ) {
        let Some(record) = self.source.record(message, client, 0, number, since_ns, response) else { return };
        let (begin, content) = (response.begin as u64, response.content as u64);
        self.pending.push(PendingRecord { record, begin, content });
    }

    /// Ends the records of all responses that were being sent. `sent` bytes were sent since the first of them began. If
    /// `is_complete`, all responses were sent; otherwise only those that end within these bytes.
    pub fn end_responses(&mut self, sent: u64, is_complete: bool, now_ns: u64, duration_ns: u64) {
        let Some(access) = self.source.access_log else { return };
        let ended_s = clock::unix_s();
        let mut records = self.pending.drain(..).peekable();
        while let Some(PendingRecord { mut record, content, .. }) = records.next() {
            let end = records.peek().map_or(u64::MAX, |next| next.begin);
            record.bytes = sent.min(end).saturating_sub(content);
            record.duration_us = duration_ns / 1_000;
            record.ended_s = ended_s;
            record.is_aborted = !is_complete && sent < end;
            if record.is_aborted {
                record.set_cause(self.cause.as_deref().unwrap_or("the connection ended"));
            }
            access.end(record, now_ns);
        }
    }

    /// Writes a record of a connection of `client` that ended without a request.
    pub fn end_without_request(&mut self, client: Client) {
        let now_ns = clock::now_ns();
        let Some((access, mut record)) = self.source.begin(client, 0, 0, now_ns) else { return };
        (record.kind, record.ended_s) = (RecordKind::NoRequest, clock::unix_s());
        record.duration_us = now_ns.saturating_sub(self.since_ns) / 1_000;
        self.source.describe_connection(&mut record);
        record.set_cause(self.cause());
        access.end(record, now_ns);
    }
}

impl RecordSource {
    /// Returns the access log, if there is one.
    pub fn access_log(&self) -> Option<&'static AccessLog> {
        self.access_log
    }

    /// Begins the record of a response to request number `number` of the connection, which `client` sent on `stream` (0 in
    /// HTTP/1) and which arrived at `since_ns` of the monotonic clock. None if there is no access log.
    pub fn record(
        &self,
        message: ReceivedMessage,
        client: Client,
        stream: u32,
        number: u64,
        since_ns: u64,
        response: &ResponseSummary,
    ) -> Option<Box<Record>> {
        let (access, mut record) = self.begin(client, response.status, number, since_ns)?;
        match message {
            ReceivedMessage::Request(request) => record.describe(request, access.with_query()),
            ReceivedMessage::Malformed(bytes) => record.describe_malformed(bytes, access.with_query()),
        }
        record.describe_user(response.user);
        self.describe_connection(&mut record);
        record.is_https |= response.scheme == Scheme::Https;
        (record.stream, record.coding) = (stream, response.coding);
        response.cause.iter().for_each(|cause| record.set_cause(cause));
        Some(record)
    }

    /// Adds what is known about the connection to a record.
    fn describe_connection(&self, record: &mut Record) {
        self.tls.iter().for_each(|properties| record.describe_tls(properties));
        self.authority.iter().for_each(|authority| record.describe_authority(authority));
    }

    /// Creates a record with client, connection and request number, if there is an access log.
    fn begin(
        &self,
        client: Client,
        status: u16,
        number: u64,
        since_ns: u64,
    ) -> Option<(&'static AccessLog, Box<Record>)> {
        let access = self.access_log?;
        let mut record = access.begin(client, status, since_ns);
        (record.connection, record.request) = (self.connection, number);
        Some((access, record))
    }
}
