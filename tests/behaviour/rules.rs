//! The rules that a site carries: `_headers` and `_redirects`.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;

use rustls::version::TLS13;

use crate::https::{Certificates, connect, exchange};
use crate::logins::{Users, basic};
use crate::support::{BINARY, Client, Response, Server, Setup, Site, encode, own_user, wait_until};

fn ask(client: &mut Client, target: &str, fields: &str) -> Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")).response_or_304()
}

fn location(response: &Response) -> (u16, Option<&str>) {
    (response.status, response.field("Location"))
}

fn values<'r>(response: &'r Response, name: &str) -> Vec<&'r str> {
    response.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
}

#[test]
fn header_rules_change_every_kind_of_response() {
    let content = b"p { color: red }\n".repeat(100);
    let site = Site::with(&[
        (
            "_headers",
            b"/*\n  X-All: 1\n  ! X-Content-Type-Options\n  X-Robots-Tag: none\n/a.css\n  Cache-Control: public, max-age=60\n  \
              Content-Type: text/x-mine\n  X-All: 2\n  Vary: X-Lang\n/gone/*\n  Cache-Control: max-age=31536000\n",
        ),
        ("a.css", &content),
        ("large.bin", &[1; 100_000]),
        ("dir/index.html", b"index"),
    ]);
    let server = Server::of(&site);
    let mut client = server.connect();
    // Twice: what the rules say is kept.
    for _ in 0..2 {
        let response = client.get("/a.css");
        assert_eq!(response.body, content);
        assert_eq!(values(&response, "X-All"), ["1, 2"]);
        assert_eq!(values(&response, "Cache-Control"), ["public, max-age=60"]);
        assert_eq!(values(&response, "Content-Type"), ["text/x-mine"]);
        assert_eq!(values(&response, "X-Content-Type-Options"), [""; 0]);
        assert_eq!(values(&response, "Vary"), ["Accept-Encoding, X-Lang"]);
        let head = client.send("HEAD /a.css HTTP/1.1\r\nHost: a.test\r\n\r\n").head();
        // There is none in the second of the change.
        let count = |response: &Response| response.fields.iter().filter(|(name, _)| name != "Last-Modified").count();
        assert_eq!(count(&head), count(&response));
        assert_eq!(values(&head, "X-All"), ["1, 2"]);
        let tag = response.field("ETag").unwrap().to_string();
        let unchanged = ask(&mut client, "/a.css", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((unchanged.status, values(&unchanged, "Cache-Control")), (304, vec!["public, max-age=60"]));
        assert_eq!((values(&unchanged, "X-All"), unchanged.field("Content-Type")), (vec!["1, 2"], None));
        let part = ask(&mut client, "/a.css", "Range: bytes=0-1\r\n");
        assert_eq!((part.status, values(&part, "Content-Type")), (206, vec!["text/x-mine"]));
        assert_eq!(values(&part, "Content-Range"), [format!("bytes 0-1/{}", content.len())]);
        let parts = ask(&mut client, "/a.css", "Range: bytes=0-1,1000-1001\r\n");
        assert!(parts.status == 206 && parts.field("Content-Type").unwrap().starts_with("multipart/byteranges"));
        assert_eq!(values(&parts, "Content-Type").len(), 1);
    }
    for (target, status) in [("/large.bin", 200), ("/dir", 301), ("/none", 404), ("/gone/a.js", 404)] {
        let response = client.get(target);
        assert_eq!((response.status, values(&response, "X-All")), (status, vec!["1"]), "{target}");
        assert_eq!(values(&response, "X-Robots-Tag"), ["none"]);
    }
    // What is missing now must not be missing for a year.
    assert_eq!(client.get("/gone/a.js").field("Cache-Control"), None);
    assert_eq!(client.get("/large.bin").field("Cache-Control"), Some("no-cache"));
}

#[test]
fn header_rules_apply_to_variants_and_their_vary_is_merged() {
    let content = b"p { color: red }\n".repeat(100);
    let site = Site::with(&[("_headers", b"/a.css\n  Vary: Origin\n  X-A: 1\n"), ("a.css", &content)]);
    site.write("a.css.gz", &encode("gzip", &content));
    let server = Server::of(&site);
    let mut client = server.connect();
    for (fields, coding) in
        [("Accept-Encoding: gzip\r\n", Some("gzip")), ("", None), ("Accept-Encoding: gzip\r\n", Some("gzip"))]
    {
        let response = ask(&mut client, "/a.css", fields);
        assert_eq!(response.field("Content-Encoding"), coding);
        assert_eq!(values(&response, "Vary"), ["Accept-Encoding, Origin"]);
        assert_eq!(values(&response, "X-A"), ["1"]);
        assert_eq!(response.content_length(), response.body.len());
    }
}

#[test]
fn redirects_and_rewrites() {
    let site = Site::with(&[
        (
            "_redirects",
            b"/old/* /new/:splat\n/there /index.html 302\n/forced.html /new/forced 301!\n/present.html /new/never\n\
              /app/* /app.html 200\n/latest.js /assets/index-C5rS8dPq.js 200\n/loop /loop2 200\n/loop2 /index.html 200\n\
              /shut /closed.html 503\n/old-page /gone.html 410\n/lost /missing.html 404\n/gone2 /none.html 410\n\
              /shut-long /closed.html 503\nhttps://www.a.test/* https://a.test/:splat 301!\nhttp://www.a.test/* https://a.test/:splat 301!\n\
              /q id=:id /item/:id\n/empty /found\n/.well-known/* /new/challenge 301!\n",
        ),
        ("_headers", b"/shut-long\n  Retry-After: 7200\n"),
        ("index.html", b"index"),
        ("forced.html", b"forced"),
        ("present.html", b"present"),
        ("app.html", b"app"),
        ("assets/index-C5rS8dPq.js", b"script"),
        ("closed.html", b"closed"),
        ("gone.html", b"gone"),
        ("missing.html", b"missing"),
        ("empty/x", b""),
        (".well-known/acme-challenge/token", b"token"),
    ]);
    let server = Server::of(&site);
    let mut client = server.connect();
    for (target, expected) in [
        ("/old/a/b?c=d", (301, Some("/new/a/b?c=d"))),
        ("/old", (301, Some("/new/"))),
        ("/there", (302, Some("/index.html"))),
        ("/forced.html", (301, Some("/new/forced"))),
        ("/present.html", (200, None)),
        ("/q?id=7", (301, Some("/item/7"))),
        ("/q", (404, None)),
        ("/empty", (301, Some("/found"))),
        ("/.well-known/x", (301, Some("/new/challenge"))),
        ("/.well-known/acme-challenge/token", (200, None)),
    ] {
        assert_eq!(location(&client.get(target)), expected, "{target}");
    }
    let www = client.send("GET /x?y HTTP/1.1\r\nHost: www.a.test\r\n\r\n").response();
    assert_eq!(location(&www), (301, Some("https://a.test/x?y")));

    for (target, status, text) in [
        ("/app/some/where", 200, "app"),
        ("/app.html", 200, "app"),
        ("/shut", 503, "closed"),
        ("/old-page", 410, "gone"),
        ("/lost", 404, "missing"),
    ] {
        let response = client.get(target);
        assert_eq!((response.status, response.text().as_str()), (status, text), "{target}");
        assert_eq!(response.field("Retry-After"), (status == 503).then_some("300"), "{target}");
        let head = client.send(format!("HEAD {target} HTTP/1.1\r\nHost: a.test\r\n\r\n")).head();
        assert_eq!((head.status, head.content_length()), (status, text.len()), "HEAD {target}");
    }
    assert_eq!(client.get("/shut-long").field("Retry-After"), Some("7200"));
    // One pass: the target of a rewrite is no source.
    assert_eq!(client.get("/loop").status, 404);
    assert_eq!(client.get("/gone2").status, 410);
    // A rewrite has the fields and conditions of the file, and no lifetime of another name.
    let script = client.get("/latest.js");
    assert_eq!((script.text().as_str(), values(&script, "Cache-Control")), ("script", vec!["no-cache"]));
    let tag = script.field("ETag").unwrap().to_string();
    let unchanged = ask(&mut client, "/latest.js", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((unchanged.status, unchanged.field("Cache-Control")), (304, Some("no-cache")));
    assert!(client.get("/assets/index-C5rS8dPq.js").field("Cache-Control").unwrap().contains("immutable"));
}

#[test]
fn a_rewrite_shows_a_page_whatever_its_own_address_is() {
    let site = Site::with(&[
        ("_redirects", b"/app/* /index.html 200\n/team/* /people/ 200\n/gone /people/ 410"),
        ("index.html", b"app"),
        ("people.html", b"people"),
    ]);
    for pretty in ["--pretty=on", "--pretty=redirect"] {
        let server = Server::with(&site, &[pretty]);
        for (target, status, text) in [("/app/x", 200, "app"), ("/team/x", 200, "people"), ("/gone", 410, "people")] {
            let response = server.get(target);
            assert_eq!((response.status, response.text()), (status, text.to_string()), "{pretty} {target}");
        }
    }
}

#[test]
fn rules_and_settings_of_static_hosts_are_not_served() {
    let names = ["_headers", "_redirects", "_worker.js", "_routes.json", "netlify.toml"];
    let site = Site::new();
    names.iter().for_each(|name| site.write(name, b"# nothing\n"));
    site.write("a/_headers", b"a file");
    site.write("_headers.gz", b"x");
    site.write("_redirects", b"/* /_headers 200\n");
    let server = Server::with(&site, &["--listing", "--pretty=redirect"]);
    for name in names.iter().chain(&["_headers.gz", "%5fheaders", "_headers/"]) {
        assert_eq!(server.get(&format!("/{name}")).status, 404, "{name}");
    }
    assert_eq!(server.get("/any").status, 404);
    assert_eq!(server.get("/a/_headers").text(), "a file");
    let listing = server.get("/").text();
    assert!(names.iter().all(|name| !listing.contains(&format!("\"{name}\""))), "{listing}");
}

/// A link, a hard link and a linked directory lead to the same file.
#[test]
fn rules_are_not_served_under_any_other_name() {
    let secret = b"# SECRET\n";
    let site = Site::with(&[("_headers", secret), ("_worker.js", secret), ("netlify.toml", secret), ("a/f", b"f")]);
    site.write("_worker.js.gz", &encode("gzip", secret));
    site.write("rules/redirects.txt", secret);
    symlink("rules/redirects.txt", site.path("_redirects")).unwrap();
    for (target, link) in [
        ("_headers", "x"),
        ("_headers", "404.html"),
        ("x", "twice"),
        ("../_headers", "a/up"),
        (".", "here"),
        ("../netlify.toml", "a/index.html"),
        ("_worker.js.gz", "copy.gz"),
        ("_headers", "page.html"),
    ] {
        symlink(target, site.path(link)).unwrap();
    }
    symlink(site.path("_headers"), site.path("absolute")).unwrap();
    fs::hard_link(site.path("_headers"), site.path("hard")).unwrap();
    site.write("missing", b"f");
    let server = Server::with(&site, &["--workers=1"]);
    for target in [
        "/x",
        "/twice",
        "/a/up",
        "/a/",
        "/here/_headers",
        "/here/here/_redirects",
        "/copy.gz",
        "/page",
        "/page.html",
        "/absolute",
        "/hard",
        "/rules/redirects.txt",
        "/404.html",
        "/none",
    ] {
        for fields in ["", "Accept-Encoding: gzip\r\n", "Range: bytes=0-3\r\n", "If-None-Match: *\r\n"] {
            let response = ask(&mut server.connect(), target, fields);
            assert!(response.status == 404 && !response.text().contains("SECRET"), "{target} {fields}: {response:?}");
        }
    }
    assert_eq!(server.get("/here/a/f").text(), "f");
    // A file that was served and cached becomes one of them.
    site.write("later.txt", b"# LATER\n");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    fs::File::options().write(true).open(site.path("later.txt")).unwrap().set_modified(old).unwrap();
    symlink("later.txt", site.path("alias")).unwrap();
    assert_eq!(server.get("/alias").text(), "# LATER\n");
    fs::hard_link(site.path("later.txt"), site.path("_routes.json")).unwrap();
    assert_eq!(server.get("/alias").status, 404);
    fs::remove_file(site.path("_routes.json")).unwrap();
    wait_until("an ordinary file again", || server.get("/alias").status == 200);
    symlink("later.txt", site.path("_routes.json")).unwrap();
    wait_until("the link to be noticed", || server.get("/alias").status == 404);
}

#[test]
fn a_path_with_a_password_in_the_rules_is_forbidden() {
    let site = Site::with(&[
        ("_headers", b"/private/*\n  Basic-Auth: user:secret\n/about.html\n  Basic-Auth: user:secret\n"),
        ("_redirects", b"/way/* /private/:splat 200\n/private/moved /elsewhere 301!\n"),
        ("private/page.html", b"SECRET"),
        ("about.html", b"SECRET"),
        ("open.html", b"open"),
        ("404.html", b"lost"),
    ]);
    symlink("private", site.path("link")).unwrap();
    let server = Server::of(&site);
    for target in [
        "/private/page.html",
        "/private/page",
        "/private/none",
        "/private/moved",
        "/way/page.html",
        "/link/page.html",
        "/about",
        "/about.html",
        "/%61bout",
    ] {
        let response = server.get(target);
        assert!(response.status == 403 && !response.text().contains("SECRET"), "{target}: {response:?}");
        assert_eq!(response.field("Basic-Auth"), None);
    }
    assert_eq!(server.get("/open").text(), "open");
    let warnings = server.warnings();
    let named: Vec<_> = warnings.iter().filter(|line| line.contains("--auth")).collect();
    assert!(named.len() == 2 && warnings.iter().all(|line| !line.contains("secret")), "{warnings:?}");
}

#[test]
fn a_change_is_seen_within_a_second_and_a_mistake_is_logged_once() {
    let site = Site::with(&[("a", b"a"), ("b", b"b")]);
    let server = Server::of(&site);
    let has = |value: &str| (0..10).all(|_| server.get("/a").field("X-A") == Some(value));
    assert_eq!(server.get("/a").field("X-A"), None);
    // Replaced by another file, as rsync does.
    for value in ["1", "2"] {
        site.write("new", format!("/a\n  X-A: {value}\n/b\n  Content-Length: 1\n").as_bytes());
        fs::rename(site.path("new"), site.path("_headers")).unwrap();
        let begin = std::time::Instant::now();
        wait_until("the rules", || has(value));
        // The machine may be busy.
        assert!(begin.elapsed().as_millis() < 5_000);
    }
    wait_until("the record", || server.log().matches("_headers, line 4: ").count() == 2);
    // Removed and written again: the last good rules stay meanwhile. Of two workers, one may not have answered until now.
    let server = Server::with(&site, &["--workers=1"]);
    assert_eq!(server.get("/a").field("X-A"), Some("2"));
    fs::remove_file(site.path("_headers")).unwrap();
    let begin = std::time::Instant::now();
    while begin.elapsed().as_millis() < 400 {
        assert_eq!(server.get("/a").field("X-A"), Some("2"));
    }
    wait_until("the end of the rules", || (0..10).all(|_| server.get("/a").field("X-A").is_none()));
    assert_eq!(server.log().matches("_headers, line 4: ").count(), 1);
}

#[test]
fn a_file_that_is_being_written_or_cannot_be_used_takes_no_rules_away() {
    let site = Site::with(&[("_headers", b"/a\n  X-A: 1\n"), ("a", b"a")]);
    let server = Server::with(&site, &["--workers=1"]);
    assert_eq!(server.get("/a").field("X-A"), Some("1"));
    // Written slowly, from the beginning.
    let begin = std::time::Instant::now();
    let mut content = String::new();
    while begin.elapsed().as_millis() < 1_500 {
        content += "# more\n";
        fs::write(site.path("_headers"), &content).unwrap();
        assert_eq!(server.get("/a").field("X-A"), Some("1"));
    }
    fs::write(site.path("_headers"), "/a\n  X-A: 2\n").unwrap();
    wait_until("the rules", || (0..10).all(|_| server.get("/a").field("X-A") == Some("2")));
    // Too many.
    let many = "/x\n  X-A: 3\n".repeat(100_001);
    site.write("new", many.as_bytes());
    fs::rename(site.path("new"), site.path("_headers")).unwrap();
    server.wait_for_log("_headers is not used");
    fs::remove_file(site.path("_headers")).unwrap();
    symlink("/etc/hostname", site.path("_headers")).unwrap();
    wait_until("both records", || server.log().matches("_headers is not used").count() == 2);
    assert!((0..10).all(|_| server.get("/a").field("X-A") == Some("2")));
}

#[test]
fn rules_are_replaced_with_the_release() {
    let site = Site::new();
    for release in ["1", "2"] {
        site.write(format!("releases/{release}/_headers"), format!("/*\n  X-Release: {release}\n").as_bytes());
        site.write(format!("releases/{release}/_redirects"), format!("/to /{release}\n").as_bytes());
        site.write(format!("releases/{release}/name"), release.as_bytes());
    }
    symlink("releases/1", site.path("site")).unwrap();
    let server = Server::with(&site, &["--workers=1", &format!("--root={}", site.path("site").display())]);
    assert_eq!(server.get("/name").field("X-Release"), Some("1"));
    assert_eq!(server.get("/to").field("Location"), Some("/1"));
    symlink("releases/2", site.path("next")).unwrap();
    fs::rename(site.path("next"), site.path("site")).unwrap();
    wait_until("the next release", || server.get("/name").text() == "2");
    for _ in 0..10 {
        assert_eq!(server.get("/name").field("X-Release"), Some("2"));
        assert_eq!(server.get("/to").field("Location"), Some("/2"));
    }
}

#[test]
fn strict_transport_security_of_a_rule_is_sent_over_https_alone() {
    let site = Site::with(&[("_headers", b"/*\n  Strict-Transport-Security: max-age=60\n  X-A: 1\n"), ("a", b"a")]);
    let response = Server::of(&site).get("/a");
    assert_eq!((response.field("Strict-Transport-Security"), response.field("X-A")), (None, Some("1")));
    let certificates = Certificates::new();
    let server = certificates.serve(&site, &[]);
    let config = certificates.client("first", &TLS13);
    for target in ["/a", "/none"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let response = exchange(&mut connect(server.address, &config), &request);
        assert_eq!(response.matches("Strict-Transport-Security: max-age=60\r\n").count(), 1, "{response}");
        assert_eq!(response.matches("Strict-Transport-Security").count(), 1, "{response}");
    }
}

/// A policy of the site would block the script and the style, whose hashes are in their own policy.
#[test]
fn pages_of_the_server_keep_their_own_policy() {
    let site = Site::with(&[
        (
            "_headers",
            b"/*\n  Content-Security-Policy: default-src 'self'\n  X-A: 1\n/none\n  ! Content-Security-Policy\n",
        ),
        ("_redirects", b"/shut /nothing.html 503\n"),
        ("directory/a", b"a"),
        ("sub/404.html", b"of the site"),
    ]);
    let server = Server::with(&site, &["--listing"]);
    let own = |target: &str| {
        let response = server.get(target);
        assert_eq!(response.field("X-A"), Some("1"), "{target}");
        response.field("Content-Security-Policy").unwrap().to_string()
    };
    for target in ["/directory/", "/none", "/shut"] {
        assert!(own(target).contains("sha256-") && !own(target).contains("default-src 'self'"), "{target}");
    }
    for target in ["/directory/a", "/sub/none", "/directory"] {
        assert_eq!(own(target), "default-src 'self'", "{target}");
    }
}

/// What some clients get is for no shared cache, whatever the rules of the site say.
#[test]
fn rules_for_caches_do_not_make_public_what_is_restricted() {
    let site = Site::with(&[
        (
            "_headers",
            b"/*\n  Cache-Control: public, s-maxage=60, max-age=5\n  CDN-Cache-Control: max-age=60\n  Surrogate-Control: \
              max-age=60\n  Cloudflare-CDN-Cache-Control: max-age=60\n  X-A: 1\n/private/bare\n  ! Cache-Control\n",
        ),
        ("_redirects", b"/private/way /private/f 200\n/out /private/f 200\n/private/shut /open 503\n/private/go /open 301\n"),
        ("private/f", b"f"),
        ("private/bare", b"bare"),
        ("private/large", &[b'x'; 100_000]),
        ("open", b"open"),
    ]);
    let users = Users::new();
    for rules in [&["--allow=/private=127.0.0.0/8".into()][..], &[users.rule("/private")]] {
        let rules: Vec<_> = rules.iter().map(String::as_str).collect();
        let server = Server::with(&site, &rules);
        let login = format!("Authorization: {}\r\n", basic("anna", "pa:ss"));
        let mut targets = vec!["/private/f", "/private/bare", "/private/large", "/private/way", "/out", "/private/go"];
        targets.extend(["/private/none", "/private/shut", "/private"]);
        for target in targets {
            for (fields, is_allowed) in [(login.as_str(), true), ("", rules[0].starts_with("--allow"))] {
                let response = ask(&mut server.connect(), target, fields);
                assert_eq!(response.status == 401, !is_allowed, "{target} {rules:?}");
                let value = response.field("Cache-Control").unwrap();
                assert!(value.starts_with("private") && !value.contains("public"), "{target}: {response:?}");
                assert!(!value.contains("s-maxage"), "{target}: {response:?}");
                for name in ["CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Surrogate-Control"] {
                    assert_eq!(response.field(name), None, "{target}");
                }
                assert!(!is_allowed || response.field("X-A") == Some("1"), "{target}");
                assert!(response.status < 400 || !value.contains("max-age"), "{target}: {response:?}");
            }
        }
        let open = server.get("/open");
        assert_eq!(open.field("CDN-Cache-Control"), Some("max-age=60"));
        let missing = server.get("/none");
        assert_eq!((missing.field("CDN-Cache-Control"), missing.field("Cache-Control")), (None, None));
    }
}

/// Certificates are renewed whatever the site's rules are, and whoever may get the rest.
#[test]
fn challenges_pass_by_rules_and_access() {
    let site = Site::with(&[
        ("_headers", b"/*\n  Basic-Auth: user:password\n  X-A: 1\n"),
        ("_redirects", b"/* /closed.html 503!\n"),
        (".well-known/acme-challenge/token", b"of the site"),
        ("closed.html", b"closed"),
    ]);
    let folder = site.outside().join("challenges");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("other"), "of the directory").unwrap();
    let users = Users::new();
    for rules in [vec![], vec!["--allow=/=192.0.2.0/24".into()], vec![users.rule("/")]] {
        let challenges = format!("--acme-challenges={}", folder.display());
        let rules: Vec<_> = rules.iter().map(String::as_str).chain([challenges.as_str()]).collect();
        let server = Server::with(&site, &rules);
        for (name, content) in [("token", "of the site"), ("other", "of the directory")] {
            let response = server.get(&format!("/.well-known/acme-challenge/{name}"));
            assert_eq!((response.status, response.text().as_str()), (200, content), "{rules:?}");
            assert_eq!(response.field("X-A"), None);
        }
        assert!(matches!(server.get("/closed").status, 401 | 403));
        assert!(matches!(server.get("/.well-known/acme-challenge/../../closed.html").status, 401 | 403));
    }
    site.write("_headers", b"");
    let server = Server::of(&site);
    assert_eq!(server.get("/.well-known/acme-challenge/token").status, 200);
    assert_eq!(server.get("/.well-known/acme-challenge/none").status, 404);
    assert_eq!((server.get("/any").status, server.get("/.well-known/x").status), (503, 503));
}

/// Access is decided before any redirect, and again on the file to which a rule leads.
#[test]
fn no_rule_leads_around_access() {
    let site = Site::with(&[
        (
            "_redirects",
            b"/private/moved /elsewhere 301!\n/way/* /private/:splat 200\n/forced /private/f 200!\n/gone /private/f 410\n\
              /lost /private/f 404\n/shut /private/f 503!\n/name /secret 200\n/dir /private/ 200\n/private/out /open 200!\n",
        ),
        ("private/f", b"SECRET"),
        ("private/index.html", b"SECRET"),
        ("secret.html", b"SECRET"),
        ("open", b"open"),
    ]);
    let users = Users::new();
    let prefixes = ["/private", "/secret"];
    let allow: Vec<_> = prefixes.iter().map(|prefix| format!("--allow={prefix}=192.0.2.0/24")).collect();
    let auth: Vec<_> = prefixes.iter().map(|prefix| users.rule(prefix)).collect();
    for (rules, expected) in [(allow, 403), (auth, 401)] {
        let server = Server::with(&site, &rules.iter().map(String::as_str).collect::<Vec<_>>());
        for target in [
            "/private/moved",
            "/way/f",
            "/way/",
            "/way",
            "/forced",
            "/gone",
            "/lost",
            "/shut",
            "/name",
            "/dir",
            "/private/out",
            "/secret",
            "/secret/",
        ] {
            let response = server.get(target);
            assert_eq!((response.status, response.field("Location")), (expected, None), "{target}: {response:?}");
            assert!(!response.text().contains("SECRET"), "{target}");
        }
        assert_eq!(server.get("/open").text(), "open");
        if expected == 401 {
            let login = format!("Authorization: {}\r\n", basic("anna", "pa:ss"));
            let mut client = server.connect();
            assert_eq!(ask(&mut client, "/way/f", &login).text(), "SECRET");
            assert_eq!(location(&ask(&mut client, "/private/moved", &login)), (301, Some("/elsewhere")));
        }
    }
}
/// The kinds of rules files that cannot be used.
fn unusable(site: &Site, name: &str, kind: &str) {
    let new = site.path("new");
    match kind {
        "large" => fs::File::create(&new).unwrap().set_len((8 << 20) + 1).unwrap(),
        "many" => fs::write(&new, "/x /y\n".repeat(100_001)).unwrap(),
        "outside" => symlink("/etc/hostname", &new).unwrap(),
        "loop" => symlink(name, &new).unwrap(),
        _ => fs::create_dir(&new).unwrap(),
    }
    let _ = fs::remove_file(site.path(name));
    fs::rename(new, site.path(name)).unwrap();
}

#[test]
fn a_site_whose_rules_were_never_known_gives_nothing_away() {
    for (name, kind) in [
        ("_headers", "large"),
        ("_redirects", "many"),
        ("_headers", "outside"),
        ("_headers", "loop"),
        ("_redirects", "directory"),
    ] {
        let site = Site::with(&[("a", b"SECRET"), (".well-known/acme-challenge/token", b"token")]);
        site.write("50x.html", b"later");
        unusable(&site, name, kind);
        let server = Server::of(&site);
        for target in ["/a", "/", "/none", "/50x.html"] {
            let response = server.get(target);
            assert_eq!((response.status, response.text().as_str()), (503, "later"), "{name} {kind} {target}");
        }
        assert_eq!(server.get("/.well-known/acme-challenge/token").text(), "token");
        server.wait_for_log(&format!("{name} cannot be used: "));
        assert!(server.log().contains("or remove it."), "the remedy");
        let check = std::process::Command::new(BINARY)
            .args(["--check", &format!("--root={}", site.root().display())])
            .envs(own_user())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(check.status.code() == Some(1) && text.contains(&format!("{name} cannot be used: ")), "{text}");
        // Repaired.
        fs::rename(site.path(name), site.path("away")).unwrap();
        site.write("new", b"/b\n  X-A: 1\n".as_slice());
        fs::rename(site.path("new"), site.path("_headers")).unwrap();
        wait_until("the site", || (0..10).all(|_| server.get("/a").status == 200));
    }
}

#[test]
fn a_check_names_the_mistakes_in_rules() {
    let site = Site::with(&[("a", b"a"), ("_headers", b"/a\n  X-A: 1\n  Date: now\n"), ("_redirects", b"/x\n")]);
    let check = std::process::Command::new(BINARY)
        .args(["--check", &format!("--root={}", site.root().display())])
        .envs(own_user())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&check.stderr).into_owned();
    assert_eq!(check.status.code(), Some(0), "the other rules hold: {text}");
    assert!(text.contains("/_headers, line 3: ") && text.contains("/_redirects, line 1: "), "{text}");
}

