//! The command line, and failed starts.

use std::net::TcpListener;
use std::process::{Command, Output};

use crate::support::{BINARY, Client, Setup, Site, foreign_variables, own_user};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    for variable in foreign_variables() {
        command.env_remove(variable);
    }
    command.envs(own_user()).args(arguments).output().unwrap()
}

/// Checks that a start fails with status 1 and one sentence that contains all of `words`.
fn check(arguments: &[&str], words: &[&str]) {
    let output = run(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
    assert_eq!(text.lines().count(), 1, "one sentence: {text}");
    assert!(text.starts_with("otus-httpd: ") && text.ends_with(".\n"), "{text}");
    for word in words {
        assert!(text.contains(word), "\"{word}\" in {text}");
    }
}

#[test]
fn a_failed_start_names_the_cause_and_the_remedy() {
    let site = Site::new();
    let root = site.root();
    let root = root.to_str().unwrap();
    check(&["-r", root, "-s", "no.such.host.invalid"], &["no.such.host.invalid", "--host"]);
    check(&["-r", root, "-s", "192.0.2.1"], &["192.0.2.1", "--host"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    check(&["-r", root, "-p", &port], &[&port, "another program", "--port"]);
}

#[test]
fn usage_errors_are_status_2_and_name_the_option() {
    for (arguments, word) in [
        (["-p", "65536"], "--port"),
        (["-w", "0"], "--workers"),
        (["-w", "-1"], "--workers"),
        (["--head-timeout", "never"], "--head-timeout"),
        (["--no-such-option", "x"], "--no-such-option"),
    ] {
        let output = run(&arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert_eq!(text.lines().count(), 1, "one sentence: {text}");
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn help_and_version() {
    let version = run(&["--version"]);
    assert_eq!(String::from_utf8(version.stdout).unwrap(), format!("otus-httpd {}\n", env!("CARGO_PKG_VERSION")));
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    for text in
        ["-s, --host", "-p, --port", "-w, --workers", "-r, --root", "-d, --debug", "OTUS_HOST", "Address:", "Capacity:"]
    {
        assert!(help.contains(text), "\"{text}\" in {help}");
    }
}

#[test]
fn every_spelling_of_the_old_server_works_and_the_chosen_port_is_printed() {
    let site = Site::with(&[("a", b"a")]);
    let root = site.root();
    let root = root.to_str().unwrap();
    for arguments in [
        ["-s=127.0.0.1", "-p=0", "-w=1", &format!("-r={root}")],
        ["--host=127.0.0.1", "--port=0", "--workers=1", &format!("--root={root}")],
    ] {
        let server = Setup::bare(&arguments).start();
        server.wait_until_ready();
        assert_eq!(Client::connect(printed_address(&server.log())).get("/a").text(), "a");
        assert_eq!(server.workers().len(), 1);
    }
    let server = Setup::bare(&["-s", "::1", "-p", "0", "-w", "3", "-r", root, "-d"]).start();
    server.wait_until_ready();
    assert_eq!(Client::connect(printed_address(&server.log())).get("/a").text(), "a");
    assert_eq!(server.workers().len(), 3);
    server.wait_for_log("DEBUG GET /a: 200\n");
}

#[test]
fn the_environment_sets_what_the_command_line_does_not() {
    let site = Site::with(&[("a.html", b"a")]);
    let server = Setup::bare(&["--workers=1"])
        .env("OTUS_ROOT", site.root())
        .env("OTUS_WORKERS", "3")
        .env("OTUS_CHARSET", "utf-8")
        .env("OTUS_DEBUG", "no")
        .listen();
    assert_eq!(server.get("/a.html").field("Content-Type"), Some("text/html; charset=utf-8"));
    server.wait_until_ready();
    assert_eq!(server.workers().len(), 1);
    assert!(!server.log().contains("DEBUG"));
}

#[test]
fn a_variable_that_is_misspelt_is_named() {
    let site = Site::new();
    let server = Setup::new(&site, &["--workers=1"]).env("OTUS_WORKER", "3").listen();
    server.wait_for_log("OTUS_WORKER in the environment is not a setting");
    let mut server = Setup::new(&site, &[]).env("OTUS_DEBUG", "maybe").listen();
    assert_eq!(server.exit_status().code(), Some(2));
    assert!(server.log().contains("OTUS_DEBUG") || server.log().contains("--debug"), "{}", server.log());
}

#[test]
fn a_root_that_the_service_cannot_see_is_explained() {
    let server = Setup::bare(&["--root=/tmp/no/such/place"]).env("INVOCATION_ID", "x").listen();
    server.wait_until_ready();
    assert!(server.log().contains("hides /home, /root, /tmp and /var/tmp"), "{}", server.log());
}

fn printed_address(log: &str) -> std::net::SocketAddr {
    let (_, rest) = log.split_once("Listening on http://").unwrap();
    rest.split_once('/').unwrap().0.parse().unwrap()
}

#[test]
fn an_instance_has_a_document_root_of_its_own() {
    let check = |arguments: &[&str], root: &str| {
        let server = Setup::bare(arguments).env("OTUS_INSTANCE", "no-such-site").listen();
        server.wait_for_log(&format!("The document root {root} cannot be opened"));
    };
    check(&[], "/srv/no-such-site");
    check(&["--root=/no/such/place"], "/no/such/place");
}
