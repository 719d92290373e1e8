//! Access to what a request asks for. It is decided twice: on the path of the request, before any redirect and before anything
//! is looked up, and on the path of the file that is served, whatever link, index or name led to it.

use crate::access::{AccessPolicy, AuthArea, Credentials};
use crate::http::{Refusal, Request, Scheme, Status};
use crate::ipc::login_protocol::{LoginStep, Question, Verdict};
use crate::listeners::Client;
use crate::os::clock;
use crate::service::Service;
use crate::site::{Found, Resource, Selected, challenges};

use super::{RequestContext, Waiter};

/// The limit of lookups of one request, if its file is replaced again and again.
const MAX_LOOKUPS: usize = 3;

/// The pages that clients get who do not get anything else. They need no access themselves.
const PAGES_FOR_ALL: [(Status, &[u8]); 2] = [(Status::Unauthorized, b"401.html"), (Status::Forbidden, b"403.html")];

/// What is known about the access of a request.
#[derive(Debug, Default)]
pub struct Access {
    /// Whether a rule is for it: caches must not give the response to others.
    pub is_restricted: bool,
    /// The file with the user, after the password was verified.
    granted: Option<u16>,
    /// The name of the user; empty if there is none. That of a failed login may be a password.
    pub user: Vec<u8>,
}

impl Access {
    /// Begins with another request.
    pub fn reset(&mut self) {
        (self.is_restricted, self.granted) = (false, None);
        self.user.clear();
    }
}

/// Calls `find`, and with a `guard`, checks the path of what it returns: a file, a directory to be listed, or the directory at
/// `path` of `site`. Returns none if the connection has to wait until it is woken.
pub fn find_permitted(
    guard: Option<&Guard>,
    site: &Selected,
    path: &[u8],
    access: &mut Access,
    mut find: impl FnMut() -> Result<Found, Refusal>,
) -> Result<Option<Found>, Refusal> {
    for _ in 0..MAX_LOOKUPS {
        let found = find()?;
        let Some(guard) = guard else { return Ok(Some(found)) };
        let real_path = match &found {
            Found::File(resource) | Found::Moved { page: resource, .. } => resource.real_path()?,
            Found::Listing(directory) => directory.real_path()?,
            Found::Directory => site.real_path(path)?,
        };
        if let Some(path) = real_path {
            return Ok(guard.check(site, &path, access)?.then_some(found));
        }
    }
    Err(Refusal::Changed)
}

/// Checks the access of one request by the rules for it.
#[derive(Debug, Clone, Copy)]
pub struct Guard<'r> {
    policy: &'r AccessPolicy,
    service: &'r Service,
    request: &'r Request<'r, 'r>,
    client: Client,
    scheme: Scheme,
    waiter: Option<Waiter>,
}

impl<'r> Guard<'r> {
    /// Creates the guard of a request; none if there are no rules.
    pub fn new(service: &'r Service, request: &'r Request<'r, 'r>, context: &RequestContext) -> Option<Self> {
        let policy = service.access.as_ref()?;
        let RequestContext { client, scheme, waiter, .. } = *context;
        Some(Guard { policy, service, request, client, scheme, waiter })
    }

    /// Checks a path of `site`. Returns false if the connection has to wait until it is woken.
    pub fn check(&self, site: &Selected, path: &[u8], access: &mut Access) -> Result<bool, Refusal> {
        // Without them, certificates are not renewed.
        if challenges::is_challenge(path) {
            return Ok(true);
        }
        let place = self.service.sites.place(site, path);
        access.is_restricted |= self.policy.is_restricted(&place)?;
        self.policy.check_address(&place, self.client)?;
        match self.policy.area(&place)? {
            Some(area) if access.granted != Some(area.file) => self.log_in(area, access),
            _ => Ok(true),
        }
    }

    /// Returns whether the client gets the site's own page for an error. If that depends on the client, so does the response.
    pub fn may_have_page(&self, site: &Selected, page: &Resource, status: Status, access: &mut Access) -> bool {
        let Ok(Some(path)) = page.real_path() else { return false };
        if PAGES_FOR_ALL.contains(&(status, path.as_slice())) {
            return true;
        }
        let place = self.service.sites.place(site, &path);
        // What is unknown may be restricted.
        access.is_restricted |= self.policy.is_restricted(&place).unwrap_or(true);
        self.policy.check_address(&place, self.client).is_ok()
            && self.policy.area(&place).is_ok_and(|area| area.is_none_or(|area| access.granted == Some(area.file)))
    }

    /// Checks the password of the request.
    fn log_in(&self, area: &AuthArea, access: &mut Access) -> Result<bool, Refusal> {
        access.user.clear();
        if !self.policy.may_ask(self.scheme, self.client) {
            return Err(Refusal::ClearLogin);
        }
        let Some(credentials) = Credentials::of(self.request.fields) else {
            return Err(Refusal::NeedsLogin { realm: area.realm.clone() });
        };
        let question = Question {
            file: area.file,
            client: self.client.map(|client| client.ip()),
            user: credentials.user(),
            password: credentials.password(),
        };
        let waiter = self.waiter.filter(|waiter| waiter.may_wait).map(|waiter| waiter.descriptor);
        let logins = self.service.logins.ok_or(Refusal::LoginsUnavailable)?;
        match logins.ask(&question, waiter, clock::now_ms()) {
            LoginStep::Wait => Ok(false),
            LoginStep::Done(Verdict::Accepted) => {
                access.granted = Some(area.file);
                access.user.extend_from_slice(credentials.user());
                Ok(true)
            }
            LoginStep::Done(Verdict::Rejected) => Err(Refusal::WrongLogin { realm: area.realm.clone() }),
            LoginStep::Done(Verdict::TooMany { retry_s }) => Err(Refusal::TooManyLogins { retry_s }),
            LoginStep::Done(Verdict::Busy) => Err(Refusal::LoginsBusy),
            LoginStep::Done(Verdict::Unavailable) => Err(Refusal::LoginsUnavailable),
        }
    }
}
