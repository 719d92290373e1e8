//! Responds to one request of a connection: encodes the answer, queues its content, and begins its record.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::pending_records::{PendingRecords, ReceivedMessage, ResponseSummary};
use super::preface::Peer;
use super::send_queue::{FileSlice, QueuedPart};
use super::{AfterResponse, Connection};
use crate::handler::{self, Answer, Cause, RequestContext, Waiter};
use crate::http::h1::encode::{self, Context};
use crate::http::h1::parse::{self, Message};
use crate::http::range::ByteRange;
use crate::http::request::{Body, Method};
use crate::http::{Outcome, Refusal, Response, Status};
use crate::os::clock::{self, Date};
use crate::service::Service;
use crate::site::{Content, File, Freshness};

/// Buffers of a thread that are reused for each request.
#[derive(Debug, Default)]
pub struct Scratch {
    date: Date,
    /// The buffers of the handler.
    pub handler: handler::Scratch,
}

impl Scratch {
    /// Creates the scratch space of the thread at `slot` of [`BlockingLimits`](crate::service::blocking::BlockingLimits).
    pub fn new(slot: Option<usize>) -> Self {
        Scratch { date: Date::default(), handler: handler::Scratch::new(slot) }
    }
}

/// Appends the response to `output` and queues content that comes from a file. Returns false if the request has to wait for a
/// listing: it is then to be parsed again.
pub fn respond(
    service: &Service,
    message: &Message,
    freshness: Freshness,
    connection: &mut Connection,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> bool {
    let request = &message.request;
    let client = connection.peer().address;
    let has_waited = connection.begin_response();
    let waiter = (!connection.is_probe).then(|| Waiter {
        descriptor: connection.as_raw_fd(),
        may_wait: !has_waited || clock::now_ms() < connection.deadline_ms,
    });
    let context = RequestContext { freshness, client, blocking_key: &mut connection.blocking_key, waiter };
    let Some(answer) = handler::respond(service, request, context, &mut scratch.handler) else {
        connection.defer_response(!output.is_empty());
        return false;
    };
    let is_read = request.body == Body::Dropped;
    let is_last = service.is_draining() || connection.requests >= service.max_requests;
    let keep_alive = message.keep_alive && is_read && !is_last;
    connection.after_response = match keep_alive {
        true => AfterResponse::KeepAlive,
        // The client expects 100 (Continue), or has sent a body that is not read.
        false if message.keep_alive || !is_read => AfterResponse::LingeringClose,
        false => AfterResponse::Close,
    };
    let begin = output.len();
    encode_head(output, &answer, Context { date: scratch.date.now(), keep_alive });
    let summary = ResponseSummary::new(&answer, begin, output.len());
    connection.count_response(ReceivedMessage::Request(request), client, &summary);
    if request.method != Method::Head {
        match answer {
            Answer::File { resource, outcome } => match resource.content() {
                Content::Memory(content) => append_ranges(output, content, &outcome),
                Content::Disk(file) => queue_ranges(connection, file, outcome),
            },
            Answer::Listing { listed, .. } => queue_ranges(connection, &listed.file, Outcome::Whole),
            Answer::Response { response, .. } => output.extend_from_slice(&response.content),
        }
    }
    true
}

/// Appends the response to `bytes` that are not a valid request. The connection ends after it.
pub fn reject(
    service: &Service,
    refusal: Refusal,
    bytes: &[u8],
    connection: &mut Connection,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
) {
    connection.begin_response();
    connection.after_response = AfterResponse::LingeringClose;
    let answer = handler::reject(service, refusal);
    let summary = encode_rejection(output, &answer, bytes, scratch.date.now());
    connection.count_response(ReceivedMessage::Malformed(bytes), connection.peer().address, &summary);
}

/// Responds to a head that did not arrive before its timeout, as far as that is possible without waiting.
pub fn reject_slow_head(service: &Service, connection: &mut Connection) {
    let input = std::mem::take(&mut connection.input);
    let (mut output, mut scratch) = (Vec::new(), Scratch::default());
    reject(service, Refusal::SlowHead, &input, connection, &mut output, &mut scratch);
    connection.send_last(&output);
}

/// Responds to a connection beyond the limit of its client. `send` sends the response and returns the number of bytes
/// sent.
pub fn reject_connection(
    bytes: &[u8],
    peer: Peer,
    mut records: PendingRecords,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
    send: impl FnOnce(&[u8]) -> usize,
) {
    let started_ns = clock::now_ns();
    let cause = Some(Cause::Text("the client reached --max-per-client"));
    let answer = Answer::Response { response: Response::error(Status::ServiceUnavailable), cause };
    let summary = encode_rejection(output, &answer, bytes, scratch.date.now());
    records.add(ReceivedMessage::Malformed(bytes), peer.address, 1, started_ns, &summary);
    let sent = send(output);
    let now_ns = clock::now_ns();
    records.end_responses(sent as u64, sent == output.len(), now_ns, now_ns - started_ns);
}

/// Appends the response to rejected `bytes`. The connection ends after it.
fn encode_rejection<'a>(output: &mut Vec<u8>, answer: &'a Answer, bytes: &[u8], date: &str) -> ResponseSummary<'a> {
    let begin = output.len();
    encode_head(output, answer, Context { date, keep_alive: false });
    let summary = ResponseSummary::new(answer, begin, output.len());
    if let Answer::Response { response, .. } = answer
        && parse::method_of_refused(bytes) != Method::Head
    {
        output.extend_from_slice(&response.content);
    }
    summary
}

