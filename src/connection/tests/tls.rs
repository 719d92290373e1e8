//! The same over TLS, with a client that is in the process.

use std::sync::{Arc, Mutex};

use nix::errno::Errno;
use rustls::version::{TLS12, TLS13};

use super::super::preface::Preface;
use super::super::transport::Transport;
use super::super::transport::script::{Input, Script};
use super::{MAX_TURNS, Output, REQUESTS, Server};
use crate::connection::{Connection, DriveResult, Phase};
use crate::os::clock;
use crate::tls::testing::{self, Client};

/// A connection, and what its client sends and has received.
struct Pair<'s> {
    server: &'s Server,
    connection: Connection,
    input: Arc<Mutex<Input>>,
    output: Output,
    /// The part of the output that the client has received.
    received: usize,
}

impl<'s> Pair<'s> {
    fn new(
        server: &'s Server,
        tls: &'static crate::tls::Server,
        sizes: (usize, usize),
        failure: Option<(usize, Errno)>,
    ) -> Self {
        let input = Arc::new(Mutex::new(Input { is_open: true, ..Input::default() }));
        let output = Output::default();
        let script = Script::new(input.clone(), sizes, failure, output.clone());
        let mut connection = server.connect(Transport::tls(Transport::Script(script), tls));
        connection.expect(Preface::None, server.service.timeouts.head(clock::now_ms()));
        assert_eq!(connection.phase, Phase::Handshake);
        Pair { server, connection, input, output, received: 0 }
    }

    /// Drives the connection until it ends, or until nothing happens any more. Returns whether it has ended.
    fn run(&mut self, client: &mut Client) -> Result<bool, rustls::Error> {
        let mut idle = 0;
        for _ in 0..MAX_TURNS {
            let mut input = self.input.lock().unwrap();
            input.bytes.extend(client.take_output());
            idle = if input.bytes.is_empty() { idle + 1 } else { 0 };
            drop(input);
            let result = self.server.drive(&mut self.connection);
            let bytes = self.output.lock().unwrap()[self.received..].to_vec();
            self.received += bytes.len();
            idle = if bytes.is_empty() { idle } else { 0 };
            client.receive(&bytes)?;
            if result == DriveResult::Close {
                return Ok(true);
            }
            if idle > 3 {
                return Ok(false);
            }
        }
        panic!("no end: {:?}", self.connection);
    }
}

/// The responses to [`REQUESTS`] without dates.
fn responses(
    server: &Server,
    (tls, client): (&'static crate::tls::Server, &mut Client),
    sizes: (usize, usize),
    failure: Option<(usize, Errno)>,
) -> String {
    let mut pair = Pair::new(server, tls, sizes, failure);
    client.send(REQUESTS.as_bytes());
    let is_ended = pair.run(client);
    if failure.is_none() {
        // The last request is invalid, so that the connection lingers until the client closes it.
        client.connection.send_close_notify();
        pair.input.lock().unwrap().is_open = false;
        assert!(is_ended.unwrap() || pair.run(client).unwrap());
    }
    super::without_dates(&Arc::new(Mutex::new(std::mem::take(&mut client.content))))
}

#[test]
fn responses_over_tls_do_not_depend_on_how_bytes_arrive_and_leave() {
    let server = Server::new();
    let whole = server.output((usize::MAX, usize::MAX), None);
    let (tls, roots) = testing::server();
    for version in [&TLS13, &TLS12] {
        let config = Arc::new(testing::client_config(&roots, &[version]));
        for read_size in [1, 5, 64, 300, usize::MAX] {
            for write_size in [1, 7, 100, 1000, usize::MAX] {
                let mut client = Client::new(config.clone(), "localhost");
                let responses = responses(&server, (tls, &mut client), (read_size, write_size), None);
                assert_eq!(responses, whole, "{version:?} {read_size} {write_size}");
            }
        }
    }
}

#[test]
fn a_disconnect_at_any_byte_ends_the_connection() {
    let server = Server::new();
    let whole = server.output((usize::MAX, usize::MAX), None);
    let (tls, roots) = testing::server();
    let config = Arc::new(testing::client_config(&roots, &[&TLS13]));
    for length in (0..5_000).step_by(7) {
        let mut client = Client::new(config.clone(), "localhost");
        let failure = Some((length, Errno::ECONNRESET));
        let responses = responses(&server, (tls, &mut client), (usize::MAX, 50), failure);
        assert!(whole.starts_with(&responses), "{length}");
    }
}
