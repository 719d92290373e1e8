//! Listings of directories: a request gets one that is shared, makes it, or waits without a thread until it was made.

use std::os::fd::RawFd;

use crate::http::Refusal;
use crate::http::listing::Form;
use crate::os::clock;
use crate::service::Service;
use crate::site::directory::{Directory, ListingKey};
use crate::site::listings::{Listed, ListingAction};

/// A connection that may wait for a listing.
#[derive(Debug, Clone, Copy)]
pub struct Waiter {
    /// Its descriptor.
    pub descriptor: RawFd,
    /// Whether it may wait now; a request that has waited for the whole timeout is rejected.
    pub may_wait: bool,
}

/// Gets the listing of `directory`; none if the connection has to wait until it is woken. Without a waiter, as for the
/// worker's probe, there is no listing.
pub fn get(
    service: &Service,
    directory: &Directory,
    form: Form,
    waiter: Option<Waiter>,
) -> Result<Option<Listed>, Refusal> {
    let Some(waiter) = waiter else { return Err(Refusal::NotFound) };
    let key = directory.key(form);
    match service.listings.request(&key, waiter.descriptor, clock::now_ms()) {
        ListingAction::Send(listed) => listed.map(Some),
        ListingAction::Wait if waiter.may_wait => Ok(None),
        ListingAction::Wait => Err(Refusal::Blocked("reading the directory takes too long")),
        ListingAction::Make => {
            service.pool.begin_long_work();
            service.pool.keep_for_listings();
            let mut making = Making { service, key: &key, result: None };
            let result = making.make(directory, form);
            making.result = Some(result.clone());
            result.map(Some)
        }
    }
}

/// A listing that this thread makes.
struct Making<'m> {
    service: &'m Service,
    key: &'m ListingKey,
    result: Option<Result<Listed, Refusal>>,
}

impl Making<'_> {
    fn make(&self, directory: &Directory, form: Form) -> Result<Listed, Refusal> {
        let listing = directory.read(form)?;
        let content = form.write(directory.path(), &listing);
        self.service.listings.store(directory, self.key, content.as_bytes(), listing.is_cut)
    }
}

/// Wakes the connections that wait, also after a panic.
impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.service.pool.end_long_work();
        let woken = self.service.listings.finish(self.key, self.result.take(), clock::now_ms());
        self.service.wakeups.push_all(woken);
    }
}
