//! A busy server makes progress and starts no further threads, which would not help.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::support::{Server, Site, get, threads};

const CLIENTS: usize = 16;

/// The number of requests that each client sends at once, and of repetitions.
const DEPTH: usize = 100;
const TIMES: usize = 8;

#[test]
fn a_busy_worker_starts_no_threads() {
    // A thread that waits for a busy disk would rightly get company.
    let site = Site::in_memory();
    site.write("a", &[b'a'; 20_000]);
    site.write("large", &[b'l'; 200_000]);
    let server = Server::with(&site, &["--workers=1"]);
    server.wait_until_ready();
    let worker = server.workers()[0];
    let idle = threads(worker);
    let left = AtomicUsize::new(CLIENTS);
    let mut most = 0;
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (target, depth) = if number % 2 == 0 { ("/a", DEPTH) } else { ("/large", DEPTH / 10) };
            let (server, left) = (&server, &left);
            scope.spawn(move || {
                let mut client = server.connect();
                for _ in 0..TIMES {
                    client.send(get(target).repeat(depth));
                    for _ in 0..depth {
                        client.response();
                    }
                }
                left.fetch_sub(1, Relaxed);
            });
        }
        while left.load(Relaxed) > 0 {
            most = most.max(threads(worker));
            std::thread::yield_now();
        }
    });
    assert!(most <= idle + 2, "{idle} threads when idle, {most} when busy");
}

/// The number and size of simultaneous downloads.
const DOWNLOADS: usize = 32;
const LARGE: usize = 24 * 1024 * 1024;

#[test]
fn requests_come_between_downloads_and_downloads_between_requests() {
    let site = Site::with(&[("a", b"a"), ("large", &vec![b'l'; LARGE])]);
    let server = Server::with(&site, &["--workers=1"]);
    let (left, answered) = (AtomicUsize::new(DOWNLOADS), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..DOWNLOADS {
            scope.spawn(|| {
                let mut client = server.connect();
                client.send(get("/large")).head();
                let mut taken = 0;
                let mut buffer = vec![0; 1 << 20];
                while taken < LARGE {
                    let length = client.0.read(&mut buffer).unwrap();
                    assert_ne!(length, 0, "a download was cut after {taken} bytes");
                    taken += length;
                }
                left.fetch_sub(1, Relaxed);
            });
        }
        // There is always a request while a download is running.
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = server.connect();
                while left.load(Relaxed) > 0 {
                    client.get("/a");
                    answered.fetch_add(1, Relaxed);
                }
            });
        }
    });
    // If each request waited for one turn of every download, there would be one request for two megabytes of each.
    let (answered, in_turn) = (answered.load(Relaxed), 2 * LARGE / (2 << 20));
    assert!(answered > 2 * in_turn, "{answered} answers");
}
