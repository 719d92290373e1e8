//! Conditional requests (RFC 9110 §13).

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::support::{Client, Response, Server, Site};

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn start() -> (Server, Client, String) {
    let site = Site::with(&[("a", b"content")]);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    File::open(site.path("a")).unwrap().set_modified(modified).unwrap();
    let server = Server::of(&site);
    let mut client = server.connect();
    let tag = client.get("/a").field("ETag").unwrap().to_string();
    (server, client, tag)
}

fn ask(client: &mut Client, method: &str, fields: &str) -> Response {
    client.send(format!("{method} /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
    if method == "HEAD" { client.head() } else { client.response_or_304() }
}

#[test]
fn content_that_the_client_has_is_304() {
    let (_server, mut client, tag) = start();
    for fields in [
        format!("If-None-Match: {tag}"),
        format!("If-None-Match: W/{tag}"),
        format!("If-None-Match: \"x\", {tag}"),
        "If-None-Match: *".to_string(),
        format!("If-None-Match: \"x\"\r\nIf-None-Match: {tag}"),
        format!("If-Modified-Since: {MODIFIED}"),
        "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT".to_string(),
        "If-Modified-Since: Sun Nov  6 08:49:37 1994".to_string(),
        format!("If-None-Match: {tag}\r\nIf-Modified-Since: Sat, 05 Nov 1994 08:49:37 GMT"),
    ] {
        for method in ["GET", "HEAD"] {
            let response = ask(&mut client, method, &fields);
            assert_eq!(response.status, 304, "{method} {fields}");
            response.assert_common_fields();
            assert_eq!(response.field("ETag"), Some(tag.as_str()));
            assert_eq!(response.field("Last-Modified"), Some(MODIFIED));
            assert_eq!(response.field("Content-Type"), None);
        }
    }
    assert_eq!(client.get("/a").text(), "content");
}

#[test]
fn content_that_the_client_lacks_is_sent() {
    let (_server, mut client, tag) = start();
    for fields in [
        "If-None-Match: \"x\"".to_string(),
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT".to_string(),
        // The file of that time may have been replaced by an older one.
        "If-Modified-Since: Mon, 07 Nov 1994 08:49:37 GMT".to_string(),
        "If-Modified-Since: yesterday".to_string(),
        format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {MODIFIED}"),
        format!("If-Match: {tag}"),
        "If-Match: *".to_string(),
        format!("If-Unmodified-Since: {MODIFIED}"),
    ] {
        assert_eq!(ask(&mut client, "GET", &fields).text(), "content", "{fields}");
    }
}

#[test]
fn preconditions_that_fail_are_412() {
    let (_server, mut client, tag) = start();
    for fields in [
        "If-Match: \"x\"".to_string(),
        format!("If-Match: W/{tag}"),
        "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT".to_string(),
        format!("If-Match: \"x\"\r\nIf-None-Match: {tag}"),
    ] {
        assert_eq!(ask(&mut client, "GET", &fields).status, 412, "{fields}");
    }
    assert_eq!(client.get("/a").text(), "content");
}

#[test]
fn preconditions_of_a_missing_file_are_ignored() {
    let (_server, mut client, _) = start();
    client.send("GET /none HTTP/1.1\r\nHost: a\r\nIf-Match: \"x\"\r\n\r\n");
    assert_eq!(client.response().status, 404);
}
