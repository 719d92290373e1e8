//! `--check`: the problems that a start would find, without a start.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use nix::unistd::geteuid;

use crate::support::{BINARY, Server, Site, foreign_variables};

const PLAIN: &str = "exec \"$0\" \"$@\"";

/// A check with `arguments`, without the variables of the tests.
fn command_line(arguments: &[&str]) -> Command {
    shell(PLAIN, arguments)
}

/// The same, run by a script in which `$0` is the program.
fn shell(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    for variable in foreign_variables() {
        command.env_remove(variable);
    }
    command.args(["-c", script, BINARY, "--check"]).args(arguments);
    command
}

/// A check of `site`: its exit status, its output, and its messages, one per line.
fn check(site: &Site, arguments: &[&str]) -> (i32, String, Vec<String>) {
    read(command_line(arguments).env("OTUS_ROOT", site.root()).output().unwrap())
}

fn read(output: Output) -> (i32, String, Vec<String>) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let messages = text(output.stderr).lines().map(String::from).collect();
    (output.status.code().unwrap(), text(output.stdout), messages)
}

#[test]
fn a_check_prints_each_setting_with_its_origin() {
    let site = Site::new();
    let settings = site.outside().join("settings");
    fs::write(
        &settings,
        "# Settings\nOTUS_CACHE_SIZE=1m\nOTUS_MIME=x=text/x,y=text/y\nOTUS_LISTING=1\nOTUS_WORKERS=7\n",
    )
    .unwrap();
    let mut command = command_line(&["--workers=3", "-p=81"]);
    command.env("OTUS_SETTINGS", &settings).env("OTUS_ROOT", site.root()).env("OTUS_IDLE_TIMEOUT", "7");
    let (status, table, messages) = read(command.output().unwrap());
    assert_eq!((status, messages), (0, vec![]));
    let (path, root) = (settings.display(), site.root());
    for (option, value, origin) in [
        ("settings", &*path.to_string(), "environment (OTUS_SETTINGS)".to_string()),
        ("port", "81", "command line".into()),
        ("root", root.to_str().unwrap(), "environment (OTUS_ROOT)".into()),
        ("mime", "x=text/x,y=text/y", format!("{path}:3 (OTUS_MIME)")),
        ("mime-types", "none", "default".into()),
        ("listing", "yes", format!("{path}:4 (OTUS_LISTING)")),
        ("dotfiles", "no", "default".into()),
        ("workers", "3", "command line".into()),
        ("cache-size", "1m (1048576 bytes)", format!("{path}:2 (OTUS_CACHE_SIZE)")),
        ("min-rate", "100 bytes", "default".into()),
        ("stop-timeout", "30 seconds", "default".into()),
        ("idle-timeout", "7 seconds", "environment (OTUS_IDLE_TIMEOUT)".into()),
    ] {
        let option = format!("--{option} ");
        let line = table.lines().find(|line| line.starts_with(&option)).expect(&option);
        let columns: Vec<_> = line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
        assert_eq!(columns, [option.trim(), value, &origin], "{table}");
    }
    let rows = || table.lines().filter(|line| line.starts_with("--"));
    let starts = |column: &str| rows().filter_map(|row| row.find(column)).collect::<Vec<_>>();
    assert!(starts("default").windows(2).all(|pair| pair[0] == pair[1]), "{table}");
}

#[test]
fn a_check_reports_all_problems() {
    let site = Site::new();
    let settings = site.outside().join("settings");
    let text = "OTUS_WORKERS=none\nOTUS_MIME_TYPES=/no/types\nwrong\nOTUS_CHARSET=?\n";
    fs::write(&settings, text).unwrap();
    let path = settings.display();
    let wrong = ["--root=/no/such/place", "--host=no.such.host.invalid"];
    let (status, table, messages) = check(&site, &[&format!("--settings={path}"), wrong[0], wrong[1]]);
    let expected = [
        &*format!("otus-httpd: {path} line 1: OTUS_WORKERS cannot be \"none\": "),
        &format!("otus-httpd: {path} line 3: there is no \"=\""),
        &format!("otus-httpd: {path} line 4: OTUS_CHARSET cannot be \"?\": "),
        "otus-httpd: The document root /no/such/place cannot be opened (No such file or directory): ",
        "otus-httpd: The media types in /no/types cannot be read (No such file or directory): ",
        "otus-httpd: There is no address for host \"no.such.host.invalid\"",
    ];
    assert_eq!(messages.len(), expected.len(), "{messages:#?}");
    for (message, start) in messages.iter().zip(expected) {
        assert!(message.starts_with(start) && message.ends_with('.'), "{start} in {messages:#?}");
    }
    assert_eq!(status, 2);
    assert!(table.contains("\nConfiguration has 6 problems (checked as user "), "{table}");

    let (status, _, messages) = check(&site, &wrong);
    assert_eq!((status, messages.len()), (1, 2), "{messages:?}");
    let (status, _, messages) = check(&site, &["--user=no-such-user", "--root=/none"]);
    assert_eq!((status, messages.len()), (1, 2), "{messages:?}");
    let (status, table, messages) = check(&site, &["--workers=none"]);
    assert_eq!((status, messages.len(), &*table), (2, 1, ""), "{messages:?}");
}

