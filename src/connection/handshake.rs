//! The TLS handshake of a connection, before its first request.

use std::ops::ControlFlow::{self, Break, Continue};
use std::os::fd::AsRawFd;

use super::driver::{ConnectionDriver, DriveResult};
use super::respond;
use super::transport::Handshake;
use super::{Connection, Phase};
use crate::http::Refusal;
use crate::ipc::scoreboard::Counter;
use crate::os::clock;
use crate::service::Service;
use crate::tls::Failure;

impl ConnectionDriver {
    /// Continues the handshake.
    pub(super) fn shake_hands(&mut self, service: &Service, connection: &mut Connection) -> ControlFlow<DriveResult> {
        let Some(_turn) = service.handshakes.begin(connection.as_raw_fd(), &service.wakeups) else {
            // The main loop retries it as well.
            connection.waits_for_turn = true;
            return Break(DriveResult::Retry);
        };
        match connection.transport.handshake() {
            Handshake::Done => {
                connection.end_handshake(service.timeouts.idle(clock::now_ms()));
                if connection.transport.properties().is_some_and(|properties| properties.is_http2) {
                    self.begin_http2(service, connection);
                }
            }
            Handshake::More => {}
            Handshake::Readable => return Break(DriveResult::Readable),
            Handshake::Writable => return Break(DriveResult::Writable),
            Handshake::Clear => self.reject_clear(service, connection),
            Handshake::Closed => {
                let why = "the client closed the connection before the TLS handshake was complete";
                tracing::debug!("closed: {why}");
                connection.records.set_cause(why);
                connection.counters.add(Counter::TlsFailedClosed, 1);
                return Break(DriveResult::Close);
            }
            Handshake::Failed(failure) => {
                connection.report_failed_handshake(failure);
                connection.linger(service.timeouts.linger(clock::now_ms()));
            }
        }
        Continue(())
    }

    /// Responds to HTTP without TLS on a socket for TLS.
    fn reject_clear(&mut self, service: &Service, connection: &mut Connection) {
        // As far as it has arrived: it is for the access log, and shows whether the method is HEAD.
        let length = connection.transport.read(self.input.spare()).unwrap_or(0);
        self.input.filled(length);
        connection.counters.add(Counter::TlsFailedNotTls, 1);
        let (bytes, output, scratch) = (self.input.unread(), &mut self.output, &mut self.scratch);
        respond::reject(service, Refusal::NeedsTls, bytes, connection, output, scratch);
        self.input.clear();
        connection.phase = Phase::Sending;
    }
}

impl Connection {
    /// Ends the handshake. The first request is expected until `deadline_ms`.
    fn end_handshake(&mut self, deadline_ms: u64) {
        (self.phase, self.deadline_ms) = (Phase::Idle, deadline_ms);
        let Some(properties) = self.transport.properties() else { return };
        self.counters.add(properties.counter(), 1);
        self.records.set_tls(properties.clone());
    }

    fn report_failed_handshake(&mut self, failure: Failure) {
        tracing::debug!("TLS handshake failed: {failure}");
        self.counters.add(failure.counter(), 1);
        self.records.set_cause(failure.to_string());
    }

    /// Records that the handshake has timed out.
    pub fn report_slow_handshake(&mut self) {
        self.counters.add(Counter::TlsFailedTimeout, 1);
        self.records.set_cause("the TLS handshake was not complete before the head timeout");
    }
}
