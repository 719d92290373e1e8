//! systemd, as far as the commands need it: the units of the package, by systemctl(1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;

use super::undo::Undo;
use crate::check::properties;
use crate::failure::Failure;

/// The service.
pub const SERVICE: &str = "otus-httpd.service";

/// The socket of the key process, and its service.
const KEYS_SOCKET: &str = "otus-httpd-keys.socket";
const KEYS_SERVICE: &str = "otus-httpd-keys.service";

/// Its socket for HTTPS.
pub const HTTPS_SOCKET: &str = "otus-httpd-https.socket";

const ENABLE: &[&str] = &["enable", HTTPS_SOCKET];
const DISABLE: &[&str] = &["disable", HTTPS_SOCKET];
const OPEN: &[&str] = &["start", HTTPS_SOCKET];
const CLOSE: &[&str] = &["stop", HTTPS_SOCKET];
const START: &[&str] = &["start", SERVICE];
const STOP: &[&str] = &["stop", SERVICE];
const RESTART: &[&str] = &["restart", SERVICE];
const RELOAD: &[&str] = &["reload", SERVICE];
const START_KEYS: &[&str] = &["start", KEYS_SOCKET];
const STOP_KEYS: &[&str] = &["stop", KEYS_SOCKET, KEYS_SERVICE];

/// The commands that add the socket for HTTPS to the service. systemd opens no further socket for a running service, and a
/// restart of the socket for HTTP would close it. By its WantedBy=, a restart of the service alone opens it as well, and
/// clients of port 80 wait meanwhile.
const ADD_SOCKET: [&[&str]; 2] = [ENABLE, RESTART];

/// The commands that remove it. The service holds the socket until its restart.
const REMOVE_SOCKET: [&[&str]; 3] = [DISABLE, CLOSE, &["try-restart", SERVICE]];

/// The state of the units before a command, to which a failed one returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Before {
    /// Whether the socket for HTTPS is enabled.
    is_enabled: bool,
    /// Whether it is open.
    is_open: bool,
    /// Whether the service runs.
    is_running: bool,
    /// Whether the socket of the key process is open.
    has_keys: bool,
}

impl Before {
    /// Returns the present state.
    fn now() -> Self {
        Before {
            is_enabled: is_enabled(HTTPS_SOCKET),
            is_open: is_active(HTTPS_SOCKET),
            is_running: is_running(SERVICE),
            has_keys: is_active(KEYS_SOCKET),
        }
    }

    /// Returns the commands that lead back to this state from `now`. The service has the present settings then. A service that
    /// runs as before is not restarted.
    fn commands(self, now: Before) -> Vec<&'static [&'static str]> {
        let is_restarted = self.is_running && (self.is_open, self.is_running) != (now.is_open, now.is_running);
        let is_opened_by_restart = is_restarted && self.is_open && self.is_enabled;
        // A restart opens a socket that is enabled.
        let is_enabled_late = is_restarted && !self.is_open && self.is_enabled;
        let mut commands: Vec<&[&str]> = Vec::new();
        match (self.is_enabled && !is_enabled_late, now.is_enabled) {
            (true, false) => commands.push(ENABLE),
            (false, true) => commands.push(DISABLE),
            _ => {}
        }
        commands.extend_from_slice(match (self.is_open, self.is_running) {
            (_, true) if !is_restarted => &[RELOAD],
            (true, true) if is_opened_by_restart => &[RESTART],
            // systemd opens no socket beside its running service.
            (true, true) => &[STOP, OPEN, START],
            (true, false) => &[STOP, OPEN],
            (false, true) => &[CLOSE, RESTART],
            (false, false) => &[CLOSE, STOP],
        });
        commands.extend(is_enabled_late.then_some(ENABLE));
        match (self.has_keys, now.has_keys) {
            (true, false) => commands.push(START_KEYS),
            (false, true) => commands.push(STOP_KEYS),
            _ => {}
        }
        commands
    }

    /// Returns to this state when a command fails.
    fn restore_by(self, undo: &mut Undo) {
        undo.units(move || {
            // After a failure, those that follow are run all the same.
            let results: Vec<_> = self.commands(Before::now()).into_iter().map(systemctl).collect();
            results.into_iter().try_for_each(|result| result.map(drop))
        });
    }
}