/// Appends the head. For a whole file and for a 304, its fields are encoded once for all requests.
fn encode_head(output: &mut Vec<u8>, answer: &Answer, context: Context) {
    let encoded = match answer {
        Answer::File { resource, outcome: Outcome::Whole } => resource.head(),
        Answer::File { resource, outcome: Outcome::NotModified(None) } => resource.validators(),
        _ => return encode::head(output, answer.status(), context, answer.fields().iter()),
    };
    encode::begin_head(output, answer.status(), context);
    output.extend_from_slice(encoded);
}

/// Appends the content of a GET for a file in memory.
fn append_ranges(output: &mut Vec<u8>, content: &[u8], outcome: &Outcome) {
    let range = |range: &ByteRange| &content[range.start as usize..range.end as usize];
    match outcome {
        Outcome::Whole => output.extend_from_slice(content),
        Outcome::Part(part) => output.extend_from_slice(range(part)),
        Outcome::Parts(multipart) => {
            for part in &multipart.parts {
                output.extend_from_slice(part.head.as_bytes());
                output.extend_from_slice(range(&part.range));
            }
            output.extend_from_slice(multipart.end.as_bytes());
        }
        Outcome::NotModified(_) | Outcome::PreconditionFailed | Outcome::Unsatisfiable => {}
    }
}

/// Queues the content of a GET for a file on disk, to be sent after the head.
fn queue_ranges(connection: &mut Connection, file: &Arc<File>, outcome: Outcome) {
    let has_begun = matches!(outcome, Outcome::Parts(_));
    let slice = |start, end| (start < end).then(|| FileSlice { file: file.clone(), offset: start, end, has_begun });
    match outcome {
        Outcome::Whole => connection.send_queue.slice = slice(0, file.version().size()),
        Outcome::Part(part) => connection.send_queue.slice = slice(part.start, part.end),
        Outcome::Parts(multipart) => {
            let parts = multipart.parts.into_iter();
            let parts =
                parts.map(|part| QueuedPart { head: part.head.into(), slice: slice(part.range.start, part.range.end) });
            let end = QueuedPart { head: multipart.end.into(), slice: None };
            connection.send_queue.parts.extend(parts.chain([end]));
        }
        Outcome::NotModified(_) | Outcome::PreconditionFailed | Outcome::Unsatisfiable => {}
    }
}
