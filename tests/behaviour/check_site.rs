//! `otus-httpd check-site DIR`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Output, Stdio};

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
            "a.html:3: /d redirects to /d/, which leads nowhere: the directory has no index (404) [link]",
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

/// A site with a page at `/page.html` and these rules, and what is found.
#[track_caller]
fn check_rules(redirects: &str, expected: &[&str]) {
    let site = Site::with(&[
        ("_redirects", redirects.as_bytes()),
        ("index.html", b""),
        ("page.html", b""),
        ("docs/index.html", b""),
    ]);
    let expected: Vec<_> = expected.iter().map(|text| format!("_redirects:{text}")).collect();
    check(&site, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn redirects_without_a_fault() {
    check_rules("/a /page.html\n/b/* /docs/:splat\n/c /docs/ 302\n/d https://example.org/ 301\n", &[]);
    check_rules("/old/:year/* /new/:year/:splat\n/* /index.html 200\n", &[]);
    check_rules("https://www.example.org/* https://example.org/:splat 301!\n/* /page.html 404\n", &[]);
}

#[test]
fn mistakes_of_both_files_with_their_lines() {
    let site = Site::with(&[
        ("_redirects", b"/a\n/b /page.html 418\n/c https://example.org/ 200\n"),
        ("_headers", b"/*\n  X-A: b\n  Content-Length: 5\n/none\n  X-B: c\n"),
        ("page.html", b""),
    ]);
    let output = run(&site, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let starts = [
        "_headers:3: ",
        "_headers:4: no page has the path /none: ",
        "_redirects:1: ",
        "_redirects:2: ",
        "_redirects:3: ",
    ];
    for (line, start) in text.lines().zip(starts) {
        let kind = if start.contains("none") { "[impossible]" } else { "[rule]" };
        assert!(line.starts_with(start) && line.ends_with(kind), "{text}");
    }
    assert!(text.ends_with("5 findings in 1 documents with 0 links, and 0 variants.\n"), "{text}");
}

#[test]
fn loops_and_chains() {
    check_rules(
        "/a /b\n/b /a\n",
        &[
            "1: the redirect leads back to itself, with line 2 [loop]",
            "2: the redirect leads back to itself, with line 1 [loop]",
        ],
    );
    check_rules(
        "/x/* /y/:splat\n/y/* /x/:splat 302\n",
        &[
            "1: the redirect leads back to itself, with line 2 [loop]",
            "2: the redirect leads back to itself, with line 1 [loop]",
        ],
    );
    check_rules(
        "/a /b\n/b /c\n/c /page.html\n/d /docs\n/x/* /b\n",
        &[
            "1: the target redirects again (line 2): write /page.html [chain]",
            "2: the target redirects again (line 3): write /page.html [chain]",
            "4: the target redirects again: write /docs/ [chain]",
            "5: the target redirects again (line 2): write /page.html [chain]",
        ],
    );
    check_rules(
        "/n/* /o/:splat\n/o/* /docs/:splat\n",
        &["1: the target redirects again (line 2): write where that leads to [chain]"],
    );
}

#[test]
fn rules_that_never_apply() {
    check_rules(
        "/a/* /docs/\n/a/b /page.html\n/a/:c /page.html\n/d /docs/\n/d /page.html 301!\n",
        &[
            "2: the rule in line 1 matches all that this one matches, and comes first [impossible]",
            "3: the rule in line 1 matches all that this one matches, and comes first [impossible]",
            "5: the rule in line 4 matches all that this one matches, and comes first [impossible]",
        ],
    );
    check_rules("/a id=1 /docs/\n/a /page.html\n", &[]);
    check_rules(
        "/b /docs/\n/b id=1 /page.html\n",
        &["2: the rule in line 1 matches all that this one matches, and comes first [impossible]"],
    );
    check_rules(
        "/a /none\n/b /none.html 200\n/c/* /none/:splat\n",
        &[
            "1: the target /none leads nowhere: no file has this name (404) [impossible]",
            "2: the target leads nowhere: /none.html, to which a rule leads: no file has this name [impossible]",
        ],
    );
}

#[test]
fn rules_whose_place_a_file_takes() {
    let instead = "write 301! to apply the rule always, as Cloudflare Pages does [shadowed]";
    check_rules(
        "/page.html /docs/\n/docs /page.html\n/docs/* /page.html 301!\n",
        &[
            &format!("1: the file page.html is served instead; {instead}"),
            &format!("2: the file docs/index.html is served instead; {instead}"),
        ],
    );
    check_rules(
        "/docs/* /page.html 404\n",
        &[
            "1: the file docs/index.html is served instead; write 404! to apply the rule always, as Cloudflare Pages does [shadowed]",
        ],
    );
    check_rules(
        "http://example.org/* https://www.example.org/:splat\nhttps://old.test/* https://example.org/:splat\n",
        &[&format!("2: the file docs/index.html and 2 others are served instead; {instead}")],
    );
}

#[test]
fn links_through_rules() {
    let site = Site::with(&[
        ("_redirects", b"/old /new.html\n/gone /none\n/app/* /index.html 200\n/loop /pool\n/pool /loop\n/shut /new.html 410\n"),
        ("new.html", b""),
        ("index.html", b"<a href=old>x</a><a href=gone>x</a><a href=app/x>x</a><a href=loop>x</a><a href=shut>x</a><a href=_redirects>"),
    ]);
    check_with(
        &site,
        &["--ignore", "loop,impossible"],
        &[
            "index.html:1: /_redirects leads nowhere: the server does not send rules and settings (404) [link]",
            "index.html:1: /gone redirects to /none, which leads nowhere: no file has this name (404) [link]",
            "index.html:1: /loop redirects without an end [link]",
            "index.html:1: /shut leads nowhere: a rule says so (410) [link]",
        ],
    );
}

#[test]
fn links_with_the_host_of_the_site() {
    let site = Site::with(&[
        (
            "index.html",
            b"<link rel=canonical href=https://Example.org/><a href=https://example.org/none>x</a>\n\
              <a href=//example.org/lost?q#x>x</a><a href=HTTP://EXAMPLE.org:80/gone>x</a><a href=https://example.org>x</a>\n\
              <a href=https://www.example.org/none>x</a><a href=https://other.test/none>x</a><a href=/away>x</a>",
        ),
        ("_redirects", b"/away https://example.org/far\n"),
    ]);
    let none = "index.html:1: https://example.org/none leads nowhere: no file has this name (404) [link]";
    let www = "index.html:3: https://www.example.org/none leads nowhere: no file has this name (404) [link]";
    let canonical = [
        none,
        "index.html:2: http://example.org/gone leads nowhere: no file has this name (404) [link]",
        "index.html:2: https://example.org/lost leads nowhere: no file has this name (404) [link]",
        "index.html:3: /away redirects to /far, which leads nowhere: no file has this name (404) [link]",
    ];
    check_with(&site, &["--ignore=impossible"], &canonical);
    check_with(&site, &["--ignore=impossible", "--host=www.example.org"], &[www]);
    let both: Vec<_> = canonical.into_iter().chain([www]).collect();
    check_with(&site, &["--ignore=impossible", "--host=www.example.org,Example.ORG"], &both);
    // Without a canonical link, it is the host of the sitemap.
    site.write("index.html", b"<a href=https://example.org/none>x</a>");
    check_with(&site, &["--ignore=impossible"], &[]);
    site.write("sitemap.xml", b"<urlset><url><loc>https://example.org/</loc></url></urlset>");
    check_with(&site, &["--ignore=impossible"], &[none]);
}

#[test]
fn a_link_with_a_host_of_rules_is_followed_by_them() {
    let site = Site::with(&[
        ("index.html", b"<a href=https://old.test/page>x</a><a href=https://old.test/none>x</a>"),
        ("page.html", b""),
        ("_redirects", b"https://old.test/* https://example.org/:splat 301!\n"),
    ]);
    let expected = "index.html:1: https://old.test/none redirects to /none, which leads nowhere: no file has this name (404) [link]";
    check_with(&site, &["--host=example.org"], &[expected]);
}

#[test]
fn links_in_svg_documents() {
    let site = Site::with(&[
        (
            "i/a.svg",
            b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'>\n<image xlink:href='b.png'/><use href='#x'/>\n\
              <style><![CDATA[ p { fill: url(c.svg) } ]]></style><a href='/d'/><pattern href='a.svg#y'/></svg>",
        ),
        ("index.html", b"<img src=i/a.svg>"),
    ]);
    check(
        &site,
        &[
            "i/a.svg:2: /i/b.png leads nowhere: no file has this name (404) [link]",
            "i/a.svg:3: /d leads nowhere: no file has this name (404) [link]",
            "i/a.svg:3: /i/c.svg leads nowhere: no file has this name (404) [link]",
        ],
    );
}

#[test]
fn header_rules_for_paths_that_do_not_exist() {
    let site = Site::with(&[
        (
            "_headers",
            b"/*\n  A: b\n/fonts/*\n  A: b\n/img/:name.png\n  A: b\n/old/*\n  A: b\n/app/x/*\n  A: b\n/about\n  A: b\n\
              /docs/\n  A: b\n/a/:b\n  A: b\nhttps://a.test/x/*\n  A: b\n/none\n  A: b\n",
        ),
        ("_redirects", b"/old/:x /\n/app/* /index.html 200\n"),
        ("index.html", b""),
        ("about.html", b""),
        ("docs/index.html", b""),
        ("img/a.png", b""),
    ]);
    let fonts = "_headers:3: warning: no file and no source of _redirects matches /fonts/* [unused]";
    let a = "_headers:15: warning: no file and no source of _redirects matches /a/:b [unused]";
    let none = "_headers:19: no page has the path /none: no file has this name [impossible]";
    let summary = "3 findings (2 of them warnings) in 3 documents with 0 links, and 0 variants.";
    let output = run(&site, &[]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{fonts}\n{a}\n{none}\n{summary}\n"));
    assert_eq!(output.status.code(), Some(1));
    // Warnings alone are no error.
    let output = run(&site, &["--ignore=impossible"]);
    let summary = "2 findings (2 of them warnings) in 3 documents with 0 links, and 0 variants.";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{fonts}\n{a}\n{summary}\n"));
    assert_eq!(output.status.code(), Some(0));
    let output = run(&site, &["--ignore=impossible", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(r#""kind":"unused","line":3,"message":"no file and no source of _redirects matches /fonts/*","#),
        "{text}"
    );
    assert!(text.contains(r#""others":[],"warning":true}"#) && text.ends_with("\"warnings\":2}\n"), "{text}");
    assert_eq!(output.status.code(), Some(0));
    check_with(&site, &["--ignore=impossible,unused"], &[]);
}

#[test]
fn links_to_paths_with_a_password_in_the_rules() {
    let site = Site::with(&[
        ("_headers", b"/intern/*\n  Basic-Auth: anna:secret\n"),
        ("index.html", b"<a href=/intern/>x</a><a href=/in>x</a>"),
        ("intern/index.html", b""),
    ]);
    symlink("intern/index.html", site.path("in")).unwrap();
    let why = "leads nowhere: Basic-Auth in _headers keeps it from everybody; use --auth of the server (403) [link]";
    check_with(
        &site,
        &["--ignore=rule"],
        &[&format!("index.html:1: /in {why}"), &format!("index.html:1: /intern/ {why}")],
    );
    let text = String::from_utf8(run(&site, &["--ignore=rule", "--json"]).stdout).unwrap();
    assert!(text.contains(r#""message":"/intern/ leads nowhere: Basic-Auth in _headers"#), "{text}");
}

#[test]
fn a_page_for_maintenance_that_is_never_shown() {
    let instead = "write 503! to apply the rule always, as Cloudflare Pages does [shadowed]";
    for (file, rule) in [
        ("closed.html", "/closed /closed.html 503"),
        ("closed/index.html", "/closed /closed/ 503"),
        ("closed", "/closed /page.html 503"),
    ] {
        let site = Site::with(&[("_redirects", rule.as_bytes()), (file, b""), ("page.html", b"")]);
        check(&site, &[&format!("_redirects:1: the file {file} is served instead; {instead}")]);
        site.write("_redirects", format!("{rule}!").as_bytes());
        check(&site, &[]);
    }
}

#[test]
fn a_rules_file_that_is_too_large() {
    let site = Site::new();
    site.write("_redirects", "#\n".repeat(5 << 20).as_bytes());
    check(&site, &["_redirects: the file is larger than 8 MiB, so that none of its rules applies [rule]"]);
}

#[test]
fn many_rules_take_bounded_time() {
    let site = Site::with(&[("index.html", b"")]);
    let many = (0..20_000).map(|number| format!("/a{number}/* /\n/b{number} /\n"));
    // These have one beginning, so a request tries each of them.
    let rules: String = many.chain((0..500).map(|number| format!("/c/:x/{number} /\n"))).collect();
    site.write("_redirects", rules.as_bytes());
    check(&site, &[]);
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
        r#"no file has this name (404)","more":1,"others":[{"file":"a\"\n.html","line":2}],"warning":false}],"findings_left_out":0,"#,
        r#""hashed":[],"hashed_left_out":0,"links":2,"variants":0,"warnings":0}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn names_with_a_hash_are_listed() {
    let site = Site::new();
    let names = [
        "assets/index-B8a1x9Zq.js",
        "assets/style-3f9a1c77.css",
        "_astro/a.D4kf9s2X.js",
        "assets/report-20240115.pdf",
        "page-settings.js",
    ];
    names.iter().for_each(|name| site.write(name, b""));
    let output = run(&site, &[]);
    let expected = "Browsers keep these files for a year, since their names have a hash (--json lists all):\n  \
                    _astro/: 1, such as a.D4kf9s2X.js\n  assets/: 2, such as index-B8a1x9Zq.js\n\
                    0 findings in 1 documents with 0 links, and 0 variants.\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(run(&site, &["--json"]).stdout).unwrap();
    let hashed = r#""hashed":["_astro/a.D4kf9s2X.js","assets/index-B8a1x9Zq.js","assets/style-3f9a1c77.css"],"hashed_left_out":0"#;
    assert!(text.contains(hashed), "{text}");
}

#[test]
fn names_of_pages_are_those_of_the_server() {
    let site = Site::with(&[
        ("index.html", b"<a href=about>x</a><a href=about/>x</a><a href=d/>x</a>"),
        ("about.html", b""),
        ("d/home.html", b""),
    ]);
    let (about, slash, d) = (
        "index.html:1: /about leads nowhere: no file has this name (404) [link]",
        "index.html:1: /about/ leads nowhere: no file has this name (404) [link]",
        "index.html:1: /d/ leads nowhere: the directory has no index (404) [link]",
    );
    check(&site, &[d]);
    check_with(&site, &["--index=index.html,home.html"], &[]);
    check_with(&site, &["--pretty=off"], &[about, slash, d]);
    check_with(&site, &["--pretty=redirect"], &[d]);
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

/// On a pipe there is none: all other tests expect nothing on standard error.
#[test]
fn a_terminal_shows_the_progress() {
    let site = Site::new();
    for number in 0..50 {
        site.write(format!("{number}.html"), &[b' '; 10_000]);
    }
    // script(1) runs the command on a terminal of its own.
    let command = format!("exec {BINARY} check-site {}", site.root().display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).env("TERM", "xterm");
    let output = script.env_remove("JOURNAL_STREAM").stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    // Each state of the line is removed before the next one, and the last one before the report.
    let mut states: Vec<_> = text.split("\r\u{1b}[2K").collect();
    let report = states.pop().unwrap();
    assert!(states.len() > 1, "{text:?}");
    for state in states {
        assert!(
            state.starts_with(['\u{2588}', '\u{2591}']) && state.contains("%, ") && state.contains(" left"),
            "{text:?}"
        );
    }
    assert_eq!(report.trim_end(), "0 findings in 50 documents with 0 links, and 0 variants.");
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
