//! A request for a small file in memory makes no allocation, and a listing holds few at a time, whatever the number of
//! its entries.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::Parser;
use otus_httpd::config::CommandLine;
use otus_httpd::connection::harness::InProcessServer;
use otus_httpd::site::Sites;

/// Requests for files in memory, and the beginnings of their responses.
const REQUESTS: [(&str, &str); 5] = [
    ("GET /page.html HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip, br\r\n\r\n", "HTTP/1.1 200"),
    ("HEAD /page.html HTTP/1.1\r\nHost: test\r\n\r\n", "HTTP/1.1 200"),
    ("GET / HTTP/1.1\r\nHost: test\r\nUser-Agent: test\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200"),
    ("GET /page.html HTTP/1.1\r\nHost: test\r\nIf-None-Match: *\r\n\r\n", "HTTP/1.1 304"),
    (
        "GET /page.html HTTP/1.1\r\nHost: test\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
        "HTTP/1.1 304",
    ),
];

/// The access log without a writer: none; each request described and none recorded; all summed; the ring full.
const LOGS: [&[&str]; 4] = [
    &["--access-log=off"],
    &["--access-log=errors"],
    &["--access-log=stderr", "--log-rate=0"],
    &["--access-log=stderr", "--log-rate=1000000"],
];

/// The number of requests that fills the ring.
const WARM_UP: usize = 5_000;

#[test]
fn a_request_for_what_is_in_memory_allocates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["page.html", "index.html"] {
        fs::write(directory.path().join(name), "<p>page</p>").unwrap();
        // Only a file without recent writes is cached in memory, and the ctime of a file cannot be set.
        let file = File::open(directory.path().join(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)).unwrap();
    }
    let begin = SystemTime::now();
    while begin.elapsed().unwrap() < Duration::from_millis(2_100) {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    for log in LOGS {
        allocates_nothing(directory.path(), log);
    }
}

fn allocates_nothing(root: &Path, log: &[&str]) {
    let arguments = [&["otus-httpd", "--root", root.to_str().unwrap()], log].concat();
    let options = CommandLine::try_parse_from(arguments).unwrap().options;
    let site = Box::leak(Box::new(Sites::open(&options, 64).unwrap()));
    let mut server = InProcessServer::new(&options, site).unwrap();
    let (mut client, served) = UnixStream::pair().unwrap();
    served.set_nonblocking(true).unwrap();
    server.accept(served.into());

    let mut answer = [0; 65_536];
    let mut ask = |request: &str| {
        client.write_all(request.as_bytes()).unwrap();
        let allocated = allocation_counter::measure(|| assert!(server.turn()));
        let length = client.read(&mut answer).unwrap();
        (allocated, String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    for _ in 0..WARM_UP {
        ask(REQUESTS[0].0);
    }
    for (request, status) in REQUESTS {
        ask(request);
        // The Date of the next second may be formatted in between.
        let least = (0..3).map(|_| ask(request).0.count_total).min().unwrap();
        let (_, text) = ask(request);
        assert!(text.starts_with(status), "{request}: {text}");
        assert_eq!(least, 0, "{log:?} {request}");

        let pipelined = request.repeat(16);
        ask(&pipelined);
        assert_eq!((0..3).map(|_| ask(&pipelined).0.count_total).min(), Some(0), "{log:?} 16 times {request}");
    }
}

/// The allocator would keep small allocations after they were freed.
#[test]
fn a_listing_holds_no_allocation_for_each_entry() {
    const ENTRIES: usize = 3_000;
    let directory = tempfile::tempdir().unwrap();
    for number in 0..ENTRIES {
        File::create(directory.path().join(format!("file{number}.txt"))).unwrap();
    }
    for (request, row) in [
        ("GET /?sort=size HTTP/1.1\r\nHost: test\r\n\r\n", 100),
        ("GET / HTTP/1.1\r\nHost: test\r\nAccept: application/json\r\n\r\n", 130),
    ] {
        let options =
            CommandLine::try_parse_from(["otus-httpd", "--listing", "--root", directory.path().to_str().unwrap()]);
        let options = options.unwrap().options;
        let site = Box::leak(Box::new(Sites::open(&options, 64).unwrap()));
        let mut server = InProcessServer::new(&options, site).unwrap();
        let (mut client, served) = UnixStream::pair().unwrap();
        served.set_nonblocking(true).unwrap();
        server.accept(served.into());
        client.write_all(request.as_bytes()).unwrap();
        let allocated = allocation_counter::measure(|| assert!(server.turn()));
        let mut head = [0; 1024];
        let length = client.read(&mut head).unwrap();
        let head = String::from_utf8_lossy(&head[..length]).into_owned();
        let content_length = head.split_once("Content-Length: ").and_then(|(_, rest)| rest.split_once("\r\n"));
        let content_length: u64 = content_length.unwrap().0.parse().unwrap();
        assert!(content_length < ENTRIES as u64 * row + 16_384, "{content_length} bytes");
        assert!(allocated.count_max < 20, "{allocated:?}");
        assert!(allocated.bytes_max < 2 * content_length, "{allocated:?} for {content_length} bytes");
    }
}
