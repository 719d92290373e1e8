//! The handler: it computes the answer to a request. Both are values, independent of wire format and socket.

mod access;
mod answer;
mod health;
mod listing;
mod rules;

use access::{Access, Guard, find_permitted};
pub use answer::{Answer, Cause, Changed};
pub use listing::Waiter;
use rules::{Asked, Reply};

use tracing::Level;

use crate::http::content_range::ContentRange;
use crate::http::listing::Form;
use crate::http::request::{Body, Method};
use crate::http::{Field, Outcome, Refusal, Request, Response, Scheme, Target, coding, target};
use crate::ipc::scoreboard::SiteSlot;
use crate::listeners::Client;
use crate::log::catalog;
use crate::os::clock;
use crate::service::Service;
use crate::service::blocking::BlockingKey;
use crate::site::{Content, Found, Freshness, Lookup, Resource, challenges};

/// The limit of releases in which a request looks for a file: each replaced the one before while it was searched.
const MAX_RELEASES: usize = 5;

/// Buffers of a thread that are reused for each request.
#[derive(Debug, Default)]
pub struct Scratch {
    target: Vec<u8>,
    path: Vec<u8>,
    /// What is known about the access of the last request.
    pub access: Access,
    /// Where the last request is counted, if it was for one of many sites.
    pub site: Option<SiteSlot>,
    /// What rules change in the head of the last answer.
    pub changed: Option<Changed>,
    /// The thread's slot in [`BlockingLimits`](crate::service::blocking::BlockingLimits).
    pub slot: Option<usize>,
}

impl Scratch {
    /// Creates the scratch space of the thread at `slot`.
    pub fn new(slot: Option<usize>) -> Self {
        Scratch { slot, ..Scratch::default() }
    }

    /// Forgets what is known about the last request.
    pub fn reset(&mut self) {
        self.access.reset();
        self.site = None;
        self.changed = None;
    }
}

/// The context of a request: data that is not in its bytes.
#[derive(Debug)]
pub struct RequestContext<'o> {
    /// When the request arrived.
    pub freshness: Freshness,
    /// The address of its client.
    pub client: Client,
    /// The scheme that its client uses.
    pub scheme: Scheme,
    /// Why it is refused, whatever it asks for.
    pub refusal: Option<Refusal>,
    /// Whether it was sent over a connection for another host.
    pub is_misdirected: bool,
    /// The key of the connection's last request; it is replaced by the key of this one.
    pub blocking_key: &'o mut BlockingKey,
    /// The connection, if the request may wait for a listing.
    pub waiter: Option<Waiter>,
}

/// Returns the answer to `request`; none if the request has to wait until a listing was made.
pub fn respond(service: &Service, request: &Request, context: RequestContext, scratch: &mut Scratch) -> Option<Answer> {
    scratch.reset();
    let answer = match health::answer(service, request, &mut scratch.target) {
        Some(answer) => answer,
        None => match respond_from_site(service, request, context, scratch) {
            Ok(answer) => answer?,
            Err(rejection) => return Some(rejection),
        },
    };
    // Without it, the path would be prepared for each request.
    if tracing::enabled!(Level::DEBUG) {
        let (path, status) = (request.path().escape_debug(), answer.status().code());
        tracing::debug!(%path, status, "{} {path}: {status}", request.method_name);
    }
    Some(answer)
}

/// Returns the answer of the site; none if the request has to wait. Fails with the response to a request that was rejected, which
/// is logged already.
fn respond_from_site(
    service: &Service,
    request: &Request,
    context: RequestContext,
    scratch: &mut Scratch,
) -> Result<Option<Answer>, Answer> {
    let guard = Guard::new(service, request, &context);
    let guard = guard.as_ref();
    find(service, request, context, guard, scratch).map_err(|refusal| {
        report(service, &refusal, request.method_name, request.path());
        let response = error(service, request, guard, &mut scratch.access, &refusal, &mut scratch.target);
        Answer::Response { response, cause: Some(Cause::Refusal(refusal)) }
    })
}

/// Returns the answer to bytes that are not a valid request.
pub fn reject(service: &Service, refusal: Refusal) -> Answer {
    report(service, &refusal, "?", "?");
    let response = match refusal {
        Refusal::NeedsTls => Response::needs_tls(),
        _ => Response::error(refusal.status()),
    };
    Answer::Response { response, cause: Some(Cause::Refusal(refusal)) }
}

