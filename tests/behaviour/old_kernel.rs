//! A kernel as old as Linux 4.4 (Ubuntu 16.04): a seccomp filter makes every later system call return ENOSYS.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::{Server, Setup, Site, wait_until};

/// On x86_64, 325 (mlock2) is the last system call of Linux 4.4. perl, which every Debian has, installs the filter:
/// load the number; from 326 on return ENOSYS (38), otherwise allow.
const BEFORE: &str = r#"exec perl -e '
    my $filter = pack("(SCCL)4", 0x20, 0, 0, 0,  0x35, 0, 1, 326,  0x06, 0, 0, 0x50026,  0x06, 0, 0, 0x7fff0000);
    my $program = pack("S x6 P", 4, $filter);
    syscall(157, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!";
    syscall(157, 22, 2, $program) == 0 or die "seccomp: $!";
    exec @ARGV or die "exec: $!";
' "$0" "$@";"#;

fn start(site: &Site) -> Server {
    let server = Setup::new(site, &[]).before(BEFORE).listen();
    server.wait_until_ready();
    let status = fs::read_to_string(format!("/proc/{}/status", server.workers()[0])).unwrap();
    assert!(status.contains("Seccomp:\t2"), "the filter is on: {status}");
    assert!(server.log().contains("are not confined further: this kernel has no Landlock"), "{}", server.log());
    server
}

#[test]
fn everything_works_without_the_newer_system_calls() {
    let site = Site::with(&[("index.html", b"index"), ("dir/file", b"file")]);
    fs::write(site.outside().join("secret"), "SECRET").unwrap();
    site.write("large", &vec![b'x'; 3_000_000]);
    symlink("dir/file", site.path("inside")).unwrap();
    symlink(site.path("dir"), site.path("absolute")).unwrap();
    symlink("../secret", site.path("outside")).unwrap();
    symlink("/etc", site.path("etc")).unwrap();
    mkfifo(&site.path("fifo"), Mode::S_IRWXU).unwrap();
    let mut server = start(&site);

    let mut client = server.connect();
    assert_eq!(client.get("/").text(), "index");
    assert_eq!(client.get("/inside").text(), "file");
    assert_eq!(client.get("/absolute/file").text(), "file");
    assert_eq!(client.get("/large").body.len(), 3_000_000);
    for (target, status) in [
        ("/none", 404),
        ("/dir", 301),
        ("/dir/", 404),
        ("/dir/file/", 404),
        ("/outside", 403),
        ("/etc/passwd", 403),
        ("/fifo", 403),
        ("/..%2f..%2fetc/passwd", 404),
    ] {
        assert_eq!(client.get(target).status, status, "{target}");
    }
    // The helper process closes descriptors one by one, and reads with pread(2).
    wait_until("the digest of a large file", || {
        client.get("/large").field("etag").is_some_and(|tag| tag.starts_with('"'))
    });
    assert!(!server.log().contains("helper process"), "{}", server.log());
    let worker = server.workers()[0];
    nix::sys::signal::kill(worker, Signal::SIGKILL).unwrap();
    wait_until("a replacement", || server.workers().len() == 2 && !server.workers().contains(&worker));
    drop(client);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_status().code(), Some(0));
}
