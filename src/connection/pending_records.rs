//! What the access log is to be told of a connection, once it is known how its answers ended.

use std::borrow::Cow;
use std::fmt::Display;

use crate::access_log::{AccessLog, Record, Subject};
use crate::handler::Answer;
use crate::http::request::Method;
use crate::http::{Coding, Request};
use crate::listeners::Client;
use crate::os::clock;

/// How many answers of a connection may be on their way at once: a client that takes none does not fill the memory with
/// records.
const MAX_PIPELINED: usize = 32;

/// The notes on a connection.
#[derive(Debug)]
pub struct PendingRecords {
    access_log: Option<&'static AccessLog>,
    client: Client,
    connection: u64,
    /// When it was accepted, in nanoseconds of the monotonic clock.
    since_ns: u64,
    /// Of answers that are on their way, in their order.
    pending: Vec<PendingRecord>,
    cause: Option<Cow<'static, str>>,
}

/// The note on an answer. Of the bytes that are sent from the first answer that is on its way on, it has those from `begin`.
#[derive(Debug)]
struct PendingRecord {
    record: Box<Record>,
    begin: u64,
    content: u64,
}

/// What an answer is to.
#[derive(Debug, Clone, Copy)]
pub enum ReceivedMessage<'a> {
    /// A request.
    Request(&'a Request<'a, 'a>),
    /// Bytes that are no request.
    Malformed(&'a [u8]),
}

impl ReceivedMessage<'_> {
    /// The method that is asked for.
    pub fn method(&self) -> Method {
        match self {
            ReceivedMessage::Request(request) => request.method,
            ReceivedMessage::Malformed(_) => Method::Unknown,
        }
    }
}

/// What a record holds of a response.
pub struct ResponseSummary<'a> {
    /// The status code.
    pub status: u16,
    /// Where in the output the response begins.
    pub begin: usize,
    /// Where in the output its content begins.
    pub content: usize,
    /// How its content is coded.
    pub coding: Coding,
    /// Why it is an error.
    pub cause: Option<&'a dyn Display>,
}

impl<'a> ResponseSummary<'a> {
    /// Summarizes `answer`, whose head is in the output from `begin` to `content`.
    pub fn new(answer: &'a Answer, begin: usize, content: usize) -> Self {
        let cause = answer.cause().map(|cause| cause as &dyn Display);
        ResponseSummary { status: answer.status().code(), begin, content, coding: answer.coding(), cause }
    }
}

impl PendingRecords {
    /// On a connection that nobody is told about.
    pub fn none() -> Self {
        PendingRecords { access_log: None, client: None, connection: 0, since_ns: 0, pending: Vec::new(), cause: None }
    }

    /// On the connection of a client.
    pub fn new(access: Option<&'static AccessLog>, client: Client) -> Self {
        let Some(known) = access else { return PendingRecords::none() };
        let (client, connection) = known.connection_id(client);
        PendingRecords { access_log: access, client, connection, since_ns: clock::now_ns(), ..PendingRecords::none() }
    }

    /// Whether there is room for another answer.
    pub fn has_room(&self) -> bool {
        self.pending.len() < MAX_PIPELINED
    }

    /// Why the connection is about to end.
    pub fn set_cause(&mut self, cause: impl Into<Cow<'static, str>>) {
        if self.access_log.is_some() {
            self.cause = Some(cause.into());
        }
    }

    /// Notes an answer to request number `number` of the connection, which came at `since_ns` of the monotonic clock.
    pub fn add(&mut self, question: ReceivedMessage, number: u64, since_ns: u64, response: &ResponseSummary) {
        let Some((access, mut record)) = self.begin(response.status, number, since_ns) else { return };
        match question {
            ReceivedMessage::Request(request) => record.describe(request, access.with_query()),
            ReceivedMessage::Malformed(bytes) => record.describe_malformed(bytes, access.with_query()),
        }
        record.coding = response.coding;
        response.cause.iter().for_each(|cause| record.set_cause(cause));
        let (begin, content) = (response.begin as u64, response.content as u64);
        self.pending.push(PendingRecord { record, begin, content });
    }

    /// Tells the access log of all answers that were on their way: since the first began, `sent` bytes were sent. They came
    /// whole if `is_whole`; else those that did end before.
    pub fn end_answers(&mut self, sent: u64, is_whole: bool, now_ns: u64, duration_ns: u64) {
        let Some(access) = self.access_log else { return };
        let ended_s = clock::unix_s();
        let mut records = self.pending.drain(..).peekable();
        while let Some(PendingRecord { mut record, content, .. }) = records.next() {
            let end = records.peek().map_or(u64::MAX, |next| next.begin);
            record.bytes = sent.min(end).saturating_sub(content);
            record.duration_us = duration_ns / 1_000;
            record.ended_s = ended_s;
            record.is_aborted = !is_whole && sent < end;
            if record.is_aborted {
                record.set_cause(self.cause.as_deref().unwrap_or("the connection ended"));
            }
            access.end(record, now_ns);
        }
    }

    /// Tells it that the connection has ended and had no request.
    pub fn end_without_request(&mut self) {
        let now_ns = clock::now_ns();
        let Some((access, mut record)) = self.begin(0, 0, now_ns) else { return };
        (record.subject, record.ended_s) = (Subject::NoRequest, clock::unix_s());
        record.duration_us = now_ns.saturating_sub(self.since_ns) / 1_000;
        record.set_cause(self.cause.as_deref().unwrap_or("the connection ended"));
        access.end(record, now_ns);
    }

    /// A record that says whose it is, if there is an access log.
    fn begin(&self, status: u16, number: u64, since_ns: u64) -> Option<(&'static AccessLog, Box<Record>)> {
        let access = self.access_log?;
        let mut record = access.begin(status, since_ns);
        (record.client, record.connection, record.request) = (self.client, self.connection, number);
        Some((access, record))
    }
}
