//! The settings file.

use std::fs;
use std::path::PathBuf;

use crate::support::{Setup, Site};

/// A settings file beside the root of `site`.
fn file(site: &Site, text: impl AsRef<[u8]>) -> PathBuf {
    let path = site.outside().join("settings");
    fs::write(&path, text).unwrap();
    path
}

/// Checks that a start with the settings `text` fails with one sentence, which names the file and contains all of
/// `words`.
fn check(text: impl AsRef<[u8]>, words: &[&str]) {
    let site = Site::new();
    let path = file(&site, text);
    let mut server = Setup::new(&site, &[]).env("OTUS_SETTINGS", &path).start();
    assert_eq!(server.exit_status().code(), Some(2), "{}", server.log());
    let log = server.log();
    assert_eq!(log.lines().count(), 1, "one sentence: {log}");
    assert!(log.starts_with("otus-httpd: ") && log.ends_with(".\n"), "{log}");
    for word in words.iter().chain([&path.to_str().unwrap()]) {
        assert!(log.contains(word), "\"{word}\" in {log}");
    }
}

#[test]
fn the_command_line_takes_precedence_over_the_environment_and_that_over_the_file() {
    let site = Site::with(&[("a.html", b"a"), ("b.x", b"b"), ("c.y", b"c"), ("directory/file", b"")]);
    let text = "OTUS_WORKERS=5\nOTUS_CHARSET=latin-1\nOTUS_LISTING=yes\nOTUS_MIME=x=text/x,y=text/y\n";
    let path = file(&site, text);
    let server = Setup::bare(&["--workers=1"])
        .env("OTUS_SETTINGS", path)
        .env("OTUS_ROOT", site.root())
        .env("OTUS_WORKERS", "3")
        .env("OTUS_CHARSET", "utf-8")
        .listen();
    let media_type = |target| server.get(target).field("Content-Type").map(String::from);
    assert_eq!(media_type("/a.html").as_deref(), Some("text/html; charset=utf-8"));
    assert_eq!(media_type("/b.x").as_deref(), Some("text/x; charset=utf-8"));
    assert_eq!(media_type("/c.y").as_deref(), Some("text/y; charset=utf-8"));
    assert_eq!(server.get("/directory/").status, 200);
    server.wait_until_ready();
    assert_eq!(server.workers().len(), 1);
    assert_eq!(server.warnings(), [""; 0]);
}

#[test]
fn values_may_be_quoted_and_the_last_of_several_takes_effect() {
    let site = Site::new();
    let root = site.outside().join("my $site");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a"), "a").unwrap();
    let root = root.display().to_string().replace('$', "\\$");
    let path = file(&site, format!("# Settings\nOTUS_ROOT=/none\nOTUS_WORKERS=3\n\n OTUS_ROOT = \"{root}\"\n"));
    let server = Setup::bare(&[&format!("--settings={}", path.display())]).listen();
    assert_eq!(server.get("/a").text(), "a");
    server.wait_until_ready();
    assert_eq!(server.workers().len(), 3);
}

#[test]
fn errors_name_the_line_of_the_settings_file() {
    check("\nOTUS_CACHE_SIZE=some\n", &["line 2:", "OTUS_CACHE_SIZE cannot be \"some\"", "8m"]);
    check("OTUS_LISTING=maybe", &["line 1:", "OTUS_LISTING cannot be \"maybe\""]);
    check("OTUS_MIME_TYPES=", &["line 1:", "OTUS_MIME_TYPES cannot be \"\": give a value"]);
    check("# Charset\nutf-8\n", &["line 2:", "no \"=\""]);
    check("OTUS_CHARSET='utf-8\n\n", &["line 1:", "quote is not closed"]);
    check(b"#\n#\nOTUS_CHARSET=\xff\n", &["line 3:", "UTF-8"]);
    check("OTUS_CHARSET=?\nOTUS_CHARSET=!\n", &["line 2:", "OTUS_CHARSET cannot be \"!\""]);
}

#[test]
fn an_invalid_value_that_is_overridden_is_no_error() {
    let site = Site::with(&[("a", b"a")]);
    let path = file(&site, "OTUS_CHARSET=?\nOTUS_CHARSET=utf-8\nOTUS_WORKERS=none\n");
    let server = Setup::new(&site, &["--workers=1"]).env("OTUS_SETTINGS", path).listen();
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn a_line_that_sets_nothing_is_a_warning() {
    let site = Site::with(&[("a", b"a")]);
    let path = file(&site, "OTUS_WORKRES=3\nOTUS_THIS_AND_THAT=1\nTZ=UTC\nOTUS_SETTINGS=/none\n");
    let server = Setup::new(&site, &[]).env("OTUS_SETTINGS", &path).env("OTUS_CACHE_SIZ", "1").env("OTUS_FOO", "1");
    let server = server.listen();
    assert_eq!(server.get("/a").text(), "a");
    let path = path.display();
    let warnings = [
        " WARN OTUS_CACHE_SIZ in the environment is not a setting of otus-httpd; did you mean OTUS_CACHE_SIZE?".into(),
        " WARN OTUS_FOO in the environment is not a setting of otus-httpd; see otus-httpd(5) for the list.".into(),
        format!(" WARN OTUS_WORKRES in {path} line 1 is not a setting of otus-httpd; did you mean OTUS_WORKERS?"),
        format!(
            " WARN OTUS_THIS_AND_THAT in {path} line 2 is not a setting of otus-httpd; see otus-httpd(5) for the list."
        ),
        format!(" WARN TZ in {path} line 3 is not a setting of otus-httpd; see otus-httpd(5) for the list."),
        format!(" WARN OTUS_SETTINGS in {path} line 4 is not a setting of otus-httpd; see otus-httpd(5) for the list."),
    ];
    let mut logged = server.warnings();
    // The environment has no order.
    logged[..2].sort();
    assert_eq!(logged, warnings);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_but_one_with_a_dash_may_be_missing() {
    let site = Site::with(&[("a", b"a")]);
    let start = |name: &str| {
        let path = format!("{name}{}", site.outside().join("none").display());
        Setup::new(&site, &[]).env("OTUS_SETTINGS", path).listen()
    };
    assert_eq!(start("-").get("/a").text(), "a");
    let mut server = start("");
    assert_eq!(server.exit_status().code(), Some(2));
    assert!(server.log().contains("/none cannot be read (No such file or directory)"), "{}", server.log());
    fs::create_dir(site.outside().join("none")).unwrap();
    let mut server = start("-");
    assert_eq!(server.exit_status().code(), Some(2));
    assert!(server.log().contains("/none cannot be read (Is a directory)"), "{}", server.log());
}

#[test]
fn a_subcommand_has_no_settings() {
    let site = Site::new();
    let root = site.root();
    let task = Setup::bare(&["precompress", root.to_str().unwrap()]).env("OTUS_SETTINGS", "/no/such/file");
    assert_eq!(task.start().exit_status().code(), Some(0));
}
