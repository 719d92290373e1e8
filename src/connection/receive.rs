//! Receiving: what a turn reads of a connection, and when it had arrived.

use std::ops::ControlFlow::{self, Break, Continue};

use nix::errno::Errno;

use super::driver::{ConnectionDriver, DriveResult};
use super::pending_records::PendingRecords;
use super::preface::{Parsed, Peer, Preface, Rejection};
use super::read_buffer::ReadBuffer;
use super::{Connection, Phase};
use crate::ipc::scoreboard::Counter;
use crate::os::clock;
use crate::service::Service;

/// The result of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadResult {
    /// All bytes that had arrived.
    Complete,
    /// Some bytes; more may have arrived.
    Partial,
    /// No bytes had arrived.
    WouldBlock,
    /// The end of the connection, with the reason.
    Closed(&'static str),
}

impl ConnectionDriver {
    /// Ends the preface if it has arrived, or reads if it is incomplete.
    pub(super) fn read_preface(
        &mut self,
        service: &Service,
        connection: &mut Connection,
        may_have_input: &mut bool,
    ) -> ControlFlow<DriveResult> {
        match connection.preface.parse(self.input.unread(), connection.peer) {
            Parsed::Done { consumed, peer, authority } => {
                connection.records.set_authority(authority);
                self.input.consume(consumed);
                let Ok(permit) = service.admit(peer.address) else {
                    service.counters.add(Counter::RejectedPerClient, 1);
                    let records = std::mem::replace(&mut connection.records, PendingRecords::none());
                    self.refuse(&mut connection.transport, peer, records);
                    return Break(DriveResult::Close);
                };
                connection.permit = permit;
                connection.end_preface(peer, service.timeouts.idle(clock::now_ms()));
                Continue(())
            }
            Parsed::NeedMore if *may_have_input => {
                let reading = connection.read_preface(&mut self.input);
                let next = self.after_read(service, connection, reading, may_have_input);
                if next == Break(DriveResult::Close) {
                    connection.report_rejected_preface(Rejection::Closed);
                }
                next
            }
            Parsed::NeedMore => Break(DriveResult::Readable),
            Parsed::Rejected(rejection) => {
                connection.report_rejected_preface(rejection);
                Break(DriveResult::Close)
            }
        }
    }

    /// Reads the bytes that have arrived. `may_have_input` becomes false if these are all.
    pub(super) fn read(
        &mut self,
        service: &Service,
        connection: &mut Connection,
        may_have_input: &mut bool,
    ) -> ControlFlow<DriveResult> {
        let reading = connection.read(&mut self.input);
        self.after_read(service, connection, reading, may_have_input)
    }

    fn after_read(
        &mut self,
        service: &Service,
        connection: &mut Connection,
        reading: ReadResult,
        may_have_input: &mut bool,
    ) -> ControlFlow<DriveResult> {
        self.record_arrival(service);
        match reading {
            ReadResult::Partial => Continue(()),
            ReadResult::Complete => {
                *may_have_input = false;
                Continue(())
            }
            ReadResult::WouldBlock => Break(DriveResult::Readable),
            ReadResult::Closed(why) => {
                tracing::debug!("closed: {why}");
                connection.records.set_cause(why);
                Break(DriveResult::Close)
            }
        }
    }

    /// Records when the bytes of a read had arrived. The first read of a turn may return bytes from before the turn;
    /// later reads return only newer bytes.
    pub(super) fn record_arrival(&mut self, service: &Service) {
        let now = service.clock.tick();
        self.arrival_began = if self.arrival_ended == 0 { self.arrival_began.min(now) } else { now };
        self.arrival_ended = now;
    }

    pub(super) fn discard_input(&mut self, connection: &mut Connection) -> ControlFlow<DriveResult> {
        self.input.clear();
        match connection.read(&mut self.input) {
            ReadResult::Closed(_) => Break(DriveResult::Close),
            ReadResult::WouldBlock => Break(DriveResult::Readable),
            ReadResult::Complete | ReadResult::Partial => Continue(()),
        }
    }
}

impl Connection {
    /// Reads the bytes that have arrived.
    pub fn read(&mut self, input: &mut ReadBuffer) -> ReadResult {
        let room = input.spare();
        let size = room.len();
        let result = self.transport.read(room);
        self.after_read(input, result, size)
    }

    /// Reads bytes of the preface that have arrived. What follows it belongs to TLS, if there is TLS, which reads for itself.
    fn read_preface(&mut self, input: &mut ReadBuffer) -> ReadResult {
        if !self.transport.has_handshake() {
            return self.read(input);
        }
        let before = input.unread().len();
        let arrived = self.transport.peek_wire(input.spare());
        input.filled(arrived.unwrap_or(0));
        let wanted = match self.preface.parse(input.unread(), self.peer) {
            Parsed::Done { consumed, .. } => consumed - before,
            Parsed::NeedMore | Parsed::Rejected(_) => arrived.unwrap_or(0),
        };
        input.truncate(before);
        let result = arrived.and_then(|_| self.transport.read_wire(&mut input.spare()[..wanted]));
        // There may be more: what has arrived since.
        self.after_read(input, result, 0)
    }

    fn after_read(&mut self, input: &mut ReadBuffer, result: nix::Result<usize>, size: usize) -> ReadResult {
        match result {
            Ok(0) => ReadResult::Closed("the client closed the connection"),
            Ok(length) => {
                input.filled(length);
                // Urgent data and the end of the input are exceptions.
                let has_read_all = self.transport.has_read_all(length, size) && !self.may_have_more;
                if has_read_all { ReadResult::Complete } else { ReadResult::Partial }
            }
            Err(Errno::EAGAIN) => ReadResult::WouldBlock,
            Err(Errno::EINTR) => ReadResult::Partial,
            Err(Errno::EPROTO) => ReadResult::Closed("the client has violated the TLS protocol"),
            Err(_) => ReadResult::Closed("the client disconnected"),
        }
    }

    /// Returns whether there is unread input, or the client has closed its side.
    pub fn has_unread(&self) -> bool {
        self.transport.has_input()
    }

    /// Records that its preface is not accepted.
    pub fn report_rejected_preface(&mut self, rejection: Rejection) {
        tracing::debug!("closed: {rejection}");
        self.counters.add(rejection.counter(), 1);
        self.records.set_cause(rejection.why());
    }

    /// Ends the preface: requests come from `peer`. The first is expected until `deadline_ms`, unless a handshake is to be
    /// completed before it.
    fn end_preface(&mut self, peer: Peer, deadline_ms: u64) {
        (self.preface, self.peer) = (Preface::None, peer);
        if self.transport.has_handshake() {
            self.phase = Phase::Handshake;
        } else {
            (self.phase, self.deadline_ms) = (Phase::Idle, deadline_ms);
        }
    }
}
