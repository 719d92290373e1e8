//! One request and its answer: find, say, and leave the rest to be sent.

use std::ffi::CStr;
use std::time::SystemTime;

use super::Worker;
use super::connection::{Connection, Span, Then};
use crate::clock::Date;
use crate::http::request::{Body, Method};
use crate::http::response::{self, Context};
use crate::http::{Refusal, Request, target};
use crate::site::Found;

/// What a thread needs to answer and keeps from one request to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    date: Date,
    target: Vec<u8>,
    path: Vec<u8>,
}

/// Appends the answer to `output`, or sets the connection's span where the content is to come from the file.
pub fn answer(
    worker: &Worker,
    request: &Request,
    connection: &mut Connection,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
) {
    connection.begin_answer();
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
    match content(worker, request, connection, output, scratch) {
        Ok(()) => tracing::debug!(path = request.target, "answered"),
        Err(refusal) => {
            output.truncate(begin);
            report(worker, &refusal, request.target);
            let context = Context { date: scratch.date.now(), keep_alive, method: request.method };
            response::error(output, context, refusal.status());
        }
    }
}

/// Appends the answer to bytes that are no request; after it the connection ends.
pub fn refuse(
    worker: &Worker,
    refusal: &Refusal,
    method: Method,
    connection: &mut Connection,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
) {
    connection.begin_answer();
    connection.then = Then::Linger;
    report(worker, refusal, "");
    let context = Context { date: scratch.date.now(), keep_alive: false, method };
    response::error(output, context, refusal.status());
}

fn content(
    worker: &Worker,
    request: &Request,
    connection: &mut Connection,
    output: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), Refusal> {
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
            return Ok(());
        }
        Method::Get | Method::Head => {}
    }
    let target = target::decode(request.target, &mut scratch.target)?;
    let found = worker.site.find(&target, &mut scratch.path)?;
    let is_get = request.method == Method::Get;
    match found {
        Found::Stored(stored) => {
            response::ok(output, context);
            output.extend_from_slice(if is_get { stored.head_and_content() } else { stored.head() });
        }
        Found::File(file) => {
            response::ok(output, context);
            let path = CStr::from_bytes_until_nul(&scratch.path).unwrap_or_default();
            worker.site.describe(path, &file, SystemTime::now(), output);
            let end = file.identity().size;
            if is_get && end > 0 {
                connection.span = Some(Span { file, offset: 0, end });
            }
        }
        Found::Directory => response::moved(output, context, &target.with_slash()),
    }
    Ok(())
}

/// What the client did wrong is for whoever debugs; what went wrong here is for the admin.
fn report(worker: &Worker, refusal: &Refusal, path: &str) {
    let status = refusal.status().code();
    if refusal.is_ours() && worker.complaints.files.is_due() {
        tracing::warn!(path, status, "Cannot serve \"{}\": {refusal}. Said once a minute.", path.escape_debug());
    } else {
        tracing::debug!(path, status, "refused: {refusal}");
    }
}
