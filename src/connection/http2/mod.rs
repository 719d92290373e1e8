//! A connection of HTTP/2 (RFC 9113): what its [`Session`] asks for is answered stream by stream, and sent in the order of priorities.
//!
//! The connection has one owner, and each stream has one. The owner of the connection receives, encodes and sends; it opens and
//! reads no file. That is a [`Task`], which the worker does without the connection: if it takes long, another thread drives
//! the connection, and the result is [delivered](task::Deliveries) to it.

pub mod buffers;
pub mod content;
pub mod exchange;
mod output;
pub mod task;
mod turn;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use super::pending_records::{ReceivedMessage, ResponseSummary};
use crate::http::Coding;
use crate::http::h2::frame::MAX_PAYLOAD_BYTES;
use crate::http::h2::priority::Priority;
use crate::http::h2::scheduler::Scheduler;
use crate::http::h2::session::Session;
use crate::service::open_files::OpenFiles;

use content::FRAME_CONTENT;
use exchange::CANCELLED;
use output::Output;
use task::{ConnectionContext, Deliveries, PendingRequest, ReadTask, StreamResponse, Task, TaskResult};

/// Frames are sent together up to this size, in bytes: that of four full ones. The last one may exceed it.
const BATCH_BYTES: usize = 4 * MAX_PAYLOAD_BYTES;

/// The limit of threads that one connection occupies.
const MAX_THREADS: usize = 8;

/// The time in which a client has to acknowledge the settings, in milliseconds (RFC 9113 §6.5.3).
const SETTINGS_TIMEOUT_MS: u64 = 10_000;

/// The time in which a client has to learn that the connection will end, in milliseconds. Then new streams are not acted on.
const SHUTDOWN_MS: u64 = 1_000;

/// Why a response is not complete whose stream the client has reset.
const RESET_BY_CLIENT: &str = "the client cancelled the request";

pub use crate::http::h2::session::PREFACE;

/// Returns whether the first bytes of a connection in clear can be those of HTTP/2: so many that no request begins with them.
pub fn may_begin(bytes: &[u8]) -> bool {
    const VERSION_END: usize = "PRI * HTTP/2".len();
    let length = bytes.len().min(PREFACE.len());
    length >= VERSION_END && bytes[..length] == PREFACE[..length]
}

/// The state of a connection of HTTP/2.
#[derive(Debug)]
pub struct Http2 {
    session: Session,
    scheduler: Scheduler,
    /// Requests that have no answer yet.
    requests: VecDeque<PendingRequest>,
    /// Requests that wait for a listing.
    waiting: Vec<PendingRequest>,
    /// Responses whose content is not completely in frames.
    responses: Vec<StreamResponse>,
    /// Memory for the streams that have something to send, and their priorities.
    ready: Vec<(u32, Priority)>,
    /// Memory for the field section of the next response.
    spare_section: Vec<u8>,
    output: Output,
    context: Arc<ConnectionContext>,
    deliveries: Arc<Deliveries>,
    /// The tasks that threads do which do not own the connection any more.
    away: usize,
    /// Whether there may be input that was not read in this turn.
    may_have_input: bool,
    /// Whether input that was read before HTTP/2 began is not parsed yet.
    has_unparsed_input: bool,
    /// The tasks of this turn, and the bytes that were sent in it.
    tasks: usize,
    turn_bytes: usize,
    /// Whether the client has closed its side.
    is_input_closed: bool,
    /// Whether nothing is received or answered any more: the connection ends when all is sent.
    is_ending: bool,
    /// When the client has to have acknowledged the settings, in milliseconds of the clock.
    settings_until_ms: u64,
    /// When streams are not acted on any more, in milliseconds of the clock; none without a shutdown.
    shutdown_at_ms: Option<u64>,
}

impl Http2 {
    /// Creates a connection.
    pub fn new(context: ConnectionContext, now_ms: u64) -> Self {
        let mut output = Output::default();
        let session = Session::new(context.limits, context.scheme, output.frames());
        output.end_control();
        Http2 {
            session,
            scheduler: Scheduler::default(),
            requests: VecDeque::new(),
            waiting: Vec::new(),
            responses: Vec::new(),
            ready: Vec::new(),
            spare_section: Vec::new(),
            output,
            context: Arc::new(context),
            deliveries: Arc::default(),
            away: 0,
            may_have_input: true,
            has_unparsed_input: true,
            tasks: 0,
            turn_bytes: 0,
            is_input_closed: false,
            is_ending: false,
            settings_until_ms: now_ms + SETTINGS_TIMEOUT_MS,
            shutdown_at_ms: None,
        }
    }

