//! A document root that is replaced while it is served.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::{Client, Notifications, Setup, Site, get, wait_until};

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
fn a_link_that_points_to_another_release_is_followed_and_no_response_is_mixed() {
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
    // Every worker has to detect it: ten responses in a row.
    wait_until("the second release", || (0..10).all(|_| server.get("/name").text() == "2"));
    assert!(begin.elapsed().as_millis() < 5_000);
    for download in &mut downloads {
        assert!(download.response().body.iter().all(|&byte| byte == b'1'));
    }
    assert!(server.get("/large").body.iter().all(|&byte| byte == b'2'));
    server.wait_for_log("is another directory now");
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

/// However a deploy proceeds, a file that exists in both releases never gets 404 or 403.
#[test]
fn no_deploy_makes_a_file_vanish() {
    let site = releases();
    let current = site.outside().join("current");
    let server = Setup::new(&site, &[&format!("--root={}", current.display()), "--workers=2"]).listen();
    server.wait_until_ready();
    let release = |number: usize| {
        let directory = site.outside().join(format!("releases/{number}"));
        fs::create_dir_all(directory.join("dir")).unwrap();
        fs::write(directory.join("name"), "name").unwrap();
        fs::write(directory.join("dir/index.html"), "index").unwrap();
        directory
    };
    let first = release(3);
    point(&current, "releases/3");
    wait_until("the first release", || (0..20).all(|_| server.get("/dir/").status == 200));
    let is_over = AtomicBool::new(false);
    let requests = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.connect();
                while !is_over.load(Relaxed) {
                    for target in ["/name", "/dir/"] {
                        let response = client.get(target);
                        assert_eq!(response.status, 200, "{target}");
                        requests.fetch_add(1, Relaxed);
                    }
                }
            });
        }
        let mut old = first;
        for number in 4..40 {
            let new = release(number);
            let before = requests.load(Relaxed);
            point(&current, &format!("releases/{number}"));
            // Immediately, or after it was moved, or emptied file by file.
            match number % 3 {
                0 => fs::remove_dir_all(&old).unwrap(),
                1 => {
                    let aside = old.with_extension("old");
                    fs::rename(&old, &aside).unwrap();
                    fs::remove_dir_all(&aside).unwrap();
                }
                _ => {
                    fs::set_permissions(&old, Permissions::from_mode(0o000)).unwrap();
                    fs::remove_file(old.join("name")).unwrap();
                    fs::remove_dir_all(&old).unwrap();
                }
            }
            old = new;
            wait_until("responses in between", || requests.load(Relaxed) > before + 50 || is_over.load(Relaxed));
        }
        is_over.store(true, Relaxed);
    });
}

/// A rename that exchanges a directory with another. Each response that would be an error is preceded by a check of the path.
#[test]
fn a_directory_that_is_replaced_by_another_is_detected_before_an_error() {
    for (target, before) in [("/new", 404), ("/dir/new", 404), ("/dir/", 404), ("/leaves", 403), ("/fifo", 403)] {
        let site = releases();
        let (current, next) = (site.outside().join("releases/1"), site.outside().join("releases/2"));
        for release in [&current, &next] {
            fs::create_dir(release.join("dir")).unwrap();
        }
        symlink("/etc/passwd", current.join("leaves")).unwrap();
        mkfifo(&current.join("fifo"), Mode::S_IRWXU).unwrap();
        for name in ["new", "dir/new", "dir/index.html", "leaves", "fifo"] {
            fs::write(next.join(name), "new").unwrap();
        }
        let server = Setup::new(&site, &[&format!("--root={}", current.display()), "--workers=1"]).listen();
        assert_eq!(server.get(target).status, before, "{target}");
        renameat2(AT_FDCWD, &current, AT_FDCWD, &next, RenameFlags::RENAME_EXCHANGE).unwrap();
        let response = server.get(target);
        assert_eq!((response.status, response.text().as_str()), (200, "new"), "{target}");
    }
}

