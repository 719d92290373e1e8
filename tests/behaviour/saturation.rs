//! A server that is merely busy makes progress, and further threads would not help it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::support::{Server, Site, get, threads};

const CLIENTS: usize = 16;

/// Requests that each client sends at once, and how often.
const DEPTH: usize = 100;
const TIMES: usize = 8;

#[test]
fn a_busy_worker_starts_no_threads() {
    let site = Site::with(&[("a", &[b'a'; 20_000]), ("large", &vec![b'l'; 200_000])]);
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
