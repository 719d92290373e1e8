//! What a cache that several clients share may do with responses that not all of them get: nothing (RFC 9111 §3.5).

use crate::access::connect_from;
use crate::logins::{Users, basic};
use crate::support::{Response, Server, Site};

fn site() -> Site {
    Site::with(&[
        (
            "_headers",
            b"/*\n  Cache-Control: public, s-maxage=60\n  CDN-Cache-Control: max-age=60\n  Netlify-CDN-Cache-Control: max-age=60\n  \
              Surrogate-Control: max-age=60\n  X-Accel-Expires: 60\n  Vary: X-Lang\n",
        ),
        ("_redirects", b"/private/old /open 301!\n/private/gone /open 410\n/private/way /private/f 200\n/in /private/f 200\n"),
        ("private/f", b"SECRET"),
        ("private/dir/f", b"SECRET"),
        ("private/large", &[b'x'; 100_000]),
        ("open", b"open"),
    ])
}

/// Checks that only the cache of the client may store a response.
fn assert_private(response: &Response, what: &str) {
    let values = response.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Cache-Control"));
    let values: Vec<_> = values.map(|(_, value)| value.as_str()).collect();
    assert!(matches!(values[..], [value] if value.starts_with("private")), "{what}: {response:?}");
    for (name, value) in &response.fields {
        let name = name.to_ascii_lowercase();
        let is_for_shared_caches =
            name.ends_with("-cache-control") || matches!(&*name, "surrogate-control" | "x-accel-expires");
        assert!(!is_for_shared_caches && !value.contains("s-maxage"), "{what}: {response:?}");
        // No shared cache has it, so there is nothing to select from by it (RFC 9110 §12.5.5).
        assert!(name != "vary" || !value.to_ascii_lowercase().contains("authorization"), "{what}: {response:?}");
    }
}

#[test]
fn every_response_for_a_restricted_path_is_private() {
    let (site, users) = (site(), Users::new());
    let rules = [users.rule("/private"), "--allow=/private=127.0.0.1,127.0.0.3".into(), "--workers=1".into()];
    let server = Server::with(&site, &rules.iter().map(String::as_str).collect::<Vec<_>>());
    let ask = |last: u8, method: &str, target: &str, fields: &str| {
        let mut client = connect_from([127, 0, 0, last], server.address);
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        if method == "HEAD" { client.head() } else { client.response_or_304() }
    };
    let (anna, wrong) = (format!("Authorization: {}\r\n", basic("anna", "pa:ss")), basic("anna", "wrong"));
    let wrong = format!("Authorization: {wrong}\r\n");
    let tag = ask(1, "GET", "/private/f", &anna).field("ETag").unwrap().to_string();
    for (target, fields, status) in [
        ("/private/f", anna.clone(), 200),
        ("/private/f?query", anna.clone(), 200),
        ("/private/large", anna.clone(), 200),
        ("/private/way", anna.clone(), 200),
        ("/in", anna.clone(), 200),
        ("/private/f", format!("{anna}Range: bytes=0-1\r\n"), 206),
        ("/private/f", format!("{anna}Range: bytes=0-1,3-4\r\n"), 206),
        ("/private/f", format!("{anna}If-None-Match: {tag}\r\n"), 304),
        ("/private/large", format!("{anna}If-None-Match: *\r\n"), 304),
        ("/private/dir", anna.clone(), 301),
        ("/private/old", anna.clone(), 301),
        ("/private/f", String::new(), 401),
        ("/private/missing", String::new(), 401),
        ("/in", String::new(), 401),
        ("/private/f", wrong.clone(), 401),
        ("/private/missing", anna.clone(), 404),
        ("/private/gone", anna.clone(), 410),
        ("/private/f", format!("{anna}If-Match: \"x\"\r\n"), 412),
        ("/private/f", format!("{anna}Range: bytes=9-\r\n"), 416),
    ] {
        for method in ["GET", "HEAD"] {
            let response = ask(1, method, target, &fields);
            // A HEAD has no ranges (RFC 9110 §14.2).
            let expected = if method == "HEAD" && matches!(status, 206 | 416) { 200 } else { status };
            assert_eq!(response.status, expected, "{method} {target} {fields}");
            assert_private(&response, &format!("{method} {target} {fields}"));
        }
    }
    assert_private(&ask(2, "GET", "/private/f", &anna), "another network");
    let refused = (0..12).map(|number| {
        ask(3, "GET", "/private/f", &format!("Authorization: {}\r\n", basic("bert", &format!("wrong {number}"))))
    });
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.last().unwrap().status, 429);
    refused.iter().for_each(|response| assert_private(response, "too many failures"));
    let open = ask(1, "GET", "/open", "");
    assert_eq!(open.field("Cache-Control"), Some("public, s-maxage=60"));
    assert_eq!(open.field("CDN-Cache-Control"), Some("max-age=60"));
}

/// A page for errors that some clients get is theirs alone, and so is the answer of all others.
#[test]
fn an_error_with_a_restricted_page_is_private() {
    let site = Site::with(&[("404.html", b"SECRET"), ("sub/404.html", b"open")]);
    let server = Server::with(&site, &["--allow=/404.html=127.0.0.2"]);
    for (last, expected) in [(1, false), (2, true)] {
        let response = connect_from([127, 0, 0, last], server.address).get("/missing");
        assert_eq!((response.status, response.text().contains("SECRET")), (404, expected), "{last}");
        assert_private(&response, "an error");
        let other = connect_from([127, 0, 0, last], server.address).get("/sub/missing");
        assert_eq!((other.text().as_str(), other.field("Cache-Control")), ("open", None));
    }
}

#[test]
fn what_cannot_be_verified_is_private() {
    let (site, users) = (site(), Users::new());
    std::fs::remove_file(users.path()).unwrap();
    let server = Server::with(&site, &[&users.rule("/private")]);
    let mut client = server.connect();
    client.send(format!("GET /private/f HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n", basic("anna", "pa:ss")));
    let response = client.response();
    assert_eq!(response.status, 503);
    assert_private(&response, "a file that cannot be read");
}
