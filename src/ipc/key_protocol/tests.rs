//! A client with a key process that a test plays.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{MsgFlags, recv};

use super::frame::{Request, Response};
use super::{Certificate, Client, KeyKind, SignFailure, Unavailable, channel};

const ID: [u8; 32] = [7; 32];

/// The supervisor's end of the channel.
struct Supervisor(OwnedFd);

fn client(max_outstanding: usize) -> (Supervisor, Client) {
    let (own, theirs) = channel::pair().unwrap();
    (Supervisor(own), Client::new(theirs, max_outstanding))
}

impl Supervisor {
    /// Makes a connection, and returns the other end.
    fn connect(&self) -> OwnedFd {
        let (own, theirs) = channel::pair().unwrap();
        channel::send_descriptor(self.0.as_fd(), theirs.as_fd()).unwrap();
        own
    }
}

fn next(connection: &OwnedFd) -> (u32, Request) {
    assert_eq!(poll(&mut [PollFd::new(connection.as_fd(), PollFlags::POLLIN)], 10_000_u16), Ok(1));
    let mut frame = [0; 1024];
    let length = recv(connection.as_raw_fd(), &mut frame, MsgFlags::empty()).unwrap();
    Request::decode(&frame[..length]).unwrap()
}

fn answer(connection: &OwnedFd, number: u32, response: Response) {
    channel::send_frame(connection.as_fd(), &response.encode(number)).unwrap();
}

fn sign(client: &Client) -> Result<Vec<u8>, SignFailure> {
    client.sign(&ID, 0x0403, b"message")
}

#[test]
fn responses_in_another_order_arrive_at_their_threads() {
    let (supervisor, client) = client(16);
    let connection = supervisor.connect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8_u8)
            .map(|byte| {
                scope.spawn({
                    let client = &client;
                    move || client.sign(&ID, 1, &[byte])
                })
            })
            .collect();
        let mut requests: Vec<_> = (0..8).map(|_| next(&connection)).collect();
        requests.reverse();
        for (number, request) in requests {
            let Request::Sign { message, .. } = request else { panic!("{request:?}") };
            answer(&connection, number, Response::Signature(message));
        }
        let signatures: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect();
        assert_eq!(signatures, (0..8).map(|byte| vec![byte]).collect::<Vec<_>>());
    });
}

#[test]
fn a_request_is_repeated_on_the_next_connection() {
    let (supervisor, client) = client(16);
    let first = supervisor.connect();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| sign(&client));
        let request = next(&first);
        drop(first);
        let second = supervisor.connect();
        assert_eq!(next(&second), request);
        answer(&second, request.0, Response::Signature(vec![1]));
        assert_eq!(thread.join().unwrap(), Ok(vec![1]));
    });
}

#[test]
fn without_a_response_calls_fail_at_the_deadline_and_then_at_once() {
    let (supervisor, client) = client(16);
    let connection = supervisor.connect();
    let begin = Instant::now();
    assert_eq!(sign(&client), Err(SignFailure::Unavailable));
    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert_eq!(client.catalog(0), Err(Unavailable), "at once");
    // It responds again: the late response is ignored, and a probe closes the circuit.
    let (number, _) = next(&connection);
    answer(&connection, number, Response::Signature(vec![9]));
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            loop {
                if let Ok(signature) = sign(&client) {
                    return signature;
                }
                std::thread::yield_now();
            }
        });
        let (number, _) = next(&connection);
        answer(&connection, number, Response::Signature(vec![2]));
        assert_eq!(thread.join().unwrap(), [2]);
    });
}

#[test]
fn no_more_than_the_limit_wait() {
    let (supervisor, client) = client(1);
    let connection = supervisor.connect();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| sign(&client));
        let (number, _) = next(&connection);
        assert!(!client.has_room());
        assert_eq!(sign(&client), Err(SignFailure::Busy));
        answer(&connection, number, Response::Missing);
        assert_eq!(thread.join().unwrap(), Err(SignFailure::UnknownKey));
    });
    assert!(client.has_room());
}

#[test]
fn a_frame_that_is_none_ends_the_connection() {
    let (supervisor, client) = client(1);
    let first = supervisor.connect();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| sign(&client));
        let (number, _) = next(&first);
        channel::send_frame(first.as_fd(), b"nonsense").unwrap();
        let second = supervisor.connect();
        assert_eq!(next(&second).0, number);
        answer(&second, number, Response::Signature(vec![3]));
        assert_eq!(thread.join().unwrap(), Ok(vec![3]));
    });
}

#[test]
fn a_catalog_that_changes_while_it_is_read_is_read_again() {
    let (supervisor, client) = client(1);
    let connection = supervisor.connect();
    let certificate = Certificate {
        id: ID,
        key: KeyKind::Ed25519,
        chain: vec![vec![1; 20_000]],
        names: vec!["example.org".into()],
        not_before: 0,
        not_after: 1,
        is_default: false,
        folder: "example.org".into(),
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| client.catalog(1));
        let respond = |expected: Request, response: Response| {
            let (number, request) = next(&connection);
            assert_eq!(request, expected);
            answer(&connection, number, response);
        };
        respond(Request::Catalog { known: 1 }, Response::Summary { generation: 2, count: 2 });
        respond(Request::Certificate { generation: 2, index: 0 }, Response::Certificate(certificate.clone()));
        respond(Request::Certificate { generation: 2, index: 1 }, Response::Missing);
        respond(Request::Catalog { known: 1 }, Response::Summary { generation: 3, count: 1 });
        respond(Request::Certificate { generation: 3, index: 0 }, Response::Certificate(certificate.clone()));
        let catalog = thread.join().unwrap().unwrap().unwrap();
        assert_eq!((catalog.generation, catalog.certificates), (3, vec![certificate.clone()]));
    });
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| client.catalog(3));
        let (number, _) = next(&connection);
        answer(&connection, number, Response::Summary { generation: 4, count: 1_001 });
        assert_eq!(thread.join().unwrap(), Err(Unavailable), "more than there can be");
    });
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| client.catalog(3));
        let (number, _) = next(&connection);
        answer(&connection, number, Response::Unchanged);
        assert_eq!(thread.join().unwrap(), Ok(None));
    });
}
