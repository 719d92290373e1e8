//! HTTP/2: the same answers as over HTTP/1.1, streams that delay no others, and connections that end without a loss.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use otus_httpd::http::h2::ErrorCode;
use otus_httpd::http::h2::frame::{FrameType, write};
use rustls::version::{TLS12, TLS13};

use crate::fuse::{Call, Disk, Fault};
use crate::http2_client::{Answer, Http2Client};
use crate::https::{self, Certificates};
use crate::support::{Client, DEADLINE, Server, Setup, Site, get, threads, wait_for, wait_until};

/// The option for HTTP/2 in clear.
const CLEAR: &str = "--http2=cleartext";

/// The number of the last stream in a GOAWAY that only announces the end.
const ANY_STREAM: u32 = 0x7fff_ffff;

const NO_ERROR: u32 = ErrorCode::NoError as u32;

fn serve(site: &Site, arguments: &[&str]) -> Server {
    Server::with(site, &[&[CLEAR, "--workers=1"], arguments].concat())
}

/// The fields of a response that both versions have.
fn common(fields: &[(String, String)]) -> BTreeMap<String, String> {
    let fields = fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    fields.filter(|(name, _)| !["connection", "date", ":status"].contains(&name.as_str())).collect()
}

/// A site with every kind of answer.
fn site_of_answers() -> Site {
    let site = Site::with(&[
        ("a.txt", b"ten bytes!"),
        ("empty", b""),
        ("index.html", b"<h1>index</h1>"),
        ("large", &(0..300_000u32).map(|n| n as u8).collect::<Vec<_>>()),
        ("page.html", b"page"),
        ("dir/a", b"a"),
        ("coded.txt", &b"coded ".repeat(50)),
        ("404.html", b"not here"),
        ("_redirects", b"/old /a.txt 301\n/rewritten /a.txt 200\n/gone /404.html 410\n/closed /404.html 503\n"),
        ("_headers", b"/a.txt\n  X-Test: 1\n  Cache-Control: max-age=60\n/dir/*\n  ! Cache-Control\n"),
        (".hidden", b"hidden"),
    ]);
    let gzip = std::process::Command::new("gzip").arg("-k").arg(site.path("coded.txt")).status().unwrap();
    assert!(gzip.success());
    let written = std::time::SystemTime::now() - Duration::from_secs(100);
    for name in ["a.txt", "coded.txt", "coded.txt.gz", "large", "empty"] {
        fs::File::options().write(true).open(site.path(name)).unwrap().set_modified(written).unwrap();
    }
    site
}

