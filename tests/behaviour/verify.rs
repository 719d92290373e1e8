//! `otus-httpd precompress --verify DIR`.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::time::SystemTime;

use crate::support::{BINARY, Site};

fn run(arguments: &[&str], directory: &Path) -> Output {
    Command::new(BINARY)
        .arg("precompress")
        .args(arguments)
        .arg(directory)
        .env_remove("JOURNAL_STREAM")
        .output()
        .unwrap()
}

fn precompress(site: &Site, summary: &str) {
    let output = run(&[], &site.root());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with(summary), "{text} begins with {summary}");
}

/// A verification that lists exactly `expected`, pairs of a name and a reason, and writes nothing.
#[track_caller]
fn check(site: &Site, expected: &[(&str, &str)], summary: &str) {
    let before = tree(&site.root());
    let output = run(&["--verify"], &site.root());
    assert!(tree(&site.root()) == before, "something was written");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = String::new();
    for (name, reason) in expected {
        lines += &format!("{}: {reason}\n", site.path(name).display());
    }
    assert_eq!(text, format!("{lines}{summary}\n"));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(i32::from(!expected.is_empty())));
}

/// Names, times and content of everything below a directory.
fn tree(directory: &Path) -> Vec<(String, SystemTime, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.push((path.display().to_string(), metadata.modified().unwrap(), content));
        if metadata.is_dir() {
            found.extend(tree(&path));
        }
    }
    found.sort();
    found
}

fn page(release: u32) -> Vec<u8> {
    (0..150).map(|number| format!("<p>Paragraph {number} of release {release}</p>\n")).collect::<String>().into()
}

/// Replaces the content of a file and keeps its time.
fn replace(site: &Site, name: &str, content: &[u8]) {
    let time = fs::metadata(site.path(name)).unwrap().modified().unwrap();
    site.write(name, content);
    File::options().write(true).open(site.path(name)).unwrap().set_modified(time).unwrap();
}

const DIFFERS: &str = "it decodes to other content than that of the file";

#[test]
fn variants_that_are_their_files_are_clean() {
    let site = Site::with(&[("a.html", &page(1)), ("deep/er/b.css", &page(2)), ("empty.js", b"")]);
    check(&site, &[], "0 variants: 0 are not the file beside them, 0 failures.");
    precompress(&site, "3 files: 6 variants written, ");
    // Another time, or a name that begins with a dot, is no difference.
    let variant = File::options().write(true).open(site.path("a.html.br")).unwrap();
    variant.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    for (from, to) in [("a.html", ".well-known/a"), ("a.html.gz", ".well-known/a.gz")] {
        site.write(to, &fs::read(site.path(from)).unwrap());
    }
    // Neither is a variant: there is no file beside it.
    site.write("alone.gz", b"alone");
    site.write(".gz", b"hidden");
    check(&site, &[], "7 variants: 0 are not the file beside them, 0 failures.");
}

/// As `cp -p`, `tar x` and `rsync -t` of another release do.
#[test]
fn a_release_that_is_put_back_with_its_times_is_noticed() {
    let site = Site::with(&[("a.html", &page(2)), ("b.html", &page(2))]);
    precompress(&site, "2 files: 6 variants written, ");
    replace(&site, "a.html", &page(1));
    let expected = [("a.html.br", DIFFERS), ("a.html.gz", DIFFERS), ("a.html.zst", DIFFERS)];
    check(&site, &expected, "6 variants: 3 are not the file beside them, 0 failures.");
    precompress(&site, "2 files: 3 variants written, 3 up to date, ");
    check(&site, &[], "6 variants: 0 are not the file beside them, 0 failures.");
    precompress(&site, "2 files: 0 variants written, 6 up to date, ");
}

#[test]
fn each_reason_is_listed_and_precompress_repairs_it() {
    let site = Site::with(&[("a.html", &page(1)), ("b.html", &page(2)), ("c.html", &page(3))]);
    precompress(&site, "3 files: 9 variants written, ");
    let variant = |name: &str| fs::read(site.path(name)).unwrap();
    let (br, zst, gz) = (variant("a.html.br"), variant("a.html.zst"), variant("a.html.gz"));
    replace(&site, "a.html.br", b"");
    replace(&site, "a.html.gz", &gz[..gz.len() - 1]);
    replace(&site, "a.html.zst", &[&zst[..], b"\n"].concat());
    let mut damaged = variant("b.html.gz");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    replace(&site, "b.html.gz", &damaged);
    replace(&site, "b.html.zst", &page(2));
    replace(&site, "b.html.br", &br);
    replace(&site, "c.html", &page(3)[..1000]);
    let output = run(&["--verify"], &site.root());
    let text = String::from_utf8(output.stdout).unwrap();
    let root = site.root().display().to_string();
    let found: Vec<_> = text.lines().map(|line| line.trim_start_matches(&root).trim_start_matches('/')).collect();
    // What a damaged deflate stream is found to be depends on the bit.
    assert!(found[4].starts_with("b.html.gz: it "), "{text}");
    let others: Vec<_> = found.iter().enumerate().filter(|(index, _)| *index != 4).map(|(_, line)| *line).collect();
    let expected = [
        "a.html.br: it is empty",
        "a.html.gz: it is cut short",
        "a.html.zst: it has bytes after its end",
        "b.html.br: it decodes to other content than that of the file",
        "b.html.zst: it is not in the format of its suffix",
        "c.html.br: it decodes to more bytes than the file has",
        "c.html.gz: it decodes to more bytes than the file has",
        "c.html.zst: it decodes to more bytes than the file has",
        "9 variants: 9 are not the file beside them, 0 failures.",
    ];
    assert_eq!((others, output.status.code()), (expected.to_vec(), Some(1)));
    precompress(&site, "3 files: 9 variants written, 0 up to date, ");
    check(&site, &[], "9 variants: 0 are not the file beside them, 0 failures.");
}

