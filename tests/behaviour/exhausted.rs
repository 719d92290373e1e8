//! A worker whose file descriptors have run out: what it cannot open is not taken for missing.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::support::{Client, Response, Setup, Site, wait_until};

/// Sets the limit of descriptors of a process so that `free` more can be opened.
fn leave_descriptors(process: Pid, free: usize) {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let used: Vec<usize> = entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    let limit = (0..).filter(|number| !used.contains(number)).nth(free).unwrap();
    limit_descriptors(process, limit);
}

fn limit_descriptors(process: Pid, limit: usize) {
    let (pid, limit) = (format!("--pid={process}"), format!("--nofile={limit}:"));
    assert!(Command::new("prlimit").args([pid, limit]).status().unwrap().success());
}

fn get_of(client: &mut Client, host: &str, target: &str) -> Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client.response()
}

#[test]
fn without_descriptors_no_rule_ends_and_no_other_site_answers() {
    thread::scope(|scope| (0..=6).for_each(|free| drop(scope.spawn(move || check_answers(free)))));
}

/// Checks the answers while `free` more descriptors can be opened, and afterwards.
fn check_answers(free: usize) {
    let site = Site::new();
    for name in ["a.test", "a.test/part", "_default"] {
        site.write(format!("{name}/index.html"), name.as_bytes());
        site.write(format!("{name}/private/f"), b"SECRET");
    }
    site.write("a.test/_redirects", b"/folder /elsewhere 302\n");
    site.write("a.test/folder/file", b"x");
    symlink("a.test/part", site.path("b.test")).unwrap();
    let arguments = [
        "--workers=1",
        "--listing",
        &format!("--sites={}", site.root().display()),
        "--allow=b.test/private=192.0.2.1",
        "--allow=/part/index.html=192.0.2.1",
    ];
    let server = Setup::bare(&arguments).listen();
    let mut client = server.connect();
    // No site is open, and the connection is.
    client.send("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.head().status, 204);
    let [worker] = server.workers()[..] else { panic!("one worker") };
    leave_descriptors(worker, free);
    site.write("new.test/index.html", b"new.test");
    // A change of the directory counts within a second.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        get_of(&mut client, "new.test", "/");
    }
    for _ in 0..3 {
        for (host, target, statuses) in [
            ("a.test", "/part/private/f", [403, 503]),
            ("b.test", "/private/f", [403, 503]),
            ("b.test", "/", [403, 503]),
            ("a.test", "/folder", [301, 503]),
            ("a.test", "/", [200, 503]),
            ("new.test", "/", [200, 503]),
        ] {
            let response = get_of(&mut client, host, target);
            assert!(statuses.contains(&response.status), "{free} free: {host}{target}: {}", response.status);
            assert_ne!(response.text(), "SECRET");
            assert!(response.status != 200 || response.text() == host, "{host}: {}", response.text());
        }
    }
    limit_descriptors(worker, 1024);
    wait_until("answers", || {
        let mut status = |host: &str, target: &str| get_of(&mut client, host, target).status;
        status("a.test", "/part/private/f") == 403
            && status("b.test", "/") == 403
            && status("a.test", "/folder") == 301
            && status("new.test", "/") == 200
    });
}
