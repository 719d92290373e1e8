//! A thread for each request: a blocked request does not delay others.
//!
//! A file with a write lease (fcntl(2), F_SETLEASE) simulates a disk that does not respond: open(2) waits for the
//! holder of the lease, here a perl process, which every Debian has.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Client, Server, Site, get, threads, wait_until};

struct Lease(Child);

impl Lease {
    fn on(path: &Path) -> Lease {
        // 1024 is F_SETLEASE, 1 is F_WRLCK. SIGIO, by which the kernel requests the lease back, is ignored.
        let script = r#"$SIG{IO} = "IGNORE"; open(F, "<", $ARGV[0]) or die; fcntl(F, 1024, 1) or die "lease: $!"; $| = 1; print "held\n"; <STDIN>;"#;
        let mut child = Command::new("perl")
            .args(["-e", script])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Lease(child)
    }

    fn give_up(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn requests_that_wait_for_a_disk_stall_no_others() {
    let site = Site::with(&[("stuck", b"stuck"), ("a", b"a")]);
    let server = Server::with(&site, &["--workers=1"]);
    server.wait_until_ready();
    let worker = server.workers()[0];
    let at_first = threads(worker);
    let lease = Lease::on(&site.path("stuck"));

    let mut stuck: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut stuck {
        client.send(get("/stuck"));
    }
    for _ in 0..100 {
        assert_eq!(server.get("/a").text(), "a");
    }
    wait_until("a thread for each of them", || threads(worker) > stuck.len());
    assert!(stuck.iter_mut().all(|client| !client.is_closed()));

    lease.give_up();
    for client in &mut stuck {
        assert_eq!(client.response().text(), "stuck");
    }
    wait_until("surplus threads to leave", || threads(worker) <= at_first);
}

#[test]
fn there_are_never_more_threads_than_allowed() {
    let site = Site::with(&[("stuck", b"stuck"), ("a", b"a")]);
    let server = Server::with(&site, &["--workers=1", "--max-threads=4"]);
    server.wait_until_ready();
    let worker = server.workers()[0];
    let lease = Lease::on(&site.path("stuck"));
    let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(get("/stuck"));
    }
    // The main thread and four request threads; further requests wait.
    wait_until("all the threads that there may be", || threads(worker) == 5);
    lease.give_up();
    for client in &mut clients {
        // Above a quarter of the threads, further requests are rejected once the threads have been blocked by the file
        // for a while.
        let response = client.response();
        assert!(response.status == 503 || response.text() == "stuck", "{response:?}");
        assert!(threads(worker) <= 5);
    }
}
