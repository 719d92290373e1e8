//! One request and its answer: find, say, and leave the rest to be sent.

use std::fmt::Display;
use std::sync::Arc;

use super::connection::{Connection, Then};
use super::notes::{Answer, Notes, Question};
use super::outgoing::{Part, Span};
use super::{Worker, listings};
use crate::catalog;
use crate::clock::{self, Date};
use crate::http::listing::Form;
use crate::http::request::{self, Body, Method};
use crate::http::response::{self, Context};
use crate::http::{Coding, Plan, Refusal, Request, Status, coding, range, target};
use crate::site::{Asked, Content, File, Found};

/// What a thread needs to answer and keeps from one request to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    date: Date,
    target: Vec<u8>,
    path: Vec<u8>,
    /// The thread's place in [`Blocked`](super::blocked::Blocked).
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
pub fn answer(
    worker: &Worker,
    request: &Request,
    asked: Asked,
    connection: &mut Connection,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> bool {
    let may_wait = !connection.begin_answer() || clock::now_ms() < connection.deadline_ms;
    let is_read = request.body == Body::Dropped;
    let is_last = worker.is_draining() || connection.requests >= worker.most_requests;
    let keep_alive = request.keep_alive && is_read && !is_last;
    connection.then = match keep_alive {
        true => Then::Continue,
        // The client expects that something follows, or has sent something that nobody reads.
        false if request.keep_alive || !is_read => Then::Linger,
        false => Then::Close,
    };
    let begin = output.len();
    let result = match content(worker, request, asked, connection, output, scratch, may_wait) {
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
    let Sent { content, coding, cause } = *result.as_ref().unwrap_or(&Sent::PAGE);
    let status = response::status(&output[begin..]);
    if result.is_ok() {
        let path = path(request).escape_debug();
        tracing::debug!(%path, status, "{} {path}: {status}", request.method_name);
    }
    let refusal = result.as_ref().err().map(|refusal| refusal as &dyn Display);
    let cause = refusal.or(cause.as_ref().map(|cause| cause as _));
    connection.count_answer(Question::Request(request), &Answer { status, output, begin, content, coding, cause });
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
    connection.begin_answer();
    connection.then = Then::Linger;
    report(worker, refusal, "?", "?");
    let method = request::method_of_refused(bytes);
    let context = Context { date: scratch.date.now(), keep_alive: false, method };
    let begin = output.len();
    response::error(output, context, refusal.status());
    connection.count_answer(Question::Garbage(bytes), &page(refusal.status(), output, begin, refusal));
}

/// Answers a head that has not come in time, as far as that goes without waiting.
pub fn refuse_slow_head(worker: &Worker, connection: &mut Connection) {
    let input = std::mem::take(&mut connection.input);
    let (mut answer, mut scratch) = (Vec::new(), Scratch::default());
    refuse(worker, &Refusal::SlowHead, &input, connection, &mut answer, &mut scratch);
    connection.send_last(&answer);
}

/// Answers a connection that there may not be, with whatever came on it; `send` says how much of the answer it could send.
pub fn turn_away(
    bytes: &[u8],
    mut notes: Notes,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
    send: impl FnOnce(&[u8]) -> usize,
) {
    let since_ns = clock::now_ns();
    let status = Status::ServiceUnavailable;
    let method = request::method_of_refused(bytes);
    response::error(output, Context { date: scratch.date.now(), keep_alive: false, method }, status);
    let cause = "its client has as many connections as it may";
    notes.add(Question::Garbage(bytes), 1, since_ns, &page(status, output, 0, &cause));
    let sent = send(output);
    let now_ns = clock::now_ns();
    notes.end_answers(sent as u64, sent == output.len(), now_ns, now_ns - since_ns);
}

/// An answer that is a page of this server's own.
fn page<'a>(status: Status, output: &'a [u8], begin: usize, cause: &'a dyn Display) -> Answer<'a> {
    Answer { status: status.code(), output, begin, content: None, coding: Coding::Identity, cause: Some(cause) }
}

/// What was said, for the access log.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// Where in the output the content begins; none if that is only to be seen there.
    content: Option<usize>,
    coding: Coding,
    /// Why it is not the file.
    cause: Option<&'static str>,
}

impl Sent {
    /// A page of this server's own.
    const PAGE: Sent = Sent { content: None, coding: Coding::Identity, cause: None };
}

/// Appends what a request gets; none if it is to wait.
fn content(
    worker: &Worker,
    request: &Request,
    asked: Asked,
    connection: &mut Connection,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
    may_wait: bool,
) -> Result<Option<Sent>, Refusal> {
    let keep_alive = connection.then == Then::Continue;
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
            return Ok(Some(Sent::PAGE));
        }
        Method::Get | Method::Head => {}
    }
    let target = target::decode(request.target, &mut scratch.target)?;
    enter(worker, connection, target.path, scratch.place)?;
    let found = worker.site.find(&target, || coding::acceptable(request.fields), &mut scratch.path, asked)?;
    let held = match found {
        Found::Directory => {
            response::moved(output, context, &target.with_slash());
            return Ok(Some(Sent::PAGE));
        }
        Found::Listing(directory) => {
            let form = Form::of(request.fields);
            let Some(listed) = listings::get(worker, &directory, form, connection, may_wait)? else {
                return Ok(None);
            };
            let size = listed.file.identity().size;
            response::listing(output, context, form, size, listed.is_cut);
            let sent = Sent { content: Some(output.len()), ..Sent::PAGE };
            if request.method == Method::Get {
                send_from_disk(connection, &listed.file, Plan::Whole)?;
            }
            return Ok(Some(sent));
        }
        Found::File(held) => held,
    };
    let plan = held.representation.plan(request);
    match plan {
        Plan::Whole => {
            response::ok(output, context);
            output.extend_from_slice(held.head());
        }
        Plan::NotModified => {
            response::not_modified(output, context);
            output.extend_from_slice(held.validators());
        }
        _ => response::file(output, context, &held.representation, &plan),
    }
    let sent = match plan {
        Plan::PreconditionFailed => Sent { cause: Some("a precondition does not hold"), ..Sent::PAGE },
        Plan::Unsatisfiable => Sent { cause: Some("the file has none of the ranges"), ..Sent::PAGE },
        Plan::NotModified => Sent { content: Some(output.len()), ..Sent::PAGE },
        _ => Sent { content: Some(output.len()), coding: held.representation.coding, cause: None },
    };
    match held.content() {
        _ if request.method == Method::Head => {}
        Content::Memory(content) => append_from_memory(output, content, &plan),
        Content::Disk(file) => send_from_disk(connection, file, plan)?,
    }
    Ok(Some(sent))
}