    /// Another thread drives the connection while a task is done.
    pub fn count_away(&mut self) {
        self.away += 1;
    }

    /// Returns whether it has something to do that no event of its client begins.
    pub fn is_due(&self, is_draining: bool, now_ms: u64) -> bool {
        let is_shutdown_due = match self.shutdown_at_ms {
            None => is_draining,
            Some(at_ms) => at_ms <= now_ms && !self.session.is_shut_down(),
        };
        let has_waited = |request: &PendingRequest| request.waits_until_ms <= now_ms;
        is_shutdown_due || self.has_settings_timeout(now_ms) || self.waiting.iter().any(has_waited)
    }

    fn has_settings_timeout(&self, now_ms: u64) -> bool {
        self.settings_until_ms <= now_ms && !self.session.has_acknowledged() && !self.is_ending
    }

    /// Returns whether responses wait only until the client extends their windows.
    pub fn waits_for_windows(&self) -> bool {
        self.output.unsent_bytes() == 0 && self.requests.is_empty() && self.away == 0
    }

    /// Returns whether there is a request without a complete response.
    fn has_streams(&self) -> bool {
        self.away > 0 || !(self.requests.is_empty() && self.waiting.is_empty() && self.responses.is_empty())
    }

    /// Returns whether there is a request or response that does not only wait for the client, when there is no task. A request that
    /// waits for a file's permit waits for the responses before it, and so for the client.
    fn has_work(&self) -> bool {
        self.away > 0 || !self.waiting.is_empty() || self.waits_for_turn()
    }

    /// Begins or continues to end the connection.
    fn shut_down(&mut self, is_last: bool, now_ms: u64) {
        match self.shutdown_at_ms {
            None if is_last => {
                self.session.begin_shutdown(self.output.frames());
                self.shutdown_at_ms = Some(now_ms + SHUTDOWN_MS);
            }
            Some(at_ms) if at_ms <= now_ms => self.session.end_shutdown(self.output.frames()),
            _ => return,
        }
        self.output.end_control();
    }

    /// Nothing is answered any more, since the connection ends with an error.
    fn fail(&mut self, why: &'static str) {
        self.is_ending = true;
        self.requests.drain(..).chain(self.waiting.drain(..)).for_each(|request| cancel(request, why, &self.context));
        for mut response in self.responses.drain(..) {
            response.exchange.set_cause(why);
            self.output.end_response(response.exchange);
        }
    }

    /// Returns the GOAWAY of a connection that ends while it is idle.
    pub fn go_away(&mut self) -> Vec<u8> {
        let mut frames = Vec::new();
        if self.output.unsent_bytes() == 0 {
            self.session.end_shutdown(&mut frames);
        }
        frames
    }

    /// Ends what has not ended. `cause` is why the connection has ended.
    pub fn abort(&mut self, cause: &str) {
        self.requests.drain(..).chain(self.waiting.drain(..)).for_each(|request| cancel(request, cause, &self.context));
        let unsent = self.output.abort(cause);
        self.responses.drain(..).for_each(|mut response| response.exchange.abort(cause, &unsent));
    }

    /// The client does not need the response of a stream any more.
    fn cancel(&mut self, stream: u32) {
        let pending = [
            self.requests.iter().position(|request| request.stream == stream).and_then(|at| self.requests.remove(at)),
            self.waiting.iter().position(|request| request.stream == stream).map(|at| self.waiting.swap_remove(at)),
        ];
        let is_pending = pending.iter().any(Option::is_some);
        pending.into_iter().flatten().for_each(|request| cancel(request, RESET_BY_CLIENT, &self.context));
        let response = self.responses.iter().position(|response| response.stream == stream && !response.is_reading);
        if let Some(at) = response {
            let mut response = self.responses.swap_remove(at);
            response.exchange.set_cause(RESET_BY_CLIENT);
            self.output.end_response(response.exchange);
        }
        // Otherwise a task is done for it, and it keeps its place until then.
        if is_pending || response.is_some() {
            self.session.end(stream, false, self.output.frames());
        }
    }

