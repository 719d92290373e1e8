//! A turn of a connection of HTTP/2: receive all that has arrived, do the tasks for it, send.

use std::ops::ControlFlow::{self, Break, Continue};
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use super::Http2;
use super::exchange::Exchange;
use super::task::{Assignment, ConnectionContext, PendingRequest, Task, TaskResult};
use crate::connection::driver::{ConnectionDriver, DriveResult};
use crate::connection::receive::ReadResult;
use crate::connection::send_queue::QUANTUM_BYTES;
use crate::connection::{Connection, Phase};
use crate::http::Authority;
use crate::http::h2::ErrorCode;
use crate::http::h2::session::Event;
use crate::ipc::scoreboard::Counter;
use crate::log::catalog;
use crate::os::clock;
use crate::service::Service;

/// The limit of tasks in a turn, so that a fast client does not occupy a thread.
const MAX_TASKS: usize = 128;

/// The limit of bytes that the kernel has accepted and not sent, in bytes. What it has accepted cannot be overtaken by responses that
/// are more urgent.
const MAX_UNSENT_BYTES: i32 = 128 * 1024;

/// Why a connection ends whose client has not acknowledged the settings.
const SETTINGS_TIMEOUT: &str = "the client has not acknowledged the settings in time";

/// What a step does next.
type Step = ControlFlow<DriveResult>;

impl ConnectionDriver {
    /// Begins HTTP/2 on a connection. What has arrived of it already is unread.
    pub(in crate::connection) fn begin_http2(&mut self, service: &Service, connection: &mut Connection) {
        let now_ms = clock::now_ms();
        let context = ConnectionContext {
            client: connection.peer().address,
            is_local: connection.peer().is_local,
            clients: service.clients.clone(),
            scheme: connection.scheme(),
            descriptor: connection.as_raw_fd(),
            limits: service.limits,
            records: connection.records.source().clone(),
        };
        connection.counters.add(Counter::Http2Connections, 1);
        connection.transport.limit_unsent(MAX_UNSENT_BYTES);
        connection.http2 = Some(Box::new(Http2::new(context, now_ms)));
        (connection.phase, connection.deadline_ms) = (Phase::Head, service.timeouts.head(now_ms));
    }

    /// Accepts the result of a task, and continues the turn of the connection.
    pub fn resume(&mut self, service: &Service, connection: &mut Connection, result: TaskResult) -> DriveResult {
        if let Some(http2) = &mut connection.http2 {
            let failure = http2.accept(result, service.timeouts.send(clock::now_ms()));
            failure.into_iter().for_each(|why| report_failure(service, &why));
        }
        // It is not known when later input has arrived.
        self.arrival_began = u64::MAX;
        self.arrival_ended = 0;
        self.continue_turn(service, connection)
    }

    /// Returns the task that the last turn has ended with.
    pub fn take_task(&mut self) -> Option<Assignment> {
        self.assignment.take()
    }

    /// Does a task. The connection is not needed for it.
    pub fn run_task(&mut self, service: &Service, task: Task) -> TaskResult {
        task.run(service, &mut self.scratch, &mut self.http2)
    }

    /// Drives a connection by one step.
    // As a function of its own: a turn of HTTP/1.1 should not prepare what it needs.
    #[inline(never)]
    pub(in crate::connection) fn step_http2(&mut self, service: &Service, connection: &mut Connection) -> Step {
        let Some(mut http2) = connection.http2.take() else { return Break(DriveResult::Close) };
        http2.output.use_buffer(&mut self.http2.frames_to_send);
        let step = self.step(service, connection, &mut http2);
        if http2.output.unsent_bytes() == 0 && !matches!(step, Break(DriveResult::Task) | Continue(())) {
            self.http2.frames_to_send = http2.output.take_buffer();
            http2.release_memory();
        }
        connection.http2 = Some(http2);
        step
    }

