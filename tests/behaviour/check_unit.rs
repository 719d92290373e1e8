//! `--check` of a service: the properties of its units, as `systemctl show` prints them. A script replaces systemctl.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::unistd::geteuid;

use crate::support::{BINARY, Site, foreign_variables};

/// A machine whose systemd has the given units.
struct Machine(Site);

impl Machine {
    fn new(units: &[(&str, &str)]) -> Self {
        let site = Site::with(&[("index.html", b"")]);
        fs::set_permissions(site.outside(), Permissions::from_mode(0o755)).unwrap();
        let script =
            "#!/bin/sh\nfor unit; do :; done\ncat \"${0%/*}/$unit\" 2> /dev/null || echo LoadState=not-found\n";
        let machine = Machine(site);
        machine.put("systemctl", script);
        units.iter().for_each(|(name, text)| machine.put(name, text));
        machine
    }

    /// `@ROOT@` in the text is the document root.
    fn put(&self, name: &str, text: &str) {
        let path = self.0.outside().join(name);
        fs::write(&path, text.replace("@ROOT@", self.0.root().to_str().unwrap())).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    /// A check with `arguments`: its exit status, its output, and its messages.
    fn check(&self, arguments: &[&str]) -> (i32, String, Vec<String>) {
        let mut command = Command::new(BINARY);
        for variable in foreign_variables() {
            command.env_remove(variable);
        }
        let path = format!("{}:{}", self.0.outside().display(), std::env::var("PATH").unwrap());
        let output = command.arg("--check").args(arguments).env("PATH", path).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let messages = text(output.stderr).lines().map(String::from).collect();
        (output.status.code().unwrap(), text(output.stdout), messages)
    }
}

const SERVICE: &str = "LoadState=loaded\nUser=nobody\nStandardOutput=null\nStandardError=inherit\nLimitNOFILE=1024\n\
    TriggeredBy=a.socket a-metrics.socket\nExecStart={ path=/a ; argv[]=/a --max-connections=100 ; ignore_errors=no }\n\
    Environment=OTUS_ROOT=@ROOT@ \"OTUS_CHARSET=utf-8\"\n";
const SOCKET: &str = "LoadState=loaded\nActiveState=active\nListen=[::]:80 (Stream)\nListen=/run/a.sock (Stream)\n";
const METRICS: &str = "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\nFileDescriptorName=metrics\nListen=127.0.0.1:9180 (Stream)\n";

#[track_caller]
fn assert_row(table: &str, option: &str, value: &str, origin: &str) {
    let is_row =
        |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") == format!("{option} {value} {origin}");
    assert!(table.lines().any(is_row), "{option} {value} {origin} in {table}");
}

#[test]
fn a_check_of_a_service_reads_its_units() {
    let machine = Machine::new(&[("a.service", SERVICE), ("a.socket", SOCKET), ("a-metrics.socket", METRICS)]);
    for name in ["a", "a.service", "a.socket"] {
        let (status, table, messages) = machine.check(&["--unit", name]);
        assert_eq!((status, messages), (0, vec![]), "{table}");
        assert_row(&table, "ListenStream", "[::]:80", "a.socket");
        assert_row(&table, "ListenStream", "/run/a.sock", "a.socket");
        assert!(!table.contains("--host") && !table.contains("--port") && !table.contains("9180"), "{table}");
        assert_row(&table, "--root", machine.0.root().to_str().unwrap(), "environment (OTUS_ROOT)");
        assert_row(&table, "--charset", "utf-8", "environment (OTUS_CHARSET)");
        assert_row(&table, "--max-connections", "100", "command line");
        assert_row(&table, "--access-log", "off", "default");
        assert_row(&table, "--stop-timeout", "4 seconds", "default");
        if geteuid().is_root() {
            assert!(table.ends_with("\nConfiguration OK (checked a.service as user nobody)\n"), "{table}");
        } else {
            assert!(table.contains("\nNot checked: file permissions of its user nobody"), "{table}");
        }
    }
}

#[test]
fn its_access_log_is_in_the_journal_if_its_messages_are() {
    for output in
        ["StandardError=journal", "StandardOutput=journal\nStandardError=inherit", "StandardError=syslog+console"]
    {
        let service = SERVICE.replace("StandardOutput=null\nStandardError=inherit", output);
        let machine = Machine::new(&[("a.service", &service), ("a.socket", SOCKET), ("a-metrics.socket", METRICS)]);
        // The result depends on whether this machine has a journal.
        assert_row(&machine.check(&["--unit=a"]).1, "--access-log", "journal", "default");
    }
}

#[test]
fn a_lame_duck_beyond_the_time_that_systemd_gives_is_a_warning() {
    let machine = Machine::new(&[("a.socket", SOCKET), ("a-metrics.socket", METRICS)]);
    for (settings, limit, expected) in [
        ("OTUS_LAME_DUCK=41", "TimeoutStopUSec=45s", None),
        ("OTUS_LAME_DUCK=42", "TimeoutStopUSec=45s", Some("--lame-duck (42 s) and --stop-timeout (4 s)")),
        ("OTUS_LAME_DUCK=42", "TimeoutStopUSec=infinity", None),
        ("OTUS_LAME_DUCK=60 OTUS_STOP_TIMEOUT=30", "TimeoutStopUSec=1min 30s", None),
        (
            "OTUS_LAME_DUCK=60 OTUS_STOP_TIMEOUT=31",
            "TimeoutStopUSec=1min 30s",
            Some("TimeoutStopSec= of a.service (90 s)"),
        ),
    ] {
        let service = SERVICE.replace("\"OTUS_CHARSET=utf-8\"", settings);
        machine.put("a.service", &format!("{service}{limit}\n"));
        let (status, table, messages) = machine.check(&["--unit=a"]);
        assert_eq!(
            (status, messages.len()),
            (0, usize::from(expected.is_some())),
            "{settings} {limit}: {messages:?} {table}"
        );
        assert!(expected.is_none_or(|text| messages[0].contains(text)), "{messages:?}");
    }
}

/// Without quotes, and with the type of the socket in the name of the property.
#[test]
fn a_check_reads_the_output_of_systemd_229() {
    let service = SERVICE.replace("\"OTUS_CHARSET=utf-8\"", "OTUS_MIME_TYPES=@ROOT@/a\\x20b OTUS_WORKERS=3")
        + "EnvironmentFile=@ROOT@/settings (ignore_errors=no)\n";
    let socket = "LoadState=loaded\nActiveState=active\nListenStream=[::]:80\n";
    let machine = Machine::new(&[("a.service", &service), ("a.socket", socket), ("a-metrics.socket", METRICS)]);
    machine.0.write("a b", b"");
    machine.0.write("settings", b"OTUS_LISTING=1\n");
    let (status, table, messages) = machine.check(&["--unit=a"]);
    assert_eq!((status, messages), (0, vec![]), "{table}");
    assert_row(&table, "ListenStream", "[::]:80", "a.socket");
    assert_row(&table, "--workers", "3", "environment (OTUS_WORKERS)");
    assert_row(&table, "--listing", "yes", "environment (OTUS_LISTING)");
}

#[test]
fn a_file_of_the_unit_takes_precedence_over_its_environment() {
    let machine = Machine::new(&[
        ("a.socket", SOCKET),
        ("a-metrics.socket", METRICS),
        ("settings", "OTUS_WORKERS=3\nOTUS_CHARSET='latin-1'\n"),
    ]);
    let settings = machine.0.outside().join("settings");
    let lines = format!(
        "EnvironmentFiles={} (ignore_errors=no)\nEnvironmentFiles=/none (ignore_errors=yes)\n",
        settings.display()
    );
    machine.put("a.service", &(SERVICE.to_string() + &lines));
    let (status, table, messages) = machine.check(&["--unit=a"]);
    assert_eq!((status, messages), (0, vec![]), "{table}");
    assert_row(&table, "--workers", "3", "environment (OTUS_WORKERS)");
    assert_row(&table, "--charset", "latin-1", "environment (OTUS_CHARSET)");
    machine.put("a.service", &(SERVICE.to_string() + &lines.replace("=yes", "=no")));
    let (status, _, messages) = machine.check(&["--unit=a"]);
    assert_eq!((status, messages.len()), (1, 1), "{messages:?}");
    assert!(messages[0].contains("/none cannot be read"), "{messages:?}");
}

#[test]
fn an_address_without_effect_is_a_warning() {
    let machine = Machine::new(&[
        ("a.socket", SOCKET),
        ("a-metrics.socket", METRICS),
        ("settings", "OTUS_PORT=8000\nOTUS_HOST=127.0.0.1\nOTUS_USER=daemon\n"),
    ]);
    let settings = machine.0.outside().join("settings");
    let environment = format!("Environment=OTUS_SETTINGS={} ", settings.display());
    machine.put("a.service", &SERVICE.replace("Environment=", &environment));
    let (status, table, messages) = machine.check(&["--unit=a"]);
    assert_eq!(status, 0, "{messages:?}");
    assert!(!table.contains("8000"), "{table}");
    let path = settings.display();
    let mut expected = vec![
        format!(" WARN --host 127.0.0.1 ({path}:2 (OTUS_HOST)) has no effect"),
        format!(" WARN --port 8000 ({path}:1 (OTUS_PORT)) has no effect"),
    ];
    expected.insert(0, format!(" WARN OTUS_USER=daemon ({path}:3 (OTUS_USER)) has no effect"));
    assert_eq!(messages.len(), expected.len(), "{messages:#?}");
    for (message, start) in messages.iter().zip(&expected) {
        assert!(message.starts_with(start), "{start} in {messages:#?}");
    }
    assert!(
        messages.last().unwrap().contains("systemctl edit otus-httpd.socket, then systemctl restart otus-httpd.socket"),
        "{messages:?}"
    );
}

#[test]
fn a_path_that_the_sandbox_hides_is_a_problem() {
    let parent = |machine: &Machine| machine.0.outside().display().to_string();
    for (lines, directive) in [
        ("PrivateTmp=yes\n", "PrivateTmp=yes"),
        ("InaccessiblePaths=/home -PARENT\n", "InaccessiblePaths=-PARENT"),
        ("TemporaryFileSystem=PARENT:ro\n", "TemporaryFileSystem=PARENT:ro"),
    ] {
        let machine = Machine::new(&[("a.socket", SOCKET), ("a-metrics.socket", METRICS)]);
        let here = parent(&machine);
        // Temporary directories may be elsewhere.
        if directive.starts_with("PrivateTmp") && !here.starts_with("/tmp") && !here.starts_with("/var/tmp") {
            continue;
        }
        machine.put("a.service", &(SERVICE.to_string() + &lines.replace("PARENT", &here)));
        let (status, table, messages) = machine.check(&["--unit=a"]);
        assert_eq!((status, messages.len()), (1, 1), "{messages:?}");
        let expected = format!("is hidden from a.service by {}: ", directive.replace("PARENT", &here));
        assert!(messages[0].contains(&expected), "{expected} in {messages:?}");
        assert!(table.contains("\nConfiguration has 1 problem (checked a.service as user "), "{table}");

        let shown = format!("{SERVICE}{}BindReadOnlyPaths=@ROOT@\n", lines.replace("PARENT", &here));
        machine.put("a.service", &shown);
        assert_eq!(machine.check(&["--unit=a"]).0, 0);
    }
    let machine = Machine::new(&[("a.socket", SOCKET), ("a-metrics.socket", METRICS)]);
    machine.put("a.service", &(SERVICE.replace("@ROOT@", "/home/web/site") + "ProtectHome=yes\n"));
    let (status, _, messages) = machine.check(&["--unit=a"]);
    assert_eq!((status, messages.len()), (1, 1), "{messages:?}");
    let expected = "The document root /home/web/site is hidden from a.service by ProtectHome=yes: ";
    assert!(messages[0].contains(expected), "{messages:?}");

    let elsewhere = format!(
        "{}BindPaths=@ROOT@:/home/web/site\n",
        SERVICE.replace("@ROOT@", "/home/web/site") + "ProtectHome=yes\n"
    );
    machine.put("a.service", &elsewhere);
    let (status, table, messages) = machine.check(&["--unit=a"]);
    assert_eq!((status, messages), (0, vec![]), "{table}");
    machine.put("a.service", &(SERVICE.to_string() + "RootDirectory=/srv/os\n"));
    assert!(machine.check(&["--unit=a"]).1.contains("\nNot checked: files beneath its RootDirectory=/srv/os.\n"));
}

#[test]
fn a_change_that_systemd_has_not_loaded_is_a_warning() {
    let closed = SOCKET.replace("=active", "=inactive");
    let service = format!("{SERVICE}NeedDaemonReload=yes\n");
    let machine = Machine::new(&[("a.service", &service), ("a.socket", &closed), ("a-metrics.socket", METRICS)]);
    let (status, _, messages) = machine.check(&["--unit=a"]);
    assert_eq!((status, messages.len()), (0, 2), "{messages:?}");
    assert!(
        messages[0].ends_with("a.socket is not active, so that no client can connect: run systemctl start a.socket.")
    );
    assert!(messages[1].contains("run systemctl daemon-reload"), "{messages:?}");
}

#[test]
fn a_socket_that_cannot_be_served_is_a_problem_and_one_that_refuses_all_a_warning() {
    let machine = Machine::new(&[("a.service", SERVICE), ("a-metrics.socket", METRICS)]);
    let unix = SOCKET.replace("Listen=[::]:80 (Stream)\n", "");
    let (problem, warning) = ("is not served, since ", "refuses every TCP connection, since ");
    for (socket, name, problems, expected) in [
        (SOCKET, "https", 1, &[problem][..]),
        (SOCKET, "proxy", 0, &[warning]),
        (SOCKET, "https-proxy", 1, &[problem, warning]),
        (SOCKET, "http", 0, &[]),
        (&unix, "proxy", 0, &[]),
    ] {
        machine.put("a.socket", &format!("{socket}FileDescriptorName={name}\n"));
        let (status, _, messages) = machine.check(&["--unit=a"]);
        assert_eq!((status, messages.len()), (problems, expected.len()), "{messages:?}");
        for (message, expected) in messages.iter().zip(expected) {
            assert!(message.contains(&format!("The socket \"{name}\" {expected}")), "{messages:?}");
        }
    }
    machine.put("a.service", &SERVICE.replace("\"OTUS_CHARSET=utf-8\"", "OTUS_TRUSTED_PROXIES=192.0.2.10"));
    machine.put("a.socket", &format!("{SOCKET}FileDescriptorName=proxy\n"));
    assert_eq!(machine.check(&["--unit=a"]).2, [""; 0]);
}

#[test]
fn a_missing_unit_and_options_beside_unit_are_errors() {
    let machine = Machine::new(&[("a.service", SERVICE)]);
    let (status, _, messages) = machine.check(&["--unit=b"]);
    assert_eq!((status, messages.len()), (1, 1), "{messages:?}");
    assert!(messages[0].contains("systemd has no unit b.service"), "{messages:?}");
    let (status, _, messages) = machine.check(&["--unit=a", "--workers=2"]);
    assert_eq!((status, messages.len()), (2, 1), "{messages:?}");
    assert!(messages[0].contains("--unit takes all settings from the unit"), "{messages:?}");
}

#[test]
fn settings_for_https_that_have_no_effect_are_warnings() {
    const HTTPS: &str = "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\nFileDescriptorName=https\n\
        WantedBy=a.socket a.service\nListen=[::]:443 (Stream)\n";
    let service = SERVICE.replace("a-metrics.socket", "a-https.socket");
    let machine = Machine::new(&[("a.service", &service), ("a.socket", SOCKET), ("a-https.socket", HTTPS)]);
    let (status, table, messages) = machine.check(&["--unit=a"]);
    assert_eq!((status, messages), (0, vec![]), "{table}");
    assert!(!table.contains("443"), "{table}");

    let with = |settings: &str| service.replace("Environment=", &format!("Environment={settings} "));
    machine.put("a.service", &with("OTUS_REDIRECT_TO_HTTPS=1 OTUS_HSTS=300"));
    let (status, _, messages) = machine.check(&["--unit=a"]);
    assert_eq!((status, messages.len()), (0, 2), "{messages:?}");
    assert!(messages[0].contains("--redirect-to-https (OTUS_REDIRECT_TO_HTTPS) has no effect"), "{messages:?}");
    assert!(messages[1].contains("--hsts (OTUS_HSTS) has no effect"), "{messages:?}");

    // The socket is enabled without a link for the service, then with one, and something else has its port.
    machine.put("a.service", &service.replace("Environment=", "Environment=OTUS_CERTIFICATES=@ROOT@ "));
    machine.put("a-https.socket", &HTTPS.replace("disabled", "enabled").replace(" a.service", ""));
    let (_, _, messages) = machine.check(&["--unit=a"]);
    assert!(
        messages[0].ends_with("run systemctl enable a-https.socket, then systemctl restart a.service."),
        "{messages:?}"
    );
    machine.put("a.service", &with("OTUS_REDIRECT_TO_HTTPS=1 OTUS_CERTIFICATES=@ROOT@"));
    machine.put("a-https.socket", &HTTPS.replace("disabled", "enabled"));
    let (status, _, messages) = machine.check(&["--unit=a"]);
    assert_eq!((status, messages.len()), (0, 1), "{messages:?}");
    assert!(
        messages[0]
            .ends_with("a-https.socket is not active, so that no client can connect: run systemctl restart a.service.")
    );
}

#[test]
fn challenges_that_cannot_be_read_are_a_warning() {
    let machine = Machine::new(&[("a.socket", SOCKET), ("a-metrics.socket", METRICS)]);
    let check = |folder: &str, lines: &str| {
        let service = SERVICE.replace("Environment=", &format!("Environment=OTUS_ACME_CHALLENGES={folder} "));
        machine.put("a.service", &(service + lines));
        let (status, _, messages) = machine.check(&["--unit=a"]);
        assert_eq!(status, 0, "{messages:?}");
        messages.join("\n")
    };
    assert_eq!(check("@ROOT@/none", ""), "");
    assert_eq!(check("@ROOT@", ""), "");
    assert!(check("@ROOT@/index.html", "").contains("it is not a directory"));
    let message = check("/home/web/acme", "ProtectHome=yes\n");
    assert!(
        message.contains("The directory of challenges /home/web/acme is hidden from a.service by ProtectHome=yes"),
        "{message}"
    );
    let closed = machine.0.outside().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    // The check of root is as the user nobody.
    if geteuid().is_root() {
        let message = check(closed.to_str().unwrap(), "");
        assert!(message.contains("cannot be read (Permission denied)"), "{message}");
    }
}
