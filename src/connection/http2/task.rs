//! The work for a stream that may block, since it opens or reads files. It is done without the connection, which other threads can
//! drive meanwhile.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use super::buffers::Buffers;
use super::content::{FRAME_CONTENT, Piece, Pieces};
use super::exchange::Exchange;

use crate::connection::pending_records::{ReceivedMessage, RecordSource, ResponseSummary};
use crate::connection::scratch::Scratch;
use crate::connection::send_queue::FileSlice;
use crate::handler::{self, Answer, RequestContext, Waiter};
use crate::http::h2::encode::{self, Context};
use crate::http::h2::frame::{END_STREAM, FrameType, HEAD_BYTES, write};
use crate::http::h2::priority::Priority;
use crate::http::h2::request_head::{BadRequest, RequestHead};
use crate::http::request::{Body, Method};
use crate::http::{FieldChanges, Limits, Outcome, Request, Scheme};
use crate::listeners::Client;
use crate::os::{clock, sys};
use crate::service::Service;
use crate::service::blocking::BlockingKey;
use crate::service::clients::Clients;
use crate::service::open_files::FilePermit;
use crate::site::Freshness;

/// The capacity for a field section, in bytes.
const SECTION_BYTES: usize = 256;

/// A request that has no answer yet.
#[derive(Debug)]
pub struct PendingRequest {
    /// The stream.
    pub stream: u32,
    /// The head.
    pub head: Box<RequestHead>,
    /// The state of the content.
    pub body: Body,
    /// A logical time at which it had begun to arrive.
    pub began: u64,
    /// Whether it belongs on another connection.
    pub is_misdirected: bool,
    /// Until when it may wait for a listing, in milliseconds of [`clock::now_ms`]; 0 if it has not waited.
    pub waits_until_ms: u64,
    /// The permit for a file, if other responses of the connection have files.
    pub permit: Option<FilePermit>,
    /// Memory for the field section of the response.
    pub section: Vec<u8>,
    /// Its accounting.
    pub exchange: Box<Exchange>,
}

/// A response that is not completely in frames.
#[derive(Debug)]
pub struct StreamResponse {
    /// The stream.
    pub stream: u32,
    /// The field section.
    pub section: Vec<u8>,
    /// The content that is left.
    pub pieces: Pieces,
    /// The priority without a signal of the client.
    pub priority: Priority,
    /// The permit to keep its file open, if it has a file and needs one.
    pub permit: Option<FilePermit>,
    /// The file, directory and client for which reading its content may block a thread.
    pub blocking_key: BlockingKey,
    /// Whether a thread reads its content.
    pub is_reading: bool,
    /// Whether reading its content is delayed until fewer threads are blocked on the file.
    pub waits_for_turn: bool,
    /// Its accounting.
    pub exchange: Box<Exchange>,
}

impl StreamResponse {
    /// Returns whether the next piece can be queued, or with `may_read`, be read.
    pub fn is_ready(&self, may_read: bool) -> bool {
        !self.is_reading && !self.waits_for_turn && (may_read || !matches!(self.pieces.first(), Some(Piece::File(_))))
    }
}

/// What the requests of a connection have in common.
#[derive(Debug)]
pub struct ConnectionContext {
    /// The client at the other end.
    pub client: Client,
    /// Whether it is connected to a unix socket.
    pub is_local: bool,
    /// Whom it may name.
    pub clients: Arc<Clients>,
    /// The scheme.
    pub scheme: Scheme,
    /// The descriptor of the connection.
    pub descriptor: RawFd,
    /// The limits of a request.
    pub limits: Limits,
    /// What its records have in common.
    pub records: RecordSource,
}

/// Work that may block.
#[derive(Debug)]
pub enum Task {
    /// A request is answered.
    Respond(PendingRequest, Arc<ConnectionContext>),
    /// Content of a file is read.
    Read(ReadTask),
}

/// A slice of a file to read.
#[derive(Debug)]
pub struct ReadTask {
    /// The stream.
    pub stream: u32,
    /// The slice.
    pub slice: FileSlice,
    /// Whether the content of the stream ends with it.
    pub ends_stream: bool,
    /// The file, directory and client for which it may block a thread.
    pub blocking_key: BlockingKey,
}

/// What a task has led to.
#[derive(Debug)]
pub enum TaskResult {
    /// A response.
    Response(StreamResponse),
    /// The request has to wait for a listing, and is to be answered again.
    Wait(PendingRequest),
    /// DATA frames with this number of bytes of content.
    Frames {
        /// The stream.
        stream: u32,
        /// The frames.
        frames: Vec<u8>,
        /// The bytes of content.
        content_bytes: usize,
        /// Whether the content of the stream ends with them.
        ends_stream: bool,
    },
    /// Too many threads are blocked on the file: it is to be read later.
    Later(ReadTask),
    /// The response cannot be completed, with the reason.
    Failed {
        /// The stream.
        stream: u32,
        /// The bytes of content for which there was a window.
        content_bytes: usize,
        /// The reason.
        why: String,
    },
}

