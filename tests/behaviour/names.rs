//! Names with unusual bytes, and paths that try to leave the root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Server, Site, get, wait_until};

#[test]
fn spaces_and_utf_8() {
    let site = Site::with(&[("a b.html", b"space"), ("привет", b"utf-8"), ("dir with space/page", b"dir")]);
    let server = Server::of(&site);
    assert_eq!(server.get("/a%20b.html").text(), "space");
    assert_eq!(server.get("/%D0%BF%D1%80%D0%B8%D0%B2%D0%B5%D1%82").text(), "utf-8");
    assert_eq!(server.get("/привет").text(), "utf-8");
    assert_eq!(server.get("/dir%20with%20space/page").text(), "dir");
    assert_eq!(server.get("/%64ir%20with%20space").field("Location"), Some("dir%20with%20space/"));
}

#[test]
fn every_byte_that_a_name_can_have() {
    let site = Site::new();
    let bytes = (1..=255u8).filter(|&byte| byte != b'/');
    for byte in bytes.clone() {
        site.write(OsStr::from_bytes(&[b'n', byte]), &[byte]);
    }
    let server = Server::of(&site);
    let mut client = server.connect();
    for byte in bytes {
        let response = client.get(&format!("/n%{byte:02x}"));
        assert_eq!((response.status, response.body.as_slice()), (200, [byte].as_slice()), "byte {byte:#04x}");
    }
}

#[test]
fn escapes_are_decoded_once() {
    let site = Site::with(&[("a%20b", b"percent"), ("a b", b"space"), ("page.html", b"page")]);
    let server = Server::of(&site);
    assert_eq!(server.get("/a%2520b").text(), "percent");
    assert_eq!(server.get("/a%20b").text(), "space");
    assert_eq!(server.get("/%70%61%67%65%2e%68%74%6d%6c").text(), "page");
}

#[test]
fn nothing_outside_the_root_is_ever_served() {
    let site = Site::with(&[("dir/file", b"inside")]);
    std::fs::write(site.outside().join("secret"), "SECRET").unwrap();
    let server = Server::of(&site);
    let up = [
        "..",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "..%00",
        "..%2f",
        "%2e%2e%2f",
        "..\\",
        "..%5c",
        "%252e%252e",
        "..;",
        "...",
        ".. ",
    ];
    for up in up {
        for begin in ["/", "//", "/dir/", "/dir/../", "/dir/%2e%2e/", "/dir/file/", "http://test/", "/./"] {
            for end in ["/secret", "secret", "/root/../secret"] {
                let target = format!("{begin}{up}{end}");
                let response = server.get(&target);
                assert!(matches!(response.status, 400 | 403 | 404), "{target}: {}", response.status);
                assert!(!response.text().contains("SECRET"), "{target}");
            }
        }
    }
    let deep = "/dir/".to_string() + &"../".repeat(50) + "etc/passwd";
    assert_eq!(server.get(&deep).status, 400);
}

#[test]
fn dots_that_stay_inside_are_resolved() {
    let site = Site::with(&[("a/file", b"a"), ("b/file", b"b")]);
    let server = Server::of(&site);
    assert_eq!(server.get("/a/../b/file").text(), "b");
    assert_eq!(server.get("/a/./file").text(), "a");
    assert_eq!(server.get("/a/%2e%2e/b/file").text(), "b");
    assert_eq!(server.get("/b/x/../file").text(), "b");
}

#[test]
fn names_that_begin_with_a_dot_are_served_only_if_configured() {
    let site = Site::with(&[(".git/config", b"secret"), (".well-known/x", b"known"), ("a/.b", b"hidden")]);
    let server = Server::of(&site);
    for hidden in ["/.git/config", "/.git", "/a/.b", "/%2Egit/config", "/a/..%2f.b"] {
        assert_eq!(server.get(hidden).status, 404, "{hidden}");
    }
    assert_eq!(server.get("/.well-known/x").text(), "known");
    let server = Server::with(&site, &["--dotfiles"]);
    assert_eq!(server.get("/.git/config").text(), "secret");
    assert_eq!(server.get("/a/.b").text(), "hidden");
}

#[test]
fn a_nul_is_a_bad_request() {
    let site = Site::with(&[("a", b"a")]);
    let server = Server::of(&site);
    assert_eq!(server.get("/a%00").status, 400);
    assert_eq!(server.get("/a%00.html").status, 400);
    assert_eq!(server.connect().send(get("/a\0b")).response().status, 400);
}

#[test]
fn names_that_no_file_can_have_are_not_found() {
    let server = Server::of(&Site::with(&[("a", b"")]));
    assert_eq!(server.get(&format!("/{}", "x".repeat(300))).status, 404);
    assert_eq!(server.get(&"/x".repeat(3_000)).status, 404);
    assert_eq!(server.get("/a%2Fb").status, 404);
}

/// U+009B begins a control sequence of terminals, U+202E changes the direction of writing, U+2028 ends a line for some
/// programs.
#[test]
fn log_lines_contain_no_terminal_control_characters() {
    let odd = "\u{9b}2J\u{202e}\u{2066}\u{2028}\u{200b}\u{85}";
    let site = Site::with(&[(odd, b"odd"), ("\u{9b}31m/file", b"")]);
    for log in ["--access-log=off", "--access-log=stderr"] {
        let server = Server::with(&site, &["--debug", log]);
        let ask = |target: &str| server.connect().send(get(target)).response().status;
        assert_eq!(ask(&format!("/{odd}")), 200);
        assert_eq!(ask(&format!("/{odd}?{odd}")), 200);
        assert_eq!(ask(&format!("/none{odd}")), 404);
        assert_eq!(ask(&format!("/%zz{odd}")), 400);
        assert_eq!(ask("/\u{9b}31m"), 301);
        let fields = format!("GET /{odd} HTTP/1.1\r\nHost: a\r\nReferer: {odd}\r\nUser-Agent: {odd}\r\n\r\n");
        assert_eq!(server.connect().send(&fields).response().status, 200);
        assert_eq!(server.connect().send(fields.replace("GET", "PUT")).response().status, 405);
        assert_eq!(server.connect().send(format!("{odd}\r\n\r\n")).response().status, 400);
        // Messages are written before their response, and records of the access log after it.
        wait_until("all records", || {
            log.ends_with("off") || server.log().matches("\"target\":\"access\"").count() >= 8
        });
        let log = server.log();
        let escaped = format!("/none{}: 404", odd.escape_debug());
        assert!(log.replace(r"\\u", r"\u").contains(&escaped), "{escaped}: {log}");
        let obeyed: Vec<_> = log.chars().filter(|&c| c != '\n' && !matches!(c, ' '..='~')).collect();
        assert_eq!(obeyed, Vec::<char>::new(), "{log}");
    }
}
