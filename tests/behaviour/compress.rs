//! Content that the server compresses in memory: nobody prepares it, and nobody waits for it.

use std::fs::{self, File};
use std::io::Read;
use std::time::SystemTime;

use nix::sys::signal::{Signal, kill};

use crate::support::{Client, Response, Server, Setup, Site, encode, wait_for, wait_until};

/// Text of at least `length` bytes that shrinks to about a third; `seed` makes it another one.
pub fn text(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut text = String::new();
    while text.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text += &format!(".class-{state:x} {{ margin: {}px }}\n", state >> 16 & 7);
    }
    text.into()
}

fn ask(client: &mut Client, method: &str, target: &str, fields: &str) -> Response {
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    if method == "HEAD" { client.head() } else { client.response_or_304() }
}

fn accept(client: &mut Client, target: &str, coding: &str) -> Response {
    ask(client, "GET", target, &format!("Accept-Encoding: {coding}\r\n"))
}

pub fn coding(response: &Response) -> &str {
    response.field("Content-Encoding").unwrap_or("identity")
}

/// Requests `target` until it is sent with the first coding of `codings`.
pub fn warm(server: &Server, target: &str, codings: &str) -> Response {
    let wanted = codings.split(',').next().unwrap();
    wait_for(&format!("{target} with {wanted}"), || {
        let response = accept(&mut server.connect(), target, codings);
        assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
        assert!(matches!(coding(&response), "identity") || coding(&response) == wanted);
        (coding(&response) == wanted).then_some(response)
    })
}

pub fn decode(coding: &str, content: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    match coding {
        "br" => drop(brotli::Decompressor::new(content, 4096).read_to_end(&mut decoded).unwrap()),
        "gzip" => drop(flate2::read::GzDecoder::new(content).read_to_end(&mut decoded).unwrap()),
        _ => decoded.extend_from_slice(content),
    }
    decoded
}

#[test]
fn a_file_is_compressed_from_the_second_request_on_and_nobody_waits() {
    let original = text(1, 20_000);
    let site = Site::with(&[("a.css", &original)]);
    let server = Server::with(&site, &["--workers=1"]);
    let mut client = server.connect();
    for (fields, connection) in [("", "without Accept-Encoding"), ("Accept-Encoding: br\r\n", "the first")] {
        let first = ask(&mut client, "GET", "/a.css", fields);
        assert_eq!((first.status, coding(&first)), (200, "identity"), "{connection}");
        assert_eq!(first.field("Vary"), Some("Accept-Encoding"), "{connection}");
        assert!(first.body == original);
    }
    // One request for each of two codings is not a second one.
    assert_eq!(coding(&accept(&mut client, "/a.css", "gzip")), "identity");
    assert_eq!(server.helper(), None);
    for wanted in ["br", "gzip"] {
        let response = warm(&server, "/a.css", wanted);
        assert!(decode(wanted, &response.body) == original, "{wanted}");
        assert!(response.body.len() < original.len() / 2, "{wanted}: {}", response.body.len());
        assert_eq!(response.field("Content-Type"), Some("text/css"));
        // The client that accepts nothing still gets the file.
        assert!(ask(&mut client, "GET", "/a.css", "").body == original);
    }
    assert_eq!(coding(&accept(&mut client, "/a.css", "gzip, deflate, br, zstd")), "br", "the smallest");
    assert_eq!(coding(&accept(&mut client, "/a.css", "br;q=0.5, gzip;q=0.9")), "gzip", "by weight");
    assert_eq!(coding(&accept(&mut client, "/a.css", "identity, br;q=0.5")), "identity");
    assert_eq!(coding(&accept(&mut client, "/a.css", "zstd")), "identity", "not one that is made");
}

