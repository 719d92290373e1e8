//! The content in memory is never older than the request for it, under any load.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::support::{Client, Server, Site, get, wait_until};

const FILES: usize = 50;

#[test]
fn a_file_replaced_before_the_request_is_the_new_one() {
    let site = Site::new();
    for number in 0..FILES {
        site.write(format!("{number}"), b"old");
    }
    let server = Server::with(&site, &["--workers=1"]);
    // A file with a recent write is not cached in memory.
    wait_until("files that have settled", || {
        let changed = fs::metadata(site.path("0")).unwrap().modified().unwrap();
        changed.elapsed().unwrap_or_default() > Duration::from_secs(3)
    });
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ask_for_all(&server, &is_over));
        }
        let _end = AtEnd(&is_over);
        let mut client = server.connect();
        for number in 0..FILES {
            let target = format!("/{number}");
            assert_eq!(client.get(&target).text(), "old");
            assert_eq!(client.get(&target).text(), "old");
            site.write("new", b"new");
            fs::rename(site.path("new"), site.path(format!("{number}"))).unwrap();
            assert_eq!(client.get(&target).text(), "new", "{number}");
            fs::remove_file(site.path(format!("{number}"))).unwrap();
            assert_eq!(client.get(&target).status, 404, "{number}");
        }
    });
}

/// Ends the other clients when this one ends for any reason.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Requests every file, ten at a time, so that requests share checks of the disk.
fn ask_for_all(server: &Server, is_over: &AtomicBool) {
    let mut client: Client = server.connect();
    for number in (0..FILES).cycle() {
        if is_over.load(Relaxed) {
            return;
        }
        client.send(get(&format!("/{number}")).repeat(10));
        for _ in 0..10 {
            client.response();
        }
    }
}