/// The results of tasks that took so long that another thread drives the connection since.
#[derive(Debug, Default)]
pub struct Deliveries(Mutex<Vec<TaskResult>>);

impl Deliveries {
    /// Adds a result.
    pub fn push(&self, result: TaskResult) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(result);
    }

    /// Takes all results.
    pub fn take(&self) -> Vec<TaskResult> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A task that is to be done, and where its result goes if the connection is driven by another thread by then.
#[derive(Debug)]
pub struct Assignment {
    /// The task.
    pub task: Task,
    /// The results of the connection.
    pub deliveries: Arc<Deliveries>,
}

impl Assignment {
    /// Returns the task, and what ensures that it has a result.
    pub fn begin(self) -> (Task, Unfinished) {
        let unfinished = Unfinished { stream: self.task.stream(), deliveries: self.deliveries };
        (self.task, unfinished)
    }
}

/// A task that has no result yet.
#[derive(Debug)]
pub struct Unfinished {
    stream: u32,
    deliveries: Arc<Deliveries>,
}

impl Unfinished {
    /// Delivers the result to the thread that drives the connection.
    pub fn deliver(self, result: TaskResult) {
        self.deliveries.push(result);
    }
}

/// A panic ends the stream.
impl Drop for Unfinished {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "a task has failed".into();
            self.deliveries.push(TaskResult::Failed { stream: self.stream, content_bytes: 0, why });
        }
    }
}

impl TaskResult {
    /// Returns the stream.
    pub fn stream(&self) -> u32 {
        match self {
            TaskResult::Response(response) => response.stream,
            TaskResult::Wait(request) => request.stream,
            TaskResult::Later(read) => read.stream,
            TaskResult::Frames { stream, .. } | TaskResult::Failed { stream, .. } => *stream,
        }
    }
}

impl Task {
    /// Returns the stream.
    pub fn stream(&self) -> u32 {
        match self {
            Task::Respond(request, _) => request.stream,
            Task::Read(read) => read.stream,
        }
    }

    /// Does the work, with the buffers of the thread.
    pub fn run(self, service: &Service, scratch: &mut Scratch, buffers: &mut Buffers) -> TaskResult {
        match self {
            Task::Respond(request, context) => respond(service, request, &context, scratch, buffers),
            Task::Read(read) => read.run(service, scratch.handler.slot, &mut buffers.frames),
        }
    }
}

impl ReadTask {
    /// Returns the bytes of content.
    pub fn content_bytes(&self) -> usize {
        (self.slice.end - self.slice.offset) as usize
    }

    fn run(self, service: &Service, slot: Option<usize>, buffer: &mut Vec<u8>) -> TaskResult {
        if service.begin_blocking(slot, self.blocking_key, clock::now_ms()).is_err() {
            return TaskResult::Later(self);
        }
        let content_bytes = self.content_bytes();
        let ReadTask { stream, slice, ends_stream, .. } = self;
        let mut frames = std::mem::take(buffer);
        frames.clear();
        frames.reserve_exact(content_bytes + content_bytes.div_ceil(FRAME_CONTENT) * HEAD_BYTES);
        match read(stream, &slice, ends_stream, &mut frames) {
            Ok(()) => TaskResult::Frames { stream, frames, content_bytes, ends_stream },
            Err(why) => {
                *buffer = frames;
                TaskResult::Failed { stream, content_bytes, why }
            }
        }
    }
}

/// Appends the DATA frames of a slice. Fails if the file is not the one that was described.
fn read(stream: u32, slice: &FileSlice, ends_stream: bool, frames: &mut Vec<u8>) -> Result<(), String> {
    if slice.has_begun {
        match slice.file.is_unchanged() {
            Ok(true) => {}
            Ok(false) => return Err("it changed while it was sent".into()),
            Err(refusal) => return Err(refusal.to_string()),
        }
    }
    let parts = (slice.offset..slice.end).step_by(FRAME_CONTENT).map(|offset| {
        let length = (slice.end - offset).min(FRAME_CONTENT as u64) as usize;
        let is_last = offset + length as u64 == slice.end;
        let flags = if ends_stream && is_last { END_STREAM } else { 0 };
        (write::head(FrameType::Data, flags, stream, length), length)
    });
    // One call reads all, unless a signal interrupts it, or something is wrong.
    if sys::preadv_append(&slice.file, frames, parts.clone(), slice.offset) == Ok(true) {
        return Ok(());
    }
    let mut offset = slice.offset;
    for (head, length) in parts {
        frames.extend_from_slice(&head);
        let mut missing = length;
        while missing > 0 {
            match sys::pread_append(&slice.file, frames, missing, offset) {
                Ok(0) => return Err("it became shorter while it was sent".into()),
                Ok(count) => (missing, offset) = (missing - count, offset + count as u64),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(std::io::Error::from(errno).to_string()),
            }
        }
    }
    Ok(())
}

