//! Warnings for settings that are set and have no effect.

use nix::unistd::{User, geteuid};

use super::effective::COMMAND_LINE;
use super::{CommandLine, Effective, INSTANCE};

impl CommandLine {
    /// Ignores a user that only root can switch to, if it was set in the environment or in the settings file: a server
    /// started by root may share these. On the command line, it is an error that is reported later.
    pub(super) fn ignore_unused_user(&mut self) {
        let uid = geteuid();
        let Some(user) = self.options.user.as_ref().filter(|_| !uid.is_root()) else { return };
        let is_own = User::from_uid(uid).ok().flatten().is_some_and(|own| own.name == *user);
        let Some(row) = self.effective.iter_mut().find(|row| row.option == "--user") else { return };
        if is_own || row.origin == COMMAND_LINE {
            return;
        }
        self.warnings.push(format!(
            "OTUS_USER={user} ({}) has no effect: only root can switch to another user. The user of a service is set by User= in its \
             unit: systemctl edit {}.service, then systemctl restart {1}.",
            row.origin,
            unit()
        ));
        row.value += ", without effect";
        self.options.user = None;
    }

    /// Returns a warning for each address setting. A server that receives its sockets from systemd ignores them.
    pub fn unused_address_warnings(&self) -> Vec<String> {
        let rows = self.effective.iter().filter(|row| is_address(row) && row.is_set());
        let warning = |Effective { option, value, origin }: &Effective| {
            let unit = unit();
            format!(
                "{option} {value} ({origin}) has no effect: the socket unit sets the addresses of the service. To change them: \
                 systemctl edit {unit}.socket, then systemctl restart {unit}.socket."
            )
        };
        rows.map(warning).collect()
    }
}

/// Returns whether a setting is part of the listening address.
pub fn is_address(row: &Effective) -> bool {
    matches!(row.option.as_str(), "--host" | "--port" | "--https-port")
}

/// Returns the stem of the names of this server's units. It assumes the packaged names.
fn unit() -> String {
    match std::env::var(INSTANCE) {
        Ok(name) if !name.is_empty() => format!("otus-httpd@{name}"),
        _ => "otus-httpd".into(),
    }
}
