//! Symbolic links, and files that are neither regular files nor directories.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};

use crate::support::{Server, Site};

#[test]
fn links_that_stay_inside_work() {
    let site = Site::with(&[("file", b"file"), ("dir/index.html", b"dir")]);
    symlink("file", site.path("relative")).unwrap();
    symlink(site.path("file"), site.path("absolute")).unwrap();
    symlink("../file", site.path("dir/up")).unwrap();
    symlink("dir", site.path("folder")).unwrap();
    let server = Server::of(&site);
    for target in ["/relative", "/absolute", "/dir/up", "/folder/up"] {
        assert_eq!(server.get(target).text(), "file", "{target}");
    }
    assert_eq!(server.get("/folder/").text(), "dir");
    assert_eq!(server.get("/folder").field("Location"), Some("folder/"));
}

#[test]
fn links_that_leave_are_forbidden() {
    let site = Site::new();
    fs::write(site.outside().join("secret"), "SECRET").unwrap();
    symlink("../secret", site.path("relative")).unwrap();
    symlink(site.outside().join("secret"), site.path("absolute")).unwrap();
    symlink("..", site.path("up")).unwrap();
    symlink("/etc", site.path("etc")).unwrap();
    let server = Server::of(&site);
    for target in ["/relative", "/absolute", "/up/secret", "/etc/passwd", "/etc", "/up"] {
        let response = server.get(target);
        assert_eq!(response.status, 403, "{target}");
        assert!(!response.text().contains("SECRET"), "{target}");
    }
}

#[test]
fn links_that_lead_nowhere_are_not_found() {
    let site = Site::new();
    symlink("loop", site.path("loop")).unwrap();
    symlink("nothing", site.path("dangling")).unwrap();
    let server = Server::of(&site);
    assert_eq!(server.get("/loop").status, 404);
    assert_eq!(server.get("/dangling").status, 404);
}

#[test]
fn special_files_are_forbidden_and_do_not_block() {
    let site = Site::with(&[("file", b"file")]);
    mkfifo(&site.path("fifo"), Mode::S_IRWXU).unwrap();
    mkfifo(&site.path("index.html"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(site.path("socket")).unwrap();
    let server = Server::with(&site, &["--workers=1"]);
    for target in ["/fifo", "/socket", "/", "/fifo"] {
        assert_eq!(server.get(target).status, 403, "{target}");
    }
    assert_eq!(server.get("/file").text(), "file");
}

#[test]
fn unreadable_files_are_forbidden() {
    let site = Site::with(&[("locked", b""), ("closed/file", b""), ("open", b"open")]);
    fs::set_permissions(site.path("locked"), Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(site.path("closed"), Permissions::from_mode(0o000)).unwrap();
    let server = if geteuid().is_root() {
        // Root may read everything, so another user serves.
        fs::set_permissions(site.outside(), Permissions::from_mode(0o755)).unwrap();
        Server::with(&site, &["--user=nobody"])
    } else {
        Server::of(&site)
    };
    assert_eq!(server.get("/locked").status, 403);
    assert_eq!(server.get("/closed/file").status, 403);
    assert_eq!(server.get("/open").text(), "open");
    fs::set_permissions(site.path("closed"), Permissions::from_mode(0o755)).unwrap();
}
