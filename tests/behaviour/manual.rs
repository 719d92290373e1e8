//! The examples of otus-httpd-site(5): each block between .nf and .fi is run by a test here.
//!
//! For a new example, add a line to [`EXAMPLES`] and a function that is given its text. An example that no line has is a
//! failure, and so is a line whose example is not in the page. (Those of the other pages are in
//! `tests/package/inside/examples.sh`, since they need systemd.)

use std::fs;
use std::process::Command;

use crate::support::{BINARY, Server, Setup, Site, wait_until};

/// A test of an example, which is given its text.
type Test = fn(&str);

/// The section, and its subsection after a slash; words of the example; its test.
const EXAMPLES: &[(&str, &str, Test)] = &[
    ("DESCRIPTION", "mv -T", a_release_is_published_by_a_link),
    ("RULES", "X-Frame-Options", rules_for_fields),
    ("RULES", ":splat", rules_for_paths),
    ("NAMES OF PAGES", "about/index.html", names_of_pages),
    ("COMPRESSION", "otus-httpd precompress", variants_of_a_whole_site),
    ("SITES", "mkdir", a_site_is_a_directory_and_an_alias_a_link),
    ("SITES", "mv -T", a_release_of_one_of_many_sites),
    ("ACCESS", "htpasswd", a_file_of_users_is_written),
    ("ACCESS", "OTUS_AUTH", access_is_a_setting),
];

#[test]
fn every_example_of_the_manual_of_sites_is_run() {
    let examples = examples();
    let mut runs = vec![0; examples.len()];
    for (section, words, test) in EXAMPLES {
        let found: Vec<_> =
            (0..examples.len()).filter(|i| examples[*i].0 == *section && examples[*i].1.contains(words)).collect();
        assert_eq!(found.len(), 1, "one example under {section} with {words:?}");
        runs[found[0]] += 1;
        test(&examples[found[0]].1);
    }
    let of_none: Vec<_> =
        examples.iter().zip(runs).filter(|(_, runs)| *runs == 0).map(|(example, _)| example).collect();
    assert!(of_none.is_empty(), "no test runs {of_none:#?}");
}

/// Returns the heading and the text of each example, as a reader types it.
fn examples() -> Vec<(String, String)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/otus-httpd-site.5");
    let page = fs::read_to_string(page).unwrap();
    let (mut section, mut subsection, mut example) = (String::new(), String::new(), None);
    let mut found = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix(".SH ") {
            (section, subsection) = (plain(heading.trim_matches('"')), String::new());
        } else if let Some(heading) = line.strip_prefix(".SS ") {
            subsection = format!("/{}", plain(heading.trim_matches('"')));
        } else if line == ".nf" {
            example = Some(String::new());
        } else if line == ".fi" {
            found.push((format!("{section}{subsection}"), example.take().expect("an .nf before .fi")));
        } else if let Some(example) = &mut example {
            *example += &format!("{}\n", plain(line));
        }
    }
    assert!(example.is_none(), "an .nf without .fi in {section}");
    found
}

/// Returns a line of roff without fonts and escapes.
fn plain(line: &str) -> String {
    let fonts = ["\\fB", "\\fI", "\\fR", "\\fP", "\\&"];
    let line = fonts.iter().fold(line.to_string(), |line, font| line.replace(font, ""));
    line.replace("\\-", "-").replace("\\(ti", "~").replace("\\(ha", "^").replace("\\(aq", "'").replace("\\e", "\\")
}

/// Runs commands as a shell would, with other paths in place of those of the example.
fn run(commands: &str, paths: &[(&str, &str)]) {
    let commands = paths.iter().fold(commands.to_string(), |text, (from, to)| text.replace(from, to));
    let output = Command::new("sh").args(["-e", "-c", &commands]).env_remove("JOURNAL_STREAM").output().unwrap();
    assert!(output.status.success(), "{commands}: {output:?}");
}

fn a_release_is_published_by_a_link(commands: &str) {
    let site = Site::with(&[("releases/1/index.html", b"one"), ("releases/2/index.html", b"two")]);
    std::os::unix::fs::symlink("releases/1", site.path("site")).unwrap();
    let server = Server::with(&site, &[&format!("--root={}", site.path("site").display())]);
    assert_eq!(server.get("/").text(), "one");
    run(commands, &[("/srv", site.root().to_str().unwrap())]);
    wait_until("the new release", || server.get("/").text() == "two");
}

/// Starts a server of many sites, with the first example.
fn sites(commands: &str, release: &str) -> (Site, Server) {
    let site = Site::new();
    site.write(".releases/none", b"");
    site.write("build/index.html", release.as_bytes());
    let directory = site.root().display().to_string();
    let server = Setup::bare(&["--workers=2", &format!("--sites={directory}")]).listen();
    run(&format!("cd {directory}\n{commands}"), &[("/srv/www", &directory)]);
    (site, server)
}

fn page(server: &Server, host: &str) -> String {
    server.connect().send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).response().text()
}

