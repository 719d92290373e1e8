//! Cache-Control of files.

use std::fs;

use crate::support::{Client, Response, Server, Site, encode, wait_until};

const YEAR: Option<&str> = Some("public, max-age=31536000, immutable");
const ASK: Option<&str> = Some("no-cache");

/// A script with a hash in its name, as Vite makes it.
const SCRIPT: &str = "assets/index-C5rS8dPq.js";

fn ask(client: &mut Client, target: &str, fields: &str) -> Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).response_or_304()
}

#[test]
fn names_with_a_hash_have_a_year_and_all_others_are_revalidated() {
    let content = b"export const answer = 42;\n".repeat(20);
    let site = Site::with(&[
        (SCRIPT, &content),
        ("_next/static/media/logo.3f3a2b1c.svg", b"<svg/>"),
        ("_astro/large.D4f0vQxy.png", &[1; 100_000]),
        ("index.html", b"page"),
        ("assets/index-C5rS8dPq.html", b"page"),
        ("style.css", b"p {}"),
        ("assets/page-settings.js", b""),
    ]);
    let server = Server::of(&site);
    let mut client = server.connect();
    for (target, expected) in [
        (format!("/{SCRIPT}"), YEAR),
        (format!("/{SCRIPT}?v=2"), YEAR),
        ("/_next/static/media/logo.3f3a2b1c.svg".into(), YEAR),
        ("/_astro/large.D4f0vQxy.png".into(), YEAR),
        ("/".into(), ASK),
        ("/style.css".into(), ASK),
        ("/assets/index-C5rS8dPq.html".into(), ASK),
        ("/assets/index-C5rS8dPq".into(), ASK),
        ("/assets/page-settings.js".into(), ASK),
        ("/assets/index-C5rS8dPx.js".into(), None),
        ("/assets".into(), None),
    ] {
        let response = client.get(&target);
        assert_eq!(response.field("Cache-Control"), expected, "{target}");
        let head = client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n")).head();
        assert_eq!(head.field("Cache-Control"), expected, "HEAD {target}");
    }

    let target = format!("/{SCRIPT}");
    let tag = client.get(&target).field("ETag").unwrap().to_string();
    for (fields, status, expected) in [
        (format!("If-None-Match: {tag}\r\n"), 304, YEAR),
        ("Range: bytes=0-1\r\n".into(), 206, YEAR),
        ("Range: bytes=0-1,5-6\r\n".into(), 206, YEAR),
        ("Range: bytes=10000-\r\n".into(), 416, None),
        ("If-Match: \"x\"\r\n".into(), 412, None),
    ] {
        let response = ask(&mut client, &target, &fields);
        assert_eq!((response.status, response.field("Cache-Control")), (status, expected), "{fields}");
    }
    assert_eq!(client.send("POST / HTTP/1.1\r\nHost: a\r\n\r\n").response().field("Cache-Control"), None);
}

#[test]
fn no_lifetime_is_sent_if_the_option_says_so() {
    let site = Site::with(&[(SCRIPT, b"1"), ("index.html", b"page")]);
    let server = Server::with(&site, &["--cache-control=off"]);
    for target in [&format!("/{SCRIPT}"), "/"] {
        assert_eq!(server.get(target).field("Cache-Control"), None);
    }
}

#[test]
fn variants_have_the_lifetime_of_the_file() {
    let content = b"export const answer = 42;\n".repeat(20);
    let site = Site::with(&[(SCRIPT, &content), ("a.js", &content)]);
    for name in [SCRIPT, "a.js"] {
        site.write(format!("{name}.gz"), &encode("gzip", &content));
    }
    let server = Server::of(&site);
    let mut client = server.connect();
    for (target, expected) in [(format!("/{SCRIPT}"), YEAR), ("/a.js".into(), ASK)] {
        wait_until("the variant", || {
            let response = ask(&mut client, &target, "Accept-Encoding: gzip\r\n");
            assert_eq!(response.field("Cache-Control"), expected, "{target}");
            response.field("Content-Encoding") == Some("gzip")
        });
        assert_eq!(ask(&mut client, &target, "").field("Cache-Control"), expected, "{target}");
    }
    // The archive itself is a file of another name.
    assert_eq!(client.get(&format!("/{SCRIPT}.gz")).field("Cache-Control"), ASK);
}

#[test]
fn a_name_whose_content_changes_loses_its_year() {
    let site = Site::with(&[(SCRIPT, b"one"), ("_astro/other.D4f0vQxy.js", b"1")]);
    let server = Server::with(&site, &["--workers=1"]);
    let lifetime = |target: &str| server.get(target).field("Cache-Control").map(String::from);
    let target = format!("/{SCRIPT}");
    assert_eq!(lifetime(&target).as_deref(), YEAR);
    // The same content, copied again.
    site.write("new", b"one");
    fs::rename(site.path("new"), site.path(SCRIPT)).unwrap();
    assert_eq!(lifetime(&target).as_deref(), YEAR);
    assert_eq!(server.warnings(), [""; 0]);

    site.write(SCRIPT, b"two");
    assert_eq!(lifetime(&target).as_deref(), ASK);
    site.write(SCRIPT, b"one");
    assert_eq!(lifetime(&target).as_deref(), ASK);
    assert_eq!(lifetime("/_astro/other.D4f0vQxy.js").as_deref(), YEAR);
    let warnings = server.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("/assets/index-C5rS8dPq.js"), "{warnings:?}");
}

#[test]
fn a_name_whose_content_differs_in_the_next_release_loses_its_year() {
    let site = Site::new();
    for (release, content) in [("1", b"one"), ("2", b"two")] {
        site.write(format!("releases/{release}/{SCRIPT}"), content);
        site.write(format!("releases/{release}/_astro/same.D4f0vQxy.js"), b"same");
    }
    std::os::unix::fs::symlink("releases/1", site.path("site")).unwrap();
    let server = Server::with(&site, &["--workers=1", &format!("--root={}", site.path("site").display())]);
    let (changed, same) = (format!("/{SCRIPT}"), "/_astro/same.D4f0vQxy.js");
    for target in [&changed, same] {
        assert_eq!(server.get(target).field("Cache-Control"), YEAR);
    }
    std::os::unix::fs::symlink("releases/2", site.path("next")).unwrap();
    fs::rename(site.path("next"), site.path("site")).unwrap();
    wait_until("the next release", || server.get(&changed).text() == "two");
    assert_eq!(server.get(&changed).field("Cache-Control"), ASK);
    assert_eq!(server.get(same).field("Cache-Control"), YEAR);
}
