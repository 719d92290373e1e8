//! The health check while the disk of the document root hangs or fails, and when it responds again.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::access::connect_from;
use crate::fuse::{Call, Disk, Fault};
use crate::health::{Checked, OPTION};
use crate::http2_client::Http2Client;
use crate::support::{Client, Setup, Site, get, wait_until};

/// The time of --health-timeout, and that of a hang until the health check says so.
const TIMEOUT: &str = "--health-timeout=3";
const DETECTED: Duration = Duration::from_secs(3 + 2);

const SILENT: &str = "the document root has not responded for ";

/// The time within which a health check is answered, whatever the disk does: none of the many takes longer, on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(1_000);

/// A server whose document root is on a disk of its own, with these files.
fn start(files: &[(&str, &[u8])], arguments: &[&str]) -> (Checked, Disk) {
    let site = Site::new();
    let disk = Disk::mount(&site, "disk", files);
    let root = format!("--root={}", site.path("disk").display());
    let checked = Checked::start(Setup::new(&site, &[&[root.as_str(), OPTION, TIMEOUT], arguments].concat()));
    checked.wait_for_health(200, "ready");
    (checked, disk)
}

/// Returns the number of threads of a worker that check the document root.
fn checking_threads(worker: Pid) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{worker}/task")).unwrap().flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(name).filter(|name| name == "root-check\n").count()
}

/// Polls until the health is 503. Returns the time that took; no answer waits.
fn time_until_503(checked: &Checked) -> Duration {
    let begin = Instant::now();
    loop {
        let asked = Instant::now();
        let health = checked.health();
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        match health {
            Some((503, text)) if text.starts_with(SILENT) => return begin.elapsed(),
            health => assert!(begin.elapsed() < DETECTED, "{health:?} after {:?}", begin.elapsed()),
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_disk_that_hangs_is_503_although_every_file_is_in_memory_and_200_when_it_is_back() {
    for (name, call) in [("index.html", Call::Read(0)), ("index.html", Call::Open), ("", Call::Stat)] {
        let (checked, disk) = start(&[("index.html", b"home"), ("a", b"a")], &[]);
        // In the memory of the workers, and in the page cache.
        for _ in 0..20 {
            assert_eq!(checked.server.get("/").text(), "home");
        }
        assert_eq!(checked.sample("otus_root_up"), Some(1.0));
        disk.set(name, call, Fault::Hang);
        let elapsed = time_until_503(&checked);
        for _ in 0..100 {
            let asked = Instant::now();
            assert_eq!(checked.health().map(|(status, _)| status), Some(503));
            assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        }
        if matches!(call, Call::Read(_)) {
            assert_eq!(checked.server.get("/").text(), "home", "what is in memory is served on");
        }
        checked.server.wait_for_log("has not responded for ");
        // Each worker waits with one thread.
        wait_until("the other worker to ask", || disk.waiting() >= 2);
        assert!(checked.server.workers().iter().all(|worker| checking_threads(*worker) == 1));
        assert_eq!(checked.sample("otus_root_up"), Some(0.0));
        let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let ago_s = now_s - checked.sample("otus_root_last_response_timestamp_seconds").unwrap();
        assert!(ago_s > 2.9, "{call:?}: {ago_s} s ago, 503 after {elapsed:?}");
        disk.mend();
        checked.wait_for_health(200, "ready");
        checked.server.wait_for_log("responds again, after ");
        assert_eq!(checked.sample("otus_root_up"), Some(1.0));
        assert_eq!(checked.server.get("/").text(), "home");
        let reports = checked.server.log().matches("has not responded for").count();
        assert_eq!(reports, 1, "by one process, once");
    }
}

#[test]
fn a_disk_that_fails_is_503_and_one_damaged_file_is_not() {
    let (checked, disk) =
        start(&[("index.html", b"home"), ("default.html", b"a")], &["--index=index.html,default.html"]);
    disk.set("index.html", Call::Read(0), Fault::Error(Errno::EIO));
    let begin = Instant::now();
    while begin.elapsed() < DETECTED {
        assert_eq!(checked.health(), Some((200, "ready\n".into())));
        std::thread::park_timeout(Duration::from_millis(100));
    }
    disk.set("default.html", Call::Read(0), Fault::Error(Errno::EIO));
    time_until_503(&checked);
    checked.server.wait_for_log("The disk of the document root fails: I/O error");
    disk.mend();
    checked.wait_for_health(200, "ready");
}

#[test]
fn a_directory_of_sites_that_hangs_is_503() {
    let site = Site::new();
    let disk = Disk::mount(&site, "disk", &[("a", b"a"), ("b", b"b")]);
    disk.list();
    let sites = format!("--sites={}", site.path("disk").display());
    let checked = Checked::start(Setup::bare(&["--workers=2", &sites, OPTION, TIMEOUT]));
    checked.wait_for_health(200, "ready");
    // What is read is found by its name in the list.
    for name in ["a", "b"] {
        disk.set(name, Call::Read(0), Fault::Hang);
    }
    let text = "the directory of sites has not responded for ";
    wait_until(text, || checked.health().is_some_and(|(status, health)| status == 503 && health.starts_with(text)));
    disk.mend();
    checked.wait_for_health(200, "ready");
}

#[test]
fn it_is_answered_while_all_request_threads_hang() {
    const THREADS: usize = 6;
    let names: Vec<String> = (0..8 * THREADS).map(|number| format!("f{number}")).collect();
    let mut files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"f".as_slice())).collect();
    files.push(("index.html", b"home"));
    let threads = format!("--max-threads={THREADS}");
    let (checked, disk) = start(&files, &["--workers=1", &threads, "--http2=cleartext", "--access-log=stderr"]);
    let mut kept = checked.server.connect();
    assert_eq!(kept.get("/healthz").status, 200);
    files.iter().for_each(|(name, _)| disk.set(name, Call::Find, Fault::Hang));
    disk.set("", Call::Stat, Fault::Hang);
    // No limit for a file, a directory or a client leaves a thread.
    let connect = |number: usize| connect_from([127, 0, 0, 2 + number as u8], checked.server.address);
    let mut clients: Vec<Client> = (0..names.len()).map(connect).collect();
    for (name, client) in names.iter().zip(&mut clients) {
        client.send(get(&format!("/{name}")));
    }
    let refused = |text: &str| checked.server.log().matches(text).count();
    wait_until("the others to be refused", || refused("the last thread is kept for health checks") > 0);
    let mut http2 = Http2Client::connect(checked.server.address);
    let begin = Instant::now();
    while begin.elapsed() < DETECTED {
        let asked = Instant::now();
        let statuses =
            [kept.get("/healthz").status, http2.get("/healthz").status(), checked.server.get("/healthz").status];
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!((kept.get("/healthz").status, http2.get("/healthz").status()), (503, 503));
    assert_eq!(checked.server.log().matches("was killed").count(), 0, "the worker is not hung");
    disk.mend();
    checked.wait_for_health(200, "ready");
}

#[test]
fn the_disk_is_asked_once_a_second_by_all_workers_together() {
    let (checked, disk) = start(&[("index.html", b"home")], &["--workers=4"]);
    let before = disk.reads();
    let begin = Instant::now();
    wait_until("some seconds", || begin.elapsed() > Duration::from_secs(6));
    let reads = disk.reads() - before;
    assert!((3..=8).contains(&reads), "{reads} reads in {:?}", begin.elapsed());
    assert_eq!(checked.health(), Some((200, "ready\n".into())));
}
