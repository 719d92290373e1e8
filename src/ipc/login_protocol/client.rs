//! A worker's end of its connection to the login process. No request thread waits here: a connection whose login is being
//! verified is parked, and woken when the answer has arrived.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use zeroize::Zeroizing;

use super::frame::{MAX_FRAME_BYTES, Request, Response};
use super::memory::{LoginDigest, LoginMemory};
use crate::ipc::key_protocol::channel;
use crate::os::{clock, sys};

/// The most requests of a worker that have no response yet.
const MAX_OUTSTANDING: usize = 256;

/// The age at which the generation of a file is confirmed beside the requests that use it, in milliseconds.
const REFRESH_MS: u64 = 400;

/// The age from which on a request waits for the confirmation, in milliseconds: a change counts within a second.
const STALE_MS: u64 = 900;

/// The time after which a request without a response has failed, in milliseconds. Some seconds pass if many passwords are
/// compared before it.
const DEADLINE_MS: u64 = 15_000;

/// The time that a worker waits for its first connection before it serves, in milliseconds.
const FIRST_CONNECTION_MS: u16 = 2_000;

/// The most responses that are received in one turn.
const MAX_RESPONSES: usize = 64;

/// A login that is to be verified.
#[derive(Clone, Copy)]
pub struct Question<'q> {
    /// The number of the file of users.
    pub file: u16,
    /// The client that has sent it; none for one of a unix socket.
    pub client: Option<IpAddr>,
    /// The user name.
    pub user: &'q [u8],
    /// The password.
    pub password: &'q [u8],
}

/// The result for a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password is that of the user.
    Accepted,
    /// It is not.
    Rejected,
    /// The client has failed too often.
    TooMany {
        /// The time in seconds after which it may try again.
        retry_s: u32,
    },
    /// Too many passwords are being compared.
    Busy,
    /// The file of users cannot be read, or the login process does not respond.
    Unavailable,
}

/// The next step of a request with a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginStep {
    /// There is a result.
    Done(Verdict),
    /// Wait until the connection is woken, then ask again.
    Wait,
}

/// A connection to the login process, and what this worker remembers.
#[derive(Debug)]
pub struct LoginClient {
    /// Receives connections from the supervisor.
    channel: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    connection: Option<Arc<OwnedFd>>,
    is_orphan: bool,
    last_number: u32,
    outstanding: HashMap<u32, Outstanding>,
    /// The requests for these questions.
    asked: HashMap<LoginDigest, u32>,
    memory: LoginMemory,
    files: Vec<FileState>,
}

/// A request without a response.
#[derive(Debug)]
struct Outstanding {
    file: u16,
    /// The login and the question; none for a confirmation.
    login: Option<(LoginDigest, LoginDigest)>,
    waiters: Vec<RawFd>,
    sent_ms: u64,
}

/// What is known about a file of users.
#[derive(Debug, Default)]
struct FileState {
    /// Its generation; 0 while it is unknown or the file cannot be read.
    generation: u64,
    /// A time at which it had that generation.
    confirmed_ms: u64,
    /// The request that confirms it.
    confirmation: Option<u32>,
}

impl LoginClient {
    /// Creates a client that receives its connections over `channel` from the supervisor, for `files` files.
    pub fn new(channel: OwnedFd, files: usize) -> io::Result<Self> {
        let mut key = [0; 32];
        sys::fill_random(&mut key)?;
        let state = State {
            connection: None,
            is_orphan: false,
            last_number: 0,
            outstanding: HashMap::new(),
            asked: HashMap::new(),
            memory: LoginMemory::new(key),
            files: (0..files).map(|_| FileState::default()).collect(),
        };
        Ok(LoginClient { channel, state: Mutex::new(state) })
    }

