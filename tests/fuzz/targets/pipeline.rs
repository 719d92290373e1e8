//! Valid requests in any order, with any fields and bodies that do not matter, cut anywhere: each gets its own
//! response.
#![no_main]

use std::cell::RefCell;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use otus_httpd_fuzz::site::Site;
use otus_httpd_fuzz::wire::{self, Cuts};
use otus_httpd_fuzz::{answer, reading};

/// The beginning of a request line, the fields, and the status of the response.
const REQUESTS: [(&str, &str, u16); 24] = [
    ("GET /a.txt", "", 200),
    ("GET /", "", 200),
    ("GET /empty", "Range: bytes=0-\r\n", 200),
    ("GET /page.html", "Accept-Encoding: br, gzip;q=0.5\r\n", 200),
    ("GET /page.html?a=b", "Accept-Encoding: gzip\r\nRange: bytes=-7\r\n", 206),
    ("GET /page.html", "Accept-Encoding: identity;q=0\r\n", 406),
    ("HEAD /page.html", "Range: bytes=0-1\r\n", 200),
    ("GET /large.bin", "", 200),
    ("HEAD /large.bin", "", 200),
    ("GET /large.bin", "Range: bytes=5-9\r\n", 206),
    ("GET /large.bin", "Range: bytes=30000-,0-4,100-39000\r\n", 200),
    ("GET /large.bin", "Range: bytes=35000-,0-4\r\n", 206),
    ("GET /large.bin", "Range: bytes=40000-\r\n", 416),
    ("GET /a.txt", "If-None-Match: \"x\", W/\"y\", *\r\n", 200),
    ("GET /a.txt", "If-None-Match: *\r\n", 304),
    ("GET /a.txt", "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 304),
    ("GET /large.bin", "If-Match: \"x\"\r\n", 412),
    ("GET http://y/dir", "", 301),
    ("HEAD /none", "", 404),
    ("GET /.secret", "", 404),
    ("GET /dir/out", "", 403),
    ("GET /a/%2e./../b", "", 400),
    ("DELETE /a.txt", "", 405),
    ("OPTIONS *", "", 204),
];

#[derive(Debug, Arbitrary)]
struct Pipeline<'a> {
    is_small: bool,
    cuts: [u16; 3],
    requests: Vec<Request<'a>>,
}

#[derive(Debug, Arbitrary)]
struct Request<'a> {
    kind: u8,
    blank: bool,
    field: Option<&'a [u8]>,
    body: Body<'a>,
}

#[derive(Debug, Arbitrary)]
enum Body<'a> {
    None,
    Whole(&'a [u8]),
    Chunked(Vec<&'a [u8]>),
}

impl Request<'_> {
    fn known(&self) -> (&'static str, &'static str, u16) {
        REQUESTS[usize::from(self.kind) % REQUESTS.len()]
    }

    fn write(&self, stream: &mut Vec<u8>) {
        let (begin, fields, _) = self.known();
        let blank = if self.blank { "\r\n" } else { "" };
        stream.extend_from_slice(format!("{blank}{begin} HTTP/1.1\r\nHost: x\r\n{fields}").as_bytes());
        if let Some(value) = self.field {
            stream.extend_from_slice(b"X-Any:");
            stream.extend(value.iter().filter(|&&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f).take(500));
            stream.extend_from_slice(b"\r\n");
        }
        match &self.body {
            Body::None => stream.extend_from_slice(b"\r\n"),
            Body::Whole(bytes) => {
                stream.extend_from_slice(format!("Content-Length: {}\r\n\r\n", bytes.len()).as_bytes());
                stream.extend_from_slice(bytes);
            }
            Body::Chunked(chunks) => {
                stream.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    stream.extend_from_slice(format!("{:x};a=b\r\n", chunk.len()).as_bytes());
                    stream.extend_from_slice(chunk);
                    stream.extend_from_slice(b"\r\n");
                }
                stream.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
            }
        }
    }
}

thread_local! {
    static SITE: RefCell<Site> = RefCell::new(Site::plain());
}

fuzz_target!(|pipeline: Pipeline| {
    let mut stream = Vec::new();
    pipeline.requests.iter().for_each(|request| request.write(&mut stream));
    // A body that is too large ends the connection; another target tests that.
    if stream.len() > 8 * 1024 {
        return;
    }
    SITE.with_borrow_mut(|site| {
        let answers = wire::exchange(&mut site.server, &stream, Cuts(pipeline.cuts), pipeline.is_small);
        let (due, _) = reading::read(&stream, &site.limits, site.most_requests);
        assert_eq!(due.len(), pipeline.requests.len(), "the second reading");
        let mut rest = answers.as_slice();
        for request in &pipeline.requests {
            let (begin, fields, status) = request.known();
            let method = begin.split(' ').next().unwrap();
            let answer = answer::take(&mut rest, method == "HEAD");
            assert_eq!(answer.status, status, "{begin} {fields}: {answer:?}");
            assert_eq!(answer.field("Connection"), Some("keep-alive"));
            site.check(&answer, method);
        }
        assert!(rest.is_empty(), "more answers than requests: {}", rest.escape_ascii());
    });
});
