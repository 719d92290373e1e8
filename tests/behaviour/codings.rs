//! Precompressed variants, and their selection (RFC 9110 §8.4, §12.5.3).

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use crate::support::{Client, Response, Server, Site, wait_until};

/// `a.css` with variants in three codings, all of the same time; `plain.css` without.
fn site() -> Site {
    let site = Site::with(&[
        ("a.css", b"identity"),
        ("a.css.br", b"brotli"),
        ("a.css.zst", b"zstd"),
        ("a.css.gz", b"gzip"),
        ("plain.css", b"plain"),
    ]);
    for name in ["a.css", "a.css.br", "a.css.zst", "a.css.gz"] {
        set_time(&site, name, 1_000_000_000);
    }
    site
}

fn set_time(site: &Site, name: &str, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::open(site.path(name)).unwrap().set_modified(time).unwrap();
}

fn ask(client: &mut Client, target: &str, fields: &str) -> Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).response_or_304()
}

fn accept(client: &mut Client, codings: &str) -> Response {
    ask(client, "/a.css", &format!("Accept-Encoding: {codings}"))
}

#[test]
fn the_client_gets_the_coding_with_the_highest_weight() {
    let site = site();
    let server = Server::of(&site);
    let mut client = server.connect();
    for (codings, expected) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("zstd", "zstd"),
        ("br;q=0.5, gzip;q=0.9", "gzip"),
        ("br;q=0, gzip;q=0, zstd;q=0", "identity"),
        ("identity, br;q=0.5", "identity"),
        ("", "identity"),
        ("deflate", "identity"),
        ("*", "br"),
        ("identity;q=0, gzip;q=0.001", "gzip"),
    ] {
        let response = accept(&mut client, codings);
        let content = if expected == "br" { "brotli" } else { expected };
        assert_eq!((response.status, response.text().as_str()), (200, content), "{codings}");
        assert_eq!(response.field("Content-Encoding").unwrap_or("identity"), expected, "{codings}");
        assert_eq!(response.field("Content-Type"), Some("text/css"), "{codings}");
        assert_eq!(response.field("Vary"), Some("Accept-Encoding"), "{codings}");
    }
    assert_eq!(ask(&mut client, "/a.css", "A: b").text(), "identity");
}

#[test]
fn without_variants_nothing_varies() {
    let site = site();
    let server = Server::of(&site);
    let mut client = server.connect();
    for codings in ["gzip, br", "identity;q=0"] {
        let response = ask(&mut client, "/plain.css", &format!("Accept-Encoding: {codings}"));
        assert_eq!((response.status, response.text().as_str()), (200, "plain"), "{codings}");
        assert_eq!((response.field("Vary"), response.field("Content-Encoding")), (None, None));
    }
}

#[test]
fn a_variant_by_its_own_name_is_a_file_like_any_other() {
    let site = site();
    let server = Server::of(&site);
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(accept(&mut client, "gzip").field("Content-Encoding"), Some("gzip"));
        let response = ask(&mut client, "/a.css.gz", "Accept-Encoding: gzip");
        assert_eq!(response.text(), "gzip");
        assert_eq!(
            (response.field("Content-Encoding"), response.field("Content-Type")),
            (None, Some("application/gzip"))
        );
    }
}

#[test]
fn a_request_that_accepts_no_available_coding_gets_406() {
    let site = site();
    let server = Server::of(&site);
    let response = accept(&mut server.connect(), "identity;q=0, deflate");
    assert_eq!((response.status, response.field("Vary")), (406, Some("Accept-Encoding")));
}

#[test]
fn each_coding_has_its_own_tag_conditions_and_ranges() {
    let site = site();
    let server = Server::of(&site);
    let mut client = server.connect();
    let mut tags: Vec<_> =
        ["br", "gzip", "zstd", ""].map(|coding| accept(&mut client, coding).field("ETag").unwrap().to_string()).into();
    let brotli = tags[0].clone();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4);
    let not_modified = ask(&mut client, "/a.css", &format!("Accept-Encoding: br\r\nIf-None-Match: {brotli}"));
    assert_eq!((not_modified.status, not_modified.field("Vary")), (304, Some("Accept-Encoding")));
    assert_eq!(not_modified.field("ETag"), Some(brotli.as_str()));
    let other = ask(&mut client, "/a.css", &format!("Accept-Encoding: gzip\r\nIf-None-Match: {brotli}"));
    assert_eq!(other.text(), "gzip");
    let part = ask(&mut client, "/a.css", "Accept-Encoding: br\r\nRange: bytes=1-3");
    assert_eq!((part.status, part.text().as_str(), part.field("Content-Range")), (206, "rot", Some("bytes 1-3/6")));
    assert_eq!((part.field("Content-Encoding"), part.field("Vary")), (Some("br"), Some("Accept-Encoding")));
    let failed = ask(&mut client, "/a.css", "Accept-Encoding: br\r\nIf-Match: \"x\"");
    assert_eq!((failed.status, failed.field("Vary")), (412, Some("Accept-Encoding")));
}

