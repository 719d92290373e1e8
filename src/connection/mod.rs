//! A client connection. It is owned by one thread at a time, whose [`ConnectionDriver`] drives it through its
//! [phases](Phase): [receive] a preface, a TLS [handshake] and requests, [respond] to each by the [`handler`](crate::handler), [send] the
//! responses. Below it is a [`Transport`].

mod content;
mod drive;
mod driver;
mod handshake;
pub mod harness;
mod http2;
pub mod pending_records;
pub mod preface;
mod read_buffer;
mod receive;
mod respond;
mod scratch;
mod send;
mod send_queue;
#[cfg(test)]
mod tests;
pub mod transport;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::epoll::EpollFlags;

use crate::client_limit::Permit;
use crate::http::Scheme;
use crate::ipc::scoreboard::{Counter, SiteSlot, WorkerCounters};
use crate::service::blocking::BlockingKey;

use http2::Http2;
use pending_records::PendingRecords;
use preface::{Peer, Preface};
use send_queue::SendQueue;
use transport::Transport;

pub use driver::{ConnectionDriver, DriveResult};
pub use respond::reject_slow_head;

/// The phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The [preface](Preface) has not arrived completely.
    Preface,
    /// The TLS handshake is not complete.
    Handshake,
    /// It waits for the first byte of a request.
    Idle,
    /// A part of a head has arrived.
    Head,
    /// A request waits for a listing that is being made.
    Waiting,
    /// Responses are being sent.
    Sending,
    /// The last response is sent. Further input is discarded: closing a connection with unread input would reset it,
    /// which could destroy the response (RFC 9112 §9.6).
    Lingering,
}

/// The action after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterResponse {
    /// The connection stays open for the next request.
    KeepAlive,
    /// The connection is closed: the client requested that and has sent nothing more.
    Close,
    /// The output is closed; the connection is closed after the client has closed its side.
    LingeringClose,
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    /// The permit for one of the client's connections.
    permit: Option<Permit<'static>>,
    /// Permits for the requests whose response is not completely sent, of clients that a trusted proxy has named.
    request_permits: Vec<Permit<'static>>,
    transport: Transport,
    /// The preface that it waits for in [`Phase::Preface`].
    preface: Preface,
    peer: Peer,
    /// Its phase.
    pub phase: Phase,
    /// The action after the responses that are being sent.
    pub after_response: AfterResponse,
    /// When the phase times out, in milliseconds of [`clock::now_ms`].
    pub deadline_ms: u64,
    /// The events for which it is registered in epoll(7); none before it is registered.
    pub interest: EpollFlags,
    /// Whether a read that does not fill its buffer may leave input: the client has closed its side, or urgent data has
    /// arrived.
    pub may_have_more: bool,
    /// Whether it is the worker's probe, which no counter includes.
    pub is_probe: bool,
    /// The file, directory and client for which its last request may block a thread.
    pub blocking_key: BlockingKey,
    /// Whether sending a file is delayed until fewer threads are blocked on it, or a handshake until fewer threads make one.
    pub waits_for_turn: bool,
    /// The logical time of the last read.
    pub last_read_at: u64,
    /// While it is parked: bytes that were read and not yet parsed.
    pub input: Vec<u8>,
    /// While it is parked: bytes that are not yet sent.
    pub output: Vec<u8>,
    /// The progress of sending the output, and the slices of files after it.
    pub send_queue: SendQueue,
    /// The number of requests on this connection.
    pub requests: u64,
    /// The number of requests whose response is not completely sent.
    in_flight: u64,
    /// Whether the first of these has no response yet and waits for a listing.
    awaits_listing: bool,
    /// When the first of these arrived, or the last response was sent, in nanoseconds of [`clock::now_ns`].
    started_ns: u64,
    /// Whether sending the current responses had to wait for the client.
    pub has_waited: bool,
    /// The bytes of responses that the transport has accepted.
    bytes_sent: u64,
    /// While it is parked in [`Phase::Sending`]: the bytes that the client had acknowledged when the current timeout
    /// began.
    bytes_acked: u64,
    /// `bytes_sent` before the first response that is being sent.
    bytes_sent_before: u64,
    /// Where the last request is counted, if it was for one of many sites.
    site: Option<SiteSlot>,
    /// Records for the access log.
    pub records: PendingRecords,
    counters: WorkerCounters<'static>,
    /// Whether a connection in clear may begin with the preface of HTTP/2.
    pub may_be_http2: bool,
    /// The state of HTTP/2, once that has begun.
    http2: Option<Box<Http2>>,
}

/// Thousands of connections may be idle.
#[cfg(not(test))]
const _: () = assert!(size_of::<Connection>() <= 512);