/// Runs systemctl with `arguments`. Returns its output.
pub fn systemctl(arguments: &[&str]) -> Result<String, Failure> {
    let command = || format!("systemctl {}", arguments.join(" "));
    let output = Command::new("systemctl").args(["--quiet", "--no-pager"]).args(arguments).output();
    let output =
        output.map_err(|error| Failure::new(format!("{} cannot be run ({error}): install systemd.", command())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    let why = why.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    Err(Failure::new(format!("{} has failed: {}", command(), if why.is_empty() { "it gave no reason." } else { &why })))
}

/// Returns a property of a unit; empty if there is none.
pub fn property(unit: &str, name: &str) -> Result<String, Failure> {
    let output = systemctl(&["show", "--property", name, unit])?;
    let values: Vec<_> = output.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect();
    Ok(values.join("\n"))
}

/// Returns a variable that the unit of the service sets, as a drop-in does. The settings file does not override it.
pub fn variable(name: &str) -> Option<String> {
    let environment = property(SERVICE, "Environment").ok()?;
    value(&environment, name)
}

fn value(environment: &str, name: &str) -> Option<String> {
    let words = properties::words(environment);
    words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(String::from))
}

/// Returns whether a unit is active.
pub fn is_active(unit: &str) -> bool {
    property(unit, "ActiveState").is_ok_and(|state| state == "active")
}

/// Returns whether a service runs, or is about to.
fn is_running(unit: &str) -> bool {
    let is_one = |state: String| matches!(state.as_str(), "active" | "activating" | "reloading" | "refreshing");
    property(unit, "ActiveState").is_ok_and(is_one)
}

/// Returns whether a unit is enabled.
fn is_enabled(unit: &str) -> bool {
    property(unit, "UnitFileState").is_ok_and(|state| state == "enabled")
}

/// Checks that the service would start with its present settings: an error that was made since its last start would end it.
pub fn check_settings() -> Result<(), Failure> {
    let output = Command::new("/proc/self/exe").args(["--check", "--unit", SERVICE]).output();
    let output = output.map_err(|error| Failure::new(format!("otus-httpd --check cannot be run ({error}).")))?;
    if output.status.success() {
        return Ok(());
    }
    let problems = String::from_utf8_lossy(&output.stderr);
    let problem = problems.lines().find_map(|line| line.strip_prefix("otus-httpd: ")).unwrap_or_default();
    Err(Failure::new(format!(
        "{SERVICE} cannot be restarted as it is configured now: correct what otus-httpd --check shows, then repeat the command. The \
         first problem: {problem}"
    )))
}

/// Returns the TCP addresses of a socket unit.
pub fn addresses(unit: &str) -> Result<Vec<SocketAddr>, Failure> {
    property(unit, "Listen").map(|listen| parse_listen(&listen))
}

/// Parses lines such as `[::]:443 (Stream)`.
fn parse_listen(listen: &str) -> Vec<SocketAddr> {
    listen.lines().filter_map(|line| line.strip_suffix(" (Stream)")?.parse().ok()).collect()
}

/// Returns the address at which a client on this machine reaches `address`.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Opens the socket for HTTPS for the service. If it is open already, the service is reloaded and nothing else changes.
pub fn add_socket(undo: &mut Undo) -> Result<(), Failure> {
    let before = Before::now();
    before.restore_by(undo);
    if before.is_open && before.is_running {
        return [ENABLE, RELOAD].iter().try_for_each(|command| systemctl(command).map(drop));
    }
    ADD_SOCKET.iter().try_for_each(|command| systemctl(command).map(drop))?;
    if is_active(HTTPS_SOCKET) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{HTTPS_SOCKET} was not opened; another program may listen at its address. The service runs without it. See journalctl -u \
         {HTTPS_SOCKET}, and ss -ltnp."
    )))
}

