//! The health check on the site's sockets. It looks at nothing of the site: it has no rules, no access and no files.

use super::{Answer, Cause};
use crate::http::Request;
use crate::http::request::Method;
use crate::service::{Service, health};

/// Returns the answer to `request` if it is a health check. `buffer` is for its target.
pub fn answer(service: &Service, request: &Request, buffer: &mut Vec<u8>) -> Option<Answer> {
    let is_check = matches!(request.method, Method::Get | Method::Head) && service.health.is_target_of(request, buffer);
    is_check.then(|| {
        let problem = service.health.problem();
        Answer::Response { response: health::response(problem), cause: problem.map(Cause::Health) }
    })
}
