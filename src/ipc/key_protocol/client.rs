//! A worker's end of its connection to the key process.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

use super::breaker::Breaker;
use super::frame::{MAX_FRAME_BYTES, Request, Response};
use super::{Catalog, KeyId, MAX_FOLDERS, channel};

/// The time within which a request must have its response, over one connection or several.
const DEADLINE: Duration = Duration::from_secs(2);

/// The pause before a frame is sent again that did not fit into the socket.
const SEND_PAUSE: Duration = Duration::from_millis(5);

/// The times that a catalog is read again because it has changed meanwhile.
const CATALOG_ATTEMPTS: usize = 3;

/// A connection to the key process. The threads of a process share it: each call blocks its thread until the response is
/// there or its deadline has passed. After a loss of the connection, a call waits for the next one and repeats its request:
/// no request has an effect.
///
/// One of the threads that wait receives for all. It wakes only the thread that a response is for.
#[derive(Debug)]
pub struct Client {
    /// Receives connections from the supervisor.
    channel: OwnedFd,
    max_outstanding: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Arc<OwnedFd>>,
    /// The number of connections so far.
    connections: u64,
    last_number: u32,
    outstanding: HashMap<u32, Waiter>,
    is_receiving: bool,
    /// Whether the supervisor has ended.
    is_orphan: bool,
    breaker: Breaker,
    /// For the thread that receives.
    buffer: Vec<u8>,
}

/// A request, and the thread that waits for its response.
#[derive(Debug)]
struct Waiter {
    thread: Thread,
    response: Option<Response>,
}

/// The key process does not respond: its connection was lost and not replaced in time, or a request had no response in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// The reason why there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignFailure {
    /// The key process does not respond. Further calls fail at once until it does again.
    Unavailable,
    /// This process has as many requests outstanding as it can have.
    Busy,
    /// The key process no longer has this key: the certificate was replaced, and a new catalog has the current one.
    UnknownKey,
}

/// What a thread has received for all.
enum Event {
    Response(u32, Response),
    Connection(OwnedFd),
    /// The connection has ended, or it carries something other than responses.
    Lost,
    Orphaned,
    Nothing,
}

impl Client {
    /// Creates a client that receives its connections over `channel` from the supervisor, the first one included, and has
    /// at most `max_outstanding` signatures outstanding.
    pub fn new(channel: OwnedFd, max_outstanding: usize) -> Self {
        Client { channel, max_outstanding: max_outstanding.max(1), state: Mutex::default() }
    }

    /// Returns the current catalog, or none if its generation is `known`; 0 is never the generation of a catalog. The key
    /// process keeps replaced keys until each worker has called this with the generation that it was given.
    pub fn catalog(&self, known: u64) -> Result<Option<Catalog>, Unavailable> {
        for _ in 0..CATALOG_ATTEMPTS {
            let (generation, count) = match self.call(&Request::Catalog { known })? {
                Response::Unchanged => return Ok(None),
                Response::Summary { generation, count } if count as usize <= MAX_FOLDERS => (generation, count),
                _ => return Err(Unavailable),
            };
            let certificate = |index| match self.call(&Request::Certificate { generation, index }) {
                Ok(Response::Certificate(certificate)) => Ok(Some(certificate)),
                Ok(Response::Missing) => Ok(None),
                _ => Err(Unavailable),
            };
            let certificates: Result<Option<Vec<_>>, _> =
                (0..count).map(|index| certificate(index).transpose()).map(Option::transpose).collect::<Result<_, _>>();
            // None: they have changed since.
            if let Some(certificates) = certificates? {
                return Ok(Some(Catalog { generation, certificates }));
            }
        }
        Err(Unavailable)
    }

    /// Signs `message`, which the key process hashes, with the TLS SignatureScheme `scheme`.
    pub fn sign(&self, key: &KeyId, scheme: u16, message: &[u8]) -> Result<Vec<u8>, SignFailure> {
        if !self.has_room() {
            return Err(SignFailure::Busy);
        }
        match self.call(&Request::Sign { id: *key, scheme, message: message.to_vec() }) {
            Ok(Response::Signature(signature)) => Ok(signature),
            Ok(Response::Missing) => Err(SignFailure::UnknownKey),
            _ => Err(SignFailure::Unavailable),
        }
    }

    /// Returns whether a signature can be requested now: fewer threads than the limit wait for one.
    pub fn has_room(&self) -> bool {
        self.lock().outstanding.len() < self.max_outstanding
    }