#[test]
fn a_new_process_has_no_weaker_rules_than_the_one_before() {
    let site = Site::with(&[("a", b"SECRET"), ("b", b"b")]);
    let server = Server::with(&site, &["--workers=1"]);
    assert_eq!(server.get("/a").status, 200);
    site.write("new", b"/a\n  Basic-Auth: user:password\n");
    fs::rename(site.path("new"), site.path("_headers")).unwrap();
    wait_until("the rules", || (0..10).all(|_| server.get("/a").status == 403));
    unusable(&site, "_headers", "large");
    server.wait_for_log("The last good rules stay");
    // A reload would begin without rules.
    server.signal(Signal::SIGHUP);
    server.wait_for_log("_headers cannot be used");
    assert_eq!(server.get("/a").status, 403);
    let before = server.workers();
    nix::sys::signal::kill(before[0], Signal::SIGKILL).unwrap();
    wait_until("another worker", || server.workers().len() == 1 && server.workers() != before);
    for _ in 0..10 {
        let response = server.get("/a");
        assert!(matches!(response.status, 403 | 503), "{response:?}");
    }
    wait_until("the end of the site", || (0..10).all(|_| server.get("/b").status == 503));
}

#[test]
fn unusable_rules_of_one_site_are_its_own_matter() {
    let sites = Site::with(&[("a.test/f", b"a"), ("b.test/f", b"b")]);
    fs::create_dir(sites.path("a.test/_headers")).unwrap();
    let server = Setup::bare(&["--workers=2", &format!("--sites={}", sites.root().display())]).listen();
    let status =
        |host: &str| server.connect().send(format!("GET /f HTTP/1.1\r\nHost: {host}\r\n\r\n")).response().status;
    for _ in 0..10 {
        assert_eq!((status("a.test"), status("b.test")), (503, 200));
    }
    server.wait_for_log("a.test/_headers cannot be used: it is a directory");
}