/// The path does not exist, as opposed to an empty directory: files below the old one are served, and there is no 404.
#[test]
fn a_root_that_is_gone_is_503_and_not_404() {
    let site = Site::with(&[("name", b"name"), ("dir/deep", b"deep")]);
    let systemd = Notifications::new();
    let setup = Setup::new(&site, &["--workers=3"]).env("NOTIFY_SOCKET", systemd.path());
    let server = setup.listen();
    assert_eq!((server.get("/name").status, server.get("/none").status), (200, 404));
    let aside = site.outside().join("aside");
    fs::rename(site.root(), &aside).unwrap();
    let response = server.get("/none");
    assert_eq!((response.status, response.field("Retry-After")), (503, Some("1")));
    assert_eq!(server.get("/name").text(), "name");
    fs::remove_dir_all(&aside).unwrap();
    for target in ["/name", "/dir/deep", "/"] {
        assert_eq!(server.get(target).status, 503, "{target}");
    }
    systemd.find("the status to say so", |message| message.contains("DOCUMENT ROOT MISSING"));
    server.wait_for_log(&format!("The document root {} does not exist", site.root().display()));
    site.write("name", b"again");
    wait_until("the new root", || server.get("/name").text() == "again");
    server.wait_for_log("exists again");
    systemd.find("the status to say so no more", |message| {
        message.contains("Serving: ") && !message.contains("DOCUMENT ROOT MISSING")
    });
    assert_eq!(server.get("/none").status, 404);
    for event in ["/root does not exist", "/root exists again"] {
        assert_eq!(server.log().matches(event).count(), 1, "{event}: once for all workers");
    }
}

#[test]
fn a_server_starts_without_its_root_and_serves_it_once_it_is_there() {
    let site = Site::with(&[("sub/name", b"name")]);
    let root = site.path("later");
    let systemd = Notifications::new();
    let setup = Setup::new(&site, &[&format!("--root={}", root.display())]).env("NOTIFY_SOCKET", systemd.path());
    let server = setup.listen();
    for _ in 0..10 {
        let response = server.get("/name");
        assert_eq!((response.status, response.field("Retry-After")), (503, Some("1")));
        response.assert_common_fields();
    }
    systemd.find("readiness", |message| message.contains("READY=1"));
    systemd.find("the status to say so", |message| message.contains("DOCUMENT ROOT MISSING"));
    let messages = server.warnings();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].contains("cannot be opened (No such file or directory): make it"), "{messages:?}");
    assert_eq!(server.get("/none").status, 503);
    fs::rename(site.path("sub"), &root).unwrap();
    let begin = std::time::Instant::now();
    wait_until("the root", || (0..10).all(|_| server.get("/name").text() == "name"));
    println!("seen after {} ms", begin.elapsed().as_millis());
    assert_eq!(server.get("/none").status, 404);
}

/// Workers may read below the parent of the document root only, so a parent that is created later needs new workers. One of
/// several attempts has to be fast, since this machine may be busy.
#[test]
fn a_root_whose_parent_did_not_exist_is_served_within_a_second() {
    let seen_after_ms = || {
        let site = Site::with(&[("sub/name", b"name")]);
        let root = site.path("later/root");
        let server = Setup::new(&site, &[&format!("--root={}", root.display()), "--workers=1"]).listen();
        server.wait_until_ready();
        assert_eq!(server.get("/name").status, 503);
        fs::create_dir(root.parent().unwrap()).unwrap();
        fs::rename(site.path("sub"), &root).unwrap();
        let begin = std::time::Instant::now();
        wait_until("the root", || server.get("/name").text() == "name");
        begin.elapsed().as_millis()
    };
    let attempts: Vec<_> = (0..5).map(|_| seen_after_ms()).collect();
    assert!(attempts.iter().any(|&ms| ms < 1_000), "{attempts:?}");
}

/// A file that only the next release has comes with the rules of that release, even for the request that finds the release.
#[test]
fn files_and_rules_are_those_of_one_release() {
    let site = releases();
    let (current, next) = (site.outside().join("current"), site.outside().join("releases/2"));
    fs::create_dir(next.join("private")).unwrap();
    fs::write(next.join("private/page"), "secret").unwrap();
    fs::write(next.join("plain"), "plain").unwrap();
    let rules = "/private/*\n  Basic-Auth: user:password\n/plain\n  X-Release: 2\n/name\n  X-Release: 2\n";
    fs::write(next.join("_headers"), rules).unwrap();
    for target in ["/private/page", "/plain"] {
        point(&current, "releases/1");
        let server = Setup::new(&site, &[&format!("--root={}", current.display()), "--workers=1"]).listen();
        let response = server.get("/name");
        assert_eq!((response.text().as_str(), response.field("X-Release")), ("1", None));
        point(&current, "releases/2");
        let response = server.get(target);
        let expected = if target == "/plain" { (200, Some("2")) } else { (403, None) };
        assert_eq!((response.status, response.field("X-Release")), expected, "{target}");
        wait_until("the second release", || server.get("/name").field("X-Release") == Some("2"));
    }
}