    fn step(&mut self, service: &Service, connection: &mut Connection, http2: &mut Http2) -> Step {
        let now_ms = clock::now_ms();
        let failure = http2.collect(service.timeouts.send(now_ms));
        failure.into_iter().for_each(|why| report_failure(service, &why));
        if !self.input.unread().is_empty() && http2.has_unparsed_input {
            self.parse(connection, http2);
        }
        if http2.may_have_input && !http2.is_ending && !http2.is_input_closed {
            return self.receive(service, connection, http2);
        }
        let is_last = service.is_draining() || connection.requests >= service.max_requests;
        http2.shut_down(is_last, now_ms);
        if http2.has_settings_timeout(now_ms) {
            self.fail(connection, http2, ErrorCode::SettingsTimeout, SETTINGS_TIMEOUT);
        }
        if http2.tasks >= MAX_TASKS || http2.turn_bytes >= QUANTUM_BYTES {
            self.rest(service, connection, http2);
            return Break(DriveResult::Yield);
        }
        if let Some(task) = http2.next_task(&service.open_files) {
            http2.tasks += 1;
            self.assignment = Some(Assignment { task, deliveries: http2.deliveries.clone() });
            return Break(DriveResult::Task);
        }
        connection.waits_for_turn |= http2.waits_for_turn();
        if http2.output.unsent_bytes() > 0 {
            return self.send_frames(service, connection, http2);
        }
        // A client that has closed its side extends no windows.
        if http2.is_input_closed && !http2.has_work() {
            return Break(DriveResult::Close);
        }
        let is_over = http2.is_ending || http2.session.has_ended() && !http2.has_streams();
        if is_over {
            connection.linger(service.timeouts.linger(now_ms));
            return Continue(());
        }
        self.rest(service, connection, http2);
        Break(DriveResult::Readable)
    }

    /// Reads what has arrived.
    fn receive(&mut self, service: &Service, connection: &mut Connection, http2: &mut Http2) -> Step {
        let reading = connection.read(&mut self.input);
        self.record_arrival(service);
        match reading {
            ReadResult::Partial => {}
            ReadResult::Complete => http2.may_have_input = false,
            ReadResult::WouldBlock => {
                http2.may_have_input = false;
                return Continue(());
            }
            ReadResult::Closed(why) => {
                tracing::debug!("closed: {why}");
                connection.records.set_cause(why);
                http2.is_input_closed = true;
                let is_over = !http2.has_streams() && http2.output.unsent_bytes() == 0;
                return if is_over { Break(DriveResult::Close) } else { Continue(()) };
            }
        }
        self.parse(connection, http2);
        Continue(())
    }

    /// Acts on the frames that were read.
    fn parse(&mut self, connection: &mut Connection, http2: &mut Http2) {
        http2.has_unparsed_input = false;
        let unread_bytes = http2.output.control_bytes();
        let Http2 { session, output, .. } = http2;
        let bytes = self.input.unread();
        let result =
            session.receive(bytes, unread_bytes, &mut self.http2.session, output.frames(), &mut self.http2.events);
        output.end_control();
        let started_ns = clock::now_ns();
        let mut events = std::mem::take(&mut self.http2.events);
        for event in events.drain(..) {
            match event {
                Event::Request { stream, head, body } => {
                    connection.requests += 1;
                    let (log, number) = (connection.records.source().access_log(), connection.requests);
                    let exchange = Exchange::begin(connection.counters, log, stream, number, started_ns);
                    let authority = || head.authority().ok().and_then(Authority::parse);
                    let is_misdirected = connection.transport.is_misdirected(authority);
                    http2.requests.push_back(PendingRequest {
                        stream,
                        head,
                        body,
                        began: self.arrival_began,
                        is_misdirected,
                        waits_until_ms: 0,
                        permit: None,
                        section: Vec::new(),
                        exchange: Box::new(exchange),
                    });
                }
                Event::Cancelled { stream } => {
                    connection.counters.add(Counter::Http2StreamsReset, 1);
                    http2.cancel(stream);
                }
            }
        }
        self.http2.events = events;
        self.arrival_began = self.arrival_began.max(self.arrival_ended);
        match result {
            Ok(length) => self.input.consume(length),
            Err(failure) => {
                self.input.clear();
                let counter = match failure.code {
                    ErrorCode::EnhanceYourCalm => Counter::Http2Abuse,
                    _ => Counter::Http2Errors,
                };
                self.report(connection, counter, failure.why);
                http2.fail(failure.why);
            }
        }
    }

