//! Settings that are set and have no effect. Whoever set them believes otherwise, so each is a warning.

use nix::unistd::{User, geteuid};

use super::effective::COMMAND_LINE;
use super::{CommandLine, Effective, INSTANCE};

impl CommandLine {
    /// Leaves out a user that only root could become, if it stands in the environment or in a settings file: these may be the
    /// same for a server that root starts. On the command line it is an error, which is told later.
    pub(super) fn pass_over_user(&mut self) {
        let uid = geteuid();
        let Some(user) = self.options.user.as_ref().filter(|_| !uid.is_root()) else { return };
        let is_own = User::from_uid(uid).ok().flatten().is_some_and(|own| own.name == *user);
        let Some(row) = self.effective.iter_mut().find(|row| row.option == "--user") else { return };
        if is_own || row.origin == COMMAND_LINE {
            return;
        }
        self.warnings.push(format!(
            "OTUS_USER={user} ({}) has no effect: only root can become another user. Who a service is says User= in its unit: \
             systemctl edit {}.service, then systemctl restart {1}.",
            row.origin,
            unit()
        ));
        row.value += ", without effect";
        self.options.user = None;
    }

    /// What is set and says nothing to a server that systemd passes its sockets to.
    pub fn unused_address(&self) -> Vec<String> {
        let rows = self.effective.iter().filter(|row| is_address(row) && row.is_set());
        let warning = |Effective { option, value, origin }: &Effective| {
            let unit = unit();
            format!(
                "{option} {value} ({origin}) has no effect: the socket unit says where the service listens. To change that: \
                 systemctl edit {unit}.socket, then systemctl restart {unit}.socket."
            )
        };
        rows.map(warning).collect()
    }
}

/// Whether a setting says where to listen.
pub fn is_address(row: &Effective) -> bool {
    matches!(row.option.as_str(), "--host" | "--port")
}

/// The name that the units of this server have, unless an administrator has made others.
fn unit() -> String {
    match std::env::var(INSTANCE) {
        Ok(name) if !name.is_empty() => format!("otus-httpd@{name}"),
        _ => "otus-httpd".into(),
    }
}