#[test]
fn any_type_of_file_counts() {
    let archive = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], b"\x03\0\0\0\0\0\0\0\0\0"].concat();
    let site = Site::with(&[("x.tar", &page(1)), ("x.tar.gz", &archive), ("y", b""), ("y.gz", &archive)]);
    let expected = [("x.tar.gz", "it decodes to fewer bytes than the file has")];
    check(&site, &expected, "2 variants: 1 are not the file beside them, 0 failures.");
}

#[test]
fn a_bomb_ends_at_the_length_of_the_file() {
    let site = Site::with(&[("a.html", &page(1))]);
    let mut bomb = zstd::Encoder::new(File::create(site.path("a.html.zst")).unwrap(), 1).unwrap();
    std::io::copy(&mut std::io::Read::take(std::io::repeat(b'a'), 1 << 24), &mut bomb).unwrap();
    bomb.finish().unwrap();
    // It begins as the file does.
    replace(&site, "a.html", &[b'a'; 1000]);
    let expected = [("a.html.zst", "it decodes to more bytes than the file has")];
    check(&site, &expected, "1 variants: 1 are not the file beside them, 0 failures.");
}

#[test]
fn links_are_not_followed_and_are_counted() {
    let site = Site::with(&[("a.html", &page(1)), ("b.html.gz", b"")]);
    fs::write(site.outside().join("secret.gz"), "secret").unwrap();
    symlink(site.outside().join("secret.gz"), site.path("a.html.gz")).unwrap();
    symlink(site.path("a.html"), site.path("b.html")).unwrap();
    symlink(site.outside(), site.path("outside")).unwrap();
    nix::unistd::mkfifo(&site.path("a.html.br"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let output = run(&["--verify"], &site.root());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "0 variants: 0 are not the file beside them, 0 failures, 2 symbolic links skipped.\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_name_cannot_end_its_line() {
    let site = Site::with(&[("a\nb", b"content"), ("a\nb.gz", b"")]);
    let text = String::from_utf8(run(&["--verify"], &site.root()).stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("/a\\nb.gz: it is empty\n"), "{text}");
}

/// Root may read everything: then another user verifies.
#[test]
fn files_that_cannot_be_read_are_failures() {
    let site = Site::with(&[("a.html", &page(1)), ("b.html", &page(1)), ("c.html", &page(1)), ("d/e", b"")]);
    precompress(&site, "3 files: 9 variants written, ");
    for (name, mode) in [("a.html.gz", 0), ("b.html", 0), ("d", 0)] {
        fs::set_permissions(site.path(name), Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(BINARY);
    command.args(["precompress", "--verify"]).arg(site.root()).env_remove("JOURNAL_STREAM");
    if nix::unistd::geteuid().is_root() {
        fs::set_permissions(site.root(), Permissions::from_mode(0o755)).unwrap();
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
    }
    let output = command.output().unwrap();
    fs::set_permissions(site.path("d"), Permissions::from_mode(0o755)).unwrap();
    let (text, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(text, "5 variants: 0 are not the file beside them, 5 failures.\n", "{errors}");
    assert_eq!(output.status.code(), Some(1));
    let remedy = "Run this as a user with permission to read it.";
    for sentence in [
        format!("otus-httpd: Cannot verify {}: Permission denied. {remedy}", site.path("a.html.gz").display()),
        format!("otus-httpd: Cannot verify {}: Permission denied. {remedy}", site.path("d").display()),
        format!(
            "otus-httpd: Cannot verify {}: the file beside it cannot be opened (Permission denied). {remedy}",
            site.path("b.html.br").display()
        ),
    ] {
        assert!(errors.lines().any(|line| line == sentence), "{sentence} in {errors}");
    }
    assert_eq!(errors.lines().count(), 5, "{errors}");
}

#[test]
fn wrong_usage_is_status_2_and_a_missing_directory_is_1() {
    let site = Site::with(&[]);
    for arguments in [&["precompress", "--verify"][..], &["--verify", "/"], &["precompress", "--verify=yes", "/"]] {
        let output = Command::new(BINARY).args(arguments).env_remove("JOURNAL_STREAM").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let output = run(&["--verify"], &site.path("none"));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1));
    assert!(text.starts_with("otus-httpd: Cannot verify ") && text.contains("No such file or directory"), "{text}");
}