/// Answers a request.
fn respond(
    service: &Service,
    pending: PendingRequest,
    connection: &ConnectionContext,
    scratch: &mut Scratch,
    buffers: &mut Buffers,
) -> TaskResult {
    let mut blocking_key = BlockingKey::default();
    let mut storage = Vec::new();
    let head = &pending.head;
    let request = head.request(pending.body, &mut storage);
    let (mut client, mut scheme) = (connection.client, connection.scheme);
    let mut exchange = pending.exchange;
    let with_host;
    let (message, method, answer) = match &request {
        Ok(request) => {
            let origin = service.identify(client, connection.is_local, scheme, request.fields);
            (client, scheme) = (origin.client, origin.scheme);
            with_host = Request { authority: origin.authority.or(request.authority), ..*request };
            let request = &with_host;
            let waiter = Waiter {
                descriptor: connection.descriptor,
                may_wait: pending.waits_until_ms == 0 || clock::now_ms() < pending.waits_until_ms,
            };
            let context = RequestContext {
                freshness: Freshness { began: pending.began, now: service.clock.latest() },
                client,
                scheme,
                refusal: origin.refusal,
                is_misdirected: pending.is_misdirected,
                blocking_key: &mut blocking_key,
                waiter: Some(waiter),
            };
            let Some(answer) = handler::respond(service, request, context, &mut scratch.handler) else {
                return TaskResult::Wait(PendingRequest { exchange, ..pending });
            };
            exchange.permit = origin.permit;
            (ReceivedMessage::Request(request), request.method, answer)
        }
        Err(BadRequest::Refused(refusal)) => {
            scratch.handler.reset();
            let name = head.method_name();
            let answer = handler::reject(service, refusal.clone());
            (ReceivedMessage::Malformed(name.as_bytes()), Method::named(name), answer)
        }
        Err(BadRequest::Malformed(why)) => {
            return TaskResult::Failed { stream: pending.stream, content_bytes: 0, why: (*why).into() };
        }
    };
    let mut section = pending.section;
    section.reserve(SECTION_BYTES);
    encode_section(&mut section, service, &answer, scheme, scratch);
    let mut summary = ResponseSummary::new(&answer, 0, 0);
    (summary.scheme, summary.user) = (scheme, &scratch.handler.access.user);
    let Exchange { stream, number, started_ns, .. } = *exchange;
    let record = connection.records.record(message, client, stream, number, started_ns, &summary);
    let status = summary.status;
    let PendingRequest { head, permit, .. } = pending;
    buffers.session.recycle(head);
    exchange.answer(method, status, scratch.handler.site, record);
    let priority = priority(&answer);
    let pieces = if method == Method::Head { Pieces::default() } else { Pieces::of(answer) };
    let permit = permit.filter(|_| pieces.has_file());
    let (is_reading, waits_for_turn) = (false, false);
    TaskResult::Response(StreamResponse {
        stream,
        section,
        pieces,
        priority,
        permit,
        blocking_key,
        is_reading,
        waits_for_turn,
        exchange,
    })
}

/// Appends the field section of an answer.
fn encode_section(out: &mut Vec<u8>, service: &Service, answer: &Answer, scheme: Scheme, scratch: &mut Scratch) {
    let is_private = scratch.handler.access.is_restricted;
    let context = Context { date: scratch.date.now(), hsts: service.https.hsts(scheme), is_private };
    let Some(changed) = &scratch.handler.changed else {
        // The fields of a whole file and of a 304 are encoded once for all requests.
        let encoded = match answer {
            Answer::File { resource, outcome: Outcome::Whole } if !is_private => resource.section(),
            Answer::File { resource, outcome: Outcome::NotModified(None) } if !is_private => {
                resource.validators_section()
            }
            _ => return encode::head(out, answer.status(), context, answer.fields().iter()),
        };
        encode::begin_head(out, answer.status(), context);
        return out.extend_from_slice(encoded);
    };
    let none = FieldChanges::default();
    let changes = changed.rules.as_ref().map_or(&none, |rules| &rules.changes);
    encode::changed_head(out, answer.status(), context, &changed.fields(answer), changes, scheme);
}

/// Returns the priority of an answer for a client that has sent none.
fn priority(answer: &Answer) -> Priority {
    match answer {
        Answer::File { resource, .. } => resource.priority(),
        Answer::Listing { .. } => Priority::of_media_type("text/html"),
        Answer::Response { .. } => Priority::default(),
    }
}