#[test]
fn answers_are_those_of_http11() {
    let site = site_of_answers();
    let server = serve(&site, &["--listing", "--max-request-line=1k", "--max-head=4k", "--max-fields=20"]);
    // What is determined in the background does not change between two requests then.
    wait_until("the large file is hashed", || server.get("/large").field("ETag").is_some());
    let coded = "GET /coded.txt HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n";
    wait_until("the variant is used", || server.connect().send(coded).response().field("Content-Encoding").is_some());
    let tag = server.get("/a.txt").field("ETag").unwrap().to_string();
    let weak = format!("W/{tag}");
    let modified = server.get("/a.txt").field("Last-Modified").unwrap().to_string();
    let long = format!("/{}", "x".repeat(1100));
    let large = "x".repeat(4_200);
    let names: Vec<_> = (0..30).map(|n| format!("x-{n}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let targets = [
        "/a.txt",
        "/",
        "/empty",
        "/large",
        "/page",
        "/page.html",
        "/dir",
        "/dir/",
        "/none",
        "/old",
        "/old?q",
        "/rewritten",
        "/gone",
        "/closed",
        "/.hidden",
        "/_headers",
        "/a.txt/",
        "/%61.txt",
        "/%2e%2e/a",
        "/../a.txt",
        "/dir/../a.txt",
        "//a.txt",
        "/a%00",
        "/a%zz",
        "/?q",
        "/coded.txt",
        "/.well-known/acme-challenge/x",
        "/a.txt#x",
        "/\u{e4}",
    ];
    let fields: Vec<Vec<(&str, &str)>> = vec![
        vec![("range", "bytes=0-3")],
        vec![("range", "bytes=-3")],
        vec![("range", "bytes=0-0,5-")],
        vec![("range", "bytes=20-")],
        vec![("range", "bytes=5-2")],
        vec![("range", "lines=1-2")],
        vec![("range", "bytes=0-3"), ("if-range", &tag)],
        vec![("range", "bytes=0-3"), ("if-range", "\"other\"")],
        vec![("range", "bytes=0-3"), ("if-range", &modified)],
        vec![("if-none-match", &tag)],
        vec![("if-none-match", &weak)],
        vec![("if-none-match", "*")],
        vec![("if-none-match", "\"x\", \"y\"")],
        vec![("if-none-match", "\"x\""), ("if-none-match", &tag)],
        vec![("if-match", &tag)],
        vec![("if-match", &weak)],
        vec![("if-match", "\"x\"")],
        vec![("if-modified-since", &modified)],
        vec![("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")],
        vec![("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")],
        vec![("accept-encoding", "gzip")],
        vec![("accept-encoding", "identity;q=0, gzip")],
        vec![("accept-encoding", "identity;q=0")],
        vec![("accept", "application/json")],
        vec![("expect", "100-continue")],
        vec![("x", "\u{1}")],
        vec![("x", &large)],
        many,
    ];
    type Case<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>);
    let mut cases: Vec<Case> = Vec::new();
    for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE", "PATCH", "BREW"] {
        cases.extend(["/a.txt", "/none", "/", "/dir/"].map(|target| (method, target, vec![])));
    }
    for method in ["GET", "HEAD"] {
        cases.extend(targets.iter().map(|target| (method, *target, vec![])));
        for target in ["/a.txt", "/large", "/coded.txt", "/none", "/dir/"] {
            cases.extend(fields.iter().map(|fields| (method, target, fields.clone())));
        }
    }
    cases.extend([("GET", long.as_str(), vec![]), ("GET", "/", vec![(":authority", "other.example")])]);
    cases.push(("OPTIONS", "*", vec![]));
    let mut http2 = Http2Client::connect(server.address);
    for (method, target, fields) in &cases {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        let host = fields.iter().find(|(name, _)| *name == ":authority").map_or("test", |(_, value)| value);
        head += &format!("Host: {host}\r\n");
        for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with(':')) {
            head += &format!("{name}: {value}\r\n");
        }
        let mut client = server.connect();
        client.send(head + "\r\n");
        let mut expected = client.head();
        let has_body = *method != "HEAD" && ![204, 304].contains(&expected.status);
        if has_body {
            expected.body.resize(expected.content_length(), 0);
            std::io::Read::read_exact(&mut client.0, &mut expected.body).unwrap();
        }
        let stream = http2.request(method, target, fields);
        let answer = http2.response(stream);
        let what = format!("{method} {target} {fields:?}");
        assert_eq!(answer.reset, None, "{what}");
        assert_eq!(answer.status(), expected.status, "{what}");
        let mut of_http11 = common(&expected.fields);
        of_http11.remove("keep-alive");
        assert_eq!(common(&answer.fields), of_http11, "{what}");
        assert!(answer.body == expected.body, "{what}: the bodies differ");
    }
    assert!(cases.len() >= 350, "{}", cases.len());
}

#[test]
fn browsers_negotiate_it_over_tls_and_option_ends_it() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    for (option, expected) in [("--http2=on", Some(&b"h2"[..])), ("--http2=off", Some(&b"http/1.1"[..]))] {
        let server = certificates.serve(&site, &[option]);
        for version in [&TLS13, &TLS12] {
            let mut config = (*certificates.client("first", version)).clone();
            config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
            let mut stream = https::connect(server.address, &Arc::new(config));
            stream.flush().unwrap();
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock).unwrap();
            }
            assert_eq!(stream.conn.alpn_protocol(), expected);
            if option == "--http2=on" {
                let mut client = Http2Client::new(stream, "https");
                client.begin(65_535);
                let answer = client.get("/a");
                assert_eq!((answer.status(), answer.text()), (200, "a".into()));
            }
        }
    }
}

