//! Precompressed variants, and their selection (RFC 9110 §8.4, §12.5.3).

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use crate::support::{Client, Response, Server, Site, encode, wait_until};

/// The content of `a.css`, which its variants decode to.
fn original() -> Vec<u8> {
    (0..100).flat_map(|number| format!(".c{number} {{ color: red }}\n").into_bytes()).collect()
}

/// `a.css` with variants in three codings; `plain.css` without.
fn site() -> Site {
    let site = Site::with(&[("a.css", &original()), ("plain.css", b"plain")]);
    for (suffix, coding) in [("br", "br"), ("zst", "zstd"), ("gz", "gzip")] {
        site.write(format!("a.css.{suffix}"), &encode(coding, &original()));
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
        assert!(response.status == 200 && response.body == encode(expected, &original()), "{codings}");
        assert_eq!(response.field("Content-Encoding").unwrap_or("identity"), expected, "{codings}");
        assert_eq!(response.field("Content-Type"), Some("text/css"), "{codings}");
        assert_eq!(response.field("Vary"), Some("Accept-Encoding"), "{codings}");
    }
    assert!(ask(&mut client, "/a.css", "A: b").body == original());
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
        assert!(response.body == encode("gzip", &original()));
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
    assert!(other.body == encode("gzip", &original()));
    let part = ask(&mut client, "/a.css", "Accept-Encoding: br\r\nRange: bytes=1-3");
    let variant = encode("br", &original());
    assert!(part.status == 206 && part.body == variant[1..4]);
    assert_eq!(part.field("Content-Range"), Some(format!("bytes 1-3/{}", variant.len()).as_str()));
    assert_eq!((part.field("Content-Encoding"), part.field("Vary")), (Some("br"), Some("Accept-Encoding")));
    let failed = ask(&mut client, "/a.css", "Accept-Encoding: br\r\nIf-Match: \"x\"");
    assert_eq!((failed.status, failed.field("Vary")), (412, Some("Accept-Encoding")));
}

#[test]
fn stale_and_unreadable_variants_are_not_used() {
    let site = site();
    let changed = String::from_utf8(original()).unwrap().replace("red", "tan");
    site.write("a.css.br", &encode("br", changed.as_bytes()));
    fs::remove_file(site.path("a.css.zst")).unwrap();
    fs::create_dir(site.path("a.css.zst")).unwrap();
    let server = Server::of(&site);
    let mut client = server.connect();
    assert_eq!(accept(&mut client, "br, zstd, gzip").field("Content-Encoding"), Some("gzip"));
    fs::remove_file(site.path("a.css.gz")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", site.path("a.css.gz")).unwrap();
    let response = accept(&mut client, "br, zstd, gzip");
    assert!(response.status == 200 && response.body == original());
    fs::set_permissions(site.path("a.css.br"), Permissions::from_mode(0o644)).unwrap();
}

/// A copy of both may keep the times, or not, and write them in any order.
#[test]
fn the_age_of_a_variant_does_not_matter() {
    for seconds in [1, 999_999_000, 1_000_000_000, 4_000_000_000] {
        let site = site();
        set_time(&site, "a.css", 1_000_000_000);
        set_time(&site, "a.css.br", seconds);
        let server = Server::of(&site);
        assert_eq!(accept(&mut server.connect(), "br").field("Content-Encoding"), Some("br"), "{seconds}");
    }
}

/// The release before is restored with its times, as cp -p, tar and rsync -a do; the variants of the later one stay.
#[test]
fn a_file_that_is_rolled_back_is_not_served_as_the_later_one() {
    let site = site();
    let earlier = String::from_utf8(original()).unwrap().replace("red", "tan");
    let server = Server::of(&site);
    let mut client = server.connect();
    assert_eq!(accept(&mut client, "br, gzip").field("Content-Encoding"), Some("br"));
    site.write("a.css", earlier.as_bytes());
    set_time(&site, "a.css", 1_000_000_000);
    let response = accept(&mut client, "br, gzip");
    assert_eq!((response.field("Content-Encoding"), response.text()), (None, earlier));
    assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
}

#[test]
fn a_file_that_is_no_variant_is_logged_with_the_reason() {
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut variant = encode("gzip", &original());
        change(&mut variant);
        variant
    };
    let longer = encode("gzip", &[&original()[..], b"more"].concat());
    for (variant, why) in [
        (original(), "it is not smaller than the file"),
        (encode("gzip", &original()[1..]), "it decodes to other content than that of the file"),
        (longer, "it decodes to other content than that of the file"),
        (damaged(&|variant| variant.truncate(20)), "it is cut short"),
        (damaged(&|variant| variant.push(0)), "it has bytes after its end"),
        (encode("br", &original()), "it is not in the format of its suffix"),
    ] {
        let site = Site::with(&[("a.css", &original()), ("a.css.gz", &variant)]);
        let server = Server::of(&site);
        let response = accept(&mut server.connect(), "gzip");
        assert!(response.status == 200 && response.body == original(), "{why}");
        assert_eq!(response.field("Vary"), Some("Accept-Encoding"), "{why}");
        let warning = format!(
            " WARN The variant \"/a.css.gz\" is not used: {why}. \"otus-httpd precompress DIR\" replaces or removes \
             it, and with --verify lists variants that do not decode to their file. Logged once a minute."
        );
        assert_eq!(server.warnings(), [warning]);
    }
}

#[test]
fn an_empty_variant_is_never_sent() {
    let site = Site::with(&[("a.css", &original()), ("a.css.gz", b""), ("a.css.br", b"")]);
    let server = Server::with(&site, &["--compress-cache=0"]);
    let mut client = server.connect();
    for codings in ["gzip, br", "identity;q=0, gzip", "identity;q=0"] {
        let response = accept(&mut client, codings);
        assert!(response.status == 200 && response.body == original(), "{codings}");
        assert_eq!((response.field("Vary"), response.field("Content-Encoding")), (None, None), "{codings}");
    }
}

#[test]
fn variants_can_be_switched_off() {
    let site = site();
    let server = Server::with(&site, &["--precompressed=off", "--compress-cache=0"]);
    let mut client = server.connect();
    let response = accept(&mut client, "br, zstd, gzip");
    assert!(response.body == original() && response.field("Vary").is_none());
    // By its own name it is a file as any other.
    assert!(client.get("/a.css.br").body == encode("br", &original()));
}

#[test]
fn variants_that_come_and_go_are_noticed() {
    let site = Site::with(&[("a.css", &original())]);
    let server = Server::with(&site, &["--workers=1", "--compress-cache=0"]);
    let mut client = server.connect();
    assert_eq!(accept(&mut client, "gzip").field("Vary"), None);
    site.write("a.css.gz", &encode("gzip", &original()));
    wait_until("the variant", || accept(&mut client, "gzip").field("Content-Encoding") == Some("gzip"));
    wait_until("Vary on the original", || accept(&mut client, "").field("Vary").is_some());
    // It is written anew: what was compressed from it is stale at once.
    let changed = String::from_utf8(original()).unwrap().replace("red", "tan");
    site.write("a.css", changed.as_bytes());
    assert_eq!(accept(&mut client, "gzip").text(), changed);
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
    // Ranges and validators are those of the file.
    wait_until("a strong tag", || {
        !ask(&mut client, "/large.svgz", "A: b").field("ETag").is_none_or(|tag| tag.starts_with("W/"))
    });
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
