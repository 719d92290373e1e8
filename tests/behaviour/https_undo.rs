//! `otus-httpd https import` and `disable`, of which each step fails once: everything is as it was. A script replaces systemctl. Only
//! root can make the mount namespace.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{self, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use nix::unistd::geteuid;

use crate::https::Certificates;
use crate::support::{BINARY, Site, foreign_variables};

/// Half of the ports below those of the kernel's choice: ports from here on, this number of them.
const PORTS: u32 = 16_384;

/// The units as lines in a file, `NAME WORD...`: enabled, active. The command number `$FAIL` fails, a restart by ending the service.
/// As in systemd, a start or restart of the service opens an enabled socket, and beside the running service none is opened.
const SYSTEMCTL: &str = r#"#!/usr/bin/python3
import os, sys
top = os.path.dirname(sys.argv[0])
words = [word for word in sys.argv[1:] if not word.startswith("--")]
state = {line.split()[0]: set(line.split()[1:]) for line in open(top + "/units")}
service, https, keys = "otus-httpd.service", "otus-httpd-https.socket", "otus-httpd-keys.socket"

def save():
    with open(top + "/units", "w") as file:
        file.writelines(" ".join([name, *sorted(state[name])]) + "\n" for name in sorted(state))

def start(unit):
    if unit == https and "active" not in state[https]:
        if "active" in state[service]:
            sys.exit("Socket service otus-httpd.service already active, refusing.")
        state[keys].add("active")
    if unit == service and "active" not in state[service] and "enabled" in state[https]:
        start(https)
    state[unit].add("active")

if words[0] == "show":
    unit = words[-1]
    is_in = lambda word: word in state.get(unit, ())
    print("LoadState=loaded\nActiveState=" + ("active" if is_in("active") else "inactive"))
    print("UnitFileState=" + ("enabled" if is_in("enabled") else "disabled"))
    print(open(top + "/" + unit).read() if os.path.exists(top + "/" + unit) else "")
    sys.exit()

count = len(open(top + "/log").readlines()) + 1
print(*words, file=open(top + "/log", "a"))
verb, units = words[0], words[1:]
if count == int(os.environ["FAIL"]):
    if "restart" in verb:
        state[service].discard("active")
        save()
    sys.exit("It fails, as it should.")
for unit in units:
    if verb in ("enable", "disable"):
        (state[unit].add if verb == "enable" else state[unit].discard)("enabled")
    elif verb == "start":
        start(unit)
    elif verb == "stop":
        state.get(unit, set()).discard("active")
    elif verb == "restart" or verb == "try-restart" and "active" in state[unit]:
        state[unit].discard("active")
        start(unit)
save()
"#;

/// A machine with the package, as far as the commands see it.
struct Machine {
    site: Site,
    port: u16,
}

impl Machine {
    fn new(units: &str, settings: &str) -> Self {
        let site = Site::with(&[("index.html", b"")]);
        let machine = Machine { port: free_port(), site };
        let (top, root) = (machine.top().display().to_string(), machine.site.root());
        machine.put("systemctl", SYSTEMCTL);
        machine.put("units", units);
        machine.put("settings", &format!("OTUS_CERTIFICATES={top}/certificates\n{settings}"));
        machine.put(
            "otus-httpd.service",
            &format!(
                "User=root\nStandardError=null\nLimitNOFILE=1024\nTriggeredBy=otus-httpd.socket\nEnvironment=OTUS_ROOT={} \
                 OTUS_SETTINGS=-/etc/default/otus-httpd\nExecStart={{ path=/a ; argv[]=/a ; ignore_errors=no }}\n",
                root.display()
            ),
        );
        machine.put("otus-httpd.socket", "ActiveState=active\nListen=[::]:80 (Stream)\n");
        machine.put("otus-httpd-https.socket", &format!("Listen=127.0.0.1:{} (Stream)\n", machine.port));
        machine
    }

    fn top(&self) -> &Path {
        self.site.outside()
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.top().join(name), text).unwrap();
        fs::set_permissions(self.top().join(name), Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a command of which the command number `fail` of systemctl fails; 0 for none.
    fn run(&self, fail: usize, arguments: &[&str]) -> Output {
        self.put("log", "");
        let top = self.top().display();
        let script = format!(
            "mount -t tmpfs none /run && mkdir -p /run/systemd/system && mount -t tmpfs none /etc/default && \
             ln -s {top}/settings /etc/default/otus-httpd && exec \"$0\" https \"$@\""
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script, BINARY]).args(arguments);
        for variable in foreign_variables() {
            command.env_remove(variable);
        }
        let path = format!("{top}:{}", std::env::var("PATH").unwrap());
        command.env("PATH", path).env("FAIL", fail.to_string()).output().unwrap()
    }