fn find(
    service: &Service,
    request: &Request,
    context: RequestContext,
    guard: Option<&Guard>,
    scratch: &mut Scratch,
) -> Result<Option<Answer>, Refusal> {
    if context.is_misdirected {
        return Err(Refusal::Misdirected);
    }
    if let Some(refusal) = context.refusal {
        return Err(refusal);
    }
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
            return Ok(Some(Answer::response(Response::options())));
        }
        Method::Get | Method::Head => {}
    }
    let target = target::decode(request.target, &mut scratch.target)?;
    let host = service.sites.host(request.authority);
    *context.blocking_key = service.blocking.key(host.name(), target.path, context.client);
    let now_ms = clock::now_ms();
    service.begin_blocking(scratch.slot, *context.blocking_key, now_ms).map_err(Refusal::Blocked)?;
    if challenges::is_challenge(target.path) {
        if let Some(content) = service.sites.challenges.find(target.path)? {
            return Ok(Some(Answer::response(Response::challenge(content))));
        }
    } else if let Some(location) = service.https.redirect(context.scheme, request) {
        return Ok(Some(Answer::response(Response::redirect(location))));
    }
    if service.is_outdated() {
        return Err(Refusal::Outdated);
    }
    let site = service.sites.select(&host, now_ms)?;
    scratch.site = site.slot(&service.counters);
    if let Some(guard) = guard
        && !guard.check(&site, target.path, &mut scratch.access)?
    {
        return Ok(None);
    }
    let acceptable = || coding::acceptable(request.fields);
    let lookup = Lookup { freshness: context.freshness, now_ms, digests: &service.digests };
    let scheme = context.scheme;
    let mut find = || {
        scratch.changed = None;
        let release = site.release(now_ms)?;
        let rules = match release.rules.current() {
            Ok(None) => None,
            // An ACME challenge passes by all rules, or certificates would not be renewed.
            _ if challenges::is_challenge(target.path) => None,
            rules => rules?,
        };
        let Some(rules) = rules else {
            let find = || site.find(&release, &target, acceptable, &mut scratch.path, lookup);
            let found = find_permitted(guard, &site, target.path, &mut scratch.access, find)?;
            return Ok(found.map(Reply::Found));
        };
        let (site, release, rules, target) = (&site, &release, &rules, &target);
        let asked = Asked { site, release, rules, guard, lookup, request, target, scheme };
        asked.find(&mut scratch.changed, &mut scratch.access, &mut scratch.path)
    };
    // Files and rules are those of one release: if it is replaced meanwhile, all begins again.
    let mut tries = 0;
    let reply = loop {
        tries += 1;
        match find() {
            Err(Refusal::Replaced) if tries < MAX_RELEASES => {}
            reply => break reply?,
        }
    };
    match reply {
        Some(Reply::Found(found)) => answer(service, request, &target, found, context.waiter),
        Some(Reply::Answer(answer)) => Ok(Some(answer)),
        None => Ok(None),
    }
}

/// Returns the answer to a request for what was found; none if the request has to wait until a listing was made.
fn answer(
    service: &Service,
    request: &Request,
    target: &Target,
    found: Found,
    waiter: Option<Waiter>,
) -> Result<Option<Answer>, Refusal> {
    match found {
        Found::Directory => Ok(Some(Answer::response(Response::redirect(target.with_slash())))),
        Found::Moved { location, .. } => Ok(Some(Answer::response(Response::redirect(location)))),
        Found::Listing(directory) => {
            let form = Form::of(request.fields, target.query);
            let listed = listing::get(service, &directory, form, waiter)?;
            Ok(listed.map(|listed| Answer::Listing { listed, form }))
        }
        Found::File(resource) => {
            let outcome = resource.representation.evaluate(request);
            match outcome {
                Outcome::PreconditionFailed | Outcome::Unsatisfiable => Ok(Some(not_applicable(&resource, &outcome))),
                _ => {
                    check_first_byte(&resource, &outcome)?;
                    Ok(Some(Answer::File { resource, outcome }))
                }
            }
        }
    }
}

/// The response to a request whose precondition or range does not apply.
fn not_applicable(resource: &Resource, outcome: &Outcome) -> Answer {
    let representation = &resource.representation;
    let (range, cause) = match outcome {
        Outcome::Unsatisfiable => {
            let range = ContentRange { range: None, size: representation.size };
            (Some(Field::ContentRange(range)), "the file has none of the ranges")
        }
        _ => (None, "a precondition does not hold"),
    };
    let fields = range.into_iter().chain(representation.vary()).collect();
    let response = Response::page(outcome.status(), fields);
    Answer::Response { response, cause: Some(Cause::Text(cause)) }
}

/// Reads a byte where a partial response begins in a file on disk: an error of the disk is then a 500. The beginning of the
/// file was read when it was opened.
fn check_first_byte(resource: &Resource, outcome: &Outcome) -> Result<(), Refusal> {
    let Content::Disk(file) = resource.content() else { return Ok(()) };
    match outcome {
        Outcome::Part(range) => file.check_readable(range.start),
        Outcome::Parts(multipart) => {
            multipart.parts.first().map_or(Ok(()), |part| file.check_readable(part.range.start))
        }
        _ => Ok(()),
    }
}

/// The response to a request that was rejected, with the site's page if it has one.
fn error(
    service: &Service,
    request: &Request,
    guard: Option<&Guard>,
    access: &mut Access,
    refusal: &Refusal,
    path: &mut Vec<u8>,
) -> Response {
    let status = refusal.status();
    let target = target::decode(request.target, path).ok();
    // The page may be on the disk that does not respond, or for other clients.
    let has_page = !matches!(refusal, Refusal::Blocked(_)) && !service.is_outdated();
    let find = || {
        let site = service.sites.select(&service.sites.host(request.authority), clock::now_ms()).ok()?;
        let page = site.error_page(status, target.as_ref(), &service.digests)?;
        guard.is_none_or(|guard| guard.may_have_page(&site, &page, status, access)).then_some(page)
    };
    let page = has_page.then(find).flatten();
    let mut response = match page.as_ref().map(|page| (&page.representation.content_type, page.content())) {
        Some((content_type, Content::Memory(content))) => {
            Response::error_with_page(status, content_type.clone(), content)
        }
        _ if *refusal == Refusal::ClearLogin => Response::clear_login(),
        _ => Response::error(status),
    };
    if let Some(field) = refusal.field() {
        response.fields.insert(0, field);
    }
    response
}

/// Logs a rejected request: an error of the client at debug level, an error of the server as a warning.
fn report(service: &Service, refusal: &Refusal, method: &str, path: &str) {
    let status = refusal.status().code();
    let path = path.escape_debug();
    if refusal.is_server_fault() && service.warnings.file_failed.is_due() {
        tracing::warn!(
            message_id = catalog::FILE_FAILED,
            %path,
            status,
            "Cannot serve \"{path}\": {refusal}. Logged once a minute."
        );
    } else {
        tracing::debug!(%path, status, "{method} {path}: {status}, {refusal}");
    }
}
