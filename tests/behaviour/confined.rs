//! Workers confine themselves (landlock(7)). The restrictions are tested in src/os/landlock.rs. The tests here check
//! that the real server applies and logs them, and that a site can still be replaced.

use std::fs;
use std::os::unix::fs::symlink;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};

use crate::support::{Server, Setup, Site, wait_until};

fn confinements(server: &Server) -> usize {
    server.log().matches("Workers are confined").count()
}

#[test]
fn confinement_is_logged_once_and_applies_to_every_worker() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--workers=4"]);
    server.wait_until_ready();
    let victim = server.workers()[0];
    kill(victim, Signal::SIGKILL).unwrap();
    wait_until("a replacement", || server.workers().len() == 4 && !server.workers().contains(&victim));
    wait_until("its confinement", || {
        let status = |worker| fs::read_to_string(format!("/proc/{worker}/status")).unwrap_or_default();
        let is_confined = |status: String| status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n");
        server.workers().into_iter().all(|worker| is_confined(status(worker)))
    });
    assert_eq!(confinements(&server), 1, "{}", server.log());
    assert!(server.log().contains(&format!("beneath {},", site.outside().display())), "{}", server.log());
    assert_eq!(server.get("/a").text(), "a");
}

/// No reload is required: the supervisor starts workers that may read the new directory.
#[test]
fn a_root_that_points_outside_the_sandbox_after_a_change_gets_new_workers() {
    let [here, elsewhere] = ["here", "elsewhere"].map(|place| Site::with(&[("name", place.as_bytes())]));
    let current = here.outside().join("current");
    symlink("root", &current).unwrap();
    let server = Setup::new(&here, &[&format!("--root={}", current.display()), "--workers=1"]).listen();
    assert_eq!(server.get("/name").text(), "here");
    assert_eq!(confinements(&server), 1, "this test needs a kernel with Landlock: {}", server.log());
    symlink(elsewhere.root(), here.outside().join("new")).unwrap();
    fs::rename(here.outside().join("new"), &current).unwrap();
    wait_until("the new release", || {
        // The old directory is served until then.
        let text = server.get("/name").text();
        assert!(text == "here" || text == "elsewhere", "{text}");
        text == "elsewhere"
    });
    assert_eq!(server.warnings(), [""; 0]);
    assert!(server.log().contains("Starting new workers"), "{}", server.log());
}

/// Rules need an existing directory.
#[test]
fn a_root_that_is_made_later_gets_new_workers() {
    let site = Site::new();
    let root = site.outside().join("not/yet/there");
    let server = Setup::new(&site, &[&format!("--root={}", root.display())]).listen();
    server.wait_until_ready();
    assert_eq!(server.get("/name").status, 503);
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("name"), "made").unwrap();
    wait_until("the root", || {
        let response = server.get("/name");
        assert!(matches!(response.status, 200 | 503), "{}", response.status);
        response.status == 200
    });
}

/// Gives this thread and its later children a mount namespace of its own, with an empty file system at /srv.
fn mount_srv() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    // In a chroot, "/" is not a mount, and there is nothing to make private.
    let private = mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>);
    assert!(matches!(private, Ok(()) | Err(Errno::EINVAL)), "{private:?}");
    mount(Some("t"), "/srv", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
}

/// Only the root may be read, although its parent is /.
#[test]
fn a_root_directly_beneath_the_top_is_all_that_may_be_read() {
    mount_srv();
    fs::write("/srv/name", "name").unwrap();
    let site = Site::new();
    let server = Setup::new(&site, &["--root=/srv", "--workers=1"]).listen();
    assert_eq!(server.get("/name").text(), "name");
    assert_eq!(confinements(&server), 1, "this test needs a kernel with Landlock: {}", server.log());
    assert!(server.log().contains("they can read beneath /srv, and neither"), "{}", server.log());
}

/// The rules of the first workers name the directory that was there before: directly beneath /, no rule for its parent applies.
#[test]
fn a_root_directly_beneath_the_top_that_is_replaced_gets_new_workers() {
    mount_srv();
    fs::write("/srv/name", "before").unwrap();
    let site = Site::new();
    let server = Setup::new(&site, &["--root=/srv", "--workers=1"]).listen();
    assert_eq!(server.get("/name").text(), "before");
    assert_eq!(confinements(&server), 1, "this test needs a kernel with Landlock: {}", server.log());
    // For a path this is a replacement: another directory has the name.
    mount(Some("t"), "/srv", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    fs::write("/srv/name", "mounted").unwrap();
    wait_until("the new root", || {
        let text = server.get("/name").text();
        assert!(text == "before" || text == "mounted", "{text}");
        text == "mounted"
    });
    assert!(server.log().contains("Starting new workers"), "{}", server.log());
}
