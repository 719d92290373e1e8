//! A document root that is swapped for another while it is served.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{Client, Setup, Site, get, wait_until};

/// Two releases beside the root, of which `current` is the first.
fn releases() -> Site {
    let site = Site::new();
    for release in ["1", "2"] {
        let directory = site.outside().join("releases").join(release);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("name"), release).unwrap();
        fs::write(directory.join("large"), release.repeat(20_000_000)).unwrap();
    }
    symlink("releases/1", site.outside().join("current")).unwrap();
    site
}

fn point(link: &Path, target: &str) {
    let new = link.with_extension("new");
    symlink(target, &new).unwrap();
    fs::rename(new, link).unwrap();
}

#[test]
fn a_link_that_points_to_another_release_is_followed_and_no_answer_is_mixed() {
    let site = releases();
    let current = site.outside().join("current");
    let root = format!("--root={}", current.display());
    let server = Setup::new(&site, &[&root]).listen();
    assert_eq!(server.get("/name").text(), "1");
    let mut downloads: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for download in &mut downloads {
        download.send(get("/large"));
        assert_eq!(download.0.peek(&mut [0]).unwrap(), 1);
    }
    let begin = std::time::Instant::now();
    point(&current, "releases/2");
    // Every worker has to see it: ten answers in a row.
    wait_until("the second release", || (0..10).all(|_| server.get("/name").text() == "2"));
    assert!(begin.elapsed().as_millis() < 5_000);
    for download in &mut downloads {
        assert!(download.response().body.iter().all(|&byte| byte == b'1'));
    }
    assert!(server.get("/large").body.iter().all(|&byte| byte == b'2'));
    assert!(server.log().contains("is another directory now"), "{}", server.log());
}

#[test]
fn a_root_that_is_gone_is_served_until_another_is_there() {
    let site = releases();
    let current = site.outside().join("current");
    let server = Setup::new(&site, &[&format!("--root={}", current.display()), "--workers=1"]).listen();
    assert_eq!(server.get("/name").text(), "1");
    fs::remove_file(&current).unwrap();
    let begin = std::time::Instant::now();
    while begin.elapsed().as_millis() < 1_200 {
        assert_eq!(server.get("/name").text(), "1");
    }
    fs::rename(site.outside().join("releases/2"), &current).unwrap();
    wait_until("the directory of that name", || server.get("/name").text() == "2");
}
