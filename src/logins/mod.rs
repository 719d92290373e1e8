//! The login process: the only one that reads the files of users ([`access::users`](crate::access::users)). It compares
//! passwords, which workers send it over a connection each, and gives no hash to anybody.
//!
//! The supervisor forks it, gives it the connections of workers, and starts another one if it ends. The main thread reads
//! requests and files; others compare passwords ([`verifiers`]), which takes up to a second each by design of the hashes.

mod confinement;
mod files;
mod verifiers;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use nix::unistd::Pid;

use crate::ipc::key_protocol::channel;
use crate::ipc::login_protocol::frame::{MAX_FRAME_BYTES, Request, Response};
use crate::ipc::login_protocol::{FailureMemory, Failures};
use crate::os::{clock, rlimit};

use files::UserFiles;
use verifiers::{Job, Verifiers};

pub use files::{check, check_places};

/// The name of the process.
pub const NAME: &std::ffi::CStr = c"otus-logins";

/// The exit status when no worker can send anything any more.
pub const EXIT_DONE: i32 = 0;

/// The exit status if the process could not be set up.
const EXIT_FAILURE: i32 = 1;

/// The most requests that are read from one connection before the others have their turn.
const MAX_REQUESTS: usize = 16;

/// The login process.
#[derive(Debug)]
struct Logins {
    files: UserFiles,
    failures: Arc<Failures>,
    verifiers: Verifiers,
}

/// Runs the login process in the process that was forked for it by the process `supervisor`, which sends the connections of
/// workers over `server`. It counts failed logins in `failures`. Returns its exit status.
pub fn run(supervisor: Pid, server: &OwnedFd, files: &[PathBuf], failures: &FailureMemory) -> i32 {
    // The descriptor is closed when the process is confined.
    let failures = failures.map().map(Arc::new);
    if let Err(error) = confinement::confine(supervisor, server.as_fd(), files) {
        tracing::error!("The login process cannot be confined: {error}.");
        return EXIT_FAILURE;
    }
    rlimit::raise_limit();
    let logins = failures.and_then(|failures| {
        let verifiers = Verifiers::start(failures.clone())?;
        Ok(Logins { files: UserFiles::new(files), failures, verifiers })
    });
    match logins {
        Ok(mut logins) => logins.serve(server),
        Err(error) => {
            tracing::error!("The login process cannot run ({error}): raise the limits on memory and threads.");
            EXIT_FAILURE
        }
    }
}

impl Logins {
    /// Serves until the supervisor and all workers have ended.
    fn serve(&mut self, server: &OwnedFd) -> i32 {
        self.files.read_all();
        let mut connections: Vec<Arc<OwnedFd>> = Vec::new();
        let mut has_server = true;
        while has_server || !connections.is_empty() {
            let own = has_server.then(|| server.as_fd());
            let sources = own.into_iter().chain(connections.iter().map(|connection| connection.as_fd()));
            let mut sources: Vec<_> = sources.map(|source| PollFd::new(source, PollFlags::POLLIN)).collect();
            // Interrupted: all are looked at all the same.
            let _ = poll(&mut sources, PollTimeout::NONE);
            let first = usize::from(has_server);
            let ready: Vec<_> = sources.iter().map(|source| source.any().unwrap_or(true)).collect();
            let mut ready = ready.into_iter();
            let is_server_ready = first == 1 && ready.next().unwrap_or(false);
            connections.retain(|connection| !ready.next().unwrap_or(false) || self.receive(connection));
            if is_server_ready {
                match channel::receive_descriptor(server) {
                    Ok(Some(connection)) => connections.push(Arc::new(connection)),
                    // A reload: the old workers still have their connections.
                    Ok(None) => has_server = false,
                    Err(_) => {}
                }
            }
        }
        EXIT_DONE
    }

    /// Handles the requests that have arrived over a connection. Returns whether it can have others.
    fn receive(&mut self, connection: &Arc<OwnedFd>) -> bool {
        for _ in 0..MAX_REQUESTS {
            let mut frame = zeroize::Zeroizing::new([0; MAX_FRAME_BYTES]);
            let request = match recv(connection.as_raw_fd(), &mut *frame, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN | Errno::EINTR) => return true,
                Ok(0) | Err(_) => return false,
                Ok(length) => Request::decode(&frame[..length]),
            };
            // A worker that is not compromised sends nothing else.
            let Some((number, request)) = request else { return false };
            if let Some(response) = self.handle(connection, number, request) {
                respond(connection, number, response);
            }
        }
        true
    }

    /// Handles a request. Returns the response, unless it follows after a comparison.
    fn handle(&mut self, connection: &Arc<OwnedFd>, number: u32, request: Request) -> Option<Response> {
        let now_ms = clock::now_ms();
        match request {
            Request::Confirm { file } => {
                let generation = self.files.current(file).map_or(0, |file| file.generation);
                Some(Response::Current { generation })
            }
            Request::Verify { file, client, user, password } => {
                let Some(file) = self.files.current(file) else { return Some(Response::Unreadable) };
                if let Err(retry_s) = self.failures.begin(client, now_ms) {
                    return Some(Response::TooMany { retry_s });
                }
                let job = Job { connection: connection.clone(), number, file, client, user, password };
                match self.verifiers.push(job) {
                    Ok(()) => None,
                    Err(job) => {
                        self.failures.forgive(job.client, now_ms);
                        Some(Response::Busy)
                    }
                }
            }
        }
    }
}

/// Sends a response. A worker that does not read gets none, and its request fails by its own deadline.
fn respond(connection: &OwnedFd, number: u32, response: Response) {
    let _ = channel::send_frame(connection.as_fd(), &response.encode(number));
}
