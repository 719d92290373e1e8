//! One request and its answer: find, say, and leave the rest to be sent.

use std::fmt::Display;
use std::sync::Arc;

use super::connection::{AfterResponse, Connection};
use super::pending_records::{Answer, PendingRecords, ReceivedMessage};
use super::send_queue::{FileSlice, QueuedPart};
use super::{Worker, listings};
use crate::http::listing::Form;
use crate::http::request::{self, Body, Method};
use crate::http::response::{self, Context};
use crate::http::{Coding, Outcome, Refusal, Request, Status, coding, range, target};
use crate::log::catalog;
use crate::os::clock::{self, Date};
use crate::site::{Content, File, Found, Freshness};

/// What a thread needs to answer and keeps from one request to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    date: Date,
    target: Vec<u8>,
    path: Vec<u8>,
    /// The thread's place in [`BlockingLimits`](super::blocking::BlockingLimits).
    pub place: Option<usize>,
}

impl Scratch {
    /// That of the thread at `place`.
    pub fn of(place: Option<usize>) -> Self {
        Scratch { place, ..Scratch::default() }
    }
}

/// Appends the answer to `output`, or sets the connection's span where the content is to come from the file. Says whether it has:
/// a request for a listing that is being made is to come again.
pub fn respond(
    worker: &Worker,
    request: &Request,
    freshness: Freshness,
    connection: &mut Connection,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> bool {
    let may_wait = !connection.begin_response() || clock::now_ms() < connection.deadline_ms;
    let is_read = request.body == Body::Dropped;
    let is_last = worker.is_draining() || connection.requests >= worker.max_requests;
    let keep_alive = request.keep_alive && is_read && !is_last;
    connection.after_response = match keep_alive {
        true => AfterResponse::KeepAlive,
        // The client expects that something follows, or has sent something that nobody reads.
        false if request.keep_alive || !is_read => AfterResponse::LingeringClose,
        false => AfterResponse::Close,
    };
    let begin = output.len();
    let result = match content(worker, request, freshness, connection, output, scratch, may_wait) {
        Ok(None) => {
            connection.put_answer_off(begin > 0);
            return false;
        }
        Ok(Some(sent)) => Ok(sent),
        Err(refusal) => Err(refusal),
    };
    let result = result.inspect_err(|refusal| {
        output.truncate(begin);
        report(worker, refusal, request.method_name, path(request));
        let context = Context { date: scratch.date.now(), keep_alive, method: request.method };
        let status = refusal.status();
        // The disk that an error page is on may be the one that does not answer.
        let is_blocked = matches!(refusal, Refusal::Blocked(_));
        let page = if is_blocked { None } else { worker.site.error_page(status) };
        match page.as_ref().map(|page| (&page.representation.content_type, page.content())) {
            Some((content_type, Content::Memory(page))) => {
                response::error_with_page(output, context, status, content_type, page);
            }
            _ => response::error(output, context, status),
        }
    });
    let ResponseInfo { content, coding, cause } = *result.as_ref().unwrap_or(&ResponseInfo::PAGE);
    let status = response::status(&output[begin..]);
    if result.is_ok() {
        let path = path(request).escape_debug();
        tracing::debug!(%path, status, "{} {path}: {status}", request.method_name);
    }
    let refusal = result.as_ref().err().map(|refusal| refusal as &dyn Display);
    let cause = refusal.or(cause.as_ref().map(|cause| cause as _));
    connection
        .count_response(ReceivedMessage::Request(request), &Answer { status, output, begin, content, coding, cause });
    true
}

/// Appends the answer to `bytes`, which are no request; after it the connection ends.
pub fn refuse(
    worker: &Worker,
    refusal: &Refusal,
    bytes: &[u8],
    connection: &mut Connection,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
) {
    connection.begin_response();
    connection.after_response = AfterResponse::LingeringClose;
    report(worker, refusal, "?", "?");
    let method = request::method_of_refused(bytes);
    let context = Context { date: scratch.date.now(), keep_alive: false, method };
    let begin = output.len();
    response::error(output, context, refusal.status());
    connection.count_response(ReceivedMessage::Malformed(bytes), &page(refusal.status(), output, begin, refusal));
}

/// Answers a head that has not come in time, as far as that goes without waiting.
pub fn refuse_slow_head(worker: &Worker, connection: &mut Connection) {
    let input = std::mem::take(&mut connection.input);
    let (mut answer, mut scratch) = (Vec::new(), Scratch::default());
    refuse(worker, &Refusal::SlowHead, &input, connection, &mut answer, &mut scratch);
    connection.send_last(&answer);
}

/// Answers a connection that there may not be, with whatever came on it; `send` says how much of the answer it could send.
pub fn reject(
    bytes: &[u8],
    mut records: PendingRecords,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
    send: impl FnOnce(&[u8]) -> usize,
) {
    let since_ns = clock::now_ns();
    let status = Status::ServiceUnavailable;
    let method = request::method_of_refused(bytes);
    response::error(output, Context { date: scratch.date.now(), keep_alive: false, method }, status);
    let cause = "its client has as many connections as it may";
    records.add(ReceivedMessage::Malformed(bytes), 1, since_ns, &page(status, output, 0, &cause));
    let sent = send(output);
    let now_ns = clock::now_ns();
    records.end_answers(sent as u64, sent == output.len(), now_ns, now_ns - since_ns);
}

/// An answer that is a page of this server's own.
fn page<'a>(status: Status, output: &'a [u8], begin: usize, cause: &'a dyn Display) -> Answer<'a> {
    Answer { status: status.code(), output, begin, content: None, coding: Coding::Identity, cause: Some(cause) }
}

/// What was said, for the access log.
#[derive(Debug, Clone, Copy)]
struct ResponseInfo {
    /// Where in the output the content begins; none if that is only to be seen there.
    content: Option<usize>,
    coding: Coding,
    /// Why it is not the file.
    cause: Option<&'static str>,
}

impl ResponseInfo {
    /// A page of this server's own.
    const PAGE: ResponseInfo = ResponseInfo { content: None, coding: Coding::Identity, cause: None };
}

/// Appends what a request gets; none if it is to wait.
fn content(
    worker: &Worker,
    request: &Request,
    freshness: Freshness,
    connection: &mut Connection,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
    may_wait: bool,
) -> Result<Option<ResponseInfo>, Refusal> {
    let keep_alive = connection.after_response == AfterResponse::KeepAlive;
    let context = Context { date: scratch.date.now(), keep_alive, method: request.method };
    match request.method {
        Method::Other => return Err(Refusal::MethodNotAllowed),
        Method::Unknown => return Err(Refusal::UnknownMethod),
        Method::Get | Method::Head | Method::Options if request.body == Body::TooLarge => {
            return Err(Refusal::LargeBody);
        }
        Method::Options => {
            if request.target != "*" {
                target::decode(request.target, &mut scratch.target)?;
            }
            response::options(output, context);
            return Ok(Some(ResponseInfo::PAGE));
        }
        Method::Get | Method::Head => {}
    }
    let target = target::decode(request.target, &mut scratch.target)?;
    begin_blocking(worker, connection, target.path, scratch.place)?;
    let found = worker.site.find(&target, || coding::acceptable(request.fields), &mut scratch.path, freshness)?;
    let resource = match found {
        Found::Directory => {
            response::moved(output, context, &target.with_slash());
            return Ok(Some(ResponseInfo::PAGE));
        }
        Found::Listing(directory) => {
            let form = Form::of(request.fields);
            let Some(listed) = listings::get(worker, &directory, form, connection, may_wait)? else {
                return Ok(None);
            };
            let size = listed.file.version().size;
            response::listing(output, context, form, size, listed.is_cut);
            let sent = ResponseInfo { content: Some(output.len()), ..ResponseInfo::PAGE };
            if request.method == Method::Get {
                send_from_disk(connection, &listed.file, Outcome::Whole)?;
            }
            return Ok(Some(sent));
        }
        Found::File(resource) => resource,
    };
    let outcome = resource.representation.evaluate(request);
    match outcome {
        Outcome::Whole => {
            response::ok(output, context);
            output.extend_from_slice(resource.head());
        }
        Outcome::NotModified => {
            response::not_modified(output, context);
            output.extend_from_slice(resource.validators());
        }
        _ => response::file(output, context, &resource.representation, &outcome),
    }
    let sent = match outcome {
        Outcome::PreconditionFailed => {
            ResponseInfo { cause: Some("a precondition does not hold"), ..ResponseInfo::PAGE }
        }
        Outcome::Unsatisfiable => ResponseInfo { cause: Some("the file has none of the ranges"), ..ResponseInfo::PAGE },
        Outcome::NotModified => ResponseInfo { content: Some(output.len()), ..ResponseInfo::PAGE },
        _ => ResponseInfo { content: Some(output.len()), coding: resource.representation.coding, cause: None },
    };
    match resource.content() {
        _ if request.method == Method::Head => {}
        Content::Memory(content) => append_from_memory(output, content, &outcome),
        Content::Disk(file) => send_from_disk(connection, file, outcome)?,
    }
    Ok(Some(sent))
}

/// Notes what the disk may block this thread for, unless too many threads are blocked by it already.
fn begin_blocking(
    worker: &Worker,
    connection: &mut Connection,
    path: &[u8],
    place: Option<usize>,
) -> Result<(), Refusal> {
    let now_ms = clock::now_ms();
    let subject = worker.blocking.subject_of_path(path, connection.subject);
    connection.subject = subject;
    worker.blocking.begin(place, subject, now_ms);
    if worker.pool.is_over_half()
        && let Some(why) = worker.blocking.exceeded(subject, now_ms)
    {
        worker.blocking.end(place);
        return Err(Refusal::Blocked(why));
    }
    Ok(())
}

/// Appends what a plan, of a GET, sends of a file that is in memory.
fn append_from_memory(output: &mut Vec<u8>, content: &[u8], outcome: &Outcome) {
    let of = |span: &range::ByteRange| &content[span.start as usize..span.end as usize];
    match outcome {
        Outcome::Whole => output.extend_from_slice(content),
        Outcome::Part(span) => output.extend_from_slice(of(span)),
        Outcome::Parts(multipart) => {
            for part in &multipart.parts {
                output.extend_from_slice(part.head.as_bytes());
                output.extend_from_slice(of(&part.span));
            }
            output.extend_from_slice(multipart.end.as_bytes());
        }
        Outcome::NotModified | Outcome::PreconditionFailed | Outcome::Unsatisfiable => {}
    }
}

/// Leaves what a plan, of a GET, sends of a file to be sent after the head. That the file can be read at its beginning was
/// seen when it was opened.
fn send_from_disk(connection: &mut Connection, file: &Arc<File>, outcome: Outcome) -> Result<(), Refusal> {
    let size = file.version().size;
    let is_several = matches!(outcome, Outcome::Parts(_));
    let span =
        |start, end| (start < end).then(|| FileSlice { file: file.clone(), offset: start, end, has_begun: is_several });
    match outcome {
        Outcome::Whole => connection.send_queue.slice = span(0, size),
        Outcome::Part(part) => {
            file.probe(part.start)?;
            connection.send_queue.slice = span(part.start, part.end);
        }
        Outcome::Parts(multipart) => {
            multipart.parts.first().map_or(Ok(()), |part| file.probe(part.span.start))?;
            let parts = multipart.parts.into_iter();
            let parts =
                parts.map(|part| QueuedPart { head: part.head.into(), slice: span(part.span.start, part.span.end) });
            let end = QueuedPart { head: multipart.end.into(), slice: None };
            connection.send_queue.parts.extend(parts.chain([end]));
        }
        Outcome::NotModified | Outcome::PreconditionFailed | Outcome::Unsatisfiable => {}
    }
    Ok(())
}

/// What a request is for, as it was sent. What stands behind a `?` means nothing to a file, and may be nobody's business.
fn path<'a>(request: &Request<'_, 'a>) -> &'a str {
    request.target.split('?').next().unwrap_or_default()
}

/// What the client did wrong is for whoever debugs; what went wrong here is for the admin.
fn report(worker: &Worker, refusal: &Refusal, method: &str, path: &str) {
    let status = refusal.status().code();
    let path = path.escape_debug();
    if refusal.is_server_fault() && worker.warnings.file_failed.is_due() {
        tracing::warn!(
            message_id = catalog::FILE_FAILED,
            %path,
            status,
            "Cannot serve \"{path}\": {refusal}. Said once a minute."
        );
    } else {
        tracing::debug!(%path, status, "{method} {path}: {status}, {refusal}");
    }
}
