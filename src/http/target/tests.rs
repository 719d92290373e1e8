use super::*;
use crate::http::Status;

fn check(target: &str, expected: &[u8]) {
    let mut path = Vec::new();
    match decode(target, &mut path) {
        Ok(found) => {
            assert_eq!(found.path, expected, "{target}");
            assert_eq!(found.c_path.to_bytes(), expected, "{target}");
            assert_eq!(found.absolute_path, [b"/", expected].concat(), "{target}");
        }
        Err(refusal) => panic!("{target}: {refusal}"),
    }
    // Not the way that plain targets take.
    if target.starts_with('/') {
        let resolved = format!("/.{target}");
        assert_eq!(decode(&resolved, &mut path).map(|found| found.path), Ok(expected), "{resolved}");
    }
}

fn refused(target: &str, expected: Status) {
    let mut path = Vec::new();
    match decode(target, &mut path) {
        Ok(found) => panic!("{target}: became {:?}", found.path),
        Err(refusal) => assert_eq!(refusal.status(), expected, "{target}"),
    }
}

#[test]
fn plain_paths() {
    check("/", b"");
    check("/index.html", b"index.html");
    check("/a/b/c", b"a/b/c");
    check("/a/b/", b"a/b/");
    check("/a?b=/../c", b"a");
    check("/?x", b"");
    check("/a?b?c", b"a");
}

#[test]
fn escapes_are_decoded_once() {
    check("/a%20b.html", b"a b.html");
    check("/%70%61%67%65%2e%68%74%6d%6c", b"page.html");
    check("/%D1%84", "ф".as_bytes());
    check("/ф", "ф".as_bytes());
    check("/%ff%01%7F", b"\xff\x01\x7f");
    check("/a%2520b", b"a%20b");
    check("/a%3Fb%23c", b"a?b#c");
    check("/a+b", b"a+b");
    check("/a\\b", b"a\\b");
}

#[test]
fn broken_escapes_are_malformed() {
    for target in ["/%", "/%4", "/%zz", "/a%2", "/%-1", "/% 1", "/%0x", "/a%/b"] {
        refused(target, Status::BadRequest);
    }
    refused("/a%00b", Status::BadRequest);
    refused("/a\0b", Status::BadRequest);
    refused("/%00", Status::BadRequest);
}

#[test]
fn dot_segments_are_resolved_and_never_leave_the_root() {
    check("/a/./b", b"a/b");
    check("/a/../b", b"b");
    check("/a/b/../../c/", b"c/");
    check("/a/..", b"");
    check("/a/b/..", b"a/");
    check("/a/.", b"a/");
    check("/.", b"");
    check("/%2e/a", b"a");
    check("/a/%2E%2e/b", b"b");
    check("/...", b"...");
    check("/..a", b"..a");
    check("/text..txt", b"text..txt");
    for target in ["/..", "/../etc/passwd", "/a/../../b", "/%2e%2e/b", "/.%2e/b", "/a/../%2E./b", "/./.."] {
        refused(target, Status::BadRequest);
    }
}

#[test]
fn empty_segments_are_dropped() {
    check("//a", b"a");
    check("/a//b///", b"a/b/");
    check("///", b"");
    check("/a//../b", b"b");
}

#[test]
fn an_encoded_slash_is_part_of_a_name_and_no_file_has_such_a_name() {
    for target in ["/a%2Fb", "/..%2f..%2fetc/passwd", "/%2f", "/%2fetc/passwd"] {
        refused(target, Status::NotFound);
    }
}

#[test]
fn absolute_form() {
    check("http://example.org", b"");
    check("http://example.org/", b"");
    check("HTTP://example.org:8080/a/b", b"a/b");
    check("https://example.org/a?b", b"a");
    refused("http:///a", Status::BadRequest);
    check("http://example.org?a=/b", b"");
    refused("http://user@example.org/a", Status::BadRequest);
    refused("ftp://example.org/a", Status::BadRequest);
    refused("example.org:80", Status::BadRequest);
    refused("*", Status::BadRequest);
    refused("a", Status::BadRequest);
    refused("/a#b", Status::BadRequest);
}

#[test]
fn names_that_begin_with_a_dot_are_hidden() {
    let is_hidden = |target| decode(target, &mut Vec::new()).unwrap().is_hidden;
    for hidden in
        ["/.git/config", "/a/.htaccess", "/%2egit", "/.well-known/.secret", "/a/.well-known/b", "/.a/", "/..a"]
    {
        assert!(is_hidden(hidden), "{hidden}");
    }
    for shown in ["/", "/a.b", "/a./b", "/.well-known/acme-challenge/x", "/.well-known", "/./a", "/a/../b"] {
        assert!(!is_hidden(shown), "{shown}");
    }
}

#[test]
fn a_redirect_is_relative_and_keeps_the_query() {
    for (target, reference) in [
        ("/a", "a/"),
        ("/a?b=c", "a/?b=c"),
        ("/a?", "a/?"),
        ("/a/b/c", "c/"),
        ("/a//c", "c/"),
        ("/a/../c", "c/"),
        ("/a/%2e%2e/c?/../d", "c/?/../d"),
        ("http://h/a/c?b", "c/?b"),
        ("/a?b=%c3%A9&c[]=?é\"<|", "a/?b=%c3%A9&c[]=?%C3%A9%22%3C%7C"),
        ("/a b%C3%A9%25%3f", "a%20b%C3%A9%25%3F/"),
        // No other host.
        ("//evil.example", "evil.example/"),
        ("///evil.example", "evil.example/"),
        ("/\\evil.example", "%5Cevil.example/"),
        ("/%5c%5cevil.example", "%5C%5Cevil.example/"),
        ("/a/\\\\evil.example", "%5C%5Cevil.example/"),
        ("/%09//evil.example", "evil.example/"),
        ("//evil.example/..", "./"),
        // No other scheme.
        ("/a:b", "./a:b/"),
        ("/http:evil", "./http:evil/"),
        ("/a/javascript%3aalert(1)?b:c", "./javascript:alert(1)/?b:c"),
        ("/:", "./:/"),
        ("/a:b/c", "c/"),
        // No dot segment and no other field.
        ("/...", ".../"),
        ("/..a", "..a/"),
        ("/.well-known", ".well-known/"),
        ("/%252e%252e", "%252e%252e/"),
        ("/%0d%0aSet-Cookie%3dx", "%0D%0ASet-Cookie=x/"),
        // A directory as it is.
        ("/", "./"),
        ("/?b", "./?b"),
        ("/a/", "./"),
        ("/a/..", "./"),
    ] {
        assert_eq!(decode(target, &mut Vec::new()).unwrap().with_slash(), reference, "{target}");
    }
}
