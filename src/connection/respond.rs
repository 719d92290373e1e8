//! Responding: the requests that have arrived, one after the other, and the record of each.

use std::os::fd::AsRawFd;

use super::content::{append_ranges, encode_changed_head, encode_head, queue_ranges};
use super::driver::ConnectionDriver;
use super::pending_records::{PendingRecords, ReceivedMessage, ResponseSummary};
use super::preface::Peer;
use super::scratch::Scratch;
use super::{AfterResponse, Connection, Phase};
use crate::handler::{self, Answer, Cause, RequestContext, Waiter};
use crate::http::h1::encode::Context;
use crate::http::h1::parse::{self, Message};
use crate::http::request::{Body, Method};
use crate::http::{Outcome, Refusal, Request, Response, Status};
use crate::ipc::scoreboard::Counter;
use crate::listeners::Client;
use crate::os::clock::{self};
use crate::service::Service;
use crate::service::clients::Origin;
use crate::site::{Content, Freshness};

/// The cause in the record of a connection beyond the limit of its client.
pub const CLIENT_AT_LIMIT: &str = "the client reached --max-per-client";

/// Responses to pipelined requests are sent together up to this size, in bytes.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

impl ConnectionDriver {
    /// Responds to the complete requests that have arrived, and sets the phase of the connection.
    // As a function of its own: it has a large frame, which other steps of a turn do not need.
    #[inline(never)]
    pub(super) fn respond(&mut self, service: &Service, connection: &mut Connection) {
        connection.after_response = AfterResponse::KeepAlive;
        connection.has_waited = false;
        let mut waits = false;
        while !self.input.unread().is_empty()
            && connection.after_response == AfterResponse::KeepAlive
            && !connection.send_queue.has_file_part()
            && self.output.len() < MAX_OUTPUT_BYTES
            && connection.records.has_room()
        {
            let mut storage = parse::storage();
            match parse::parse(self.input.unread(), &mut storage, &service.limits) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    let length = message.length;
                    let freshness = Freshness { began: self.arrival_began, now: service.clock.latest() };
                    let output = &mut self.output;
                    if !respond(service, &message, freshness, connection, output, &mut self.scratch) {
                        waits = true;
                        break;
                    }
                    self.input.consume(length);
                    self.arrival_began = self.arrival_began.max(self.arrival_ended);
                }
                Err(refusal) => {
                    if refusal == Refusal::UnknownVersion && parse::lower_version(self.input.unread_mut()) {
                        continue;
                    }
                    let bytes = self.input.unread();
                    reject(service, refusal, bytes, connection, &mut self.output, &mut self.scratch);
                }
            }
        }
        self.set_phase(service, connection, waits);
    }

    /// Sets the phase after the requests that arrived were handled, and the deadline of that phase.
    pub(super) fn set_phase(&self, service: &Service, connection: &mut Connection, waits: bool) {
        let phase = if !self.output.is_empty() {
            Phase::Sending
        } else if waits {
            Phase::Waiting
        } else if parse::is_blank(self.input.unread()) {
            Phase::Idle
        } else {
            Phase::Head
        };
        match phase {
            // The head timeout begins with the first bytes of a head; later bytes do not extend it.
            Phase::Head if connection.phase == Phase::Idle => {
                connection.deadline_ms = service.timeouts.head(clock::now_ms());
            }
            Phase::Waiting if connection.phase != Phase::Waiting => {
                connection.deadline_ms = service.timeouts.send(clock::now_ms());
            }
            _ => {}
        }
        connection.phase = phase;
    }
}

impl Connection {
    /// Counts a request that has arrived. Requests that arrived together begin together. Returns true if the request
    /// has waited for a listing and was counted before.
    pub fn begin_response(&mut self) -> bool {
        if std::mem::take(&mut self.awaits_listing) {
            return true;
        }
        if self.in_flight == 0 {
            self.started_ns = clock::now_ns();
            self.bytes_sent_before = self.bytes_sent;
        }
        self.requests += 1;
        self.in_flight += 1;
        self.counters.add(Counter::InFlight, 1);
        false
    }

