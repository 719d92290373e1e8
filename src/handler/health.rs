//! The health check on the site's sockets. It looks at nothing of the site: it has no rules, no access and no files.

use super::{Answer, Cause};
use crate::http::request::Method;
use crate::http::{Request, Response, Status};
use crate::service::Service;
use crate::service::health::READY;

/// The media type of the answer.
const TEXT: &str = "text/plain; charset=utf-8";

/// Returns the answer to `request` if it is a health check. `buffer` is for its target.
pub fn answer(service: &Service, request: &Request, buffer: &mut Vec<u8>) -> Option<Answer> {
    let is_check = matches!(request.method, Method::Get | Method::Head) && service.health.is_target_of(request, buffer);
    is_check.then(|| match service.health.problem() {
        None => Answer::response(Response::report(Status::Ok, TEXT, format!("{READY}\n"))),
        Some(problem) => {
            let response = Response::report(Status::ServiceUnavailable, TEXT, format!("{problem}\n"));
            Answer::Response { response, cause: Some(Cause::Health(problem)) }
        }
    })
}