/// Notes what the disk may block this thread for, unless too many threads are blocked by it already.
fn enter(worker: &Worker, connection: &mut Connection, path: &[u8], place: Option<usize>) -> Result<(), Refusal> {
    let now_ms = clock::now_ms();
    let subject = worker.blocked.subject(path, connection.subject);
    connection.subject = subject;
    worker.blocked.enter(place, subject, now_ms);
    if worker.crew.is_strained()
        && let Some(why) = worker.blocked.is_too_much(subject, now_ms)
    {
        worker.blocked.leave(place);
        return Err(Refusal::Blocked(why));
    }
    Ok(())
}

/// Appends what a plan, of a GET, sends of a file that is in memory.
fn append_from_memory(output: &mut Vec<u8>, content: &[u8], plan: &Plan) {
    let of = |span: &range::Span| &content[span.start as usize..span.end as usize];
    match plan {
        Plan::Whole => output.extend_from_slice(content),
        Plan::Part(span) => output.extend_from_slice(of(span)),
        Plan::Parts(multipart) => {
            for part in &multipart.parts {
                output.extend_from_slice(part.head.as_bytes());
                output.extend_from_slice(of(&part.span));
            }
            output.extend_from_slice(multipart.end.as_bytes());
        }
        Plan::NotModified | Plan::PreconditionFailed | Plan::Unsatisfiable => {}
    }
}

/// Leaves what a plan, of a GET, sends of a file to be sent after the head. That the file can be read at its beginning was
/// seen when it was opened.
fn send_from_disk(connection: &mut Connection, file: &Arc<File>, plan: Plan) -> Result<(), Refusal> {
    let size = file.identity().size;
    let is_several = matches!(plan, Plan::Parts(_));
    let span =
        |start, end| (start < end).then(|| Span { file: file.clone(), offset: start, end, has_begun: is_several });
    match plan {
        Plan::Whole => connection.outgoing.span = span(0, size),
        Plan::Part(part) => {
            file.probe(part.start)?;
            connection.outgoing.span = span(part.start, part.end);
        }
        Plan::Parts(multipart) => {
            multipart.parts.first().map_or(Ok(()), |part| file.probe(part.span.start))?;
            let parts = multipart.parts.into_iter();
            let parts = parts.map(|part| Part { head: part.head.into(), span: span(part.span.start, part.span.end) });
            let end = Part { head: multipart.end.into(), span: None };
            connection.outgoing.parts.extend(parts.chain([end]));
        }
        Plan::NotModified | Plan::PreconditionFailed | Plan::Unsatisfiable => {}
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
    if refusal.is_ours() && worker.complaints.files.is_due() {
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
