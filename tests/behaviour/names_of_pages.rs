//! Names of pages: indexes, names without the extension, and the nearest 404.html.

use std::fs;

use crate::support::{Response, Server, Site};

/// Status with the Location, or the content.
fn seen(response: &Response) -> (u16, String) {
    let location = response.field("Location").map(String::from);
    (response.status, location.unwrap_or_else(|| response.text()))
}

fn check(server: &Server, target: &str, status: u16, expected: &str) {
    let (actual, text) = seen(&server.get(target));
    let text = if actual == 404 { String::new() } else { text };
    assert_eq!((actual, text.as_str()), (status, expected), "{target}");
}

fn site() -> Site {
    Site::with(&[
        ("index.html", b"home"),
        ("about.html", b"about"),
        ("docs.html", b"docs"),
        ("docs/intro.html", b"intro"),
        ("guide.html", b"guide.html"),
        ("guide/index.html", b"guide/"),
        ("both", b"both"),
        ("both.html", b"both.html"),
        ("a:b.html", b"colon"),
        ("v1.2.html", b"version"),
    ])
}

#[test]
fn a_page_can_be_requested_without_its_extension() {
    let site = site();
    let server = Server::of(&site);
    for (target, status, expected) in [
        ("/about", 200, "about"),
        ("/about?a=b", 200, "about"),
        ("/about.html", 200, "about"),
        ("/about/", 301, "../about"),
        ("/about/?a=b", 301, "../about?a=b"),
        ("/docs", 200, "docs"),
        ("/docs/", 301, "../docs"),
        ("/docs/intro", 200, "intro"),
        ("/docs/intro/", 301, "../intro"),
        ("/guide", 301, "guide/"),
        ("/guide/", 200, "guide/"),
        ("/guide.html", 200, "guide.html"),
        ("/both", 200, "both"),
        ("/a:b", 200, "colon"),
        ("/a:b/", 301, "../a:b"),
        ("/v1.2", 200, "version"),
        ("/index", 200, "home"),
        ("/index.html", 200, "home"),
        ("/about.html.html", 404, ""),
        ("/none", 404, ""),
        ("/none/", 404, ""),
        ("/docs/index", 404, ""),
        ("/.html", 404, ""),
    ] {
        check(&server, target, status, expected);
    }
    let page = server.get("/about");
    assert_eq!(page.field("Content-Type"), Some("text/html"));
    assert!(page.field("ETag").is_some());
    // It is a file as every other.
    fs::remove_file(site.path("about.html")).unwrap();
    check(&server, "/about", 404, "");
    site.write("about/index.html", b"directory");
    check(&server, "/about", 301, "about/");
}

#[test]
fn a_page_can_have_its_pretty_name_alone_or_not_at_all() {
    let site = site();
    let server = Server::with(&site, &["--pretty=redirect"]);
    for (target, status, expected) in [
        ("/about", 200, "about"),
        ("/about/", 301, "../about"),
        ("/about.html", 301, "./about"),
        ("/about.html?a=b", 301, "./about?a=b"),
        ("/docs.html", 301, "./docs"),
        ("/docs/intro.html", 301, "./intro"),
        // These pretty names are those of something else.
        ("/guide.html", 200, "guide.html"),
        ("/both.html", 200, "both.html"),
        ("/a:b.html", 301, "./a:b"),
        ("/index.html", 301, "./"),
        ("/guide/index.html", 301, "./"),
        ("/", 200, "home"),
        ("/none.html", 404, ""),
    ] {
        check(&server, target, status, expected);
    }
    let server = Server::with(&site, &["--pretty=off"]);
    for (target, status, expected) in [
        ("/about", 404, ""),
        ("/about/", 404, ""),
        ("/about.html", 200, "about"),
        ("/docs", 301, "docs/"),
        ("/docs/", 404, ""),
        ("/docs/intro", 404, ""),
    ] {
        check(&server, target, status, expected);
    }
}

#[test]
fn a_listing_has_precedence_over_a_page() {
    let site = site();
    let server = Server::with(&site, &["--listing"]);
    assert_eq!(server.get("/docs").field("Location"), Some("docs/"));
    assert!(server.get("/docs/").text().contains("intro.html"));
    check(&server, "/about", 200, "about");
    let server = Server::with(&site, &["--listing", "--pretty=redirect"]);
    check(&server, "/docs.html", 200, "docs");
}

#[test]
fn a_directory_has_the_first_index_that_exists() {
    let site = Site::with(&[
        ("a/index.htm", b"htm"),
        ("b/index.html", b"html"),
        ("b/index.htm", b"htm"),
        ("c/default.html", b"default"),
        ("c/index.html/x", b"a directory"),
        ("d/x", b"x"),
    ]);
    let server = Server::with(&site, &["--index=index.html,index.htm", "--index=default.html"]);
    for (target, status, expected) in [
        ("/a/", 200, "htm"),
        ("/a", 301, "a/"),
        ("/b/", 200, "html"),
        ("/c/", 200, "default"),
        ("/d/", 404, ""),
        ("/", 404, ""),
    ] {
        check(&server, target, status, expected);
    }
}

#[test]
fn the_nearest_page_is_sent_for_404() {
    let deep = "d/".repeat(16);
    let site = Site::with(&[
        ("404.html", b"top"),
        ("en/404.html", b"english"),
        ("en/docs/page.html", b"page"),
        ("de/index.html", b"german"),
        (&format!("{deep}404.html"), b"deep"),
        (&format!("{deep}d/404.html"), b"too deep"),
        (".hidden/404.html", b"hidden"),
    ]);
    let server = Server::of(&site);
    for (target, page) in [
        ("/none", "top"),
        ("/en/none", "english"),
        ("/en/none/", "english"),
        ("/en/docs/none", "english"),
        ("/en/no/such/directory", "english"),
        ("/de/none", "top"),
        ("/%65n/none?a", "english"),
        ("/none/en/x", "top"),
        ("/.hidden/none", "top"),
        (&format!("/{deep}none"), "deep"),
        (&format!("/{deep}d/none"), "deep"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.text()), (404, page.to_string()), "{target}");
        assert_eq!(response.field("Cache-Control"), None);
    }
    assert_eq!(server.get(&format!("/{}", "e/".repeat(3_000))).text(), "top");
}