/// Closes the socket for HTTPS. Returns whether it was open or enabled. The key process ends, unless another socket needs it.
pub fn remove_socket(undo: &mut Undo) -> Result<bool, Failure> {
    let before = Before::now();
    if !before.is_open && !before.is_enabled {
        return Ok(false);
    }
    before.restore_by(undo);
    REMOVE_SOCKET.iter().try_for_each(|command| systemctl(command).map(drop))?;
    let users = property(KEYS_SOCKET, "RequiredBy")?;
    if !users.split_whitespace().any(|unit| unit != KEYS_SERVICE && is_active(unit)) {
        systemctl(STOP_KEYS)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_added_by_a_restart_of_the_service_alone() {
        assert_eq!(
            ADD_SOCKET.map(|command| command.join(" ")),
            ["enable otus-httpd-https.socket", "restart otus-httpd.service"]
        );
        let remove = REMOVE_SOCKET.map(|command| command.join(" "));
        assert!(remove.iter().all(|command| !command.contains("otus-httpd.socket")), "{remove:?}");
    }

    /// From each state to each other one, by systemd's rules: a restart of the service opens an enabled socket, and beside the
    /// running service none is opened.
    #[test]
    fn each_state_is_returned_to() {
        let all = (0..16).map(|bits| Before {
            is_enabled: bits & 1 > 0,
            is_open: bits & 2 > 0,
            is_running: bits & 4 > 0,
            has_keys: bits & 8 > 0,
        });
        // A socket that is open has the process of the keys.
        let all: Vec<_> = all.filter(|state| state.has_keys || !state.is_open).collect();
        for (before, now) in all.iter().flat_map(|before| all.iter().map(move |now| (*before, *now))) {
            let (commands, mut state) = (before.commands(now), now);
            for &command in &commands {
                assert!(command != OPEN || !state.is_running, "{before:?} {now:?}");
                let starts = command == START && !state.is_running || command == RESTART;
                state = match command {
                    ENABLE => Before { is_enabled: true, ..state },
                    DISABLE => Before { is_enabled: false, ..state },
                    OPEN => Before { is_open: true, has_keys: true, ..state },
                    CLOSE => Before { is_open: false, ..state },
                    STOP => Before { is_running: false, ..state },
                    STOP_KEYS => Before { has_keys: false, ..state },
                    START_KEYS => Before { has_keys: true, ..state },
                    START | RESTART => Before { is_running: true, ..state },
                    _ => state,
                };
                if starts && state.is_enabled {
                    state = Before { is_open: true, has_keys: true, ..state };
                }
            }
            assert_eq!(state, before, "from {now:?} by {commands:?}");
        }
    }

    #[test]
    fn a_variable_is_one_of_the_unit() {
        let environment = "OTUS_SETTINGS=-/etc/default/otus-httpd \"OTUS_MIME=a=b c\" OTUS_HSTS=300";
        assert_eq!(value(environment, "OTUS_HSTS").as_deref(), Some("300"));
        assert_eq!(value(environment, "OTUS_MIME").as_deref(), Some("a=b c"));
        assert_eq!((value(environment, "HSTS"), value(environment, "OTUS")), (None, None));
    }

    #[test]
    fn addresses_are_those_of_tcp() {
        let listen = "[::]:443 (Stream)\n192.0.2.1:8443 (Stream)\n/run/x (Stream)\n[::]:53 (Datagram)\n";
        let addresses = parse_listen(listen);
        assert_eq!(addresses, ["[::]:443".parse().unwrap(), "192.0.2.1:8443".parse().unwrap()]);
        assert_eq!(reachable(addresses[0]), "127.0.0.1:443".parse().unwrap());
        assert_eq!(reachable(addresses[1]), addresses[1]);
    }
}