    /// Ends a connection with an error that the session has not detected.
    fn fail(&mut self, connection: &mut Connection, http2: &mut Http2, code: ErrorCode, why: &'static str) {
        http2.session.go_away(code, http2.output.frames());
        http2.output.end_control();
        self.report(connection, Counter::Http2Errors, why);
        http2.fail(why);
    }

    fn report(&self, connection: &mut Connection, counter: Counter, why: &'static str) {
        tracing::debug!("HTTP/2 connection ended: {why}");
        connection.counters.add(counter, 1);
        connection.records.set_cause(why);
    }

    fn send_frames(&mut self, service: &Service, connection: &mut Connection, http2: &mut Http2) -> Step {
        match connection.transport.write(http2.output.unsent(), false) {
            Ok(length) => {
                http2.output.accept(length);
                http2.turn_bytes += length;
                connection.count_sent(length as u64);
                Continue(())
            }
            Err(Errno::EINTR) => Continue(()),
            Err(Errno::EAGAIN) => {
                self.rest(service, connection, http2);
                Break(DriveResult::Writable)
            }
            Err(_) => {
                connection.report_aborted("the client disconnected");
                Break(DriveResult::Close)
            }
        }
    }

    /// Sets the phase of a connection that waits, and its deadline.
    fn rest(&self, service: &Service, connection: &mut Connection, http2: &Http2) {
        let now_ms = clock::now_ms();
        let phase = if http2.output.unsent_bytes() > 0 || !http2.responses.is_empty() {
            Phase::Sending
        } else if http2.has_streams() {
            Phase::Waiting
        } else if http2.session.is_receiving() || !self.input.unread().is_empty() {
            Phase::Head
        } else {
            Phase::Idle
        };
        if phase != Phase::Sending {
            connection.has_waited = false;
        }
        match phase {
            Phase::Sending => connection.wait_for_client(service.timeouts.send(now_ms)),
            // Nothing that a thread does has a deadline.
            Phase::Waiting => connection.deadline_ms = service.timeouts.send(now_ms),
            Phase::Head if connection.phase != Phase::Head => connection.deadline_ms = service.timeouts.head(now_ms),
            Phase::Idle if connection.phase != Phase::Idle => connection.deadline_ms = service.timeouts.idle(now_ms),
            _ => {}
        }
        connection.phase = phase;
    }
}

impl Http2 {
    /// Begins a turn: another thread may have taken results, or made listings.
    pub fn begin_turn(&mut self) {
        (self.may_have_input, self.tasks, self.turn_bytes) = (true, 0, 0);
        self.requests.extend(self.waiting.drain(..));
        self.responses.iter_mut().for_each(|response| response.waits_for_turn = false);
    }

    /// Returns whether reading for a response is delayed until fewer threads are blocked on its file.
    pub(super) fn waits_for_turn(&self) -> bool {
        self.responses.iter().any(|response| response.waits_for_turn)
    }

    /// Releases the memory that an idle connection does not need.
    fn release_memory(&mut self) {
        if !self.has_streams() {
            (self.requests, self.waiting, self.responses) = Default::default();
            (self.ready, self.spare_section) = Default::default();
        }
    }
}

/// Logs at most once a minute why a response could not be completed: an error of the server.
fn report_failure(service: &Service, why: &str) {
    if service.warnings.file_failed.is_due() {
        tracing::warn!(
            message_id = catalog::FILE_FAILED,
            "Cannot send a file completely over HTTP/2: {why}. Logged once a minute."
        );
    }
}
