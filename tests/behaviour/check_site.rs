//! `otus-httpd check-site DIR`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Output};

use nix::unistd::geteuid;

use crate::support::{BINARY, Site};

fn run(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("check-site").args(arguments).arg(site.root()).env_remove("JOURNAL_STREAM");
    command.output().unwrap()
}

/// A check that prints exactly these findings, and nothing on standard error.
#[track_caller]
fn check_with(site: &Site, arguments: &[&str], expected: &[&str]) {
    let output = run(site, arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    let (summary, findings) =
        text.lines().collect::<Vec<_>>().split_last().map(|(l, f)| (l.to_string(), f.to_vec())).unwrap();
    assert_eq!(findings, expected, "{text}");
    assert!(summary.starts_with(&format!("{} findings in ", expected.len())), "{summary}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(i32::from(!expected.is_empty())));
}

#[track_caller]
fn check(site: &Site, expected: &[&str]) {
    check_with(site, &[], expected);
}

#[test]
fn a_site_without_a_fault() {
    let site = Site::with(&[
        ("index.html", b"<link rel=stylesheet href=/style.css><a href=about>about</a><a href='about/?q#x'>x</a>"),
        (
            "about/index.html",
            b"<img src=../i/1.png srcset='/i/1.png 1x, ../i/2%20b.png 2x'><a href=https://example.org/x>x</a>",
        ),
        ("style.css", b"@import 'more.css'; p { background: url(i/1.png) }"),
        ("more.css", b"p { background: url(data:image/png,x) }"),
        ("i/1.png", b"x"),
        ("i/2 b.png", b"x"),
        ("404.html", b"<a href=/>home</a>"),
    ]);
    check(&site, &[]);
    let summary = String::from_utf8(run(&site, &[]).stdout).unwrap();
    assert_eq!(summary, "0 findings in 5 documents with 9 links, and 0 variants.\n");
}

#[test]
fn links_that_lead_nowhere() {
    let site = Site::with(&[
        ("a.html", b"<p>\n<a href=none>x</a>\n<img src=/.hidden><a href=d>x</a>"),
        ("b/c.html", b"<base href='/x/'><a href=y>x</a><a href=../a.html>x</a><a href=/out>x</a>"),
        ("b/d.css", b"p {\n  background: url('none.png');\n}"),
        ("d/x", b""),
        (".hidden", b""),
        ("text.txt", b"<a href=nowhere>"),
    ]);
    symlink("/etc", site.path("out")).unwrap();
    check(
        &site,
        &[
            "a.html:2: /none leads nowhere: no file has this name (404) [link]",
            "a.html:3: /.hidden leads nowhere: names that begin with a dot are not served (404) [link]",
            "a.html:3: /d redirects to /d/, which leads nowhere: the directory has no index.html (404) [link]",
            "b/c.html:1: /out leads nowhere: a symbolic link leads out of the document root (403) [link]",
            "b/c.html:1: /x/y leads nowhere: no file has this name (404) [link]",
            "b/d.css:2: /b/none.png leads nowhere: no file has this name (404) [link]",
        ],
    );
    check_with(
        &site,
        &["--listing", "--dotfiles"],
        &[
            "a.html:2: /none leads nowhere: no file has this name (404) [link]",
            "b/c.html:1: /out leads nowhere: a symbolic link leads out of the document root (403) [link]",
            "b/c.html:1: /x/y leads nowhere: no file has this name (404) [link]",
            "b/d.css:2: /b/none.png leads nowhere: no file has this name (404) [link]",
        ],
    );
    check_with(&site, &["--ignore", "variant,link"], &[]);
}

#[test]
fn a_target_that_many_links_have_is_one_finding() {
    let site = Site::new();
    for number in 0..200 {
        site.write(format!("{number:03}.html"), b"<nav>\n<a href=/team>x</a></nav>");
    }
    let expected = "000.html:2: /team leads nowhere: no file has this name (404); the same in 199 more places, such as 001.html:2 [link]";
    check(&site, &[expected]);
}

#[test]
fn relative_links_in_an_error_page() {
    let site = Site::with(&[
        ("404.html", b"<link href=s.css rel=stylesheet>\n<a href=#top>x</a><a href=/>x</a><a href=./>x</a>"),
        ("s.css", b""),
        ("index.html", b""),
        ("50x.html", b"<base href=/><a href=s.css>x</a>"),
    ]);
    check(
        &site,
        &[
            "404.html:1: s.css is relative, but this page is sent for paths in every directory: begin the link with a slash; \
         the same in 1 more place, such as 404.html:2 [relative]",
        ],
    );
}

#[test]
fn variants_that_are_not_the_file() {
    let site = Site::with(&[("a.css", b"p {}"), ("a.css.gz", b""), ("d/b.js", b"b"), ("d/b.js.br", b"b")]);
    let output = run(&site, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, start) in lines.iter().zip(["a.css.gz: it is empty", "d/b.js.br: it "]) {
        assert!(
            line.starts_with(start) && line.ends_with("; \"otus-httpd precompress\" makes it anew [variant]"),
            "{line}"
        );
    }
    assert_eq!(lines[2], "2 findings in 1 documents with 0 links, and 2 variants.");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn documents_that_cannot_be_checked_are_findings() {
    let site = Site::with(&[("ok.html", b"")]);
    let large = fs::File::create(site.path("large.html")).unwrap();
    large.set_len((16 << 20) + 1).unwrap();
    let mut expected = vec!["large.html: it is larger than 16.00 MiB, and its links are not checked [unread]"];
    if !geteuid().is_root() {
        site.write("secret.html", b"");
        fs::set_permissions(site.path("secret.html"), Permissions::from_mode(0o000)).unwrap();
        expected.push("secret.html: it cannot be read (Permission denied) [unread]");
    }
    check(&site, &expected);
}

#[test]
fn links_of_the_file_system_are_not_followed_to_documents() {
    let site = Site::with(&[("index.html", b"<a href=in/x.html>x</a>"), ("real/x.html", b"<a href=none>x</a>")]);
    fs::write(site.outside().join("other.html"), "<a href=none>x</a>").unwrap();
    symlink("../other.html", site.path("other.html")).unwrap();
    symlink("real", site.path("in")).unwrap();
    check(&site, &["real/x.html:1: /real/none leads nowhere: no file has this name (404) [link]"]);
}

#[test]
fn a_report_for_programs() {
    let site = Site::with(&[("a\"\n.html", b"<a href='/no\"ne'>x</a>\n<a href='/no\"ne'>x</a>")]);
    let output = run(&site, &["--json"]);
    let expected = concat!(
        r#"{"documents":1,"findings":[{"file":"a\"\n.html","kind":"link","line":1,"message":"/no\"ne leads nowhere: "#,
        r#"no file has this name (404)","more":1,"others":[{"file":"a\"\n.html","line":2}]}],"findings_left_out":0,"#,
        r#""links":2,"variants":0}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn nothing_that_a_site_contains_is_printed_as_it_is() {
    let site = Site::with(&[("a\x1b[2J.html", b"<a href='/\x1b[31m'>x</a>")]);
    check(&site, &["a\\u{1b}[2J.html:1: /\\u{1b}[31m leads nowhere: no file has this name (404) [link]"]);
}

#[test]
fn hostile_documents_take_bounded_time() {
    let site = Site::new();
    let nested = |open: &str| open.repeat((256 << 10) / open.len());
    site.write("a.css", nested("(").as_bytes());
    site.write("b.css", nested("url(").as_bytes());
    site.write("c.html", nested("<").as_bytes());
    site.write("d.html", format!("<p {}>", nested("a=")).as_bytes());
    site.write("e.html", nested("<svg>").as_bytes());
    site.write("f.html", format!("<img srcset='{}'>", nested(", ,")).as_bytes());
    let output = run(&site, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn wrong_usage_and_a_missing_directory() {
    for (arguments, status) in
        [(&[][..], 2), (&["--ignore", "x", "/"], 2), (&["-p", "80", "/"], 2), (&["/none/of/this"], 1)]
    {
        let output =
            Command::new(BINARY).arg("check-site").args(arguments).env_remove("JOURNAL_STREAM").output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("otus-httpd: ") && text.ends_with(".\n"), "{text}");
    }
}