#[test]
fn a_check_opens_no_listening_socket() {
    let site = Site::with(&[("a", b"a")]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--port={}", taken.local_addr().unwrap().port());
    assert_eq!(check(&site, &[&port]).0, 0);
    let server = Server::of(&site);
    assert_eq!(check(&site, &[&format!("--port={}", server.address.port())]).0, 0);
    assert_eq!(server.get("/a").text(), "a");
}

#[test]
fn a_condition_that_does_not_prevent_a_start_is_a_warning() {
    let site = Site::new();
    let mut command = shell("ulimit -n 300; exec \"$0\" \"$@\"", &["--workers=2", "--max-connections=302"]);
    command.env("OTUS_WORKER", "2").env("OTUS_ROOT", site.root());
    let (status, _, messages) = read(command.output().unwrap());
    assert_eq!((status, messages.len()), (0, 2), "{messages:?}");
    assert!(messages[0].starts_with(" WARN OTUS_WORKER in the environment is not a setting"), "{messages:?}");
    assert!(messages[1].starts_with(" WARN The limit of a worker is 300 descriptors"), "{messages:?}");
    assert!(messages[1].contains("150 instead of 151"), "{messages:?}");

    let mut command = command_line(&["--host=no.such.host.invalid"]);
    command.env("INVOCATION_ID", "x").env("OTUS_ROOT", site.root());
    let (status, _, messages) = read(command.output().unwrap());
    assert_eq!((status, messages.len()), (0, 1), "{messages:?}");
    assert!(messages[0].contains("not used if systemd passes the sockets"), "{messages:?}");
}

#[test]
fn a_check_has_the_permissions_of_the_servers_user() {
    let site = Site::new();
    let set_mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    set_mode(site.outside(), 0o755);
    let look = |mode, arguments: &[&str]| {
        set_mode(&site.root(), mode);
        let mut command = command_line(arguments);
        // Root may read everything.
        if geteuid().is_root() {
            command.env("OTUS_USER", "nobody");
        }
        let (status, table, messages) = read(command.env("OTUS_ROOT", site.root()).output().unwrap());
        set_mode(&site.root(), 0o755);
        assert_eq!(messages.len(), usize::from(status != 0), "{messages:?}");
        (status, table.lines().last().unwrap().to_string(), messages.join(""))
    };
    let (status, verdict, message) = look(0o000, &[]);
    assert_eq!(status, 1);
    assert!(message.contains("cannot be entered (Permission denied)"), "{message}");
    assert!(verdict.starts_with("Configuration has 1 problem (checked as user "), "{verdict}");
    assert!(!verdict.contains("root"), "{verdict}");
    assert_eq!(look(0o111, &[]).0, 0);
    let (status, _, message) = look(0o111, &["--listing"]);
    assert_eq!(status, 1);
    assert!(message.contains("cannot be listed (Permission denied)"), "{message}");
    assert_eq!(look(0o555, &["--listing"]).0, 0);

    let settings = site.outside().join("settings");
    let argument = format!("--settings={}", settings.display());
    assert!(look(0o755, &[&argument]).2.contains("cannot be read (No such file or directory)"));
    fs::write(&settings, "").unwrap();
    set_mode(&settings, 0o000);
    assert!(look(0o755, &[&argument]).2.contains("cannot be read (Permission denied)"));
    set_mode(&settings, 0o444);
    assert_eq!(look(0o755, &[&argument]).0, 0);
}

#[test]
fn a_check_needs_no_reader_of_its_output() {
    let site = Site::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command_line(&["--root", site.root().to_str().unwrap()]);
    let status = command.stdout(writer.try_clone().unwrap()).stderr(writer.try_clone().unwrap()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let status = command.arg("--root=/none").stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn the_journal_gets_the_result_of_a_check_without_the_settings() {
    let site = Site::new();
    let path = site.outside().join("output");
    let output = File::create(&path).unwrap();
    let stream = output.metadata().map(|stream| format!("{}:{}", stream.dev(), stream.ino())).unwrap();
    let mut command = command_line(&["--root", site.root().to_str().unwrap()]);
    assert!(command.env("JOURNAL_STREAM", stream).stdout(output).status().unwrap().success());
    let text = fs::read_to_string(path).unwrap();
    assert!(text.starts_with("Configuration OK (checked as user ") && text.lines().count() == 1, "{text}");
}

#[test]
fn too_few_descriptors_for_the_workers_are_a_problem() {
    let site = Site::new();
    for (workers, is_right) in [("20", true), ("21", false)] {
        let mut command = shell(&format!("ulimit -n 130; {PLAIN}"), &["--max-connections=64", "--workers", workers]);
        let (status, _, messages) = read(command.env("OTUS_ROOT", site.root()).output().unwrap());
        assert_eq!((status == 0, messages.is_empty()), (is_right, is_right), "{messages:?}");
        assert!(is_right || messages[0].contains("21 workers need up to 132 descriptors"), "{messages:?}");
    }
}
