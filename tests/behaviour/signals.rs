//! Signals that an administrator may send out of habit, or too early.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::support::{Server, Setup, Site, wait_until};

fn blocks_hup(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or_default();
    u64::from_str_radix(blocked.trim(), 16).is_ok_and(|blocked| blocked & 1 != 0)
}

/// The settings file is a FIFO, so the start waits until the test writes the settings.
#[test]
fn a_reload_before_the_settings_are_read_does_not_end_the_server() {
    let site = Site::with(&[("a", b"a")]);
    let settings = site.outside().join("settings");
    mkfifo(&settings, Mode::S_IRWXU).unwrap();
    let server = Setup::new(&site, &["--workers=1"]).env("OTUS_SETTINGS", &settings).listen();
    wait_until("the program", || blocks_hup(server.pid()));
    server.signal(Signal::SIGHUP);
    let mut writer = OpenOptions::new().write(true).open(&settings).unwrap();
    // The check of the reload and the new image read the settings next.
    fs::write(site.outside().join("file"), "OTUS_CHARSET=utf-8\n").unwrap();
    fs::rename(site.outside().join("file"), &settings).unwrap();
    writer.write_all(b"OTUS_CHARSET=utf-8\n").unwrap();
    drop(writer);
    server.wait_for_log("Reloaded; ");
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn signals_of_other_servers_have_no_effect_but_a_hint() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::of(&site);
    server.wait_until_ready();
    let workers = server.workers();
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGWINCH] {
        for process in workers.iter().copied().chain([server.pid()]) {
            kill(process, signal).unwrap();
        }
        assert_eq!(server.get("/a").text(), "a");
    }
    // Workers ignore these signals.
    for signal in [Signal::SIGHUP, Signal::SIGQUIT] {
        workers.iter().for_each(|worker| kill(*worker, signal).unwrap());
    }
    server.wait_for_log("has no effect. HUP reloads");
    assert_eq!(server.get("/a").text(), "a");
    assert_eq!(server.workers(), workers);
    assert_eq!(server.warnings().len(), 1, "{:?}", server.warnings());
}

#[test]
fn quit_stops_in_order() {
    let site = Site::with(&[("a", b"a")]);
    let mut server = Server::of(&site);
    assert_eq!(server.get("/a").text(), "a");
    server.signal(Signal::SIGQUIT);
    assert_eq!(server.exit_status().code(), Some(0));
    assert!(server.log().contains("Stopping (SIGQUIT)"), "{}", server.log());
}

/// The signals of a terminal, of timers and of input and output, and the real-time signals.
#[test]
fn signals_without_a_meaning_are_ignored() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::of(&site);
    server.wait_until_ready();
    let workers = server.workers();
    let processes: Vec<String> = workers.iter().chain([&server.pid()]).map(ToString::to_string).collect();
    for signal in
        ["ALRM", "VTALRM", "PROF", "IO", "PWR", "STKFLT", "TSTP", "XFSZ", "URG", "WINCH", "RTMIN", "RTMIN+7", "RTMAX"]
    {
        let kill = format!("kill -s {signal} {}", processes.join(" "));
        assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success(), "{signal}");
        assert_eq!(server.get("/a").text(), "a", "{signal}");
    }
    assert_eq!(server.workers(), workers);
    assert!(server.warnings().is_empty(), "{:?}", server.warnings());
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
}

/// If the starter ignored SIGCHLD, the kernel would reap the children of the server.
#[test]
fn a_worker_that_ends_is_replaced_though_the_starter_ignored_sigchld() {
    let site = Site::with(&[("a", b"a")]);
    let ignored = "exec perl -e '$SIG{CHLD} = \"IGNORE\"; exec @ARGV' \"$0\" \"$@\";";
    let server = Setup::new(&site, &[]).before(ignored).listen();
    server.wait_until_ready();
    let worker = server.workers()[0];
    kill(worker, Signal::SIGKILL).unwrap();
    server.wait_for_log("was killed by SIGKILL");
    wait_until("a replacement", || server.workers().len() == 2 && !server.workers().contains(&worker));
}
