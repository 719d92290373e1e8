//! SIGHUP: the process executes a new image of its program, and clients are not affected.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    BINARY, Client, Notifications, Server, Setup, Site, copy_program, get, open_descriptors, stop, wait_until,
};

const LARGE: usize = 20_000_000;

fn site() -> Site {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; LARGE]);
    site
}

/// Returns how often the log has this message.
fn count(server: &Server, text: &str) -> usize {
    server.log().matches(text).count()
}

/// Reloads, and waits until the old workers have ended.
fn reload(server: &Server) {
    let (before, reloads) = (server.workers(), count(server, "Reloaded; "));
    server.signal(Signal::SIGHUP);
    wait_until("the reload", || count(server, "Reloaded; ") > reloads);
    wait_until("the old workers to leave", || server.workers().iter().all(|worker| !before.contains(worker)));
}

/// A copy of the program, which can be replaced.
fn copy(site: &Site) -> PathBuf {
    let path = site.outside().join("otus-httpd");
    copy_program(&path);
    path
}

/// Replaces a program with a script, as dpkg would.
fn replace(path: &Path, script: &str) {
    // This process does not write it, for the reason at `copy_program`.
    let commands = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0.new" && chmod 755 "$0.new" && mv "$0.new" "$0""#;
    assert!(Command::new("sh").args(["-c", commands]).arg(path).arg(script).status().unwrap().success());
}

#[test]
fn new_workers_serve_while_old_ones_complete_requests_in_flight() {
    let systemd = Notifications::new();
    let server = Setup::new(&site(), &[]).env("NOTIFY_SOCKET", systemd.path()).listen();
    server.wait_until_ready();
    let mut download = server.connect();
    download.send(get("/large"));
    assert_eq!(download.0.peek(&mut [0]).unwrap(), 1, "it is under way");
    let mut idle = server.connect();
    assert_eq!(idle.get("/a").text(), "a");
    let old = server.workers();

    server.signal(Signal::SIGHUP);
    let message = systemd.find("RELOADING=1", |message| message.contains("RELOADING=1"));
    assert!(message.contains("MONOTONIC_USEC="), "{message}");
    systemd.find("READY=1", |message| message.contains("READY=1"));
    assert!(server.log().contains("Reloaded; workers: 2"), "{}", server.log());
    for _ in 0..20 {
        assert_eq!(server.get("/a").text(), "a");
    }
    systemd.find("the old worker in the status", |message| message.contains(", old workers 1"));
    assert_eq!(server.workers().iter().filter(|worker| old.contains(worker)).count(), 1, "the one that sends");
    assert_eq!(download.response().body.len(), LARGE);
    wait_until("the old workers to leave", || server.workers().iter().all(|worker| !old.contains(worker)));
    assert_eq!(server.workers().len(), 2);
    idle.assert_closed();
    systemd.find("what was counted before", |message| {
        message.contains("Serving: workers 2/2, requests 22,") && !message.contains("old workers")
    });
    assert_eq!(server.warnings(), Vec::<String>::new());
}

#[test]
fn no_request_is_lost_by_repeated_reloads() {
    let site = site();
    let server = Server::of(&site);
    server.wait_until_ready();
    let is_over = AtomicBool::new(false);
    let address = server.address;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut served = 0;
                    while !is_over.load(SeqCst) {
                        let mut client = Client::connect(address);
                        // Each connection has many requests, or one.
                        for _ in 0..if number % 2 == 0 { 50 } else { 1 } {
                            let response = client.get("/a");
                            assert_eq!(response.text(), "a");
                            served += 1;
                            if response.field("Connection") == Some("close") {
                                client.assert_closed();
                                break;
                            }
                        }
                    }
                    served
                })
            })
            .collect();
        for _ in 0..10 {
            reload(&server);
        }
        is_over.store(true, SeqCst);
        for client in clients {
            assert!(client.join().unwrap() > 10);
        }
    });
    assert_eq!(server.warnings(), Vec::<String>::new());
}

