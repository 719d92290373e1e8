//! A listing is made by one thread, shared by all requests for it, and held in memory once.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Instant;

use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;

use crate::fuse::{Call, Disk, Fault};
use crate::support::{Client, Server, Site, get, threads, wait_until};

/// A site with a file `a`, a directory `slow` with a link to a disk that hangs on request, and a directory on a healthy
/// disk.
fn site() -> (Site, Disk) {
    let site = Site::with(&[("a", b"a"), ("sound/f", b""), ("slow/f", b"")]);
    let disk = Disk::mount(&site, "disk", &[("file", b"file")]);
    symlink("../disk/file", site.path("slow/link")).unwrap();
    (site, disk)
}

fn ask(server: &Server, target: &str) -> Client {
    let mut client = server.connect();
    client.send(get(target));
    client
}

/// Every read of the directory hangs, and so can be counted.
#[test]
fn a_directory_is_read_once_for_all_and_they_wait_without_threads() {
    let (site, disk) = site();
    let server = Server::with(&site, &["--listing", "--workers=1"]);
    server.wait_until_ready();
    disk.set("file", Call::Find, Fault::Hang);
    let mut clients: Vec<Client> = (0..50).map(|_| ask(&server, "/slow/")).collect();
    // A client that requested another listing before, and one that has disconnected.
    let mut mixed = server.connect();
    mixed.send([get("/a"), get("/slow/"), get("/a")].concat());
    drop(ask(&server, "/slow/"));
    wait_until("the disk to hang", || disk.waiting() > 0);
    assert_eq!(mixed.response().text(), "a");
    for _ in 0..20 {
        assert_eq!(server.get("/a").text(), "a");
    }
    assert_eq!(disk.waiting(), 1);
    // The main thread, the thread that reads, and the threads that serve.
    assert!(threads(server.workers()[0]) <= 5, "{} threads", threads(server.workers()[0]));

    disk.mend();
    for client in clients.iter_mut().chain([&mut mixed]) {
        let response = client.response();
        assert!(response.status == 200 && response.text().contains("href=\"link\""), "{response:?}");
    }
    assert_eq!(mixed.response().text(), "a");
    assert_eq!(clients[0].get("/slow/").status, 200);
    assert_eq!(server.warnings(), Vec::<String>::new());
}

#[test]
fn a_directory_on_a_disk_that_hangs_delays_no_other_listing_for_long() {
    let (site, disk) = site();
    let server = Server::with(&site, &["--listing", "--workers=1"]);
    server.wait_until_ready();
    disk.set("file", Call::Find, Fault::Hang);
    let mut stuck = ask(&server, "/slow/");
    wait_until("the disk to hang", || disk.waiting() == 1);
    for target in ["/sound/", "/"] {
        let response = server.get(target);
        assert_eq!(response.status, 200, "{target}");
    }
    assert_eq!(disk.waiting(), 1);
    disk.mend();
    assert_eq!(stuck.response().status, 200);
}

#[test]
fn a_wait_for_a_listing_has_a_timeout() {
    let (site, disk) = site();
    let server = Server::with(&site, &["--listing", "--workers=1", "--send-timeout=1"]);
    server.wait_until_ready();
    disk.set("file", Call::Find, Fault::Hang);
    let mut stuck = ask(&server, "/slow/");
    wait_until("the disk to hang", || disk.waiting() == 1);
    let mut waiting = ask(&server, "/slow/");
    let response = waiting.response();
    assert_eq!((response.status, response.field("Retry-After")), (503, Some("1")));
    assert_eq!(waiting.get("/a").text(), "a");
    disk.mend();
    assert_eq!(stuck.response().status, 200);
}

/// The listings that a process has open, by inode.
fn listings(process: Pid) -> HashSet<u64> {
    let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten().map(|descriptor| descriptor.path());
    let of_listings =
        open.filter(|path| fs::read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with("/memfd:listing")));
    of_listings.filter_map(|path| Some(fs::metadata(path).ok()?.ino())).collect()
}

#[test]
fn slow_readers_hold_one_listing_together() {
    let site = Site::with(&[("many/a", b"a")]);
    // More bytes than the kernel buffers for a client.
    for number in 0..4_000 {
        fs::hard_link(site.path("many/a"), site.path(format!("many/{number:05}{}", "'".repeat(250)))).unwrap();
    }
    let server = Server::with(&site, &["--listing", "--workers=1"]);
    let mut first_response = None;
    let mut waiting = Vec::new();
    // A listing is shared for a second after it was made. A later request makes a new one.
    wait_until("a request two seconds after the first response", || {
        let is_late = first_response.is_some_and(|at: Instant| at.elapsed().as_secs() >= 2);
        let mut client = server.connect();
        setsockopt(&client.0, sockopt::RcvBuf, &65_536).unwrap();
        assert!(client.send(get("/many/")).head().content_length() > 8_000_000);
        first_response.get_or_insert_with(Instant::now);
        waiting.push(client);
        is_late && waiting.len() > 2
    });
    let worker = server.workers()[0];
    assert_eq!(listings(worker).len(), 1);
    drop(waiting);
    wait_until("it to be given back", || listings(worker).is_empty());
}
