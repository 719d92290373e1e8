//! A turn of a connection: a thread drives it as far as that is possible without waiting.

use std::ops::ControlFlow::{self, Break, Continue};

use super::driver::{ConnectionDriver, DriveResult};
use super::http2;
use super::pending_records::PendingRecords;
use super::preface::Peer;
use super::respond;
use super::transport::{self, Transport};
use super::{Connection, Phase};
use crate::os::clock;
use crate::service::Service;

/// The limit of reads and writes in a turn, so that a fast client does not occupy a thread.
const MAX_STEPS: usize = 32;

impl ConnectionDriver {
    /// Drives `connection` until it has to wait. The event that it waited for had happened by the logical
    /// time `reported_at`.
    // tests/bench/instructions.py counts from here.
    #[inline(never)]
    pub fn drive(&mut self, service: &Service, connection: &mut Connection, reported_at: u64) -> DriveResult {
        (self.arrival_began, self.arrival_ended) = (reported_at, 0);
        connection.waits_for_turn = false;
        if let Some(http2) = &mut connection.http2 {
            http2.begin_turn();
        }
        self.continue_turn(service, connection)
    }

    /// Continues a turn.
    pub(super) fn continue_turn(&mut self, service: &Service, connection: &mut Connection) -> DriveResult {
        self.input.load(&connection.input);
        self.output.clear();
        if !connection.output.is_empty() {
            self.output = std::mem::take(&mut connection.output);
        }
        let sends_file = connection.phase == Phase::Sending && connection.send_queue.has_file_part();
        let slot = self.scratch.handler.slot;
        let next = if sends_file && service.begin_blocking(slot, connection.blocking_key, clock::now_ms()).is_err() {
            connection.waits_for_turn = true;
            connection.wait_for_client(service.timeouts.send(clock::now_ms()));
            DriveResult::Retry
        } else {
            self.advance(service, connection)
        };
        connection.last_read_at = connection.last_read_at.max(self.arrival_ended);
        if next != DriveResult::Close {
            connection.input = self.input.unread().to_vec();
            if connection.phase == Phase::Sending && connection.http2.is_none() {
                connection.output = std::mem::take(&mut self.output);
            }
        }
        next
    }

    /// Rejects a connection beyond the limit of its client, as far as that is possible without waiting. A client that
    /// expects TLS gets no response.
    pub fn reject(&mut self, transport: &mut Transport, peer: Peer, records: PendingRecords) {
        self.input.clear();
        self.refuse(transport, peer, records);
    }

    /// The same for a connection of which bytes were read.
    pub(super) fn refuse(&mut self, transport: &mut Transport, peer: Peer, mut records: PendingRecords) {
        if transport.has_handshake() {
            transport.close_output();
            let _ = transport.read(self.input.spare());
            records.set_cause(respond::CLIENT_AT_LIMIT);
            return records.end_without_request(peer.address);
        }
        // If input were unread, closing the connection would reset it and destroy the response.
        let length = transport.read(self.input.spare()).unwrap_or(0);
        self.input.filled(length);
        self.output.clear();
        respond::reject_connection(self.input.unread(), peer, records, &mut self.output, &mut self.scratch, |output| {
            transport.write(output, false).unwrap_or(0)
        });
    }

    fn advance(&mut self, service: &Service, connection: &mut Connection) -> DriveResult {
        let mut may_have_input = true;
        for _ in 0..MAX_STEPS {
            let step = match connection.phase {
                Phase::Preface => self.read_preface(service, connection, &mut may_have_input),
                Phase::Handshake => self.shake_hands(service, connection),
                Phase::Lingering => self.discard_input(connection),
                _ if connection.http2.is_some() => self.step_http2(service, connection),
                Phase::Sending => self.send(service, connection),
                Phase::Idle | Phase::Head | Phase::Waiting => {
                    self.read_and_respond(service, connection, &mut may_have_input)
                }
            };
            if let Break(next) = step {
                return next;
            }
        }
        self.yield_turn(service, connection)
    }

    /// Responds to the requests that have arrived, or reads if there are none. `may_have_input` becomes false after a
    /// read that has returned all input.
    fn read_and_respond(
        &mut self,
        service: &Service,
        connection: &mut Connection,
        may_have_input: &mut bool,
    ) -> ControlFlow<DriveResult> {
        let is_first_in_clear = connection.requests == 0 && !connection.transport.has_handshake();
        if is_first_in_clear && self.input.unread().first() == Some(&transport::TLS_HANDSHAKE) {
            let why = "the client speaks TLS on a socket for plain HTTP";
            tracing::debug!("closed: {why}");
            connection.records.set_cause(why);
            return Break(DriveResult::Close);
        }
        if connection.may_be_http2 && connection.requests == 0 && http2::may_begin(self.input.unread()) {
            match self.input.unread().len() >= http2::PREFACE.len() {
                true => {
                    self.begin_http2(service, connection);
                    return Continue(());
                }
                false if *may_have_input => return self.read(service, connection, may_have_input),
                // The rest has not arrived. As HTTP/1.1, what has would be of a version that is not supported.
                false => {
                    self.set_phase(service, connection, false);
                    return Break(DriveResult::Readable);
                }
            }
        }
        if !self.input.unread().is_empty() {
            self.respond(service, connection);
        }
        match connection.phase {
            Phase::Waiting => Break(DriveResult::Listing),
            Phase::Sending => Continue(()),
            _ if !*may_have_input => Break(DriveResult::Readable),
            _ => self.read(service, connection, may_have_input),
        }
    }
}
