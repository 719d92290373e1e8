//! Workers that die are replaced; the others are not affected.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Client, Server, Site, get, wait_until};

#[test]
fn a_worker_that_is_killed_is_replaced_and_logged() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::of(&site);
    server.wait_until_ready();
    let workers = server.workers();
    assert_eq!(workers.len(), 2);
    // Connections to both workers. A kill shows which connection belongs to which.
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/a").text(), "a"));
    let of_victim = sockets(workers[0]);

    kill(workers[0], Signal::SIGKILL).unwrap();
    server.wait_for_log(&format!("(pid {}) was killed by SIGKILL", workers[0]));
    wait_until("a replacement", || server.workers().len() == 2 && !server.workers().contains(&workers[0]));
    assert!(server.workers().contains(&workers[1]), "the other one stays");
    wait_until("the victim's connections to end", || {
        clients.iter_mut().map(|client| usize::from(client.is_closed())).sum::<usize>() == of_victim
    });
    for client in clients.iter_mut().filter_map(|client| (!client.is_closed()).then_some(client)) {
        assert_eq!(client.get("/a").text(), "a");
    }
    assert_eq!(server.get("/a").text(), "a");
}

/// The number of accepted TCP connections of a process: its sockets that /proc/net/tcp lists as established.
fn sockets(process: Pid) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let established: Vec<_> = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[3] == "01")
        .map(|fields| format!("socket:[{}]", fields[9]))
        .collect();
    let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    open.filter_map(|file| fs::read_link(file.unwrap().path()).ok())
        .filter(|link| established.iter().any(|socket| link.as_os_str() == socket.as_str()))
        .count()
}

#[test]
fn a_worker_that_ends_on_a_signal_is_replaced() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::of(&site);
    server.wait_until_ready();
    let worker = server.workers()[1];
    kill(worker, Signal::SIGTERM).unwrap();
    server.wait_for_log(&format!("(pid {worker}) exited with code 0"));
    wait_until("a replacement", || server.workers().len() == 2);
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn replacements_wait_longer_each_time() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--workers=1"]);
    for pause in ["100 ms", "200 ms", "400 ms", "800 ms"] {
        wait_until("a worker", || server.workers().len() == 1);
        kill(server.workers()[0], Signal::SIGKILL).unwrap();
        server.wait_for_log(&format!("starting a new worker in {pause}"));
    }
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn workers_exit_when_the_supervisor_dies() {
    let site = Site::with(&[("a", b"a")]);
    site.write("large", &vec![b'x'; 20_000_000]);
    let mut server = Server::of(&site);
    let mut client = server.connect();
    client.send(get("/large"));
    assert_eq!(client.0.peek(&mut [0]).unwrap(), 1, "the download is under way");
    server.wait_until_ready();
    let workers = server.workers();
    server.signal(Signal::SIGKILL);
    server.exit_status();
    assert_eq!(client.response().body.len(), 20_000_000, "what is in flight is answered first");
    wait_until("the workers to leave", || workers.iter().all(|pid| !is_alive(*pid)));
}

/// A process that has ended may remain a zombie if nothing reaps orphans.
fn is_alive(process: Pid) -> bool {
    states(process).iter().any(|&state| state != 'Z')
}

/// The states of a process's threads (proc(5), /proc/pid/stat).
fn states(process: Pid) -> Vec<char> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
}

#[test]
fn a_stopped_worker_loses_no_connection() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::of(&site);
    server.wait_until_ready();
    let worker = server.workers()[0];
    kill(worker, Signal::SIGSTOP).unwrap();
    // All threads have to stop: one that has not stopped yet may still accept a connection.
    wait_until("the worker to stop", || states(worker).iter().all(|&state| state == 'T'));
    for _ in 0..50 {
        assert_eq!(server.get("/a").text(), "a");
    }
}

#[test]
fn connections_that_stay_are_shared_among_the_workers() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--workers=3"]);
    server.wait_until_ready();
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..60 {
        clients.push(server.connect());
        assert_eq!(clients.last_mut().unwrap().get("/a").text(), "a");
    }
    let open: Vec<usize> = server.workers().into_iter().map(sockets).collect();
    // The machine is otherwise idle, so without sharing the first worker would accept all of them.
    assert!(open.iter().all(|open| (10..=30).contains(open)), "{open:?}");
}