/// Each worker parses the rules of a site, when it is first asked for it.
#[test]
fn a_mistake_is_logged_by_one_worker_whichever_that_is() {
    let sites = Site::new();
    let hosts: Vec<_> = (0..20).map(|number| format!("s{number}.test")).collect();
    for host in &hosts {
        sites.write(format!("{host}/_headers"), b"/*\n  Content-Length: 1\n  X-A: 1\n");
        sites.write(format!("{host}/f"), b"f");
    }
    let server = Setup::bare(&["--workers=4", &format!("--sites={}", sites.root().display())]).listen();
    let ask = |host: &str| server.connect().send(format!("GET /f HTTP/1.1\r\nHost: {host}\r\n\r\n")).response();
    let count = |host: &str| server.log().matches(&format!("{host}/_headers, line 2: ")).count();
    for host in &hosts {
        for _ in 0..20 {
            assert_eq!(ask(host).field("X-A"), Some("1"));
        }
        wait_until("the record", || count(host) == 1);
    }
    // Changed.
    sites.write("new", b"/*\n  Content-Length: 2\n  X-A: 2\n");
    fs::rename(sites.path("new"), sites.path("s0.test/_headers")).unwrap();
    wait_until("the change", || (0..40).all(|_| ask("s0.test").field("X-A") == Some("2")));
    wait_until("the record of the change", || count("s0.test") == 2);
    assert!(hosts[1..].iter().all(|host| count(host) == 1), "{}", server.log());
}
