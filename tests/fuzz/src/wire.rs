//! One connection between a scripted client and a worker whose turns the script schedules.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{setsockopt, sockopt::SndBuf};
use otus_httpd::connection::harness::InProcessServer;

/// The maximum number of pieces of a stream, so that a long stream does not take long.
const PIECES: usize = 500;

/// The script: how a stream is cut, and what happens between the pieces. It is repeated.
#[derive(Debug, Clone, Copy)]
pub struct Cuts(pub [u16; 3]);

impl Cuts {
    /// The number of bytes of the script at the beginning of a fuzzer's input.
    pub fn from_front(input: &[u8]) -> Option<(Cuts, &[u8])> {
        let (front, rest) = input.split_first_chunk::<6>()?;
        let word = |n: usize| u16::from_le_bytes([front[2 * n], front[2 * n + 1]]);
        Some((Cuts([word(0), word(1), word(2)]), rest))
    }
}

/// Sends `stream` over a connection of its own, cut as in `cuts`, and returns all bytes that are received. The client
/// closes its side after everything is sent. With `is_small`, the worker has the smallest send buffer.
pub fn exchange(server: &mut InProcessServer, stream: &[u8], cuts: Cuts, is_small: bool) -> Vec<u8> {
    exchange_over(InProcessServer::accept, server, stream, cuts, is_small)
}

/// The same over a connection that `accept` makes of a socket.
pub fn exchange_over(
    accept: impl FnOnce(&mut InProcessServer, OwnedFd),
    server: &mut InProcessServer,
    stream: &[u8],
    cuts: Cuts,
    is_small: bool,
) -> Vec<u8> {
    let client = open(accept, server, is_small);
    let mut exchange = Exchange { server, client, answers: Vec::new(), has_ended: false };
    exchange.send(stream, cuts);
    exchange.finish();
    exchange.answers
}

/// Opens a connection that `accept` makes of a socket.
pub fn open(
    accept: impl FnOnce(&mut InProcessServer, OwnedFd),
    server: &mut InProcessServer,
    is_small: bool,
) -> UnixStream {
    let (client, served) = UnixStream::pair().unwrap();
    client.set_nonblocking(true).unwrap();
    served.set_nonblocking(true).unwrap();
    if is_small {
        setsockopt(&served, SndBuf, &1).unwrap();
    }
    accept(server, served.into());
    client
}

/// The length of a piece: twelve bits of its cut, of `rest` bytes.
pub fn piece(cut: u16, number: usize, rest: usize) -> usize {
    match usize::from(cut & 0xfff) {
        length if length > 0 && number < PIECES => length.min(rest),
        _ => rest,
    }
}

/// Appends the bytes that have arrived to `received`. Returns whether the server has ended the connection.
pub fn receive(client: &mut UnixStream, received: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16 * 1024];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return true,
            Ok(length) => received.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            // The connection was closed with unread bytes of the client.
            Err(_) => return true,
        }
    }
}

struct Exchange<'s> {
    server: &'s mut InProcessServer,
    client: UnixStream,
    answers: Vec<u8>,
    has_ended: bool,
}

impl Exchange<'_> {
    fn send(&mut self, mut rest: &[u8], cuts: Cuts) {
        for (number, cut) in cuts.0.iter().cycle().enumerate() {
            if rest.is_empty() || self.has_ended {
                return;
            }
            // Twelve bits are the length of a piece, 0 for the whole rest; then the turns, and whether to read.
            let length = piece(*cut, number, rest.len());
            match self.client.write(&rest[..length]) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.server.turn();
                    self.receive();
                }
                // The server has closed the connection.
                Err(_) => return,
            }
            for _ in 0..cut >> 12 & 3 {
                self.server.turn();
            }
            if cut >> 14 & 1 == 1 {
                self.receive();
            }
        }
    }

    fn receive(&mut self) {
        self.has_ended |= receive(&mut self.client, &mut self.answers);
    }

    /// The client closes its side. Then the server has to end the connection, and make progress until it has.
    fn finish(&mut self) {
        // If the server has closed the connection already, there is nothing to do.
        let _ = self.client.shutdown(Shutdown::Write);
        let mut idle = 0;
        while !self.has_ended {
            let before = self.answers.len();
            self.server.turn();
            self.receive();
            idle = if self.answers.len() > before { 0 } else { idle + 1 };
            assert!(idle < 100, "the connection does not end");
        }
    }
}
