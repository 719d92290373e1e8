//! The helper process: it is there when files are to be hashed, and nothing depends on it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Server, Setup, Site, copy_program, wait_until};

/// A site with files that are hashed in the background. The last change of a file must be some time ago for that.
fn site() -> Site {
    let site = Site::new();
    for number in 0..10 {
        site.write(format!("large{number}"), &vec![b'x'; (1 << 20) + number]);
    }
    site
}

/// Requests each file until there is a helper other than `before`. Returns its pid.
fn work(server: &Server, before: Option<Pid>) -> Pid {
    let mut numbers = (0..10).cycle();
    let mut found = None;
    wait_until("a helper", || {
        let target = format!("/large{}", numbers.next().unwrap());
        assert_eq!(server.get(&target).status, 200);
        found = server.helper().filter(|helper| Some(*helper) != before);
        found.is_some()
    });
    found.unwrap()
}

fn is_gone(process: Pid) -> bool {
    !fs::exists(format!("/proc/{process}")).unwrap()
}

/// The 19th field of /proc/PID/stat; the second, in parentheses, may contain blanks.
fn nice(process: Pid) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()
}

#[test]
fn the_helper_is_confined_and_ends_when_there_is_no_work() {
    let site = site();
    let server = Server::of(&site);
    server.wait_until_ready();
    let workers = server.workers();
    assert_eq!(server.helper(), None, "no work, no process");
    let helper = work(&server, None);
    wait_until("the low priority", || nice(helper) == Some(10));
    let status = fs::read_to_string(format!("/proc/{helper}/status")).unwrap();
    for field in ["Threads:\t1\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"] {
        assert!(status.contains(field), "{status}");
    }
    // The last step of its start.
    wait_until("the lowest priority for the disk", || {
        let output = Command::new("ionice").arg("-p").arg(helper.to_string()).output();
        output.map_or(true, |output| output.stdout == b"idle\n")
    });
    let links = fs::read_dir(format!("/proc/{helper}/fd")).unwrap().flatten();
    let links: Vec<_> = links.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    let sockets = links.iter().filter(|link| link.to_string_lossy().starts_with("socket:")).count();
    assert_eq!(sockets, 1, "its queue: {links:?}");
    for link in links.iter().filter(|link| !link.to_string_lossy().starts_with("socket:")) {
        // The file that it reads; and its output.
        let is_file = link.starts_with(site.root());
        assert!(is_file || link.ends_with("log") || link.ends_with("null"), "{link:?} of {links:?}");
    }
    assert_eq!(server.workers(), workers, "it is no worker");
    wait_until("the end of the idle helper", || server.helper().is_none() && is_gone(helper));
    assert!(!server.log().contains("helper process"), "{}", server.log());
    assert_eq!(server.workers(), workers);
}

#[test]
fn a_helper_that_is_killed_is_replaced_and_disturbs_nobody() {
    let site = site();
    let server = Server::of(&site);
    server.wait_until_ready();
    let workers = server.workers();
    let first = work(&server, None);
    kill(first, Signal::SIGKILL).unwrap();
    server.wait_for_log(&format!("The helper process (pid {first}) was killed by SIGKILL; starting another in 100 ms"));
    let second = work(&server, Some(first));
    kill(second, Signal::SIGTERM).unwrap();
    server.wait_for_log(&format!("The helper process (pid {second}) was killed by SIGTERM"));
    assert_eq!(server.workers(), workers);
}

#[test]
fn the_helper_writes_no_memory_of_a_worker() {
    let site = site();
    let server = Server::of(&site);
    server.wait_until_ready();
    let helper = work(&server, None);
    wait_until("the low priority", || nice(helper) == Some(10));
    let written = written_memory(helper);
    assert_eq!(written.len(), 3, "its counters, the digests and compressed content: {written:?}");
    for worker in server.workers() {
        assert!(written.is_disjoint(&written_memory(worker)), "{written:?}");
    }
}

/// The inodes of the shared memory that a process may write.
fn written_memory(process: Pid) -> BTreeSet<String> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let fields = maps.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[1] == "rw-s").map(|fields| fields[4].to_string()).collect()
}

#[test]
fn a_stop_ends_the_helper() {
    let site = site();
    let mut server = Server::of(&site);
    let helper = work(&server, None);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
    wait_until("its end", || is_gone(helper));
    assert!(!server.log().contains("helper process"), "{}", server.log());
}

#[test]
fn a_supervisor_that_is_killed_takes_the_helper_with_it() {
    let site = site();
    let mut server = Server::of(&site);
    let helper = work(&server, None);
    wait_until("the low priority", || nice(helper) == Some(10));
    server.signal(Signal::SIGKILL);
    server.exit_status();
    wait_until("its end", || is_gone(helper));
}

#[test]
fn a_reload_replaces_the_helper_without_a_message() {
    let site = site();
    let program = site.outside().join("otus-httpd");
    copy_program(&program);
    let server = Setup::new(&site, &[]).program(&program).listen();
    server.wait_until_ready();
    let helper = work(&server, None);
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    wait_until("its end", || is_gone(helper));
    // What was hashed before is known.
    site.write("large0", &vec![b'y'; 2 << 20]);
    work(&server, Some(helper));
    assert!(!server.log().contains("helper process"), "{}", server.log());
}
