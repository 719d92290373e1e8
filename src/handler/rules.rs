//! The rules of a site in the answer to a request: first redirects that are forced, then the file, then the other redirects.

use std::sync::Arc;

use super::access::{Access, Guard, find_permitted};
use super::{Answer, Cause, Changed};
use crate::http::coding::Acceptable;
use crate::http::{Authority, Coding, Field, Refusal, Request, Response, Scheme, Status, Target, coding};
use crate::rules::{self, Match, RuleRequest};
use crate::site::rules::SiteRules;
use crate::site::{self, Content, Found, Lookup, Release, Resource, Selected};

/// Why a response with an error was sent that a rule asks for.
const BY_RULE: &str = "a rule of _redirects asks for it";

/// The value of Retry-After of a 503 that a rule asks for, in seconds, unless `_headers` has another: maintenance takes longer than
/// an overload.
const MAINTENANCE_S: u32 = 300;

/// A request for a path of a site that has rules.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub site: &'a Selected<'a>,
    pub release: &'a Arc<Release>,
    pub rules: &'a Arc<SiteRules>,
    pub guard: Option<&'a Guard<'a>>,
    pub lookup: Lookup<'a>,
    pub request: &'a Request<'a, 'a>,
    pub target: &'a Target<'a, 'a>,
    pub scheme: Scheme,
}

/// What a request gets.
#[derive(Debug)]
pub enum Reply {
    /// What the target names, or a rule has put in its place.
    Found(Found),
    /// The answer that a rule asks for.
    Answer(Answer),
}

impl Asked<'_> {
    /// Finds what the request gets; none if its connection has to wait until it is woken. Sets what `changed` in its head, and
    /// what is known about the `access` to it. `buffer` is scratch space.
    pub fn find(
        &self,
        changed: &mut Option<Changed>,
        access: &mut Access,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Reply>, Refusal> {
        let path = self.target.absolute_path;
        let host = self.request.authority.map(Authority::as_str);
        let rules = self.rules.of(host, path);
        let may_have_redirect = rules.may_have_redirect;
        *changed = (!rules.changes.is_empty()).then_some(Changed { rules: Some(rules), is_rewritten: false });
        if self.rules.has_passwords && self.rules.has_password(host, path) {
            return Err(Refusal::PasswordInRules);
        }
        let asked = RuleRequest { scheme: self.scheme, host, path, query: self.target.query };
        if may_have_redirect && let Some(matched) = self.rules.redirects.find(&asked, true) {
            return self.apply(matched, changed, access, buffer);
        }
        let found = self.find_file(self.target, || coding::acceptable(self.request.fields), access, buffer);
        let is_missing = may_have_redirect
            && match &found {
                Err(Refusal::NotFound) => true,
                // Without an index, there is nothing at a directory.
                Ok(Some(Found::Directory)) => !self.site.serves_directory(self.release, self.target.path, self.lookup),
                _ => false,
            };
        // No rule reveals that there are files with rules.
        if is_missing
            && !rules::is_reserved(self.target.path)
            && let Some(matched) = self.rules.redirects.find(&asked, false)
        {
            return self.apply(matched, changed, access, buffer);
        }
        Ok(found?.map(Reply::Found))
    }

    /// Returns the answer that a rule asks for. The target of a rewrite is neither rewritten again nor redirected by a rule.
    fn apply(
        &self,
        matched: Match,
        changed: &mut Option<Changed>,
        access: &mut Access,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Reply>, Refusal> {
        let status = matched.rule.status;
        let answer = |answer| Ok(Some(Reply::Answer(answer)));
        let mut path = match matched.target {
            rules::Target::Location(uri) => return answer(Answer::response(Response::redirect_by(status, uri))),
            rules::Target::Path(path) => path,
        };
        // The page of an error is sent without a coding.
        let acceptable =
            || if status == Status::Ok { coding::acceptable(self.request.fields) } else { Acceptable::IDENTITY };
        let mut find = |path: &[u8]| {
            let mut path = path.to_vec();
            self.find_file(&Target::new(&mut path, self.target.query)?, acceptable, access, buffer)
        };
        let found = match find(&path) {
            Ok(Some(Found::Directory)) => {
                path.push(b'/');
                find(&path)
            }
            // The page is sent under the name of the source, whatever its own name is.
            Ok(Some(Found::Moved { page, .. })) => Ok(Some(Found::File(page))),
            found => found,
        };
        match found {
            Ok(None) => Ok(None),
            Ok(Some(found @ Found::File(_))) if status == Status::Ok => {
                let rules = changed.take().and_then(|changed| changed.rules);
                *changed = Some(Changed { rules, is_rewritten: true });
                Ok(Some(Reply::Found(found)))
            }
            Ok(Some(Found::File(page))) => answer(page_of_rule(status, page)),
            Ok(Some(_)) | Err(Refusal::NotFound) if status == Status::Ok => Err(Refusal::NotFound),
            Ok(Some(_)) | Err(Refusal::NotFound) => answer(error_of_rule(Response::error(status))),
            Err(refusal) => Err(refusal),
        }
    }

    /// Finds what `target` names, and checks the access to it.
    fn find_file(
        &self,
        target: &Target,
        acceptable: impl Fn() -> Acceptable,
        access: &mut Access,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Found>, Refusal> {
        if let Some(guard) = self.guard
            && !guard.check(self.site, target.path, access)?
        {
            return Ok(None);
        }
        let find = || self.site.find(self.release, target, &acceptable, buffer, self.lookup);
        let found = find_permitted(self.guard, self.site, target.path, access, find)?;
        if self.rules.has_passwords
            && let Some(Found::File(page) | Found::Moved { page, .. }) = &found
        {
            self.check_password(target, page)?;
        }
        Ok(found)
    }

    /// Rejects a file that has a password, whatever path led to it.
    fn check_password(&self, target: &Target, page: &Resource) -> Result<(), Refusal> {
        let mut real = page.real_path()?.ok_or(Refusal::Changed)?;
        // That of a variant is the path of its original.
        let coding = page.representation.coding;
        if coding != Coding::Identity && real.ends_with(coding.suffix().as_bytes()) {
            real.truncate(real.len() - coding.suffix().len());
        }
        let host = self.request.authority.map(Authority::as_str);
        let has_password = |path: &[u8]| self.rules.has_password(host, &[b"/", path].concat());
        if has_password(target.path) || has_password(&real) { Err(Refusal::PasswordInRules) } else { Ok(()) }
    }
}

/// A response with an error that a rule asks for, with the content of `page`.
fn page_of_rule(status: Status, page: Arc<Resource>) -> Answer {
    let page = site::page_in_memory(page);
    let response = match page.as_ref().map(|page| (&page.representation.content_type, page.content())) {
        Some((content_type, Content::Memory(content))) => {
            Response::error_with_page(status, content_type.clone(), content)
        }
        _ => Response::error(status),
    };
    error_of_rule(response)
}

/// The answer with an error that a rule asks for.
fn error_of_rule(mut response: Response) -> Answer {
    for field in &mut response.fields {
        if let Field::RetryAfter(seconds) = field {
            *seconds = MAINTENANCE_S;
        }
    }
    Answer::Response { response, cause: Some(Cause::Text(BY_RULE)) }
}
