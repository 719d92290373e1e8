//! A request for a listing: it is sent what there is, makes it, or waits without a thread until it was made.

use std::os::fd::AsRawFd;

use super::connection::Connection;
use super::{Worker, thread};
use crate::http::Refusal;
use crate::http::listing::Form;
use crate::os::clock;
use crate::site::Directory;
use crate::site::listings::{Key, Listed, Turn};

/// Gets the listing of `directory`; none if the connection is to wait until it is woken. One that has waited for as long as it may
/// is refused.
pub fn get(
    worker: &Worker,
    directory: &Directory,
    form: Form,
    connection: &Connection,
    may_wait: bool,
) -> Result<Option<Listed>, Refusal> {
    // The worker wants to know whether it serves, and not what.
    if connection.is_probe {
        return Err(Refusal::NotFound);
    }
    let key = directory.key(form);
    match worker.listings.ask(&key, connection.as_raw_fd(), clock::now_ms()) {
        Turn::Send(listed) => listed.map(Some),
        Turn::Wait if may_wait => Ok(None),
        Turn::Wait => Err(Refusal::Blocked("a directory has been read for long, and is not at its end")),
        Turn::Make => {
            worker.pool.begin_long_work();
            let mut making = Making { worker, key: &key, result: None };
            let result = making.make(directory, form);
            making.result = Some(result.clone());
            result.map(Some)
        }
    }
}

/// Has those go on who wait while nobody makes what they wait for.
pub fn look_after(worker: &Worker) {
    worker.listings.look_after(clock::now_ms()).into_iter().for_each(|waiter| wake(worker, waiter));
}

fn wake(worker: &Worker, waiter: i32) {
    // If a thread has it, the lot tells that thread.
    if let Some(connection) = worker.parked.take(waiter as usize, false) {
        thread::rearm(worker, connection);
    }
}

/// A listing that this thread makes.
struct Making<'m> {
    worker: &'m Worker,
    key: &'m Key,
    result: Option<Result<Listed, Refusal>>,
}

impl Making<'_> {
    fn make(&self, directory: &Directory, form: Form) -> Result<Listed, Refusal> {
        let listing = directory.read()?;
        let is_cut = listing.is_cut;
        let content = form.write(directory.path(), listing);
        self.worker.listings.store(directory, self.key, content.as_bytes(), is_cut)
    }
}

/// Also if it panics: others wait for it.
impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.worker.pool.end_long_work();
        let wakeup = self.worker.listings.end(self.key, self.result.take(), clock::now_ms());
        wakeup.into_iter().for_each(|waiter| wake(self.worker, waiter));
    }
}
