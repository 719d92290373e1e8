//! Listening sockets that fail, and connections that wait because the worker that the kernel has woken does not accept
//! them.

use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{Shutdown, shutdown};

use crate::support::{Setup, Site, get, stop, ticks, wait_until};

#[test]
fn a_listening_socket_that_was_shut_down_is_logged_and_costs_no_processor_time() {
    let site = Site::with(&[("a", b"a")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let sound = TcpListener::bind("127.0.0.1:0").unwrap();
    let (kept, address) = (listener.try_clone().unwrap(), sound.local_addr().unwrap());
    let mut server = Setup::new(&site, &[]).socket(listener).socket(sound).start();
    server.address = address;
    assert_eq!(server.get("/a").text(), "a");
    server.wait_until_ready();
    shutdown(kept.as_raw_fd(), Shutdown::Both).unwrap();
    let text = "accepts no connections any more";
    wait_until("each worker to say so", || server.log().matches(text).count() == 2);
    let workers = server.workers();
    let before: u64 = workers.iter().map(|worker| ticks(*worker)).sum();
    let begin = Instant::now();
    wait_until("two seconds", || begin.elapsed().as_millis() > 2_000);
    let used = workers.iter().map(|worker| ticks(*worker)).sum::<u64>() - before;
    println!("{used} ticks in 2 s");
    assert!(used < 20, "{used} ticks: they spin");
    assert_eq!(server.log().matches(text).count(), 2, "{}", server.log());
    assert_eq!(server.get("/a").text(), "a", "the other socket works");
}

/// Returns whether a connection waits in the listen queue of a socket. This costs next to nothing, unlike /proc/net/tcp, of which
/// thousands of connections of other tests make each reading slow.
fn has_queued(listener: &TcpListener) -> bool {
    poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0
}

#[test]
fn a_connection_that_woke_a_stopped_worker_is_taken_by_another() {
    let site = Site::with(&[("a", b"a")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Setup::new(&site, &[]).socket(listener.try_clone().unwrap()).start();
    server.address = address;
    server.wait_until_ready();
    let workers = server.workers();
    let mut waited: Vec<Duration> = Vec::new();
    for number in 0..300 {
        // Sometimes it is stopped between being woken and accepting.
        let stopped = workers[number % 2];
        let mut client = server.connect();
        client.send(get("/a"));
        stop(stopped);
        if has_queued(&listener) {
            let begin = Instant::now();
            wait_until("another to take it", || !has_queued(&listener));
            waited.push(begin.elapsed());
        }
        kill(stopped, Signal::SIGCONT).unwrap();
        // The worker that has accepted it responds.
        assert_eq!(client.response().text(), "a");
    }
    waited.sort();
    println!("{} had to wait: median {:?}, longest {:?}", waited.len(), waited.get(waited.len() / 2), waited.last());
    assert!(waited.len() >= 3, "too few connections had to wait: {waited:?}");
    // Most of them wait some tens of milliseconds. The machine may delay a few.
    assert!(waited[waited.len() / 2] < Duration::from_millis(100), "{waited:?}");
    assert!(waited[waited.len() - 1] < Duration::from_secs(5), "{waited:?}");
}