#[test]
fn stale_and_unreadable_variants_are_not_used() {
    let site = site();
    set_time(&site, "a.css.br", 999_999_997);
    fs::remove_file(site.path("a.css.zst")).unwrap();
    fs::create_dir(site.path("a.css.zst")).unwrap();
    let server = Server::of(&site);
    let mut client = server.connect();
    assert_eq!(accept(&mut client, "br, zstd, gzip").text(), "gzip");
    fs::remove_file(site.path("a.css.gz")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", site.path("a.css.gz")).unwrap();
    let response = accept(&mut client, "br, zstd, gzip");
    assert_eq!((response.status, response.text().as_str()), (200, "identity"));
    fs::set_permissions(site.path("a.css.br"), Permissions::from_mode(0o644)).unwrap();
}

/// A copy that does not preserve times may write the variant first.
#[test]
fn a_variant_that_is_older_by_two_seconds_is_used() {
    let site = site();
    set_time(&site, "a.css.br", 999_999_998);
    let server = Server::of(&site);
    assert_eq!(accept(&mut server.connect(), "br").text(), "brotli");
}

#[test]
fn an_empty_variant_is_never_used() {
    let site = site();
    site.write("a.css.br", b"");
    let server = Server::of(&site);
    assert_eq!(accept(&mut server.connect(), "br, gzip").text(), "gzip");
}

#[test]
fn variants_can_be_switched_off() {
    let site = site();
    let server = Server::with(&site, &["--precompressed=off"]);
    let mut client = server.connect();
    let response = accept(&mut client, "br, zstd, gzip");
    assert_eq!((response.text().as_str(), response.field("Vary")), ("identity", None));
    // Requested by its own name, it is like any other file.
    assert_eq!(client.get("/a.css.br").text(), "brotli");
}

#[test]
fn variants_that_come_and_go_are_noticed() {
    let site = Site::with(&[("a.css", b"identity")]);
    set_time(&site, "a.css", 1_000_000_000);
    let server = Server::with(&site, &["--workers=1"]);
    let mut client = server.connect();
    assert_eq!(accept(&mut client, "gzip").field("Vary"), None);
    site.write("a.css.gz", b"gzip");
    wait_until("the variant", || accept(&mut client, "gzip").text() == "gzip");
    wait_until("Vary on the original", || accept(&mut client, "").field("Vary").is_some());
    // The file is rewritten: its variant is stale immediately.
    site.write("a.css", b"changed!");
    set_time(&site, "a.css", 4_000_000_000);
    assert_eq!(accept(&mut client, "gzip").text(), "changed!");
    fs::remove_file(site.path("a.css.gz")).unwrap();
    wait_until("no Vary any more", || accept(&mut client, "").field("Vary").is_none());
}

/// Browsers show SVG in gzip only with Content-Encoding, independently of Accept-Encoding. It has no variants.
#[test]
fn an_svgz_is_coded_by_itself() {
    let content: Vec<u8> = (0..40_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let site = Site::with(&[("a.svgz", b"gzip of svg"), ("A.SVGZ", b"upper case"), ("large.svgz", &content)]);
    for variant in ["a.svgz.br", "a.svgz.gz", "a.svgz.zst", "large.svgz.br"] {
        site.write(variant, b"a variant");
    }
    for archive in ["a.tar.gz", "a.tgz", "a.svg.gz"] {
        site.write(archive, b"an archive");
    }
    let server = Server::of(&site);
    let mut client = server.connect();
    for codings in ["gzip", "br, gzip, zstd", "br", "identity", "*;q=0", "gzip;q=0", ""] {
        for (target, expected) in
            [("/a.svgz", &b"gzip of svg"[..]), ("/A.SVGZ", b"upper case"), ("/large.svgz", &content)]
        {
            let response = ask(&mut client, target, &format!("Accept-Encoding: {codings}"));
            assert_eq!((response.status, response.body == expected), (200, true), "{target} {codings}");
            assert_eq!(response.field("Content-Type"), Some("image/svg+xml"), "{target} {codings}");
            assert_eq!(response.field("Content-Encoding"), Some("gzip"), "{target} {codings}");
            // There is only one representation, so there is no Vary.
            assert_eq!(response.field("Vary"), None, "{target} {codings}");
            assert_eq!(response.field("Content-Length"), Some(expected.len().to_string().as_str()));
        }
    }
    // Ranges and validators apply to the bytes of the file.
    for (target, content) in [("/a.svgz", &b"gzip of svg"[..]), ("/large.svgz", &content)] {
        let etag = ask(&mut client, target, "A: b").field("ETag").unwrap().to_string();
        assert!(etag.len() > 2 && !etag.contains("gzip"), "{etag}");
        let part = ask(&mut client, target, &format!("Range: bytes=2-5\r\nIf-Range: {etag}\r\nAccept-Encoding: br"));
        assert_eq!((part.status, part.field("Content-Encoding")), (206, Some("gzip")));
        assert_eq!(part.field("Content-Range"), Some(format!("bytes 2-5/{}", content.len()).as_str()));
        assert_eq!(part.body, &content[2..6]);
        let same = ask(&mut client, target, &format!("If-None-Match: {etag}\r\nAccept-Encoding: br"));
        assert_eq!((same.status, same.field("ETag"), same.field("Vary")), (304, Some(etag.as_str()), None));
    }
    for target in ["/a.tar.gz", "/a.tgz", "/a.svg.gz"] {
        let response = ask(&mut client, target, "Accept-Encoding: gzip");
        assert_eq!(response.field("Content-Encoding"), None, "{target}");
        assert_eq!(response.field("Content-Type"), Some("application/gzip"), "{target}");
    }
    let server = Server::with(&site, &["--mime=svgz=application/gzip"]);
    let response = ask(&mut server.connect(), "/A.SVGZ", "Accept-Encoding: gzip");
    assert_eq!((response.field("Content-Type"), response.field("Content-Encoding")), (Some("application/gzip"), None));
}