    /// Returns all files: units, settings and certificates, with their permissions.
    fn state(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut state = BTreeMap::new();
        let mut directories = vec![self.top().to_path_buf()];
        while let Some(directory) = directories.pop() {
            for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
                let mode = path.symlink_metadata().unwrap().permissions().mode();
                if path.is_dir() {
                    directories.push(path.clone());
                }
                state.insert(path.display().to_string(), (mode, fs::read(&path).unwrap_or_default()));
            }
        }
        state.remove(&self.top().join("log").display().to_string());
        state
    }

    /// Has each of the first `commands` of systemctl fail, one after the other.
    fn fail_each(&self, commands: usize, arguments: &[&str]) {
        for fail in 1..=commands {
            let before = self.state();
            let output = self.run(fail, arguments);
            let error = String::from_utf8_lossy(&output.stderr);
            let log = self.log();
            assert_eq!(output.status.code(), Some(1), "{log}{error}");
            assert!(error.lines().last().is_some_and(|last| last.contains("It fails, as it should.")), "{log}{error}");
            assert!(!error.contains("could not be taken back"), "{log}{error}");
            assert!(self.state() == before, "command {fail} of {log}{error}{:?}", self.differences(&before));
        }
    }

    /// Returns the commands of systemctl that change something.
    fn log(&self) -> String {
        fs::read_to_string(self.top().join("log")).unwrap()
    }

    fn differences(&self, before: &BTreeMap<String, (u32, Vec<u8>)>) -> Vec<String> {
        let after = self.state();
        let names = before.keys().chain(after.keys());
        let text = |state: &BTreeMap<String, (u32, Vec<u8>)>, name| {
            state.get(name).map(|(mode, content)| format!("{mode:o} {}", String::from_utf8_lossy(content)))
        };
        let differing = names.filter(|name| before.get(*name) != after.get(*name));
        differing.map(|name| format!("{name}: {:?} -> {:?}", text(before, name), text(&after, name))).collect()
    }
}

/// Returns a port on which nothing listens. It stays so: the kernel gives it to nobody who binds port 0 or connects, since it is below
/// those in ip_local_port_range (ip(7)), and no two calls return the same.
fn free_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let ports = (0..PORTS).map(|_| PORTS + (process::id() * 100 + CALLS.fetch_add(1, SeqCst)) % PORTS);
    let mut free = ports.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port as u16)).ok());
    free.next().expect("a free port").local_addr().unwrap().port()
}

/// The states of the units: the service, the socket for HTTPS, and that of the key process.
const OPEN: &str = "otus-httpd-https.socket active enabled\notus-httpd-keys.socket active\notus-httpd.service active\n";
const NOT_ENABLED: &str = "otus-httpd-https.socket active\notus-httpd-keys.socket active\notus-httpd.service active\n";
const WAITING: &str = "otus-httpd-https.socket active enabled\notus-httpd-keys.socket active\notus-httpd.service\n";
const CLOSED: &str = "otus-httpd-https.socket\notus-httpd-keys.socket\notus-httpd.service active\n";
const OFF: &str = "otus-httpd-https.socket\notus-httpd-keys.socket\notus-httpd.service\n";
const FAILED: &str = "otus-httpd-https.socket enabled\notus-httpd-keys.socket active\notus-httpd.service active\n";

#[test]
fn disable_that_fails_leaves_everything_as_it_was() {
    if !geteuid().is_root() {
        return;
    }
    thread::scope(|scope| {
        for (units, commands) in [(OPEN, 4), (NOT_ENABLED, 4), (WAITING, 4), (FAILED, 4), (CLOSED, 1), (OFF, 0)] {
            scope.spawn(move || {
                let machine = Machine::new(units, "OTUS_REDIRECT_TO_HTTPS=1\n");
                machine.fail_each(commands, &["disable"]);
                let output = machine.run(0, &["disable"]);
                assert!(output.status.success(), "{units}{output:?}");
                assert_eq!(machine.log().lines().count(), commands, "{units}{}", machine.log());
                let after =
                    String::from_utf8(machine.state()[&machine.top().join("units").display().to_string()].1.clone());
                let is_running = if units.contains(".service active") { " active" } else { "" };
                let expected = "otus-httpd-https.socket\notus-httpd-keys.socket\notus-httpd.service";
                let expected = if commands < 4 { units.into() } else { format!("{expected}{is_running}\n") };
                assert_eq!(after.unwrap(), expected, "{units}");
                let settings = fs::read_to_string(machine.top().join("settings")).unwrap();
                assert!(settings.ends_with("\n#OTUS_REDIRECT_TO_HTTPS=1\n"), "{settings}");
            });
        }
    });
}

/// With and without a certificate that it replaces. In the end, no server responds to the handshake.
#[test]
fn import_that_fails_leaves_everything_as_it_was() {
    if !geteuid().is_root() {
        return;
    }
    let certificates = Certificates::new();
    thread::scope(|scope| {
        for (units, is_first) in
            [(OPEN, false), (NOT_ENABLED, true), (WAITING, false), (CLOSED, true), (OFF, false), (FAILED, true)]
        {
            let first = certificates.path().join("first");
            scope.spawn(move || {
                let machine = Machine::new(units, "");
                if !is_first {
                    let folder = machine.top().join("certificates/localhost");
                    fs::create_dir_all(&folder).unwrap();
                    let other = Certificates::new();
                    for name in ["fullchain.pem", "privkey.pem"] {
                        fs::copy(other.path().join("first").join(name), folder.join(name)).unwrap();
                    }
                }
                let files = ["fullchain.pem", "privkey.pem"].map(|name| first.join(name).display().to_string());
                let before = machine.state();
                let arguments = ["import", &files[0], &files[1]];
                machine.fail_each(2, &arguments);
                if ![OPEN, CLOSED].contains(&units) {
                    // The handshake is attempted for 20 seconds.
                    return;
                }
                let output = machine.run(0, &arguments);
                let error = String::from_utf8_lossy(&output.stderr);
                assert!(
                    error.contains("A TLS handshake with this server") && error.lines().count() == 1,
                    "{units}{error}"
                );
                assert!(machine.state() == before, "after the handshake: {:?}", machine.differences(&before));
            });
        }
    });
}
