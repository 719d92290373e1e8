use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn site_with(path: &Path, redirects: &str, is_open: bool, pretty: Pretty) -> ServedSite {
    let parsed = RedirectRules::parse(redirects.as_bytes()).unwrap();
    assert_eq!(parsed.mistakes, []);
    let pages = PageNames { index: vec!["index.html".into(), "home.html".into()], pretty };
    let names = Names { pages, listing: is_open, dotfiles: is_open, hosts: Vec::new() };
    ServedSite::new(Root::open(path).unwrap(), HeaderRules::default(), parsed.rules, names)
}

fn site(path: &Path, redirects: &str, is_open: bool) -> ServedSite {
    site_with(path, redirects, is_open, Pretty::On)
}

/// The end of a journey, and the lines of the rules.
fn end(site: &ServedSite, target: &str) -> (String, Vec<Option<usize>>) {
    let journey = site.follow(&Visit::to(target));
    let end = match journey.end {
        End::Content => "content".into(),
        End::Refused(status, _) => status.to_string(),
        End::Loop => "loop".into(),
    };
    (end, journey.redirects.into_iter().map(|(_, line)| line).collect())
}

#[test]
fn targets_and_what_they_get() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in [
        "index.html",
        "a b.html",
        "ä.html",
        "d/index.html",
        "e/x",
        ".secret",
        ".well-known/x",
        "i/index.html/x",
        "_headers",
    ] {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), b"").unwrap();
    }
    for (link, to) in [("in", "d"), ("out", "/etc/passwd"), ("self", "self"), ("gone", "none")] {
        symlink(to, path(link)).unwrap();
    }
    let closed = site(directory.path(), "", false);
    for target in [
        "/",
        "/a b.html",
        "/a%20b.html",
        "/%C3%A4.html",
        "/ä.html",
        "/d/",
        "/d",
        "/d?q",
        "/in/",
        "/in",
        "/?q",
        "/.well-known/x",
        "/e/x?q",
        "//d//",
        "/index.html",
    ] {
        assert_eq!(end(&closed, target).0, "content", "{target}");
    }
    for (target, status) in [
        ("/none", "404"),
        ("/e/", "404"),
        ("/e", "404"),
        ("/x.css/", "404"),
        ("/.secret", "404"),
        ("/out", "403"),
        ("/self", "404"),
        ("/gone", "404"),
        ("/d/none", "404"),
        ("/index.html/x", "404"),
        ("/%zz", "400"),
        ("/d%2Findex.html", "404"),
        ("/i/", "404"),
        ("/a%00", "400"),
        ("/_headers", "404"),
    ] {
        assert_eq!(end(&closed, target).0, status, "{target}");
    }
    let open = site(directory.path(), "", true);
    for target in ["/e/", "/e", "/.secret", "/.well-known/"] {
        assert_eq!(end(&open, target).0, "content", "{target}");
    }
}

#[test]
fn rules_in_the_order_of_the_server() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("empty")).unwrap();
    for name in ["index.html", "file.html", "forced.html"] {
        fs::write(directory.path().join(name), b"").unwrap();
    }
    let rules = "/file.html /none\n/forced.html /other 301!\n/other /file.html\n/a /b\n/b /a\n/app/* /index.html 200\n\
                 /app2/* /none.html 200\n/gone /file.html 410\n/away https://example.org/\n/q /file.html?x#y\n\
                 https://old.test/* https://new.test/:splat\nhttps://new.test/* https://old.test/:splat\n\
                 /host https://old.test/none\n/503 /none.html 503\n/empty/* /file.html\n/_headers /file.html";
    let site = site(directory.path(), rules, false);
    for (target, expected, lines) in [
        ("/file.html", "content", &[][..]),
        ("/forced.html", "content", &[Some(2), Some(3)]),
        ("/a", "loop", &[Some(4), Some(5)]),
        ("/app/x/y", "content", &[]),
        ("/app2/x", "404", &[]),
        ("/gone", "410", &[]),
        ("/away", "content", &[]),
        ("/q", "content", &[Some(10)]),
        ("/host", "loop", &[Some(13), Some(11), Some(12)]),
        ("/503", "content", &[]),
        ("/none", "404", &[]),
        ("/empty", "content", &[Some(15)]),
        ("/_headers", "404", &[]),
    ] {
        assert_eq!(end(&site, target), (expected.into(), lines.to_vec()), "{target}");
    }
}
