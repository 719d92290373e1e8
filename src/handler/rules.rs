//! The rules of a site in the answer to a request: first redirects that are forced, then the file, then the other redirects.

use std::sync::Arc;

use super::access::{Access, Guard};
use super::{Answer, Cause, Changed, Waiter, answer};
use crate::http::coding::Acceptable;
use crate::http::{Coding, Refusal, Request, Response, Scheme, Status, Target, coding};
use crate::rules::{self, Match, RuleRequest};
use crate::service::Service;
use crate::site::rules::SiteRules;
use crate::site::{self, Content, Found, Lookup, Release, Resource, Selected};

/// Why a response with an error was sent that a rule asks for.
const BY_RULE: &str = "a rule of _redirects asks for it";

/// A request for a path of a site that has rules.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub service: &'a Service,
    pub site: &'a Selected<'a>,
    pub release: &'a Arc<Release>,
    pub rules: &'a Arc<SiteRules>,
    pub guard: Guard<'a>,
    pub lookup: Lookup<'a>,
    pub request: &'a Request<'a, 'a>,
    pub target: &'a Target<'a, 'a>,
    pub scheme: Scheme,
}

impl Asked<'_> {
    /// Returns the answer; none if the request has to wait until a listing was made. Sets what `changed` in its head, and
    /// what is known about the `access` to it. `buffer` is scratch space.
    pub fn respond(
        &self,
        changed: &mut Option<Changed>,
        access: &mut Access,
        buffer: &mut Vec<u8>,
        waiter: Option<Waiter>,
    ) -> Result<Option<Answer>, Refusal> {
        let path = [b"/", self.target.path].concat();
        let host = self.request.authority;
        *changed = self.rules.of(host, &path).map(|rules| Changed { rules: Some(rules), is_rewritten: false });
        if self.rules.has_passwords && self.rules.has_password(host, &path) {
            return Err(Refusal::PasswordInRules);
        }
        let asked = RuleRequest { scheme: self.scheme, host, path: &path, query: self.target.query };
        if let Some(matched) = self.rules.redirects.find(&asked, true) {
            return self.apply(matched, changed, access, buffer, waiter);
        }
        let found = self.find(self.target, coding::acceptable(self.request.fields), access, buffer);
        let is_missing = match &found {
            Ok(None) => return Ok(None),
            Err(Refusal::NotFound) => true,
            // Without an index, there is nothing at a directory.
            Ok(Some(Found::Directory)) => !self.site.serves_directory(self.release, self.target.path, self.lookup),
            _ => false,
        };
        if is_missing
            && !self.is_never_served()
            && let Some(matched) = self.rules.redirects.find(&asked, false)
        {
            return self.apply(matched, changed, access, buffer, waiter);
        }
        let Some(found) = found? else { return Ok(None) };
        answer(self.service, self.request, self.target, found, waiter)
    }

    /// Returns whether the target is a file with rules, which no rule reveals.
    fn is_never_served(&self) -> bool {
        rules::is_reserved(self.target.path)
    }

    /// Returns the answer that a rule asks for. The target of a rewrite is neither rewritten again nor redirected by a rule.
    fn apply(
        &self,
        matched: Match,
        changed: &mut Option<Changed>,
        access: &mut Access,
        buffer: &mut Vec<u8>,
        waiter: Option<Waiter>,
    ) -> Result<Option<Answer>, Refusal> {
        let status = matched.rule.status;
        let path = match matched.target {
            rules::Target::Location(uri) => return Ok(Some(Answer::response(Response::redirect_by(status, uri)))),
            rules::Target::Path(path) => path,
        };
        let mut path = path.strip_prefix(b"/").unwrap_or(&path).to_vec();
        // The page of an error is sent without a coding.
        let accept = if status == Status::Ok { coding::acceptable(self.request.fields) } else { Acceptable::IDENTITY };
        let mut find = |path: &[u8]| self.find(&Target { path, query: self.target.query }, accept, access, buffer);
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
                answer(self.service, self.request, self.target, found, waiter)
            }
            Ok(Some(Found::File(page))) => Ok(Some(page_of_rule(status, page))),
            Ok(Some(_)) | Err(Refusal::NotFound) if status == Status::Ok => Err(Refusal::NotFound),
            Ok(Some(_)) | Err(Refusal::NotFound) => {
                Ok(Some(Answer::Response { response: Response::error(status), cause: Some(Cause::Text(BY_RULE)) }))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Finds what `target` names, and checks the access to it.
    fn find(
        &self,
        target: &Target,
        acceptable: Acceptable,
        access: &mut Access,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Found>, Refusal> {
        if !self.guard.check(self.site, target.path, access)? {
            return Ok(None);
        }
        let find = || self.site.find(self.release, target, || acceptable, buffer, self.lookup);
        let found = self.guard.find(self.site, target.path, access, find)?;
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
        let has_password = |path: &[u8]| self.rules.has_password(self.request.authority, &[b"/", path].concat());
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
    Answer::Response { response, cause: Some(Cause::Text(BY_RULE)) }
}
