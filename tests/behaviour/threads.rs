//! A limit on threads: the server continues with those that it has, and starts more when it can.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::Instant;

use nix::unistd::Pid;

use crate::fuse::{Call, Disk, Fault};
use crate::support::{Client, Server, Setup, Site, copy_program, get, threads, ticks, wait_until};

/// A server with one worker that may have `tasks` threads and processes in total.
///
/// RLIMIT_NPROC counts the threads of a user and does not apply to root. So the server runs as a user of its own, with
/// a copy of the program, since the user may not access the build.
fn start(site: &Site, tasks: usize) -> Server {
    fs::set_permissions(site.outside(), Permissions::from_mode(0o755)).unwrap();
    let program = site.outside().join("otus-httpd");
    copy_program(&program);
    let limit = format!("prlimit --nproc={tasks}:1000 {}", AS_USER.replace("USER", "$((1000000 + $$))"));
    // The permission to serve as root is for root only.
    let before = format!("unset OTUS_USER; exec {limit} {} \"$@\";", program.display());
    Setup::new(site, &["--workers=1"]).before(&before).listen()
}

const AS_USER: &str = "setpriv --reuid=USER --regid=USER --clear-groups";

/// Limits a process of the server to `tasks` threads and processes of its user. Where root has limited capabilities,
/// only that user may set the limit.
fn allow(process: Pid, tasks: usize) {
    let user = fs::metadata(format!("/proc/{process}")).unwrap().uid().to_string();
    let script = format!("{} prlimit --pid={process} --nproc={tasks}:", AS_USER.replace("USER", &user));
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
}

#[test]
fn without_more_threads_the_server_continues_with_those_that_it_has() {
    let site = Site::with(&[("a", b"a")]);
    let disk = Disk::mount(&site, "disk", &[("stuck", b"stuck")]);
    // The supervisor, the worker's main thread, the one that checks the document root, and three request threads.
    let server = start(&site, 6);
    server.wait_until_ready();
    let worker = server.workers()[0];
    disk.set("stuck", Call::Open, Fault::Hang);
    let ask = || {
        let mut client = server.connect();
        client.send(get("/disk/stuck"));
        client
    };
    let mut waiting: Vec<Client> = vec![ask(), ask()];
    wait_until("two to hang", || disk.waiting() == 2);
    server.wait_for_log("Cannot start another request thread");
    assert_eq!(threads(worker), 4);
    assert_eq!(server.get("/a").text(), "a", "one is left");

    waiting.push(ask());
    wait_until("all to hang", || disk.waiting() == 3);
    let mut pending = server.connect();
    pending.send(get("/a"));
    // It does not busy-wait.
    let (begin, before) = (Instant::now(), ticks(worker));
    wait_until("a second and a half", || begin.elapsed().as_millis() > 1_500);
    assert!(ticks(worker) - before < 30, "it spins: {} ticks", ticks(worker) - before);
    assert!(!pending.is_closed());

    allow(worker, 20);
    assert_eq!(pending.response().text(), "a");
    disk.mend();
    for client in &mut waiting {
        assert_eq!(client.response().text(), "stuck");
    }
    let messages = server.warnings();
    assert!(messages.len() == 1 && messages[0].contains("raise TasksMax= or lower --max-threads"), "{messages:?}");
    assert_eq!(server.workers(), [worker]);
}

#[test]
fn without_any_threads_the_start_is_retried() {
    // Either no process besides the supervisor, or no thread besides the worker's main thread.
    for (tasks, message) in [(1, "Cannot start worker 0"), (2, "it cannot start a thread")] {
        let site = Site::with(&[("a", b"a")]);
        let server = start(&site, tasks);
        let mut client = server.connect();
        client.send(get("/a"));
        server.wait_for_log(message);
        assert!(!client.is_closed());
        allow(server.pid(), 20);
        assert_eq!(client.response().text(), "a");
        server.wait_until_ready();
    }
}