#[test]
fn heads_conditions_and_ranges_are_those_of_the_compressed_content() {
    // Sent from memory, and from a file in memory.
    let (small, large) = (text(2, 20_000), text(3, 300_000));
    let site = Site::with(&[("small.js", &small), ("large.js", &large)]);
    let server = Server::with(&site, &["--workers=1"]);
    for (target, original) in [("/small.js", &small), ("/large.js", &large)] {
        let whole = warm(&server, target, "br");
        assert_eq!(whole.body.len() > 32 * 1024, target == "/large.js", "{}", whole.body.len());
        assert!(decode("br", &whole.body) == *original);
        let tag = whole.field("ETag").unwrap();
        assert!(tag.ends_with("-br\"") && !tag.starts_with("W/"), "{tag}");
        let ask = |method: &str, fields: &str| {
            ask(&mut server.connect(), method, target, &format!("Accept-Encoding: br\r\n{fields}"))
        };
        let head = ask("HEAD", "");
        assert_eq!((head.status, coding(&head), head.content_length()), (200, "br", whole.body.len()));
        assert_eq!((head.field("ETag"), head.field("Vary")), (Some(tag), Some("Accept-Encoding")));

        let not_modified = ask("GET", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((not_modified.status, not_modified.field("ETag")), (304, Some(tag)));
        assert_eq!(not_modified.field("Vary"), Some("Accept-Encoding"));

        let part = ask("GET", &format!("Range: bytes=1000-1999\r\nIf-Range: {tag}\r\n"));
        assert_eq!((part.status, coding(&part)), (206, "br"));
        assert_eq!(part.field("Content-Range"), Some(&*format!("bytes 1000-1999/{}", whole.body.len())));
        assert!(part.body == whole.body[1000..2000]);

        // A download of the file itself does not go on with compressed bytes.
        let own = server.get(target).field("ETag").unwrap().to_string();
        assert_ne!(own, tag);
        let other = ask("GET", &format!("Range: bytes=1000-1999\r\nIf-Range: {own}\r\n"));
        assert!(other.status == 200 && other.body == whole.body);
    }
}

/// Access is decided on the path of the file, whatever form of it is sent.
#[test]
fn access_to_compressed_content_is_that_of_the_file() {
    let site = Site::with(&[("in/small.js", &text(50, 20_000)), ("in/large.js", &text(51, 300_000))]);
    let server = Server::with(&site, &["--workers=1", "--allow=/in=127.0.0.0/8"]);
    for target in ["/in/small.js", "/in/large.js"] {
        let response = warm(&server, target, "br");
        assert_eq!(response.status, 200);
    }
}

#[test]
fn what_does_not_become_smaller_is_sent_as_it_is() {
    let noise: Vec<u8> = encode("br", &text(4, 100_000));
    let site = Site::with(&[("short.css", &text(5, 500)), ("noise.txt", &noise), ("a.png", &text(6, 20_000))]);
    site.write("last.css", &text(7, 2_000));
    let server = Server::with(&site, &["--workers=1"]);
    let mut client = server.connect();
    for _ in 0..3 {
        for (target, varies) in [("/short.css", false), ("/noise.txt", true), ("/a.png", false)] {
            let response = accept(&mut client, target, "gzip, br");
            assert_eq!((coding(&response), response.field("Vary").is_some()), ("identity", varies), "{target}");
        }
    }
    // The helper takes the files in their order.
    warm(&server, "/last.css", "br");
    for target in ["/short.css", "/noise.txt", "/a.png"] {
        assert_eq!(coding(&accept(&mut client, target, "gzip, br")), "identity", "{target}");
    }
}

#[test]
fn a_new_content_is_compressed_anew_and_a_new_time_alone_changes_nothing() {
    let (first, second) = (text(8, 10_000), text(9, 10_000));
    let site = Site::with(&[("a.html", &first)]);
    let server = Server::with(&site, &["--workers=1"]);
    let before = warm(&server, "/a.html", "gzip");
    // The result is found at once under another name, and after a change of times.
    site.write("copy.html", &first);
    File::open(site.path("a.html")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    for target in ["/a.html", "/copy.html"] {
        let response = accept(&mut server.connect(), target, "gzip");
        assert_eq!((coding(&response), response.field("ETag")), ("gzip", before.field("ETag")), "{target}");
        assert!(response.body == before.body);
    }
    // Never stale.
    site.write("next", &second);
    fs::rename(site.path("next"), site.path("a.html")).unwrap();
    let changed = accept(&mut server.connect(), "/a.html", "gzip");
    assert!(coding(&changed) == "identity" && changed.body == second);
    let after = warm(&server, "/a.html", "gzip");
    assert!(decode("gzip", &after.body) == second);
    assert_ne!(after.field("ETag"), before.field("ETag"));
}

#[test]
fn a_right_variant_on_disk_is_sent_instead() {
    let original = text(10, 10_000);
    let site = Site::with(&[("a.css", &original)]);
    let server = Server::with(&site, &["--workers=1"]);
    let made = warm(&server, "/a.css", "br, gzip");
    let variant = encode("gzip", &original);
    site.write("a.css.gz", &variant);
    let found = wait_for("the variant", || {
        let response = accept(&mut server.connect(), "/a.css", "br, gzip");
        (coding(&response) == "gzip").then_some(response)
    });
    assert!(found.body == variant);
    assert_eq!(coding(&accept(&mut server.connect(), "/a.css", "br")), "br", "there is none on disk");
    // One that is wrong does not prevent anything.
    site.write("a.css.gz", &encode("gzip", b"other"));
    wait_until("the content in memory", || {
        let response = accept(&mut server.connect(), "/a.css", "br, gzip");
        assert_eq!(response.status, 200);
        coding(&response) == "br" && response.field("ETag") == made.field("ETag")
    });
}

#[test]
fn a_store_that_is_full_keeps_what_is_in_it() {
    let site = Site::new();
    let contents: Vec<_> = (0..12).map(|number| text(20 + number, 10_000)).collect();
    for (number, content) in contents.iter().enumerate() {
        site.write(format!("{number}.css"), content);
    }
    // The store has a half of it, for about four results.
    let server = Server::with(&site, &["--workers=1", "--compress-cache=32k"]);
    warm(&server, "/0.css", "gzip");
    warm(&server, "/1.css", "gzip");
    let all = |server: &Server| {
        let responses = (0..12).map(|number| accept(&mut server.connect(), &format!("/{number}.css"), "gzip"));
        let responses: Vec<_> = responses.collect();
        for (response, content) in responses.iter().zip(&contents) {
            assert!(response.status == 200 && decode(coding(response), &response.body) == *content);
        }
        responses.iter().filter(|response| coding(response) == "gzip").count()
    };
    // Each is requested again and again, and some are compressed while there is room.
    let mut last = 0;
    wait_until("a full store", || {
        let now = all(&server);
        assert!(now >= last, "{now} of {last} are left");
        let is_full = now == last && now > 2;
        last = now;
        is_full
    });
    assert!(last < 12, "{last}");
    assert_eq!(coding(&accept(&mut server.connect(), "/0.css", "gzip")), "gzip");
}

#[test]
fn without_memory_for_it_nothing_is_compressed() {
    let original = text(40, 20_000);
    let site = Site::with(&[("a.css", &original)]);
    let server = Server::with(&site, &["--workers=1", "--compress-cache=0"]);
    let mut client = server.connect();
    for _ in 0..10 {
        let response = accept(&mut client, "/a.css", "gzip, br");
        assert!(response.body == original);
        assert_eq!((coding(&response), response.field("Vary")), ("identity", None));
    }
    assert_eq!(server.helper(), None);
}

#[test]
fn all_workers_share_a_result_and_a_killed_helper_is_replaced() {
    let site = Site::with(&[("a.css", &text(41, 10_000)), ("b.css", &text(42, 10_000))]);
    let server = Server::with(&site, &["--workers=4"]);
    let first = warm(&server, "/a.css", "br");
    let helper = wait_for("the helper", || server.helper());
    kill(helper, Signal::SIGKILL).unwrap();
    wait_until("its end", || server.helper() != Some(helper));
    // What it has made is there, for workers that have not sent it as well.
    for _ in 0..20 {
        let response = accept(&mut server.connect(), "/a.css", "br");
        assert_eq!((coding(&response), response.field("ETag")), ("br", first.field("ETag")));
    }
    warm(&server, "/b.css", "br");
}

#[test]
fn a_reload_keeps_the_results() {
    let site = Site::with(&[("a.css", &text(43, 10_000))]);
    let server = Server::with(&site, &[]);
    let before = warm(&server, "/a.css", "br");
    server.signal(Signal::SIGHUP);
    server.wait_for_log("Reloaded; ");
    for _ in 0..10 {
        let response = accept(&mut server.connect(), "/a.css", "br");
        assert_eq!((coding(&response), response.field("ETag")), ("br", before.field("ETag")));
    }
}

#[test]
fn a_reload_may_change_the_size_or_end_it() {
    let site = Site::with(&[("a.css", &text(44, 10_000))]);
    let settings = site.outside().join("settings");
    fs::write(&settings, "OTUS_COMPRESS_CACHE=1m\n").unwrap();
    let server = Setup::new(&site, &[]).env("OTUS_SETTINGS", &settings).listen();
    warm(&server, "/a.css", "br");
    for (number, size) in ["2m", "0", "1m"].into_iter().enumerate() {
        fs::write(&settings, format!("OTUS_COMPRESS_CACHE={size}\n")).unwrap();
        server.signal(Signal::SIGHUP);
        wait_until("the reload", || server.log().matches("Reloaded; ").count() == number + 1);
        // Old workers may have taken connections that were waiting.
        let expected = if size == "0" { "identity" } else { "br" };
        wait_until(expected, || coding(&accept(&mut server.connect(), "/a.css", "br")) == expected);
    }
}
