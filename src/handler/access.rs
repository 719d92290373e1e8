//! Access to what a request asks for. It is decided twice: on the path of the request, before any redirect and before anything
//! is looked up, and on the path of the file that is served, whatever link, index or name led to it.

use crate::access::{AccessPolicy, Denied};
use crate::http::{Refusal, Status};
use crate::listeners::Client;
use crate::service::Service;
use crate::site::{Found, Resource, Site, challenges};

/// The limit of lookups of one request, if its file is replaced again and again.
const MAX_LOOKUPS: usize = 3;

/// The pages that clients get who do not get anything else. They need no access themselves.
const PAGES_FOR_ALL: [&[u8]; 1] = [b"403.html"];

/// Checks the access of one client. Without rules, it checks nothing.
#[derive(Debug, Clone, Copy)]
pub struct Guard<'s> {
    policy: Option<&'s AccessPolicy>,
    client: Client,
}

impl<'s> Guard<'s> {
    /// Creates the guard for a request of `client`.
    pub fn new(service: &'s Service, client: Client) -> Self {
        Guard { policy: service.access.as_ref(), client }
    }

    /// Checks the path of the request. Sets `is_restricted` if a rule is for it.
    pub fn check(&self, path: &[u8], is_restricted: &mut bool) -> Result<(), Refusal> {
        let Some(policy) = self.policy else { return Ok(()) };
        // Without them, certificates are not renewed.
        if challenges::is_challenge(path) {
            return Ok(());
        }
        *is_restricted |= policy.is_restricted(has_host, path);
        policy.check_address(has_host, path, self.client).map_err(|denied| match denied {
            Denied::Address => Refusal::OtherNetwork,
            Denied::NoAddress => Refusal::NoAddress,
        })
    }

    /// Calls `find`, and checks the path of what it returns: a file, a directory to be listed, or the directory at `path` of
    /// `site`.
    pub fn find(
        &self,
        site: &Site,
        path: &[u8],
        is_restricted: &mut bool,
        mut find: impl FnMut() -> Result<Found, Refusal>,
    ) -> Result<Found, Refusal> {
        if self.policy.is_none() {
            return find();
        }
        for _ in 0..MAX_LOOKUPS {
            let found = find()?;
            let real_path = match &found {
                Found::File(resource) | Found::Moved { page: resource, .. } => resource.real_path()?,
                Found::Listing(directory) => directory.real_path()?,
                Found::Directory => site.real_path(path)?,
            };
            if let Some(path) = real_path {
                return self.check(&path, is_restricted).map(|()| found);
            }
        }
        Err(Refusal::Changed)
    }

    /// Returns whether the client gets the site's own page for an error.
    pub fn may_have_page(&self, page: &Resource, status: Status) -> bool {
        if self.policy.is_none() {
            return true;
        }
        let Ok(Some(path)) = page.real_path() else { return false };
        let is_for_all = status == Status::Forbidden && PAGES_FOR_ALL.contains(&path.as_slice());
        is_for_all || self.check(&path, &mut false).is_ok()
    }
}

/// There is one site, for all hosts, and no rule is of one host.
fn has_host(_name: &str) -> bool {
    false
}
