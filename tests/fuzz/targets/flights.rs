//! A real client whose flights are changed on the way: what comes after the hello, in full and resumed handshakes and in
//! the records of content. The server receives a prefix of what the client has sent, or nothing; without a change, all of it.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use otus_httpd::ipc::ticket_keys::TicketKeys;
use otus_httpd::tls::session::{Buffers, Session, State, Write};
use otus_httpd::tls::{RecordBuffer, Server};
use otus_httpd_fuzz::tls::{client_config, server, well_formed};
use rustls::client::Resumption;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection};

const CONTENT: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The maximum number of flights: a hello, a second one, the end of the handshake, content, close_notify.
const FLIGHTS: usize = 8;

thread_local! {
    static SERVER: &'static Server = server_with_tickets();
    // Each stores the session of its version.
    static CLIENTS: [Arc<ClientConfig>; 2] = [client_config(&TLS13), client_config(&TLS12)];
}

fn server_with_tickets() -> &'static Server {
    let keys = Box::leak(Box::new(TicketKeys::new(0).unwrap()));
    server(Some(Box::leak(Box::new(keys.reader().unwrap()))))
}

/// A change of a flight: its number, the position, what is done there, and a byte for that.
struct Edit {
    flight: usize,
    position: usize,
    action: u8,
    byte: u8,
}

impl Edit {
    fn all(script: &[u8]) -> Vec<Edit> {
        let edits = script.chunks_exact(5).map(|edit| Edit {
            flight: usize::from(edit[0]) % FLIGHTS,
            position: usize::from(u16::from_le_bytes([edit[1], edit[2]])),
            action: edit[3],
            byte: edit[4],
        });
        edits.collect()
    }

    fn apply(&self, flight: &mut Vec<u8>) {
        if flight.is_empty() {
            return;
        }
        let position = self.position % flight.len();
        match self.action % 6 {
            0 => flight[position] ^= self.byte,
            1 => flight.insert(position, self.byte),
            2 => flight.truncate(position),
            3 => drop(flight.remove(position)),
            // Bytes once more, and bytes in another order.
            4 => flight.extend_from_within(position..),
            _ => flight.rotate_left(position),
        }
    }
}

/// Performs a connection with changed flights.
fn connect(config: &Arc<ClientConfig>, edits: &[Edit]) {
    let mut client = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
    let mut session = Session::new(SERVER.with(|server| *server)).unwrap();
    let (mut input, mut received) = (Vec::new(), Vec::new());
    let (mut is_changed, mut has_written) = (false, false);
    for number in 0..FLIGHTS {
        if !client.is_handshaking() && !has_written {
            std::io::Write::write_all(&mut client.writer(), CONTENT).unwrap();
            client.send_close_notify();
            has_written = true;
        }
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        let original = flight.clone();
        edits.iter().filter(|edit| edit.flight == number).for_each(|edit| edit.apply(&mut flight));
        is_changed |= flight != original;
        let mut output = RecordBuffer::default();
        input.extend_from_slice(&flight);
        if session.count_received(&flight, &mut output).is_err() {
            assert!(is_changed);
            return;
        }
        let content = |bytes: &[u8]| received.extend_from_slice(bytes);
        let mut buffers = Buffers { input: &mut input, content, output: &mut output };
        let (used, result) = session.process(&mut buffers, Write::Nothing);
        input.drain(..used);
        well_formed(output.bytes());
        assert!(CONTENT.starts_with(&received), "{received:?}");
        match result {
            Ok(State::Closed) => break,
            Ok(_) => {}
            Err(failure) => {
                assert!(is_changed, "{failure:?}");
                return;
            }
        }
        let mut records = output.bytes();
        while !records.is_empty() {
            client.read_tls(&mut records).unwrap();
            if client.process_new_packets().is_err() {
                assert!(is_changed);
                break;
            }
        }
    }
    assert!(is_changed || received == CONTENT, "{received:?}");
}

// The first byte selects the version, and whether a connection before has a session to resume.
fuzz_target!(|input: &[u8]| {
    let Some((&options, script)) = input.split_first() else { return };
    let config = CLIENTS.with(|clients| clients[usize::from(options & 1)].clone());
    let edits = Edit::all(script);
    if options & 2 != 0 {
        connect(&config, &[]);
        connect(&config, &edits);
    } else {
        let mut config = (*config).clone();
        config.resumption = Resumption::disabled();
        connect(&Arc::new(config), &edits);
    }
});
