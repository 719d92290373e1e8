//! Range requests (RFC 9110 §14), of files from memory and from the disk.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::support::{Client, Response, Server, Site, wait_until};

/// A file that fits into memory, or one that does not.
fn content(size: usize) -> Vec<u8> {
    (0..size as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

const SIZES: [usize; 2] = [10_000, 3_000_000];

fn ask(client: &mut Client, size: usize, fields: &str) -> Response {
    client.send(format!("GET /{size} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).response()
}

fn with_files(test: impl Fn(&mut Client, usize, &[u8])) {
    let site = Site::new();
    for size in SIZES {
        site.write(size.to_string(), &content(size));
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        File::options().write(true).open(site.path(size.to_string())).unwrap().set_modified(modified).unwrap();
    }
    let server = Server::of(&site);
    let mut client = server.connect();
    for size in SIZES {
        test(&mut client, size, &content(size));
        // No further bytes follow.
        assert!(ask(&mut client, size, "A: b").body == content(size));
    }
}

#[test]
fn one_range() {
    with_files(|client, size, bytes| {
        for (range, start, end) in [
            ("0-0".to_string(), 0, 1),
            ("0-9".to_string(), 0, 10),
            ("5000-".to_string(), 5_000, size),
            ("-7".to_string(), size - 7, size),
            (format!("{}-{}", size - 1, size * 2), size - 1, size),
            (format!("-{}", size * 2), 0, size),
            ("0-0,1-1".to_string(), 0, 2),
        ] {
            let response = ask(client, size, &format!("Range: bytes={range}"));
            assert_eq!(response.status, 206, "{range}");
            assert_eq!(response.field("Content-Range"), Some(format!("bytes {start}-{}/{size}", end - 1).as_str()));
            assert!(response.body == bytes[start..end], "{range}");
            assert!(response.field("ETag").is_some() && response.field("Last-Modified").is_some());
        }
    });
}

#[test]
fn an_unsatisfiable_range_is_416_and_a_malformed_one_is_ignored() {
    with_files(|client, size, bytes| {
        let response = ask(client, size, &format!("Range: bytes={size}-"));
        assert_eq!((response.status, response.field("Content-Range")), (416, Some(format!("bytes */{size}").as_str())));
        assert_eq!(ask(client, size, "Range: bytes=-0").status, 416);
        for range in ["bytes=5-4", "bytes=", "bytes=a-b", "lines=0-1", "bytes 0-1", "bytes=0-1,x"] {
            let response = ask(client, size, &format!("Range: {range}"));
            assert!(response.status == 200 && response.body == bytes, "{range}");
        }
        let many = (0..1_000).map(|n| format!("{0}-{0}", n * 2)).collect::<Vec<_>>().join(",");
        assert_eq!(ask(client, size, &format!("Range: bytes={many}")).status, 200);
    });
}

#[test]
fn several_ranges_come_in_parts_in_the_clients_order() {
    with_files(|client, size, bytes| {
        let response = ask(client, size, "Range: bytes=5000-5009,0-4,-3");
        assert_eq!((response.status, response.field("Content-Range")), (206, None));
        let media_type = response.field("Content-Type").unwrap();
        let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let mut expected = Vec::new();
        for (start, end) in [(5_000, 5_010), (0, 5), (size - 3, size)] {
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {start}-{}/{size}\r\n\r\n",
                end - 1
            );
            expected.extend_from_slice(head.as_bytes());
            expected.extend_from_slice(&bytes[start..end]);
        }
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert!(response.body == expected);
    });
}

#[test]
fn a_slow_client_gets_all_parts_too() {
    let size = 30_000_000;
    let site = Site::new();
    site.write("large", &content(size));
    let server = Server::of(&site);
    let mut client = server.connect();
    let range = format!("bytes=0-9999999,{}-{}", 11_000_000, size - 1);
    let request = format!("GET /large HTTP/1.1\r\nHost: a\r\nRange: {range}\r\n\r\n");
    client.send(&request).send(request.replace("large", "none"));
    // The server has to wait for this client. Meanwhile, the client sends the same request on another connection.
    let other = server.connect().send(&request).response();
    let response = client.response();
    assert!(response.status == 206 && response.body == other.body && response.body.len() > 28_999_999);
    assert_eq!(client.response().status, 404);
}

#[test]
fn if_range_gets_the_whole_file_if_it_has_changed() {
    with_files(|client, size, bytes| {
        let has_strong_tag = |response: &Response| response.field("ETag").is_some_and(|tag| tag.starts_with('"'));
        wait_until("a strong tag", || has_strong_tag(&ask(client, size, "A: b")));
        let whole = ask(client, size, "A: b");
        let (tag, modified) = (whole.field("ETag").unwrap(), whole.field("Last-Modified").unwrap());
        assert_eq!(whole.field("Accept-Ranges"), Some("bytes"));
        for (condition, status) in [
            (tag.to_string(), 206),
            (modified.to_string(), 200),
            (format!("W/{tag}"), 200),
            ("\"x\"".to_string(), 200),
            ("Sun, 06 Nov 1994 08:49:37 GMT".to_string(), 200),
        ] {
            let response = ask(client, size, &format!("Range: bytes=0-9\r\nIf-Range: {condition}"));
            assert_eq!(response.status, status, "{condition}");
            assert!(response.body == bytes[..if status == 206 { 10 } else { size }]);
        }
    });
}

#[test]
fn head_and_empty_files_have_no_ranges() {
    let site = Site::with(&[("empty", b""), ("a", b"abc")]);
    let server = Server::of(&site);
    let mut client = server.connect();
    let head = client.send("HEAD /a HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n").head();
    assert_eq!((head.status, head.content_length()), (200, 3));
    let empty = client.send("GET /empty HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\n\r\n").response();
    assert_eq!((empty.status, empty.body.len()), (200, 0));
}