impl Connection {
    /// Creates an accepted connection, with its permit if connections per client are limited.
    pub fn new(
        transport: Transport,
        permit: Option<Permit<'static>>,
        peer: Peer,
        deadline_ms: u64,
        records: PendingRecords,
        counters: WorkerCounters<'static>,
    ) -> Self {
        counters.add(Counter::Connections, 1);
        counters.add(Counter::Accepted, 1);
        Connection {
            transport,
            preface: Preface::None,
            peer,
            phase: Phase::Idle,
            after_response: AfterResponse::KeepAlive,
            deadline_ms,
            interest: EpollFlags::empty(),
            may_have_more: false,
            is_probe: false,
            blocking_key: BlockingKey::default(),
            waits_for_turn: false,
            last_read_at: 0,
            input: Vec::new(),
            output: Vec::new(),
            send_queue: SendQueue::default(),
            requests: 0,
            in_flight: 0,
            awaits_listing: false,
            started_ns: 0,
            has_waited: false,
            bytes_sent: 0,
            bytes_acked: 0,
            bytes_sent_before: 0,
            site: None,
            records,
            counters,
            permit,
            request_permits: Vec::new(),
            may_be_http2: false,
            http2: None,
        }
    }

    /// Waits for `preface` and for the handshake of the transport before the first request, until `deadline_ms`. There is
    /// nothing to wait for if there is neither.
    pub fn expect(&mut self, preface: Preface, deadline_ms: u64) {
        let first = match preface {
            Preface::None if self.transport.has_handshake() => Phase::Handshake,
            Preface::None => return,
            _ => Phase::Preface,
        };
        (self.preface, self.phase, self.deadline_ms) = (preface, first, deadline_ms);
    }

    /// Returns the client at the other end. A request takes its client's address from here.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Returns the scheme of its requests: that of the client, if a proxy ends TLS for it.
    fn scheme(&self) -> Scheme {
        if self.transport.properties().is_some() || self.peer.has_tls { Scheme::Https } else { Scheme::Http }
    }

    /// Returns whether its TLS handshake has begun and is not complete: a request follows.
    pub fn is_handshaking(&self) -> bool {
        self.transport.is_handshaking()
    }

    /// Counts it as parked.
    pub fn count_parked(&self) {
        self.counters.add(Counter::Parked, 1);
    }

    /// Counts it as owned by a thread.
    pub fn count_unparked(&self) {
        self.counters.subtract(Counter::Parked, 1);
    }

    /// Returns whether HTTP/2 has something to do that no event of its client begins.
    pub fn is_http2_due(&self, is_draining: bool, now_ms: u64) -> bool {
        self.http2.as_ref().is_some_and(|http2| http2.is_due(is_draining, now_ms))
    }

    /// Returns whether it is one of HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.http2.is_some()
    }

    /// Another thread drives it while a task is done for one of its streams.
    pub fn count_task_away(&mut self) {
        self.http2.iter_mut().for_each(|http2| http2.count_away());
    }

    /// Tells the client of HTTP/2 that the connection ends, as far as that is possible without waiting.
    pub fn send_go_away(&mut self) {
        let Some(http2) = &mut self.http2 else { return };
        let frames = http2.go_away();
        let _ = self.transport.write(&frames, true);
    }

    /// Shuts the connection down. The next thread that drives it closes it.
    pub fn shutdown(&mut self) {
        self.transport.shutdown();
        self.phase = Phase::Lingering;
        self.deadline_ms = u64::MAX;
    }

    /// Leaves the connection open until the process exits, since closing its file could hang.
    pub fn leak_until_exit(mut self: Box<Self>, why: &'static str) {
        self.records.set_cause(why);
        self.end();
        std::mem::forget(self);
    }

    /// Counts and records its end.
    fn end(&mut self) {
        self.counters.subtract(Counter::Connections, 1);
        if let Some(http2) = &mut self.http2 {
            http2.abort(self.records.cause());
        }
        self.end_responses(false);
        if self.requests == 0 {
            self.counters.add(Counter::Unused, 1);
            self.records.end_without_request(self.peer.address);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let is_complete = self.in_flight == 0;
        self.end();
        // The client may reconnect as soon as it sees the end.
        self.permit = None;
        self.request_permits.clear();
        // The output is closed already.
        if self.phase == Phase::Lingering {
            return;
        }
        // Another thread may hold a reference to a file in epoll(7) until it returns from there: close(2) sends nothing before that.
        let may_be_held = !self.interest.is_empty();
        // A client must detect a response that is not complete: over TLS, close_notify is only sent after one that is.
        match (is_complete, may_be_held) {
            (true, true) => self.transport.close_output(),
            (true, false) => _ = self.transport.end_output(),
            (false, true) => self.transport.shutdown(),
            (false, false) => {}
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.transport.as_fd().as_raw_fd()
    }
}
