//! The configuration in the units of a checked systemd service. [`LoadedUnit`](crate::check::LoadedUnit) reads the units and
//! passes it in an environment variable to the check, which runs as the service's user.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The environment variable.
pub const VARIABLE: &str = "_OTUS_SERVICE";

/// Set for the check that a server runs before a reload. That check covers this server, independently of units.
pub const RELOAD_VARIABLE: &str = "_OTUS_RELOAD";

/// The configuration in the units of a service.
#[derive(Debug, Default, PartialEq)]
pub struct ServiceUnit {
    /// Name of the service unit.
    pub name: String,
    /// Addresses of its sockets, each with the name of its socket unit.
    pub addresses: Vec<(String, String)>,
    /// Names of its sockets (FileDescriptorName=).
    pub socket_names: Vec<String>,
    /// Directories that its sandbox hides, each with the directive.
    pub hidden_paths: Vec<(PathBuf, String)>,
    /// Bind mounts of its sandbox: the path in the sandbox, and the source.
    pub bind_mounts: Vec<(PathBuf, PathBuf)>,
    /// The time after which systemd kills it when it stops (TimeoutStopSec=), in whole seconds; none if that is unlimited.
    pub kill_after: Option<Duration>,
    /// Whether the journal reads its messages.
    pub logs_to_journal: bool,
    /// Warnings.
    pub warnings: Vec<String>,
    /// What a check does not cover.
    pub unchecked: Vec<String>,
    /// The certificates, as root has seen them.
    pub certificates: Certificates,
}

/// What a check has seen of the certificates. It passes them to the check that runs as the service's user, who can see less.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// A line for each.
    pub lines: Vec<String>,
    /// The faults, each a sentence with the remedy, and what could not be seen.
    pub warnings: Vec<String>,
}

/// Separates the words of a line. No path in a unit contains it.
const SEPARATOR: char = '\t';

impl ServiceUnit {
    /// Returns the service that this process checks, if it checks one.
    pub fn from_environment() -> Option<ServiceUnit> {
        std::env::var(VARIABLE).ok().map(|text| ServiceUnit::parse(&text))
    }

    /// Parses the format that `to_string` writes.
    fn parse(text: &str) -> ServiceUnit {
        let mut service = ServiceUnit::default();
        for line in text.lines() {
            let mut words = line.split(SEPARATOR);
            let (kind, first) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_string());
            let second = words.next().unwrap_or_default().to_string();
            match kind {
                "unit" => service.name = first,
                "address" => service.addresses.push((first, second)),
                "name" => service.socket_names.push(first),
                "hidden" => service.hidden_paths.push((first.into(), second)),
                "bound" => service.bind_mounts.push((first.into(), second.into())),
                "kill-after" => service.kill_after = first.parse().ok().map(Duration::from_secs),
                "journal" => service.logs_to_journal = true,
                "warning" => service.warnings.push(first),
                "certificate" => service.certificates.lines.push(first),
                "certificate-warning" => service.certificates.warnings.push(first),
                "unchecked" => service.unchecked.push(first),
                _ => {}
            }
        }
        service
    }

    /// Returns a sentence for each thing that a check does not cover.
    pub fn unchecked_sentences(&self) -> impl Iterator<Item = String> {
        self.unchecked.iter().map(|what| format!("Not checked: {what}."))
    }

    /// Translates a path inside the sandbox to the path outside. Returns the directive that hides it, if there is one.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, &str> {
        let depth = |destination: &Path| destination.components().count();
        let bound = self.bind_mounts.iter().filter(|(destination, _)| path.starts_with(destination));
        let bound = bound.max_by_key(|(destination, _)| depth(destination));
        let hidden = self.hidden_paths.iter().filter(|(destination, _)| path.starts_with(destination));
        let hidden = hidden.max_by_key(|(destination, _)| depth(destination));
        match (bound, hidden) {
            (Some((destination, source)), hidden)
                if hidden.is_none_or(|(hidden, _)| depth(destination) >= depth(hidden)) =>
            {
                Ok(path.strip_prefix(destination).map_or(path.to_path_buf(), |rest| source.join(rest)))
            }
            (_, Some((_, directive))) => Err(directive),
            (_, None) => Ok(path.to_path_buf()),
        }
    }
}

impl std::fmt::Display for ServiceUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = |kind: &str, first: &str, second: &str| {
            f.write_str(kind)?;
            for word in [first, second] {
                f.write_char(SEPARATOR)?;
                f.write_str(&word.replace(['\n', SEPARATOR], " "))?;
            }
            f.write_char('\n')
        };
        line("unit", &self.name, "")?;
        self.addresses.iter().try_for_each(|(address, unit)| line("address", address, unit))?;
        self.socket_names.iter().try_for_each(|name| line("name", name, ""))?;
        self.hidden_paths
            .iter()
            .try_for_each(|(path, directive)| line("hidden", &path.to_string_lossy(), directive))?;
        let mut bind = |(destination, source): &(PathBuf, PathBuf)| {
            line("bound", &destination.to_string_lossy(), &source.to_string_lossy())
        };
        self.bind_mounts.iter().try_for_each(&mut bind)?;
        if let Some(time) = self.kill_after {
            line("kill-after", &time.as_secs().to_string(), "")?;
        }
        if self.logs_to_journal {
            line("journal", "", "")?;
        }
        self.warnings.iter().try_for_each(|warning| line("warning", warning, ""))?;
        self.certificates.lines.iter().try_for_each(|text| line("certificate", text, ""))?;
        self.certificates.warnings.iter().try_for_each(|warning| line("certificate-warning", warning, ""))?;
        self.unchecked.iter().try_for_each(|what| line("unchecked", what, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> ServiceUnit {
        let path = PathBuf::from;
        ServiceUnit {
            name: "otus-httpd.service".into(),
            addresses: vec![("[::]:80".into(), "otus-httpd.socket".into())],
            socket_names: vec!["http".into()],
            hidden_paths: vec![(path("/home"), "ProtectHome=yes".into()), (path("/tmp"), "PrivateTmp=yes".into())],
            bind_mounts: vec![(path("/home/web"), path("/srv/web")), (path("/data"), path("/mnt"))],
            kill_after: Some(Duration::from_secs(45)),
            logs_to_journal: true,
            warnings: vec!["A warning.".into()],
            unchecked: vec![],
            certificates: Certificates {
                lines: vec!["certificate a: b".into(), "certificate c: d".into()],
                warnings: vec!["Certificate a: it expired.".into()],
            },
        }
    }

    #[test]
    fn a_unit_is_passed_unchanged() {
        assert_eq!(ServiceUnit::parse(&service().to_string()), service());
    }

    #[test]
    fn paths_are_resolved_through_bind_mounts_unless_they_are_hidden() {
        let service = service();
        for (path, expected) in [
            ("/var/www", Ok("/var/www")),
            ("/home/a", Err("ProtectHome=yes")),
            ("/homes", Ok("/homes")),
            ("/tmp", Err("PrivateTmp=yes")),
            ("/home/web", Ok("/srv/web")),
            ("/home/web/site", Ok("/srv/web/site")),
            ("/data/a", Ok("/mnt/a")),
        ] {
            assert_eq!(service.resolve(Path::new(path)), expected.map(PathBuf::from), "{path}");
        }
    }
}
