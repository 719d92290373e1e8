//! The threads that compare passwords with hashes.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::panic::catch_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, available_parallelism};

use zeroize::Zeroizing;

use super::files::UserFile;
use super::respond;
use crate::ipc::login_protocol::Failures;
use crate::ipc::login_protocol::frame::Response;
use crate::os::{clock, sys};

/// The most threads: at once, as many passwords are compared, and take up to 64 MiB each ([`MAX_ARGON2_KIB`]).
///
/// [`MAX_ARGON2_KIB`]: crate::access::password::MAX_ARGON2_KIB
const MAX_THREADS: usize = 4;

/// The most passwords that wait for a thread. Beyond it, a request gets 503.
const MAX_WAITING: usize = 64;

/// The most passwords of one client that wait: it must not fill the queue alone.
const MAX_OF_CLIENT: usize = 8;

/// The stack size of a thread, in bytes.
const STACK_BYTES: usize = 512 * 1024;

/// A password that is to be compared.
#[derive(Debug)]
pub struct Job {
    /// The worker's connection, and the number of its request.
    pub connection: Arc<OwnedFd>,
    /// The number of its request.
    pub number: u32,
    /// The file.
    pub file: Arc<UserFile>,
    /// The client.
    pub client: Option<IpAddr>,
    /// The user name.
    pub user: Vec<u8>,
    /// The password.
    pub password: Zeroizing<Vec<u8>>,
}

/// The threads and their queue.
#[derive(Debug)]
pub struct Verifiers(&'static Shared);

#[derive(Debug)]
struct Shared {
    queue: Mutex<VecDeque<Job>>,
    has_more: Condvar,
    failures: Arc<Failures>,
}

impl Verifiers {
    /// Starts the threads: one less than there are processors, but at least one, so that an attack leaves a processor to the
    /// workers.
    pub fn start(failures: Arc<Failures>) -> io::Result<Self> {
        let shared = Shared { queue: Mutex::default(), has_more: Condvar::new(), failures };
        let shared: &'static Shared = Box::leak(Box::new(shared));
        let processors = available_parallelism().map_or(1, usize::from);
        for number in 0..processors.saturating_sub(1).clamp(1, MAX_THREADS) {
            let thread = Builder::new().name(format!("login-{number}")).stack_size(STACK_BYTES);
            thread.spawn(|| shared.verify_all())?;
        }
        Ok(Verifiers(shared))
    }

    /// Queues a job. Returns it if there are too many.
    pub fn push(&self, job: Job) -> Result<(), Job> {
        let mut queue = self.0.queue();
        let of_client = queue.iter().filter(|other| job.client.is_some() && other.client == job.client).count();
        if queue.len() >= MAX_WAITING || of_client >= MAX_OF_CLIENT {
            return Err(job);
        }
        queue.push_back(job);
        drop(queue);
        self.0.has_more.notify_one();
        Ok(())
    }
}

impl Shared {
    fn verify_all(&self) {
        loop {
            let job = self.next();
            let is_user = catch_unwind(|| job.file.users.verify(&job.user, &job.password)).unwrap_or(false);
            let response = if is_user {
                self.failures.forgive(job.client, clock::now_ms());
                Response::Accepted { generation: job.file.generation }
            } else {
                Response::Rejected
            };
            respond(&job.connection, job.number, response);
            drop(job);
            if self.queue().is_empty() {
                // The memory of argon2id.
                sys::trim_memory();
            }
        }
    }

    fn next(&self) -> Job {
        let mut queue = self.queue();
        loop {
            match queue.pop_front() {
                Some(job) => return job,
                None => queue = self.has_more.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