    fn call(&self, request: &Request) -> Result<Response, Unavailable> {
        let mut state = self.lock();
        let now = Instant::now();
        let deadline = state.breaker.admit(now, DEADLINE).ok_or(Unavailable)?;
        state.last_number = state.last_number.wrapping_add(1).max(1);
        let number = state.last_number;
        state.outstanding.insert(number, Waiter { thread: thread::current(), response: None });
        let (mut state, response) = self.exchange(state, number, &request.encode(number), deadline);
        state.outstanding.remove(&number);
        state.breaker.report(response.is_some(), Instant::now());
        if !state.is_receiving {
            // Another thread receives for those that still wait.
            if let Some(waiter) = state.outstanding.values().find(|waiter| waiter.response.is_none()) {
                waiter.thread.unpark();
            }
        }
        response.ok_or(Unavailable)
    }

    /// Sends `frame`, on each new connection again, until its response is there or the deadline has passed.
    fn exchange<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        number: u32,
        frame: &[u8],
        deadline: Instant,
    ) -> (MutexGuard<'a, State>, Option<Response>) {
        let mut sent_on = 0;
        loop {
            if let Some(response) = state.outstanding.get_mut(&number).and_then(|waiter| waiter.response.take()) {
                return (state, Some(response));
            }
            let mut pause = deadline.saturating_duration_since(Instant::now());
            if pause.is_zero() {
                return (state, None);
            }
            if sent_on != state.connections
                && let Some(connection) = &state.connection
            {
                match channel::send_frame(connection.as_fd(), frame) {
                    Ok(()) => sent_on = state.connections,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => pause = pause.min(SEND_PAUSE),
                    Err(_) => state.connection = None,
                }
            }
            state = if state.is_receiving {
                drop(state);
                thread::park_timeout(pause);
                self.lock()
            } else {
                self.receive_for_all(state, pause)
            };
        }
    }

    fn receive_for_all<'a>(&'a self, mut state: MutexGuard<'a, State>, pause: Duration) -> MutexGuard<'a, State> {
        state.is_receiving = true;
        let connection = state.connection.clone();
        let channel = (!state.is_orphan).then_some(&self.channel);
        let mut buffer = std::mem::take(&mut state.buffer);
        drop(state);
        let event = receive(channel, connection.as_deref(), &mut buffer, pause);
        let mut state = self.lock();
        (state.is_receiving, state.buffer) = (false, buffer);
        match event {
            Event::Response(number, response) => {
                // One without a request is a response after its deadline.
                if let Some(waiter) = state.outstanding.get_mut(&number) {
                    waiter.response = Some(response);
                    waiter.thread.unpark();
                }
                return state;
            }
            Event::Connection(connection) => {
                state.connection = Some(Arc::new(connection));
                state.connections += 1;
            }
            Event::Lost => state.connection = None,
            Event::Orphaned => state.is_orphan = true,
            Event::Nothing => return state,
        }
        // Each sends its request again, or learns that there is no connection.
        state.outstanding.values().for_each(|waiter| waiter.thread.unpark());
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a new connection or a response, at most for `pause`.
fn receive(channel: Option<&OwnedFd>, connection: Option<&OwnedFd>, buffer: &mut Vec<u8>, pause: Duration) -> Event {
    let sources = [channel, connection].into_iter().flatten();
    let mut sources: Vec<_> = sources.map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
    // Rounded up: a pause of less than a millisecond must not become a loop.
    let timeout = PollTimeout::try_from(pause + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
    if poll(&mut sources, timeout).is_err() {
        return Event::Nothing;
    }
    let is_ready = |index: usize| sources.get(index).is_some_and(|source| source.any().unwrap_or(true));
    // A new connection replaces one that has ended.
    if let Some(channel) = channel.filter(|_| is_ready(0)) {
        match channel::receive_descriptor(channel) {
            Ok(Some(connection)) => return Event::Connection(connection),
            Ok(None) => return Event::Orphaned,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Event::Orphaned,
        }
    }
    let Some(connection) = connection else { return Event::Nothing };
    buffer.resize(MAX_FRAME_BYTES, 0);
    match recv(connection.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
        Ok(0) => Event::Lost,
        Ok(length) => match Response::decode(&buffer[..length]) {
            Some((number, response)) => Event::Response(number, response),
            None => Event::Lost,
        },
        Err(Errno::EAGAIN | Errno::EINTR) => Event::Nothing,
        Err(_) => Event::Lost,
    }
}

impl fmt::Display for SignFailure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            SignFailure::Unavailable => "the key process does not respond",
            SignFailure::Busy => "too many threads wait for signatures",
            SignFailure::UnknownKey => "the key process no longer has this key",
        })
    }
}

impl std::error::Error for SignFailure {}