#[test]
fn a_reload_leaves_no_process_and_no_descriptor_behind() {
    let server = Server::of(&site());
    server.wait_until_ready();
    reload(&server);
    let all = |server: &Server| [vec![server.pid()], server.workers()].concat();
    let open = |server: &Server| open_descriptors(&all(server));
    // A new worker opens its descriptors one after the other.
    let before = open(&server);
    for _ in 0..5 {
        reload(&server);
    }
    wait_until("as many descriptors as before", || open(&server) <= before);
}

#[test]
fn a_storm_of_signals_leaves_the_server_working() {
    let server = Server::of(&site());
    server.wait_until_ready();
    for n in 0..50 {
        server.signal(Signal::SIGHUP);
        assert_eq!(server.get("/a").text(), "a", "{n}");
    }
    wait_until("the last reload to end", || {
        count(&server, "Reloaded; ") > 0 && server.workers().len() == 2 && server.get("/a").text() == "a"
    });
    reload(&server);
    // The last signal may have arrived after the last reload.
    wait_until("two workers", || server.workers().len() == 2);
    assert_eq!(server.warnings(), Vec::<String>::new());
}

#[test]
fn a_single_request_during_a_change_of_workers_gets_a_response() {
    // No other client connects, for which the kernel would wake another worker.
    let server = Server::with(&site(), &["--workers=1"]);
    server.wait_until_ready();
    for _ in 0..100 {
        let reloads = count(&server, "Reloaded; ");
        server.signal(Signal::SIGHUP);
        while count(&server, "Reloaded; ") == reloads {
            assert_eq!(server.get("/a").text(), "a");
        }
    }
}

#[test]
fn a_reload_that_cannot_succeed_changes_nothing() {
    let site = site();
    let program = copy(&site);
    let systemd = Notifications::new();
    let server = Setup::new(&site, &[]).program(&program).env("NOTIFY_SOCKET", systemd.path()).listen();
    server.wait_until_ready();
    let workers = server.workers();
    let mut client = server.connect();

    replace(&program, "echo 'otus-httpd: The flux is out of phase; turn it.' >&2; exit 1");
    server.signal(Signal::SIGHUP);
    systemd.find("the status to say why", |message| {
        message.contains("Serving: ") && message.contains("; reload failed: The flux is out of phase; turn it.")
    });
    server.wait_for_log(
        "Reload failed; still running with the previous configuration. The flux is out of phase; turn it.",
    );

    fs::remove_file(&program).unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for_log("cannot run ");

    copy_program(&program);
    let root = site.root();
    let aside = root.with_extension("aside");
    fs::rename(&root, &aside).unwrap();
    server.signal(Signal::SIGHUP);
    wait_until("the third refusal", || {
        // Notifications must be received, or the server waits.
        systemd.waiting();
        count(&server, "Reload failed") == 3
    });
    fs::rename(&aside, &root).unwrap();

    assert_eq!(server.workers(), workers);
    assert_eq!(client.get("/a").text(), "a");
    server.signal(Signal::SIGHUP);
    systemd.find("the reload", |message| message.contains("old workers"));
    systemd.find("its end", |message| message.contains("Serving: ") && !message.contains("old workers"));
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn an_upgrade_replaces_the_running_program() {
    let site = site();
    let program = copy(&site);
    let server = Setup::new(&site, &[]).program(&program).listen();
    server.wait_until_ready();
    // The new version has three workers.
    replace(&program, &format!("exec {BINARY} --workers=3 \"$@\" --workers=3"));
    let pid = server.pid();
    reload(&server);
    wait_until("three workers", || server.workers().len() == 3);
    assert_eq!(server.pid(), pid);
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn a_server_can_be_stopped_and_killed_after_a_reload() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut server = Server::of(&site());
        server.wait_until_ready();
        let mut download = server.connect();
        download.send(get("/large"));
        assert_eq!(download.0.peek(&mut [0]).unwrap(), 1, "it is under way");
        server.signal(Signal::SIGHUP);
        server.wait_for_log("Reloaded; ");
        let workers = server.workers();
        assert!(workers.len() >= 3, "two, and the old one that sends");
        server.signal(signal);
        let mut body = Vec::new();
        download.0.read_to_end(&mut body).unwrap();
        assert!(body.len() > LARGE, "what is in flight is answered first");
        let status = server.exit_status();
        assert_eq!(status.code(), (signal == Signal::SIGTERM).then_some(0));
        wait_until("the workers to leave", || workers.iter().all(|worker| is_gone(*worker)));
    }
}