    /// Takes the results that other threads have delivered. The same as [`accept`](Http2::accept) otherwise.
    fn collect(&mut self, until_ms: u64) -> Option<String> {
        if self.away == 0 {
            return None;
        }
        let mut failure = None;
        for result in self.deliveries.take() {
            self.away -= 1;
            failure = self.accept(result, until_ms).or(failure);
        }
        failure
    }

    /// Acts on the result of a task. A request that has to wait for a listing may wait until `until_ms`. Returns why a response
    /// could not be completed because of the server.
    fn accept(&mut self, result: TaskResult, until_ms: u64) -> Option<String> {
        let stream = result.stream();
        let is_cancelled = self.is_ending || self.session.stream(stream).is_none();
        match result {
            TaskResult::Response(mut response) if is_cancelled => {
                response.exchange.set_cause(RESET_BY_CLIENT);
                self.output.end_response(response.exchange);
                self.session.end(stream, false, self.output.frames());
            }
            TaskResult::Response(response) => self.begin(response),
            TaskResult::Wait(request) if is_cancelled => {
                cancel(request, RESET_BY_CLIENT, &self.context);
                self.session.end(stream, false, self.output.frames());
            }
            TaskResult::Wait(mut request) => {
                if request.waits_until_ms == 0 {
                    request.waits_until_ms = until_ms;
                }
                self.waiting.push(request);
            }
            TaskResult::Frames { content_bytes, .. } if is_cancelled => self.end_reading(stream, content_bytes),
            TaskResult::Frames { mut frames, content_bytes, ends_stream, .. } => {
                let response = self.responses.iter_mut().find(|response| response.stream == stream)?;
                response.is_reading = false;
                response.exchange.content_bytes += content_bytes as u64;
                self.output.append(stream, content_bytes, &mut frames);
                if ends_stream {
                    self.finish(stream);
                }
            }
            TaskResult::Later(read) if is_cancelled => self.end_reading(stream, read.content_bytes()),
            TaskResult::Later(read) => {
                self.session.return_window(stream, read.content_bytes());
                let response = self.responses.iter_mut().find(|response| response.stream == stream);
                if let Some(response) = response {
                    (response.is_reading, response.waits_for_turn) = (false, true);
                    response.pieces.put_back(read.slice);
                }
            }
            TaskResult::Failed { content_bytes, why, .. } => {
                self.end_response(stream, why.clone());
                self.session.return_window(stream, content_bytes);
                if !is_cancelled {
                    self.session.abandon(stream, self.output.frames());
                    self.output.end_control();
                }
                self.session.end(stream, false, self.output.frames());
                return Some(why).filter(|_| !is_cancelled);
            }
        }
        None
    }

    /// Ends a response that will not be completely sent, if there is one.
    fn end_response(&mut self, stream: u32, cause: impl Into<Cow<'static, str>>) {
        if let Some(at) = self.responses.iter().position(|response| response.stream == stream) {
            let mut response = self.responses.swap_remove(at);
            response.exchange.set_cause(cause);
            self.output.end_response(response.exchange);
        }
    }

    /// The content that was read for a stream is not needed.
    fn end_reading(&mut self, stream: u32, content_bytes: usize) {
        self.session.return_window(stream, content_bytes);
        self.end_response(stream, RESET_BY_CLIENT);
        self.session.end(stream, false, self.output.frames());
    }

    /// Queues the head of a response.
    fn begin(&mut self, mut response: StreamResponse) {
        let (stream, ends_stream) = (response.stream, response.pieces.is_empty());
        self.session.write_headers(self.output.frames(), stream, &response.section, ends_stream);
        self.output.end_head();
        self.spare_section = std::mem::take(&mut response.section);
        self.spare_section.clear();
        self.responses.push(response);
        if ends_stream {
            self.finish(stream);
        }
    }

    /// The frames of a response are all queued.
    fn finish(&mut self, stream: u32) {
        let Some(at) = self.responses.iter().position(|response| response.stream == stream) else { return };
        let mut exchange = self.responses.swap_remove(at).exchange;
        exchange.complete();
        self.output.end_response(exchange);
        self.session.end(stream, true, self.output.frames());
        self.output.end_control();
    }

