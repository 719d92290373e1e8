//! A rule of access for one name of a site holds under all its names, and where a site is a part of another one.

use std::fs;
use std::os::unix::fs::symlink;

use crate::logins::{Users, basic};
use crate::support::{Response, Server, Setup, Site, wait_until};

fn serve(sites: &Site, rules: &[String]) -> Server {
    let directory = format!("--sites={}", sites.root().display());
    let arguments: Vec<_> = [&["--workers=2".into(), "--listing".into(), directory], rules].concat();
    Setup::bare(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).listen()
}

fn get(server: &Server, host: &str, target: &str, fields: &str) -> Response {
    server.connect().send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).response()
}

fn sites() -> Site {
    let sites = Site::new();
    for path in [
        "one.test/private/f",
        "one.test/private/in/f",
        "two.test/secret/f",
        "two.test/secret/index.html",
        ".releases/3/private/f",
        ".releases/4/private/f",
    ] {
        sites.write(path, b"SECRET");
    }
    for path in ["one.test/privateer/f", "one.test/open", "two.test/secrets/f", "two.test/open", ".releases/3/open"] {
        sites.write(path, b"open");
    }
    symlink("secret/f", sites.path("two.test/link")).unwrap();
    symlink("secret", sites.path("two.test/folder")).unwrap();
    for (target, link) in [
        ("one.test".into(), "alias.test"),
        ("alias.test".into(), "chain.test"),
        ("./one.test/".into(), "dot.test"),
        (sites.path("one.test"), "absolute.test"),
        (".releases/../one.test".into(), "round.test"),
        (".releases/3".into(), "twin-a.test"),
        (".releases/3".into(), "twin-b.test"),
        ("one.test/private".into(), "part.test"),
        ("alias.test/private/in".into(), "inner.test"),
        ("part.test".into(), "part-alias.test"),
        (sites.path("two.test/secret"), "secret.test"),
    ] {
        symlink(target, sites.path(link)).unwrap();
    }
    sites
}

/// Checks each of these targets without a password and with that of a user.
fn assert_guarded(server: &Server, guarded: &[(&str, &str)], open: &[(&str, &str)]) {
    let anna = format!("Authorization: {}\r\n", basic("anna", "pa:ss"));
    // Twice: what was found is kept for a while.
    for _ in 0..2 {
        for (host, target) in guarded {
            for fields in ["", "If-None-Match: *\r\n", "Range: bytes=0-1\r\n"] {
                let response = get(server, host, target, fields);
                assert_eq!(response.status, 401, "{host}{target} {fields}");
                assert!(!response.text().contains("SECRET"), "{host}{target} {fields}");
                assert_eq!(response.field("Cache-Control"), Some("private"), "{host}{target}");
            }
            let response = get(server, host, target, &anna);
            assert!(matches!(response.status, 200 | 301), "{host}{target}: {}", response.status);
            assert!(response.field("Cache-Control").unwrap().starts_with("private"), "{host}{target}");
        }
        for (host, target) in open {
            let response = get(server, host, target, "");
            assert_eq!((response.status, response.text().as_str()), (200, "open"), "{host}{target}");
        }
    }
}

#[test]
fn a_rule_for_one_name_holds_for_all_names_of_the_site_and_its_parts() {
    let (sites, users) = (sites(), Users::new());
    let prefixes = ["alias.test/private", "twin-a.test/private", "secret.test/"];
    let server = serve(&sites, &prefixes.map(|prefix| users.rule(prefix)));
    let guarded = [
        ("one.test", "/private/f"),
        ("one.test", "/private"),
        ("one.test", "/private/"),
        ("one.test", "/open/../private/in/f"),
        ("ONE.test.:80", "/%70rivate/f"),
        ("alias.test", "/private/f"),
        ("chain.test", "/private/f"),
        ("dot.test", "/private/f"),
        ("absolute.test", "/private/f"),
        ("round.test", "/private/f"),
        ("twin-a.test", "/private/f"),
        ("twin-b.test", "/private/f"),
        ("part.test", "/f"),
        ("part.test", "/"),
        ("part.test", "/in"),
        ("part.test", "/in/f"),
        ("part-alias.test", "/f"),
        ("inner.test", "/f"),
        ("secret.test", "/f"),
        ("secret.test", "/"),
        ("two.test", "/secret/f"),
        ("two.test", "/secret"),
        ("two.test", "/secret/"),
        ("two.test", "/link"),
        ("two.test", "/folder/f"),
        ("two.test", "/folder/"),
    ];
    let open = [
        ("one.test", "/privateer/f"),
        ("one.test", "/open"),
        ("round.test", "/open"),
        ("twin-b.test", "/open"),
        ("two.test", "/open"),
        ("two.test", "/secrets/f"),
    ];
    assert_guarded(&server, &guarded, &open);
    // The alias is published anew: a rule for its former directory is none for the next one.
    symlink(".releases/4", sites.path(".new")).unwrap();
    fs::rename(sites.path(".new"), sites.path("twin-b.test")).unwrap();
    wait_until("the next release", || (0..10).all(|_| get(&server, "twin-b.test", "/private/f", "").status == 200));
    assert_eq!(get(&server, "twin-a.test", "/private/f", "").status, 401);
}