#[test]
fn in_clear_it_is_for_unix_sockets_and_by_option() {
    let site = Site::with(&[("a", b"a")]);
    let path = site.outside().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = Setup::new(&site, &[]).socket(listener).start();
    let stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut client = Http2Client::new(stream, "http");
    client.begin(65_535);
    assert_eq!(client.get("/a").text(), "a");
    drop(server);

    let server = Server::of(&site);
    let mut client = Client::connect(server.address);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.response().status, 505);

    // The preface may arrive in pieces, and HTTP/1.1 beside it.
    let server = serve(&site, &[]);
    let mut client = Http2Client::silent(server.address);
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        client.send(&[*byte]);
    }
    client.frame(FrameType::Settings, 0, 0, &[]);
    assert_eq!(client.get("/a").text(), "a");
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn a_stream_that_hangs_delays_no_other_one() {
    let site = Site::with(&[("a", b"a")]);
    for (name, call) in
        [("small", Call::Find), ("small", Call::Open), ("small", Call::Read(0)), ("large", Call::Read(1_000_000))]
    {
        let disk = Disk::mount(&site, "disk", &[("small", b"small"), ("large", &vec![b'x'; 20_000_000])]);
        let server = serve(&site, &[]);
        let mut client = Http2Client::connect(server.address);
        assert_eq!(client.get("/a").text(), "a");
        disk.set(name, call, Fault::Hang);
        let hanging: Vec<_> = (0..3).map(|_| client.request("GET", &format!("/disk/{name}"), &[])).collect();
        // Together with them, and later.
        for _ in 0..50 {
            assert_eq!(client.get("/a").text(), "a", "{call:?}");
        }
        assert!(hanging.iter().all(|stream| !client.ended.contains(stream)), "{call:?}");
        wait_until("the streams to hang", || disk.waiting() >= 1);
        disk.mend();
        for stream in hanging {
            let answer = client.response(stream);
            let length = if name == "small" { 5 } else { 20_000_000 };
            assert_eq!((answer.status(), answer.body.len()), (200, length), "{call:?}");
        }
        assert_eq!(server.warnings(), Vec::<String>::new());
    }
}

/// The median time of a response to a request for a small file; with `beside`, another one was sent before it, whose file hangs.
fn median_wait(server: &Server, beside: Option<&Disk>) -> Duration {
    let waits = (0..15).map(|number| {
        let mut client = Http2Client::connect(server.address);
        client.get("/a");
        if let Some(disk) = beside {
            let name = format!("{number}");
            disk.set(&name, Call::Open, Fault::Hang);
            client.request("GET", &format!("/disk/{name}"), &[]);
        }
        let begin = Instant::now();
        client.get("/a");
        begin.elapsed()
    });
    let mut waits: Vec<_> = waits.collect();
    waits.sort();
    waits[waits.len() / 2]
}

