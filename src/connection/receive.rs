//! Receiving: what a turn reads of a connection, and when it had arrived.

use std::ops::ControlFlow::{self, Break, Continue};

use nix::errno::Errno;

use super::driver::{ConnectionDriver, DriveResult};
use super::preface::{Parsed, Peer, Preface};
use super::read_buffer::ReadBuffer;
use super::{Connection, Phase};
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
            Parsed::Done { consumed, peer } => {
                self.input.consume(consumed);
                connection.end_preface(peer, service.timeouts.idle(clock::now_ms()));
                Continue(())
            }
            Parsed::NeedMore if *may_have_input => self.read(service, connection, may_have_input),
            Parsed::NeedMore => Break(DriveResult::Readable),
            Parsed::Rejected(why) => {
                tracing::debug!("closed: {why}");
                connection.records.set_cause(why);
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
        match self.transport.read(room) {
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
