//! Listings of directories.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Client, Response, Server, Site};

fn ask(client: &mut Client, target: &str, accept: &str) -> Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n")).response()
}

fn site() -> Site {
    let site = Site::with(&[
        ("dir/<b>&\"'.txt", b"12345"),
        ("dir/sub/file", b""),
        ("dir/.hidden", b""),
        ("dir/a b", b""),
        ("indexed/index.html", b"index"),
    ]);
    fs::write(site.outside().join("secret"), "SECRET").unwrap();
    symlink("../../secret", site.path("dir/leaves")).unwrap();
    symlink("sub", site.path("dir/stays")).unwrap();
    symlink("nothing", site.path("dir/dangling")).unwrap();
    site
}

#[test]
fn there_are_none_unless_asked_for() {
    let server = Server::of(&site());
    assert_eq!(server.get("/dir/").status, 404);
}

#[test]
fn a_page_shows_what_would_be_served_and_nothing_else() {
    let site = site();
    let server = Server::with(&site, &["--listing"]);
    let mut client = server.connect();
    let response = ask(&mut client, "/dir/", "text/html,*/*;q=0.8");
    assert_eq!((response.status, response.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(response.field("Vary"), Some("Accept"));
    let page = response.text();
    assert!(page.contains("&lt;b&gt;&amp;") && !page.contains("<b>"), "{page}");
    assert!(
        page.contains("href=\"./sub/\"") && page.contains("href=\"./stays/\"") && page.contains("href=\"./a%20b\""),
        "{page}"
    );
    for hidden in [".hidden", "leaves", "dangling", "secret"] {
        assert!(!page.contains(hidden), "{hidden} in {page}");
    }
    assert_eq!(client.get("/dir").status, 301);
    assert_eq!(client.get("/indexed/").text(), "index");
    assert_eq!(client.get("/none/").status, 404);
    assert_eq!(client.get("/dir/a%20b/").status, 404);
    assert!(client.get("/").text().contains("href=\"./dir/\""));
}

#[test]
fn programs_get_json() {
    let site = site();
    let server = Server::with(&site, &["--listing", "--dotfiles"]);
    let mut client = server.connect();
    let response = ask(&mut client, "/dir/", "application/json");
    assert_eq!(response.field("Content-Type"), Some("application/json"));
    let text = response.text();
    assert!(text.contains(r#""name":"<b>&\"'.txt""#) && text.contains(r#""size":5,"#), "{text}");
    assert!(text.contains(r#""name":".hidden""#), "{text}");
    let head = client.send("HEAD /dir/ HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n").head();
    assert_eq!(head.content_length(), text.len());
    assert_eq!(client.get("/dir/sub/file").status, 200);
}