    /// Defers a request that waits for a listing. If it is `behind` responses that are not yet sent, it is counted
    /// later.
    pub fn defer_response(&mut self, behind: bool) {
        if behind {
            self.requests -= 1;
            self.in_flight -= 1;
            self.counters.subtract(Counter::InFlight, 1);
        } else {
            self.awaits_listing = true;
        }
    }

    /// Counts a response to `client` that is about to be sent, and begins its record.
    pub fn count_response(&mut self, message: ReceivedMessage, client: Client, response: &ResponseSummary) {
        self.counters.count_request(message.method(), response.status);
        self.records.add(message, client, self.requests, self.started_ns, response);
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
    let peer = connection.peer();
    let origin = service.identify(peer.address, peer.is_local, connection.scheme(), message.request.fields);
    let Origin { client, scheme, authority, refusal, permit, .. } = origin;
    let with_authority;
    let request = match authority {
        None => &message.request,
        Some(_) => {
            with_authority = Request { authority, ..message.request };
            &with_authority
        }
    };
    let has_waited = connection.begin_response();
    let waiter = (!connection.is_probe).then(|| Waiter {
        descriptor: connection.as_raw_fd(),
        may_wait: !has_waited || clock::now_ms() < connection.deadline_ms,
    });
    let context = RequestContext {
        freshness,
        client,
        scheme,
        refusal,
        is_misdirected: connection.transport.is_misdirected(|| message.request.authority),
        blocking_key: &mut connection.blocking_key,
        waiter,
    };
    let Some(answer) = handler::respond(service, request, context, &mut scratch.handler) else {
        connection.defer_response(!output.is_empty());
        return false;
    };
    connection.request_permits.extend(permit);
    let is_read = request.body == Body::Dropped;
    let is_last = service.is_draining() || answer.ends_connection() || connection.requests >= service.max_requests;
    let keep_alive = message.keep_alive && is_read && !is_last;
    connection.after_response = match keep_alive {
        true => AfterResponse::KeepAlive,
        // The client expects 100 (Continue), or has sent a body that is not read.
        false if message.keep_alive || !is_read => AfterResponse::LingeringClose,
        false => AfterResponse::Close,
    };
    let hsts = service.https.hsts(scheme);
    let begin = output.len();
    let is_private = scratch.handler.access.is_restricted;
    let head = Context { date: scratch.date.now(), keep_alive, hsts, is_private };
    match &scratch.handler.changed {
        None => encode_head(output, &answer, head),
        Some(changed) => encode_changed_head(output, &answer, head, changed, scheme),
    }
    let mut summary = ResponseSummary::new(&answer, begin, output.len());
    (summary.user, summary.scheme) = (&scratch.handler.access.user, scheme);
    connection.site = scratch.handler.site;
    if let Some(site) = scratch.handler.site {
        connection.counters.count_site_request(site, summary.status);
    }
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
    connection.site = None;
    connection.after_response = AfterResponse::LingeringClose;
    let answer = handler::reject(service, refusal);
    let hsts = service.https.hsts(connection.scheme());
    let context = Context { date: scratch.date.now(), keep_alive: false, hsts, is_private: false };
    let mut summary = encode_rejection(output, &answer, bytes, context);
    summary.scheme = connection.scheme();
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
    let cause = Some(Cause::Text(CLIENT_AT_LIMIT));
    let answer = Answer::Response { response: Response::error(Status::ServiceUnavailable), cause };
    let context = Context { date: scratch.date.now(), keep_alive: false, hsts: None, is_private: false };
    let summary = encode_rejection(output, &answer, bytes, context);
    records.add(ReceivedMessage::Malformed(bytes), peer.address, 1, started_ns, &summary);
    let sent = send(output);
    let now_ns = clock::now_ns();
    records.end_responses(sent as u64, sent == output.len(), now_ns, now_ns - started_ns);
}

/// Appends the response to rejected `bytes`. The connection ends after it.
fn encode_rejection<'a>(
    output: &mut Vec<u8>,
    answer: &'a Answer,
    bytes: &[u8],
    context: Context,
) -> ResponseSummary<'a> {
    let begin = output.len();
    encode_head(output, answer, context);
    let summary = ResponseSummary::new(answer, begin, output.len());
    if let Answer::Response { response, .. } = answer
        && parse::method_of_refused(bytes) != Method::Head
    {
        output.extend_from_slice(&response.content);
    }
    summary
}