#[test]
fn a_rule_for_all_sites_holds_where_a_part_of_one_is_another() {
    let (sites, users) = (sites(), Users::new());
    let server = serve(&sites, &[users.rule("/private")]);
    let guarded = [
        ("one.test", "/private/f"),
        ("part.test", "/f"),
        ("part-alias.test", "/f"),
        ("inner.test", "/f"),
        ("twin-b.test", "/private/f"),
    ];
    assert_guarded(&server, &guarded, &[("one.test", "/open"), ("one.test", "/privateer/f")]);
    assert_eq!(get(&server, "secret.test", "/f", "").text(), "SECRET");
}

/// A site can be a link into a directory whose name begins with a dot, or into another site; what is around it, or below it, has
/// rules of its own.
#[test]
fn a_rule_for_all_sites_holds_in_each_site_that_has_the_file() {
    let (sites, users) = (Site::new(), Users::new());
    for path in [".releases/1/private/f", ".releases/1/private/in/f", ".releases/2/f", "a.test/b/private/f"] {
        sites.write(path, b"SECRET");
    }
    for path in [".releases/1/open", ".private/1/f", ".private/1/x/y", "a.test/b/privateer/f", "a.test/c/f"] {
        sites.write(path, b"open");
    }
    sites.write("a.test/c/private/f", b"open");
    sites.write(".releases/1/sub/secret/f", b"SECRET");
    for (target, link) in [
        (".releases/1".into(), "outer.test"),
        (".releases/1/private".into(), "part.test"),
        ("outer.test/private/in".into(), "inner.test"),
        (sites.path(".releases/1/private/in"), "absolute.test"),
        (".current/private".into(), "indirect.test"),
        ("a.test/b".into(), "b.test"),
        ("a.test/b/private".into(), "b-private.test"),
        (".releases/1/sub".into(), "sub.test"),
        (".releases/1/sub/secret".into(), "sub-secret.test"),
        // A directory with the name of a rule is no reason for it, unless the one around it is a site.
        (".private/1".into(), "other.test"),
        (".releases/2".into(), "two.test"),
    ] {
        symlink(target, sites.path(link)).unwrap();
    }
    symlink(".releases/1", sites.path(".current")).unwrap();
    let server = serve(&sites, &["/private", "/secret", "/1"].map(|prefix| users.rule(prefix)));
    let guarded = [
        ("outer.test", "/private/f"),
        ("part.test", "/f"),
        ("part.test", "/in/f"),
        ("part.test", "/in"),
        ("inner.test", "/f"),
        ("absolute.test", "/f"),
        ("indirect.test", "/f"),
        // In b.test it is private, and a.test has the same file.
        ("b.test", "/private/f"),
        ("a.test", "/b/private/f"),
        ("b-private.test", "/f"),
        ("sub.test", "/secret/f"),
        ("outer.test", "/sub/secret/f"),
        ("sub-secret.test", "/f"),
    ];
    let open = [
        ("outer.test", "/open"),
        ("other.test", "/f"),
        ("other.test", "/x/y"),
        ("a.test", "/b/privateer/f"),
        ("a.test", "/c/f"),
        // a.test/c is no site.
        ("a.test", "/c/private/f"),
    ];
    assert_guarded(&server, &guarded, &open);
    assert_eq!(get(&server, "two.test", "/f", "").text(), "SECRET");
    assert_eq!(get(&server, "a.test", "/none/private/f", "").status, 404);
    // The directory around it becomes a site.
    symlink(".releases", sites.path("all.test")).unwrap();
    wait_until("the rule of another site", || (0..10).all(|_| get(&server, "outer.test", "/open", "").status == 401));
    symlink("a.test/c", sites.path("c.test")).unwrap();
    wait_until("another site", || (0..10).all(|_| get(&server, "a.test", "/c/private/f", "").status == 401));
}