/// A process that has ended may remain a zombie if nothing reaps orphans.
fn is_gone(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z')) || kill(process, None).is_err()
}

#[test]
fn a_worker_that_dies_during_a_reload_is_replaced() {
    let server = Server::of(&site());
    server.wait_until_ready();
    for _ in 0..5 {
        let victim = server.workers()[0];
        server.signal(Signal::SIGHUP);
        let _ = kill(victim, Signal::SIGKILL);
        assert_eq!(server.get("/a").text(), "a");
        reload(&server);
        wait_until("two workers", || server.workers().len() == 2);
    }
}

/// Makes the server the parent of orphans, as the first process of a container is (prctl(2), PR_SET_CHILD_SUBREAPER).
const SUBREAPER: &str = if cfg!(target_arch = "x86_64") { "157" } else { "167" };

#[test]
fn orphans_that_end_with_the_check_of_the_settings_do_not_hide_its_exit() {
    let site = site();
    let (program, gate) = (copy(&site), site.outside().join("gate"));
    let before = format!("exec perl -e 'syscall({SUBREAPER}, 36, 1, 0, 0, 0) == 0 or die; exec @ARGV' \"$0\" \"$@\";");
    let server = Setup::new(&site, &[]).program(&program).before(&before).listen();
    server.wait_until_ready();
    let before = server.workers();
    // Ten orphans and the check itself wait for the file.
    let wait = format!("while ! test -e '{}'; do sleep 0.02; done", gate.display());
    replace(
        &program,
        &format!(
            "case \"$*\" in *--check*) for n in 0 1 2 3 4 5 6 7 8 9; do ( ({wait}) & ); done; {wait}; exit 0;; esac\n\
             exec '{BINARY}' \"$@\""
        ),
    );
    let children = || {
        let pid = server.pid();
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default().split_whitespace().count()
    };
    server.signal(Signal::SIGHUP);
    wait_until("the check and the orphans", || children() == before.len() + 11);
    stop(server.pid());
    fs::write(&gate, "").unwrap();
    let is_zombie = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    wait_until("all of them to have ended", || {
        let pid = server.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().filter(|pid| is_zombie(pid)).count() == 11
    });
    server.signal(Signal::SIGCONT);
    server.wait_for_log("Reloaded; ");
    assert_eq!(server.get("/a").text(), "a");
}

/// Its worker is any process, and its memory has another layout.
#[test]
fn the_handover_of_an_earlier_version_is_taken_over() {
    let site = Site::with(&[("a", b"a")]);
    let memory = site.outside().join("memory");
    fs::write(&memory, [1; 4096]).unwrap();
    let (lifeline, _of_worker) = std::os::unix::net::UnixStream::pair().unwrap();
    let commands = format!(
        "exec 5<'{}'; sleep 1000 3<&- 4<&- 5<&- & export _OTUS_HANDOVER=\"process $$
socket 4 http
board 5
worker 3 $! 0 0
\";",
        memory.display()
    );
    let server = Setup::new(&site, &[]).socket(lifeline).before(&commands).listen();
    assert_eq!(server.get("/a").text(), "a");
    server.wait_for_log("Reloaded; workers: 2,");
    wait_until("the end of the old worker", || server.workers().len() == 2);
    assert_eq!(server.get("/a").text(), "a");
}
