//! `otus-httpd https`: its arguments. tests/package has the rest, since it needs systemd.

use std::path::Path;
use std::process::Command;

use nix::unistd::geteuid;

use crate::support::BINARY;

/// Checks the exit status, and that the only line on standard error contains `text`.
fn check(arguments: &[&str], status: i32, text: &str) {
    let output = Command::new(BINARY).arg("https").args(arguments).env_remove("JOURNAL_STREAM").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error}");
    assert!(error.contains(text) && error.lines().count() == 1, "{arguments:?}: {error}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
}

#[test]
fn wrong_arguments_are_usage_errors() {
    check(&[], 2, "enable, import, status or disable is missing");
    check(&["import", "fullchain.pem"], 2, "<KEY> is missing");
    check(&["enable", "192.0.2.1"], 2, "it is an address");
    check(&["enable", "example.org", "*.example.org"], 2, "a wildcard is verified by DNS");
    check(&["enable", "localhost"], 2, "a public name has a dot");
    check(&["enable", "example.org", "--agree"], 2, "--agree-tos");
    check(&["status", "--port=80"], 2, "unexpected argument");
    check(&["renew"], 2, "renew");
}

#[test]
fn without_systemd_or_root_nothing_is_done() {
    let text = match (geteuid().is_root(), Path::new("/run/systemd/system").exists()) {
        (false, _) => "needs root",
        (true, false) => "systemd does not run here",
        // This machine could have the package.
        (true, true) => return,
    };
    for arguments in [&["status"][..], &["disable"], &["enable"], &["enable", "example.org"], &["import", "a", "b"]] {
        check(arguments, 1, text);
    }
}
