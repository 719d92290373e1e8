//! The process at the other end of a connection, and what it may request.

use std::fs;
use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt};

use crate::ipc::key_protocol::Role;

/// The process that has made a connection (unix(7), SO_PEERCRED).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub pid: i32,
    /// Whether it is a server, whose workers may get signatures. Otherwise it is root, for `--check`.
    is_server: bool,
}

impl Peer {
    /// Returns the peer of a connection to the socket of systemd; none if it may request nothing.
    pub fn of(connection: &impl AsFd) -> Option<Self> {
        let credentials = getsockopt(&connection.as_fd(), sockopt::PeerCredentials).ok()?;
        let pid = credentials.pid();
        let is_server = is_main_process(pid);
        (is_server || credentials.uid() == 0).then_some(Peer { pid, is_server })
    }

    /// Returns the peer of a connection that the server has sent, which nobody else can.
    pub fn server(connection: &impl AsFd) -> Option<Self> {
        let credentials = getsockopt(&connection.as_fd(), sockopt::PeerCredentials).ok()?;
        Some(Peer { pid: credentials.pid(), is_server: true })
    }

    /// Returns whether its connection may have `role`.
    pub fn may_be(self, role: Role) -> bool {
        self.is_server || role == Role::Check
    }
}

/// Returns whether the process was started by systemd as a part of the service or an instance of it.
fn is_main_process(pid: i32) -> bool {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    is_of_service(&read("cgroup")) && parent(&read("stat")) == Some(1)
}

/// Returns whether a control group (cgroups(7)) is that of the service: a unit of the system, not one of a user with the same
/// name.
fn is_of_service(cgroups: &str) -> bool {
    // The hierarchy of systemd: the only one (number 0), or the one with its name.
    let paths = cgroups.lines().filter_map(|line| {
        line.strip_prefix("0::").or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
    });
    paths.into_iter().any(|path| {
        let mut units = path.rsplit('/');
        let unit = units.next().and_then(|unit| unit.strip_suffix(".service"));
        unit.is_some_and(|unit| unit == "otus-httpd" || unit.starts_with("otus-httpd@"))
            && units.all(|unit| !unit.starts_with("user@") && !unit.starts_with("user-"))
    })
}

/// Returns the parent from /proc/PID/stat (proc_pid_stat(5)). The name of the program, which can contain anything, is in
/// parentheses.
fn parent(stat: &str) -> Option<i32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_units_of_the_system_are_the_service() {
        for (cgroups, expected) in [
            ("0::/system.slice/otus-httpd.service\n", true),
            ("0::/system.slice/system-otus\\x2dhttpd.slice/otus-httpd@shop.service\n", true),
            ("0::/web.slice/otus-httpd.service\n", true),
            ("12:pids:/x\n1:name=systemd:/system.slice/otus-httpd.service\n", true),
            ("12:pids:/system.slice/otus-httpd.service\n1:name=systemd:/system.slice/cron.service\n", false),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/otus-httpd.service\n", false),
            ("0::/system.slice/otus-httpd.service/below\n", false),
            ("0::/system.slice/otus-httpd-keys.service\n", false),
            ("0::/system.slice/otus-httpd.socket\n", false),
            ("0::/system.slice/my-otus-httpd.service\n", false),
            ("0::/\n", false),
            ("", false),
        ] {
            assert_eq!(is_of_service(cgroups), expected, "{cgroups}");
        }
    }

    #[test]
    fn the_parent_follows_the_name_of_the_program() {
        assert_eq!(parent("42 (otus-httpd) S 1 42 42 0 -1\n"), Some(1));
        assert_eq!(parent("42 (a) S 1 (b) R 7 42 42 0 -1\n"), Some(7), "a name with parentheses");
        assert_eq!(parent(""), None);
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        assert_eq!(parent(&own), Some(nix::unistd::getppid().as_raw()));
    }

    /// A process of this test is neither the service nor, in general, root.
    #[test]
    fn other_processes_get_at_most_what_a_check_needs() {
        let (one, _other) = crate::ipc::key_protocol::channel::pair().unwrap();
        let peer = Peer::of(&one);
        assert_eq!(peer.is_some(), nix::unistd::geteuid().is_root());
        assert!(peer.is_none_or(|peer| peer.may_be(Role::Check) && !peer.may_be(Role::Worker)));
        assert!(Peer::server(&one).unwrap().may_be(Role::Worker));
    }
}
