//! Requests in random order, split at random positions, and random bytes: there are as many responses as requests, and
//! each is well-formed. The seed is fixed, so that a failure can be repeated. The parser of responses and the model of
//! requests are in tests/fuzz, which tests more.

use std::io::{Read, Write};
use std::net::Shutdown;

use otus_httpd::http::Limits;

use crate::support::{Server, Site};
use crate::{answer, reading};

/// Knuth's MMIX generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// A request, the status of its response, and the length of its content; none if the page is the server's.
const REQUESTS: [(&str, u16, Option<usize>); 14] = [
    ("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", 200, Some(1)),
    ("\r\nGET /b HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br, gzip\r\n\r\n", 200, Some(40_000)),
    ("GET /c?d HTTP/1.1\r\nHost: x:80\r\n\r\n", 200, Some(100_000)),
    ("HEAD /c HTTP/1.1\r\nHost: x\r\n\r\n", 200, Some(0)),
    ("HEAD /none HTTP/1.1\r\nHost: x\r\n\r\n", 404, Some(0)),
    ("GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 404, None),
    ("GET /%2e%2e/x HTTP/1.1\r\nHost: x\r\n\r\n", 400, None),
    ("GET /dir HTTP/1.1\r\nHost: x\r\n\r\n", 301, None),
    ("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 28\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", 405, None),
    ("GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n", 200, Some(1)),
    ("GET /b HTTP/1.1\r\nHost: x\r\nRange: bytes=5-9\r\n\r\n", 206, Some(5)),
    ("GET /b HTTP/1.1\r\nHost: x\r\nRange: bytes=50000-\r\n\r\n", 416, None),
    ("GET /a HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n", 304, Some(0)),
    ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 204, Some(0)),
];

fn site() -> Site {
    let site = Site::with(&[("a", b"a"), ("dir/file", b"")]);
    site.write("b", &[b'b'; 40_000]);
    site.write("c", &[b'c'; 100_000]);
    site
}

/// Sends `bytes` in pieces, and returns all bytes that are received until the end.
fn exchange(server: &Server, random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let client = server.connect();
    let (mut reader, mut writer) = (client.0.try_clone().unwrap(), client.0);
    std::thread::scope(|scope| {
        let answers = scope.spawn(move || {
            let mut answers = Vec::new();
            // A connection that is ended in the middle of garbage may be reset after the response.
            let _ = reader.read_to_end(&mut answers);
            answers
        });
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = [1, 7, 100, 5_000][random.below(4)];
            let (piece, behind) = rest.split_at((1 + random.below(most)).min(rest.len()));
            // The server may have ended it already.
            if writer.write_all(piece).is_err() {
                break;
            }
            rest = behind;
        }
        let _ = writer.shutdown(Shutdown::Write);
        answers.join().unwrap()
    })
}

#[test]
fn requests_in_any_order_split_anywhere_get_one_response_each() {
    let server = Server::of(&site());
    let mut random = Random(1);
    for round in 0..300 {
        let chosen: Vec<_> = (0..1 + random.below(20)).map(|_| REQUESTS[random.below(REQUESTS.len())]).collect();
        let bytes: String = chosen.iter().map(|(request, ..)| *request).collect();
        let answers = exchange(&server, &mut random, bytes.as_bytes());
        let mut rest = answers.as_slice();
        for (request, status, length) in &chosen {
            let answer = answer::take(&mut rest, request.starts_with("HEAD "));
            assert_eq!(answer.status, *status, "round {round}: {request:?} of {chosen:?}");
            assert!(length.is_none_or(|length| length == answer.body.len()), "round {round}: {answer:?}");
        }
        assert!(rest.is_empty(), "round {round}: more answers than requests {chosen:?}");
    }
}

#[test]
fn any_bytes_get_well_formed_responses_and_affect_no_other_client() {
    let server = Server::of(&site());
    server.wait_until_ready();
    let workers = server.workers();
    let mut random = Random(2);
    for round in 0..1_000 {
        let mut bytes: Vec<u8> =
            (0..1 + random.below(3)).flat_map(|_| REQUESTS[random.below(REQUESTS.len())].0.bytes()).collect();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.insert(at, random.below(256) as u8),
                2 => drop(bytes.remove(at)),
                _ => bytes.extend_from_within(..at),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let answers = exchange(&server, &mut random, &bytes);
        let (due, may_err) = reading::read(&bytes, &Limits::default(), usize::MAX);
        // Shown if the test fails.
        eprintln!("round {round}: {}", bytes.escape_ascii());
        answer::read(&answers, &due, may_err);
    }
    assert_eq!(server.get("/a").text(), "a");
    assert_eq!(server.workers(), workers, "no worker died");
    assert!(!server.log().contains("panic"), "{}", server.log());
}