    /// Returns the next task, and queues frames until there is one, or enough to send.
    fn next_task(&mut self, open_files: &OpenFiles) -> Option<Task> {
        if self.is_ending {
            return None;
        }
        let has_room = self.output.unsent_bytes() < BATCH_BYTES;
        if has_room
            && self.away < MAX_THREADS
            && let Some(request) = self.next_request(open_files)
        {
            return Some(Task::Respond(request, self.context.clone()));
        }
        self.queue_content()
    }

    /// Returns the next request that can be answered. It may need a file, for which there is a permit if the connection has others.
    fn next_request(&mut self, open_files: &OpenFiles) -> Option<PendingRequest> {
        let has_file = self.away > 0 || self.responses.iter().any(|response| response.pieces.has_file());
        let request = self.requests.pop_front()?;
        let permit = if has_file { open_files.acquire() } else { None };
        if has_file && permit.is_none() {
            self.requests.push_front(request);
            return None;
        }
        Some(PendingRequest { permit, section: std::mem::take(&mut self.spare_section), ..request })
    }

    /// Queues content in the order of priorities, up to [`BATCH_BYTES`]. Returns what has to be read.
    fn queue_content(&mut self) -> Option<Task> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        let may_read = self.away < MAX_THREADS;
        for response in self.responses.iter().filter(|response| response.is_ready(may_read)) {
            if self.session.sendable_bytes(response.stream) > 0 {
                let priority = self.session.stream(response.stream).and_then(|stream| stream.priority);
                ready.push((response.stream, priority.unwrap_or(response.priority)));
            }
        }
        let task = self.queue_ready(&mut ready, may_read);
        self.ready = ready;
        task
    }

    /// Queues content of the streams that are `ready`.
    fn queue_ready(&mut self, ready: &mut Vec<(u32, Priority)>, may_read: bool) -> Option<Task> {
        while self.output.unsent_bytes() < BATCH_BYTES && self.session.has_window() {
            let stream = self.scheduler.next(ready.iter().copied())?;
            let length = self.session.sendable_bytes(stream);
            let response = self.responses.iter_mut().find(|response| response.stream == stream)?;
            // Whole frames, as far as there is room for them.
            let room = (BATCH_BYTES - self.output.unsent_bytes()).div_ceil(MAX_PAYLOAD_BYTES) * FRAME_CONTENT;
            if let Some((slice, ends_stream)) = response.pieces.take_slice(length.min(room)) {
                response.is_reading = true;
                let blocking_key = response.blocking_key;
                let read = ReadTask { stream, slice, ends_stream, blocking_key };
                self.session.take_window(stream, read.content_bytes());
                return Some(Task::Read(read));
            }
            let length = response.pieces.put_frame(stream, length, self.output.frames());
            response.exchange.content_bytes += length as u64;
            self.output.end_content(stream, length);
            self.session.take_window(stream, length);
            if response.pieces.is_empty() {
                self.finish(stream);
            } else if response.is_ready(may_read) && self.session.sendable_bytes(stream) > 0 {
                continue;
            }
            ready.retain(|(id, _)| *id != stream);
        }
        None
    }
}

/// Counts and records a request that gets no answer.
fn cancel(request: PendingRequest, cause: &str, context: &ConnectionContext) {
    let PendingRequest { head, body, mut exchange, .. } = request;
    let mut storage = Vec::new();
    let parsed = head.request(body, &mut storage);
    let message = match &parsed {
        Ok(request) => ReceivedMessage::Request(request),
        Err(_) => ReceivedMessage::Malformed(head.method_name().as_bytes()),
    };
    let (mut client, mut scheme, coding) = (context.client, context.scheme, Coding::Identity);
    if let Ok(request) = &parsed {
        let origin = context.clients.origin(client, context.is_local, scheme, request.fields);
        (client, scheme) = (origin.client, origin.scheme);
    }
    let summary =
        ResponseSummary { status: CANCELLED, begin: 0, content: 0, scheme, coding, user: b"", cause: Some(&cause) };
    let record =
        context.records.record(message, client, exchange.stream, exchange.number, exchange.started_ns, &summary);
    exchange.answer(message.method(), CANCELLED, None, record);
}