/// A disk with so many small files, and their names.
fn disk_of_small_files(site: &Site, count: usize) -> (Vec<String>, Disk) {
    let names: Vec<String> = (0..count).map(|n| format!("{n}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    let disk = Disk::mount(site, "disk", &files);
    (names, disk)
}

#[test]
fn a_stream_that_hangs_delays_others_by_ten_milliseconds_at_most() {
    let site = Site::with(&[("a", b"a")]);
    let (names, disk) = disk_of_small_files(&site, 15);
    let server = serve(&site, &[]);
    // Another process may need the processors for a while.
    wait_until("the streams to be fast enough", || {
        let calm = median_wait(&server, None);
        let beside = median_wait(&server, Some(&disk));
        wait_until("all streams to hang", || disk.waiting() == names.len());
        disk.mend();
        wait_until("no stream to hang", || disk.waiting() == 0);
        println!("The median is {calm:?}, beside a stream that hangs {beside:?}.");
        beside <= calm + Duration::from_millis(10)
    });
    assert_eq!(server.warnings(), Vec::<String>::new());
}

#[test]
fn one_connection_occupies_a_few_threads() {
    let site = Site::with(&[("a", b"a")]);
    let (names, disk) = disk_of_small_files(&site, 40);
    let server = serve(&site, &[]);
    let mut client = Http2Client::connect(server.address);
    for name in &names {
        disk.set(name, Call::Open, Fault::Hang);
        client.request("GET", &format!("/disk/{name}"), &[]);
    }
    wait_until("eight streams to hang", || disk.waiting() == 8);
    // A further stream waits, another connection does not.
    let waiting = client.request("GET", "/a", &[]);
    for _ in 0..20 {
        assert_eq!(server.get("/a").text(), "a");
    }
    assert_eq!(disk.waiting(), 8);
    assert!(threads(server.workers()[0]) < 20);
    disk.mend();
    assert_eq!(client.response(waiting).text(), "a");
    client.read_until(|client| client.ended.len() == 41);
}

#[test]
fn windows_are_kept_and_responses_are_sent_by_priority() {
    let content = |byte: u8| vec![byte; 200_000];
    let site = Site::with(&[("a.png", &content(b'a')), ("b.png", &content(b'b')), ("c.html", &content(b'c'))]);
    let server = serve(&site, &[]);
    // Nothing is sent without a window.
    let mut client = Http2Client::with_window(server.address, 0);
    let streams = ["/a.png", "/b.png", "/c.html"].map(|target| client.request("GET", target, &[]));
    client.read_until(|client| client.answers.len() == 3);
    for stream in streams {
        client.send(&{
            let mut bytes = Vec::new();
            write::window_update(&mut bytes, stream, 1_000);
            bytes
        });
        client.read_until(|client| client.answers[&stream].body.len() == 1_000);
    }
    let mut bytes = Vec::new();
    streams.iter().for_each(|stream| write::window_update(&mut bytes, *stream, 300_000));
    client.send(&bytes);
    client.read_until(|client| client.ended.len() == 3);
    // Without a signal, pages come before images.
    assert_eq!(client.ended[0], streams[2]);
    for (stream, byte) in streams.iter().zip(*b"abc") {
        assert!(client.answers[stream].body == content(byte));
    }
    // The client's signal decides.
    let mut client = Http2Client::with_window(server.address, 0);
    let urgencies = [("/a.png", "u=1"), ("/b.png", "u=0"), ("/c.html", "u=5")];
    let streams = urgencies.map(|(target, urgency)| client.request("GET", target, &[("priority", urgency)]));
    client.read_until(|client| client.answers.len() == 3);
    let mut bytes = write::head(FrameType::Settings, 0, 0, 6).to_vec();
    bytes.extend([0, 4, 0, 100, 0, 0]);
    client.send(&bytes);
    client.read_until(|client| client.ended.len() == 3);
    assert_eq!(client.ended, [streams[1], streams[0], streams[2]]);
}

#[test]
fn a_reload_ends_connections_without_a_loss() {
    let site = Site::with(&[("a", b"a"), ("large", &vec![b'x'; 2_000_000])]);
    let server = serve(&site, &["--drain-timeout=20"]);
    let mut client = Http2Client::with_window(server.address, 100_000);
    client.answers_pings = false;
    assert_eq!(client.get("/a").text(), "a");
    let large = client.request("GET", "/large", &[]);
    client.read_until(|client| client.answers.get(&large).is_some_and(|answer| answer.body.len() == 100_000));
    server.signal(Signal::SIGHUP);
    client.read_until(|client| client.go_aways == [(ANY_STREAM, NO_ERROR)] && client.pings.len() == 1);
    // The client does not know yet: this stream is served.
    let before = client.request("GET", "/a", &[]);
    assert_eq!(client.response(before).text(), "a");
    let ping = client.pings[0].clone();
    client.frame(FrameType::Ping, crate::http2_client::ACK, 0, &ping);
    client.read_until(|client| client.go_aways.len() == 2);
    assert_eq!(client.go_aways[1], (before, NO_ERROR));
    // This one is not acted on, and the one before is served whole.
    let after = client.request("GET", "/a", &[]);
    let mut bytes = Vec::new();
    write::window_update(&mut bytes, large, 2_000_000);
    client.send(&bytes);
    assert_eq!(client.response(large).body.len(), 2_000_000);
    client.read_to_end();
    assert!(!client.answers.contains_key(&after));
}

#[test]
fn idle_connections_end_at_a_reload_and_after_the_timeout() {
    let site = Site::with(&[("a", b"a")]);
    let server = serve(&site, &["--idle-timeout=1"]);
    let mut client = Http2Client::connect(server.address);
    assert_eq!(client.get("/a").text(), "a");
    assert_eq!(client.read_to_end(), (1, NO_ERROR));
    let server = serve(&site, &[]);
    let mut clients: Vec<_> = (0..20).map(|_| Http2Client::connect(server.address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/a").text(), "a");
    }
    let begin = Instant::now();
    server.signal(Signal::SIGHUP);
    for client in &mut clients {
        assert_eq!(client.read_to_end(), (1, NO_ERROR));
        assert_eq!(client.go_aways[0], (ANY_STREAM, NO_ERROR));
    }
    assert!(begin.elapsed() < DEADLINE / 3);
}

#[test]
fn a_connection_ends_after_its_last_request() {
    let site = Site::with(&[("a", b"a")]);
    let server = serve(&site, &["--max-requests=3"]);
    let mut client = Http2Client::connect(server.address);
    for _ in 0..3 {
        assert_eq!(client.get("/a").text(), "a");
    }
    assert_eq!(client.read_to_end(), (5, NO_ERROR));
}

#[test]
fn each_stream_is_in_the_access_log() {
    let site = Site::with(&[("a", b"abc"), ("large", &vec![b'x'; 5_000_000])]);
    let server = serve(&site, &["--access-log=stderr"]);
    let mut client = Http2Client::with_window(server.address, 70_000);
    assert_eq!(client.get("/a?1").text(), "abc");
    let large = client.request("GET", "/large?2", &[]);
    client.read_until(|client| client.answers.get(&large).is_some_and(|answer| answer.body.len() == 70_000));
    client.frame(FrameType::ResetStream, 0, large, &8u32.to_be_bytes());
    let upper = client.request("GET", "/none?3", &[]);
    assert_eq!(client.response(upper).status(), 404);
    let last = client.request("GET", "/large?4", &[]);
    client.read_until(|client| client.answers.get(&last).is_some_and(|answer| answer.body.len() == 70_000));
    drop(client);
    let record =
        |target: &str| wait_for(target, || server.log().lines().find(|line| line.contains(target)).map(String::from));
    for (target, expected) in [
        (
            "/a?1",
            &[
                "\"http_status\":200",
                "\"bytes_sent\":3",
                "\"stream\":1,",
                "\"http_version\":\"2\"",
                "\"http_host\":\"test\"",
            ][..],
        ),
        ("/large?2", &["\"bytes_sent\":70000", "\"stream\":3,", "the client cancelled the request"]),
        ("/none?3", &["\"http_status\":404", "\"stream\":5,"]),
        ("/large?4", &["\"bytes_sent\":70000", "\"stream\":7,", "\"cause\""]),
    ] {
        let record = record(target);
        assert!(expected.iter().all(|text| record.contains(text)), "{record}");
    }
}

#[test]
fn a_client_that_receives_nothing_is_disconnected() {
    let site = Site::with(&[("large", &vec![b'x'; 5_000_000])]);
    let server = serve(&site, &["--send-timeout=1"]);
    for window in [0, 10_000] {
        let mut client = Http2Client::with_window(server.address, window);
        client.request("GET", "/large", &[]);
        let begin = Instant::now();
        while client.next_frame().is_some() {}
        assert!(begin.elapsed() < DEADLINE);
    }
    // One that begins nothing, or only the beginning of something.
    let server = serve(&site, &["--head-timeout=1"]);
    for bytes in [
        &b""[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x09\x01",
    ] {
        if !bytes.is_empty() {
            let mut client = Http2Client::silent(server.address);
            client.send(bytes);
            while client.next_frame().is_some() {}
        }
    }
}

#[test]
fn a_file_that_changes_ends_its_stream_alone() {
    let site = Site::with(&[("a", b"a"), ("large", &vec![b'x'; 5_000_000])]);
    let server = serve(&site, &[]);
    let mut client = Http2Client::with_window(server.address, 70_000);
    let large = client.request("GET", "/large", &[]);
    client.read_until(|client| client.answers.get(&large).is_some_and(|answer| answer.body.len() == 70_000));
    fs::File::options().write(true).open(site.path("large")).unwrap().write_all(b"changed").unwrap();
    let mut bytes = Vec::new();
    write::window_update(&mut bytes, large, 1_000_000);
    client.send(&bytes);
    assert_eq!(client.response(large).reset, Some(ErrorCode::InternalError as u32));
    assert_eq!(client.get("/a").text(), "a");
    server.wait_for_log("Cannot send a file completely");
}

#[test]
fn requests_with_content_are_answered() {
    let site = Site::with(&[("a", b"a")]);
    let server = serve(&site, &[]);
    let mut client = Http2Client::connect(server.address);
    let post = |client: &mut Http2Client, fields: &[(&str, &str)], content: &[&[u8]], ends: bool| -> Answer {
        let (stream, bytes) = client.headers("GET", "/a", fields, false);
        client.send(&bytes);
        for (at, part) in content.iter().enumerate() {
            let flags = if ends && at + 1 == content.len() { 1 } else { 0 };
            client.frame(FrameType::Data, flags, stream, part);
        }
        client.response(stream)
    };
    assert_eq!(post(&mut client, &[], &[b"abc", b""], true).text(), "a");
    assert_eq!(post(&mut client, &[("content-length", "3")], &[b"abc"], true).text(), "a");
    assert_eq!(post(&mut client, &[("content-length", "4")], &[b"abc"], true).reset, Some(1));
    assert_eq!(post(&mut client, &[("content-length", "100000")], &[], false).status(), 413);
    let answer = post(&mut client, &[("expect", "100-continue")], &[], false);
    assert_eq!(answer.text(), "a");
    assert_eq!(client.get("/a").text(), "a");
}

#[test]
fn a_page_that_is_left_is_not_abuse_and_a_flood_of_resets_is() {
    let site = Site::with(&[("a", b"a"), ("large", &vec![b'x'; 1_000_000])]);
    let server = serve(&site, &["--debug"]);
    let mut client = Http2Client::connect(server.address);
    assert_eq!(client.get("/a").text(), "a");
    let streams: Vec<_> = (0..100).map(|_| client.request("GET", "/large", &[])).collect();
    for stream in streams {
        client.frame(FrameType::ResetStream, 0, stream, &8u32.to_be_bytes());
    }
    let stream = client.request("GET", "/a", &[]);
    assert_eq!(client.response(stream).text(), "a");
    let mut client = Http2Client::connect(server.address);
    let mut bytes = Vec::new();
    for _ in 0..1_000 {
        let (stream, headers) = client.headers("GET", "/none", &[], true);
        bytes.extend(headers);
        write::reset_stream(&mut bytes, stream, ErrorCode::Cancel);
    }
    let _ = client.stream.write_all(&bytes);
    assert_eq!(client.read_to_end().1, ErrorCode::EnhanceYourCalm as u32);
    server.wait_for_log("HTTP/2 connection ended: the client has had too many streams reset");
    assert_eq!(server.connect().send(get("/a")).response().text(), "a");
}