fn a_site_is_a_directory_and_an_alias_a_link(commands: &str) {
    let (site, server) = sites(commands, "");
    site.write("example.org/index.html", b"page");
    for host in ["example.org", "www.example.org"] {
        wait_until(host, || page(&server, host) == "page");
    }
}

fn a_release_of_one_of_many_sites(commands: &str) {
    let (_site, server) = sites(commands, "two");
    wait_until("the release", || page(&server, "example.net") == "two");
}

fn rules_for_fields(rules: &str) {
    let site = Site::with(&[("_headers", rules.as_bytes()), ("index.html", b""), ("fonts/a.woff2", b"")]);
    let server = Server::of(&site);
    for (target, origin) in [("/", None), ("/fonts/a.woff2", Some("*"))] {
        let response = server.get(target);
        assert_eq!(response.field("X-Frame-Options"), Some("DENY"));
        assert_eq!(response.field("X-Content-Type-Options"), None);
        assert_eq!(response.field("Access-Control-Allow-Origin"), origin);
    }
    assert_eq!(server.warnings(), [""; 0]);
}

fn rules_for_paths(rules: &str) {
    let names = ["app/index.html", "maintenance.html", "old.html"];
    let site = Site::with(&[("_redirects", rules.as_bytes())]);
    names.iter().for_each(|name| site.write(name, name.as_bytes()));
    let server = Server::of(&site);
    for (target, location) in [("/blog/a/b", "/news/a/b"), ("/old.html", "/new.html")] {
        let response = server.get(target);
        assert_eq!((response.status, response.field("Location")), (301, Some(location)));
    }
    for (target, status, name) in [("/app/a/b", 200, names[0]), ("/shop", 503, names[1])] {
        let response = server.get(target);
        assert_eq!((response.status, response.text().as_str()), (status, name));
    }
    assert_eq!(server.warnings(), [""; 0]);
}

fn names_of_pages(table: &str) {
    let site = Site::new();
    let rows: Vec<_> = table.lines().map(|row| row.split_once(' ').unwrap()).collect();
    rows.iter().for_each(|(name, _)| site.write(name, name.as_bytes()));
    let server = Server::of(&site);
    for (name, target) in &rows {
        assert_eq!(server.get(target.trim()).text(), *name);
    }
    for (target, location) in [("/about", "about/"), ("/about/team/", "../team")] {
        let redirect = server.get(target);
        assert_eq!((redirect.status, redirect.field("Location")), (301, Some(location)));
    }
    assert_eq!(server.get("/images/").status, 404);
}

fn variants_of_a_whole_site(command: &str) {
    let site =
        Site::with(&[("index.html", &b"<p>Otus</p>\n".repeat(100)), ("a/b.css", &b"p { margin: 0 }\n".repeat(100))]);
    run(command, &[("otus-httpd", BINARY), ("/var/www/html", site.root().to_str().unwrap())]);
    let server = Server::of(&site);
    for (target, media_type) in [("/", "text/html"), ("/a/b.css", "text/css")] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\nAccept-Encoding: br\r\n\r\n");
        let response = server.connect().send(request).response();
        assert_eq!(response.field("Content-Encoding"), Some("br"), "{target}");
        assert_eq!(response.field("Content-Type"), Some(media_type));
    }
}

/// With a htpasswd(1) that asks for nothing; where it is not installed, with a line that it has written.
fn a_file_of_users_is_written(commands: &str) {
    let users = tempfile::tempdir().unwrap();
    let file = users.path().join("intern.users");
    let mut lines = commands.lines();
    assert_eq!(lines.next(), Some("htpasswd -c -B -C 10 /etc/otus-httpd/intern.users anna"));
    let line = "anna:$2y$04$USfggzn/x9E.IFZn7IvGJ.XL3oGUB8tcwXxh2glNuFiohlFkaAcNG\n";
    fs::write(&file, line).unwrap();
    let rest: String = lines.map(|line| format!("{line}\n")).collect();
    let own = format!("chown {}:{} ", nix::unistd::geteuid(), nix::unistd::getegid());
    run(&rest, &[("chown root:otus-httpd ", &own), ("/etc/otus-httpd", users.path().to_str().unwrap())]);
    let site = Site::with(&[("intern/f", b"f")]);
    let server = Server::with(&site, &[&format!("--auth=/intern={}", file.display())]);
    assert_eq!(server.get("/intern/f").status, 401);
    let mut client = server.connect();
    client.send("GET /intern/f HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YW5uYTpww6Rzc3dvcmQ=\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

fn access_is_a_setting(settings: &str) {
    let (site, users) = (Site::with(&[("intern/f", b"f"), ("f", b"f")]), tempfile::tempdir().unwrap());
    fs::write(users.path().join("intern.users"), "").unwrap();
    let settings = settings.replace("/etc/otus-httpd", users.path().to_str().unwrap());
    let server = settings.lines().fold(crate::support::Setup::new(&site, &[]), |setup, line| {
        let (name, value) = line.split_once('=').unwrap();
        setup.env(name, value)
    });
    let server = server.listen();
    assert_eq!((server.get("/intern/f").status, server.get("/f").status), (403, 200));
}