    /// Waits for the first connection for a short time, so that the first requests have one.
    pub fn wait_for_connection(&self) {
        let _ =
            poll(&mut [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)], PollTimeout::from(FIRST_CONNECTION_MS));
        self.state().receive_connection(&self.channel);
    }

    /// Asks about a login, for the connection with the file descriptor `waiter`. Without one, nothing is waited for.
    pub fn ask(&self, question: &Question, waiter: Option<RawFd>, now_ms: u64) -> LoginStep {
        let mut state = self.state();
        let Some(file) = state.files.get(usize::from(question.file)) else {
            return LoginStep::Done(Verdict::Unavailable);
        };
        let (age_ms, confirmation) = (now_ms.saturating_sub(file.confirmed_ms), file.confirmation);
        let login = state.memory.login(question);
        if state.memory.is_accepted(&login) {
            let number = match confirmation {
                None if age_ms >= REFRESH_MS => state.send(&Request::Confirm { file: question.file }, None, now_ms),
                number => number,
            };
            return match (age_ms < STALE_MS, number, waiter) {
                (true, ..) => LoginStep::Done(Verdict::Accepted),
                (false, Some(number), Some(waiter)) => state.wait(number, waiter),
                _ => LoginStep::Done(Verdict::Unavailable),
            };
        }
        let digest = state.memory.question(question);
        if let Some(verdict) = state.memory.answer(&digest, now_ms) {
            return LoginStep::Done(verdict);
        }
        let Some(waiter) = waiter else { return LoginStep::Done(Verdict::Unavailable) };
        if let Some(number) = state.asked.get(&digest).copied() {
            return state.wait(number, waiter);
        }
        if state.connection.is_none() {
            return LoginStep::Done(Verdict::Unavailable);
        }
        let request = Request::Verify {
            file: question.file,
            client: question.client,
            user: question.user.to_vec(),
            password: Zeroizing::new(question.password.to_vec()),
        };
        match state.send(&request, Some((login, digest)), now_ms) {
            Some(number) => state.wait(number, waiter),
            None if state.connection.is_none() => LoginStep::Done(Verdict::Unavailable),
            None => LoginStep::Done(Verdict::Busy),
        }
    }

    /// Waits for responses or for another connection, and returns the connections to wake. For one thread of the worker.
    pub fn receive(&self) -> Vec<RawFd> {
        let (connection, is_orphan, has_outstanding) = {
            let state = self.state();
            (state.connection.clone(), state.is_orphan, !state.outstanding.is_empty())
        };
        let channel = (!is_orphan).then(|| self.channel.as_fd());
        let sources = channel.into_iter().chain(connection.as_ref().map(|connection| connection.as_fd()));
        let mut sources: Vec<_> = sources.map(|source| PollFd::new(source, PollFlags::POLLIN)).collect();
        let timeout = if has_outstanding { PollTimeout::from(1_000_u16) } else { PollTimeout::from(30_000_u16) };
        // Interrupted: the sources are looked at all the same.
        let _ = poll(&mut sources, timeout);
        let mut woken = Vec::new();
        let now_ms = clock::now_ms();
        if let Some(connection) = connection {
            self.receive_responses(&connection, now_ms, &mut woken);
        }
        let mut state = self.state();
        if !state.is_orphan {
            woken.extend(state.receive_connection(&self.channel));
        }
        woken.extend(state.end_overdue(now_ms));
        woken
    }

    fn receive_responses(&self, connection: &Arc<OwnedFd>, now_ms: u64, woken: &mut Vec<RawFd>) {
        for _ in 0..MAX_RESPONSES {
            let mut frame = [0; MAX_FRAME_BYTES];
            let received = match recv(connection.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Ok(length) => Response::decode(&frame[..length]),
                Err(_) => None,
            };
            let mut state = self.state();
            match received {
                Some((number, response)) => woken.extend(state.handle(number, response, now_ms)),
                None => return woken.extend(state.lose(connection)),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sends a request. Returns its number; none if it cannot be sent now.
    fn send(&mut self, request: &Request, login: Option<(LoginDigest, LoginDigest)>, now_ms: u64) -> Option<u32> {
        let connection = self.connection.clone().filter(|_| self.outstanding.len() < MAX_OUTSTANDING)?;
        let file = match request {
            Request::Verify { file, .. } | Request::Confirm { file } => *file,
        };
        self.last_number = self.last_number.wrapping_add(1).max(1);
        let number = self.last_number;
        if let Err(error) = channel::send_frame(connection.as_fd(), &request.encode(number)) {
            if error.kind() != io::ErrorKind::WouldBlock {
                // The thread that receives wakes those who wait.
                self.connection = None;
            }
            return None;
        }
        match login {
            Some((_, question)) => drop(self.asked.insert(question, number)),
            None => self.files[usize::from(file)].confirmation = Some(number),
        }
        self.outstanding.insert(number, Outstanding { file, login, waiters: Vec::new(), sent_ms: now_ms });
        Some(number)
    }

    fn wait(&mut self, number: u32, waiter: RawFd) -> LoginStep {
        match self.outstanding.get_mut(&number) {
            Some(outstanding) => {
                if !outstanding.waiters.contains(&waiter) {
                    outstanding.waiters.push(waiter);
                }
                LoginStep::Wait
            }
            None => LoginStep::Done(Verdict::Unavailable),
        }
    }

    /// Handles a response. Returns the connections that have waited for it.
    fn handle(&mut self, number: u32, response: Response, now_ms: u64) -> Vec<RawFd> {
        // A request that was overdue.
        let Some(outstanding) = self.take(number) else { return Vec::new() };
        let (file, sent_ms) = (outstanding.file, outstanding.sent_ms);
        let verdict = match (response, outstanding.login) {
            (Response::Current { generation }, None) => {
                self.confirm(file, generation, sent_ms);
                return outstanding.waiters;
            }
            (Response::Accepted { generation }, Some((login, _))) => {
                self.confirm(file, generation, sent_ms);
                // Otherwise the file has changed meanwhile, and those who wait ask again.
                if self.files[usize::from(file)].generation == generation {
                    self.memory.accept(login);
                }
                return outstanding.waiters;
            }
            (Response::Rejected, _) => Verdict::Rejected,
            (Response::TooMany { retry_s }, _) => Verdict::TooMany { retry_s },
            (Response::Busy, _) => Verdict::Busy,
            _ => Verdict::Unavailable,
        };
        self.keep_answer(&outstanding, verdict, now_ms);
        outstanding.waiters
    }

    /// Records the generation of a file. If it is another one, all that was known by it is forgotten.
    fn confirm(&mut self, file: u16, generation: u64, sent_ms: u64) {
        let state = &mut self.files[usize::from(file)];
        if sent_ms < state.confirmed_ms {
            // The response to a later request has told more.
            return;
        }
        if std::mem::replace(&mut state.generation, generation) != generation {
            self.memory.clear();
        }
        state.confirmed_ms = sent_ms;
    }

    fn keep_answer(&mut self, outstanding: &Outstanding, verdict: Verdict, now_ms: u64) {
        if let Some((_, question)) = outstanding.login {
            self.memory.keep_answer(question, verdict, now_ms);
        }
    }

    fn take(&mut self, number: u32) -> Option<Outstanding> {
        let outstanding = self.outstanding.remove(&number)?;
        match outstanding.login {
            Some((_, question)) => drop(self.asked.remove(&question)),
            None => self.files[usize::from(outstanding.file)].confirmation = None,
        }
        Some(outstanding)
    }

    /// Ends the requests that have no response in time. Returns the connections that have waited for them.
    fn end_overdue(&mut self, now_ms: u64) -> Vec<RawFd> {
        let is_overdue = |outstanding: &Outstanding| now_ms >= outstanding.sent_ms + DEADLINE_MS;
        let overdue: Vec<_> = self
            .outstanding
            .iter()
            .filter(|(_, outstanding)| is_overdue(outstanding))
            .map(|(number, _)| *number)
            .collect();
        self.fail(overdue, now_ms)
    }

    /// Ends all requests after the loss of `connection`, unless there is another one already.
    fn lose(&mut self, connection: &Arc<OwnedFd>) -> Vec<RawFd> {
        if self.connection.as_ref().is_some_and(|present| !Arc::ptr_eq(present, connection)) {
            return Vec::new();
        }
        self.connection = None;
        let all = self.outstanding.keys().copied().collect();
        self.fail(all, clock::now_ms())
    }

    fn fail(&mut self, numbers: Vec<u32>, now_ms: u64) -> Vec<RawFd> {
        let mut woken = Vec::new();
        for number in numbers {
            if let Some(outstanding) = self.take(number) {
                self.keep_answer(&outstanding, Verdict::Unavailable, now_ms);
                woken.extend(outstanding.waiters);
            }
        }
        woken
    }

    /// Receives another connection if there is one, which ends the requests over the former one.
    fn receive_connection(&mut self, channel: &OwnedFd) -> Vec<RawFd> {
        match channel::receive_descriptor(channel) {
            Ok(Some(connection)) => {
                let former = self.connection.replace(Arc::new(connection));
                let all = self.outstanding.keys().copied().collect();
                drop(former);
                self.fail(all, clock::now_ms())
            }
            Ok(None) => {
                self.is_orphan = true;
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
