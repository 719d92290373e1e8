//! The user of the server: never root unless configured. These tests require root and start servers as other users.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, User, geteuid, getgrouplist};

use crate::support::{Client, Server, Setup, Site, copy_program};

/// A site that everybody may read, with a file that only root may read.
fn site() -> Site {
    assert!(geteuid().is_root(), "this test starts servers for other users: run it as root");
    let site = Site::with(&[("open", b"open"), ("locked", b"locked")]);
    fs::set_permissions(site.outside(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(site.path("locked"), Permissions::from_mode(0o600)).unwrap();
    site
}

/// A line of /proc/pid/status (proc(5)), as numbers.
fn numbers(process: Pid, name: &str, radix: u32) -> Vec<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').split_whitespace().map(|n| u64::from_str_radix(n, radix).unwrap()).collect()
}

/// Checks that every process has the ids and groups of `name`, and no capabilities.
fn assert_identity(server: &Server, name: &str) {
    let user = User::from_name(name).unwrap().unwrap();
    let groups = getgrouplist(&std::ffi::CString::new(name).unwrap(), user.gid).unwrap();
    let groups: Vec<_> = groups.iter().map(|group| u64::from(group.as_raw())).collect();
    for process in [vec![server.pid()], server.workers()].concat() {
        assert_eq!(numbers(process, "Uid", 10), [u64::from(user.uid.as_raw()); 4]);
        assert_eq!(numbers(process, "Gid", 10), [u64::from(user.gid.as_raw()); 4]);
        assert_eq!(numbers(process, "Groups", 10), groups);
        assert_eq!([numbers(process, "CapEff", 16), numbers(process, "CapPrm", 16)], [[0], [0]]);
    }
}

#[test]
fn root_without_a_user_setting_serves_as_a_web_user() {
    let site = site();
    let server = Setup::new(&site, &[]).before("unset OTUS_USER;").listen();
    server.wait_until_ready();
    let first = server.log().lines().next().unwrap_or_default().to_string();
    assert!(first.ends_with("INFO Running as user www-data; root privileges dropped."), "{first}");
    assert_identity(&server, "www-data");
    assert_eq!(server.get("/open").text(), "open");
    assert_eq!(server.get("/locked").status, 403);
}

#[test]
fn root_switches_to_the_user_with_its_groups_and_without_capabilities() {
    let site = site();
    let server = Server::with(&site, &["--user=nobody"]);
    server.wait_until_ready();
    assert_identity(&server, "nobody");
    assert_eq!(server.get("/open").text(), "open");
    assert_eq!(server.get("/locked").status, 403);
    // The groups are those of the user man. The variable has the effect of the option.
    let server = Setup::new(&site, &[]).env("OTUS_USER", "man").listen();
    server.wait_until_ready();
    assert_identity(&server, "man");
}

#[test]
fn root_stays_root_with_user_root() {
    let server = Server::with(&site(), &["--user=root"]);
    assert_eq!(server.get("/locked").text(), "locked");
    assert_eq!(numbers(server.pid(), "Uid", 10), [0; 4]);
}

#[test]
fn a_privileged_port_is_bound_before_the_user_is_switched() {
    // A network namespace of this thread, in which every port is free. perl enables its loopback interface
    // (netdevice(7)).
    let site = site();
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let up = r#"use Socket; my $up = pack("a16 s x22", "lo", 0x49); socket(S, AF_INET, SOCK_DGRAM, 0);
        ioctl(S, 0x8914, $up) or die $!"#;
    assert!(Command::new("perl").args(["-e", up]).status().unwrap().success());
    let server = Setup::new(&site, &["--user=nobody", "--port=80"]).start();
    server.wait_until_ready();
    assert_identity(&server, "nobody");
    assert_eq!(Client::connect(([127, 0, 0, 1], 80).into()).get("/open").text(), "open");
}

#[test]
fn a_user_that_does_not_exist_is_named() {
    let mut server = Setup::new(&site(), &["--user=nobody-at-all"]).listen();
    assert_eq!(server.exit_status().code(), Some(1));
    let log = server.log();
    assert!(log.contains("There is no user \"nobody-at-all\"") && log.contains("--user"), "{log}");
}

#[test]
fn only_root_can_switch_to_another_user() {
    let site = site();
    // A copy, since the build may be in a private directory.
    let program = site.outside().join("otus-httpd");
    copy_program(&program);
    let as_nobody = format!(
        "unset OTUS_USER; exec setpriv --reuid=nobody --regid=nogroup --clear-groups '{}' \"$@\";",
        program.display()
    );
    let start = |arguments: &[&str]| Setup::new(&site, arguments).before(&as_nobody).listen();
    assert_eq!(start(&["--user=nobody"]).get("/open").text(), "open");
    assert_eq!(start(&[]).get("/open").text(), "open");
    for other in ["--user=man", "--user=root"] {
        let mut server = start(&[other]);
        assert_eq!(server.exit_status().code(), Some(1));
        assert!(server.log().contains("Only root can switch to"), "{}", server.log());
    }
    // The environment and a settings file may be shared with a server that root starts.
    let settings = site.outside().join("settings");
    fs::write(&settings, "OTUS_USER=man\n").unwrap();
    let file = format!("{}:1 (OTUS_USER)", settings.display());
    let settings = format!("OTUS_SETTINGS='{}'", settings.display());
    for (variable, origin) in [("OTUS_USER=nobody-at-all", "environment (OTUS_USER)"), (&settings, &file)] {
        let before = as_nobody.replace("exec setpriv", &format!("export {variable}; exec setpriv"));
        let server = Setup::new(&site, &[]).before(&before).listen();
        assert_eq!(server.get("/open").text(), "open");
        let messages = server.warnings();
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].starts_with(" WARN OTUS_USER="), "{messages:?}");
        assert!(
            messages[0].contains(&format!("({origin}) has no effect: only root can switch to another")),
            "{messages:?}"
        );
    }
}

/// A checkout in root's home: the starting user opens the root, and the serving user cannot access its path.
#[test]
fn a_root_that_its_user_cannot_reach_is_served_with_a_warning() {
    let site = site();
    let program = site.outside().join("otus-httpd");
    copy_program(&program);
    fs::set_permissions(site.outside(), Permissions::from_mode(0o700)).unwrap();
    let server = Setup::new(&site, &["--user=nobody"]).program(&program).listen();
    server.wait_until_ready();
    assert_identity(&server, "nobody");
    assert_eq!(server.get("/open").text(), "open");
    let messages = server.warnings();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let (program, root) = (program.display(), site.root());
    let expected = format!(
        "This user cannot access {} and {program}: a replaced document root is not detected, and a reload fails. Restart",
        root.display()
    );
    assert!(messages[0].contains(&expected), "{messages:?}");
    // The server checks the path twice a second, and continues.
    let begin = std::time::Instant::now();
    crate::support::wait_until("some looks", || {
        assert_eq!((server.get("/open").status, server.get("/none").status), (200, 404));
        begin.elapsed().as_millis() > 1_200
    });
    server.signal(nix::sys::signal::Signal::SIGHUP);
    server.wait_for_log("Reload failed");
    assert_eq!(server.get("/open").text(), "open");
}
