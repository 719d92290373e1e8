//! Workers that hang are detected and replaced; workers that are slow or were suspended are not.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fuse::{Call, Disk, Fault};
use crate::support::{Notifications, Server, Setup, Site, get, stop, threads, wait_until};

/// A server with a hang timeout of 2.5 s.
fn start(site: &Site, systemd: Option<&Notifications>, arguments: &[&str]) -> Server {
    let setup = Setup::new(site, arguments).env("WATCHDOG_USEC", "8000000").before("export WATCHDOG_PID=$$;");
    let setup = match systemd {
        Some(systemd) => setup.env("NOTIFY_SOCKET", systemd.path()),
        None => setup,
    };
    let server = setup.listen();
    server.wait_until_ready();
    server
}

/// Longer than the hang timeout and the time to detect it.
const LONG: Duration = Duration::from_millis(5_000);

/// Checks a condition repeatedly for a long time.
fn all_the_while(mut holds: impl FnMut()) {
    let begin = Instant::now();
    while begin.elapsed() < LONG {
        holds();
    }
}

fn assert_untouched(server: &Server, workers: &[Pid]) {
    assert_eq!(server.workers(), workers);
    assert!(!server.log().contains("hangs"), "{}", server.log());
}

#[test]
fn a_worker_that_is_stopped_is_replaced_and_the_others_serve_meanwhile() {
    let site = Site::with(&[("a", b"a")]);
    let systemd = Notifications::new();
    let server = start(&site, Some(&systemd), &[]);
    let hung = server.workers()[0];
    stop(hung);
    let (mut served, mut messages) = (0, Vec::new());
    wait_until("the hung worker to be ended", || {
        assert_eq!(server.get("/a").text(), "a");
        served += 1;
        // Unread, they would stop the supervisor.
        messages.extend(systemd.waiting());
        // While the worker is stopped, SIGABRT has no effect.
        server.log().contains(&format!("(pid {hung}) was killed by SIGKILL"))
    });
    assert!(served > 10, "{served}");
    assert!(server.log().contains(&format!("(pid {hung}) hangs")), "{}", server.log());
    assert!(messages.iter().any(|message| message.contains("Serving: workers 1/2")), "{messages:?}");
    systemd.find("all is well again", |message| message.contains("Serving: workers 2/2"));
    systemd.find("the watchdog is fed", |message| message.contains("WATCHDOG=1"));
}

#[test]
fn a_worker_whose_threads_are_all_stuck_is_replaced() {
    // A read that hangs ends with its process. An open that hangs keeps the process alive after any signal.
    for (call, end) in [
        (Call::Read(0), "was killed by SIGABRT"),
        (Call::Open, "survives SIGKILL, which an unresponsive disk can cause; starting another worker beside it"),
    ] {
        let site = Site::with(&[("a", b"a")]);
        let disk = Disk::mount(&site, "disk", &[("file", &[b'x'; 100_000])]);
        let systemd = Notifications::new();
        let server = start(&site, Some(&systemd), &["--workers=1", "--max-threads=1"]);
        let worker = server.workers()[0];
        disk.set("file", call, Fault::Hang);
        let mut waiting: Vec<_> = (0..1).map(|_| server.connect()).collect();
        for client in &mut waiting {
            client.send(get("/disk/file"));
        }
        systemd.find("a status that tells of it", |message| message.contains("(1 saturated)"));
        wait_until(end, || {
            systemd.waiting();
            server.log().contains(&format!("(pid {worker}) {end}"))
        });
        assert!(server.log().contains("All of the worker's 1 request threads are busy"), "{}", server.log());
        assert_eq!(server.get("/a").text(), "a");
        systemd.find("all is well again", |message| message.contains("Serving: workers 1/1, "));
        disk.mend();
    }
}

#[test]
fn a_worker_with_a_hanging_site_is_kept_while_it_has_an_idle_thread() {
    let site = Site::new();
    let disk = Disk::mount(&site, "disk", &[("index.html", b"index")]);
    let root = format!("--root={}", site.path("disk").display());
    let server = start(&site, None, &[&root]);
    let workers = server.workers();
    disk.set("index.html", Call::Find, Fault::Hang);
    wait_until("each worker's probe to hang", || {
        // The main thread, a blocked thread, and an idle one.
        disk.waiting() > 0 && workers.iter().all(|worker| threads(*worker) > 2)
    });
    // There are no other clients: any request would show progress.
    let begin = Instant::now();
    wait_until("a long time", || begin.elapsed() >= LONG);
    assert_eq!(server.connect().send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").head().status, 204);
    assert_untouched(&server, &workers);
    disk.mend();
}

#[test]
fn a_worker_under_full_load_is_not_ended() {
    let site = Site::new();
    let disk = Disk::mount(&site, "disk", &[("small", b"small")]);
    // There are more requests than threads, and each thread is blocked again and again. Turns are completed slowly.
    let server = start(&site, None, &["--workers=1", "--max-threads=1"]);
    let workers = server.workers();
    all_the_while(|| {
        disk.set("small", Call::Find, Fault::Hang);
        let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send(get("/disk/small"));
        }
        wait_until("the thread to hang", || disk.waiting() > 0);
        disk.mend();
        for client in &mut clients {
            assert_eq!(client.response().text(), "small");
        }
    });
    assert_untouched(&server, &workers);
}

#[test]
fn a_server_that_was_suspended_kills_no_worker() {
    let site = Site::with(&[("a", b"a")]);
    let server = start(&site, None, &[]);
    let workers = server.workers();
    // The supervisor continues first, before any worker can show progress.
    let all: Vec<Pid> = [server.pid()].into_iter().chain(workers.iter().copied()).collect();
    all.iter().for_each(|&process| stop(process));
    let begin = Instant::now();
    wait_until("a long sleep", || begin.elapsed() >= LONG);
    all.iter().for_each(|&process| kill(process, Signal::SIGCONT).unwrap());
    all_the_while(|| assert_eq!(server.get("/a").text(), "a"));
    assert_untouched(&server, &workers);

    // Even when it is stopped alone.
    stop(server.pid());
    all_the_while(|| assert_eq!(server.get("/a").text(), "a"));
    server.signal(Signal::SIGCONT);
    all_the_while(|| assert_eq!(server.get("/a").text(), "a"));
    assert_untouched(&server, &workers);
}
