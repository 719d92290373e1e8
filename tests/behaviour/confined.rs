//! Workers confine themselves (landlock(7)). What that keeps them from is tested beside the code; here, that it is so in
//! the real server, what is said of it, and that a site can be changed under it as ever.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::signal::{Signal, kill};

use crate::support::{Server, Setup, Site, wait_until};

fn confinements(server: &Server) -> usize {
    server.log().matches("Workers are confined").count()
}

#[test]
fn it_is_said_once_and_true_of_every_worker() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::with(&site, &["--workers=4"]);
    server.wait_until_ready();
    let victim = server.workers()[0];
    kill(victim, Signal::SIGKILL).unwrap();
    wait_until("a replacement", || server.workers().len() == 4 && !server.workers().contains(&victim));
    wait_until("its confinement", || {
        let status = |worker| fs::read_to_string(format!("/proc/{worker}/status")).unwrap_or_default();
        server.workers().into_iter().all(|worker| status(worker).contains("NoNewPrivs:\t1"))
    });
    assert_eq!(confinements(&server), 1, "{}", server.log());
    assert!(server.log().contains(&format!("beneath {},", site.outside().display())), "{}", server.log());
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn a_root_that_comes_to_lead_out_of_bounds_is_served_as_it_was() {
    let [here, elsewhere] = ["here", "elsewhere"].map(|place| Site::with(&[("name", place.as_bytes())]));
    let current = here.outside().join("current");
    symlink("root", &current).unwrap();
    let server = Setup::new(&here, &[&format!("--root={}", current.display()), "--workers=1"]).listen();
    assert_eq!(server.get("/name").text(), "here");
    assert_eq!(confinements(&server), 1, "this test needs a kernel with Landlock: {}", server.log());

    let turn_to = |target| {
        fs::remove_file(&current).unwrap();
        symlink(target, &current).unwrap();
    };
    turn_to(elsewhere.root());
    wait_until("a warning", || {
        assert_eq!(server.get("/name").text(), "here");
        server.complaints().len() == 1
    });
    assert!(server.log().contains("leads to a place now that workers may not read"), "{}", server.log());
    // Back in bounds it is followed again.
    fs::create_dir(here.outside().join("next")).unwrap();
    fs::write(here.outside().join("next/name"), "next").unwrap();
    turn_to("next".into());
    wait_until("the next release", || server.get("/name").text() == "next");
    assert_eq!(server.complaints().len(), 1);
    // New workers are confined to what is around the root as it is then.
    turn_to(elsewhere.root());
    let old = server.workers();
    server.signal(Signal::SIGHUP);
    wait_until("the old worker to leave", || server.workers().iter().all(|worker| !old.contains(worker)));
    assert_eq!(server.get("/name").text(), "elsewhere");
}
