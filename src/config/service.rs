//! The service of systemd that a check by hand is of: what its units say and what this process cannot find out by itself. Whoever
//! has read the units ([`check::unit`](crate::check::unit)) leaves it to the check, which runs as the service's user, in a variable
//! of the environment.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The variable that has it.
pub const VARIABLE: &str = "_OTUS_SERVICE";

/// Set for a check that a server makes before it reloads: that is of its own settings, whatever units there are.
pub const OWN: &str = "_OTUS_RELOAD";

/// What the units of a service say.
#[derive(Debug, Default, PartialEq)]
pub struct Service {
    /// The service's unit.
    pub unit: String,
    /// Addresses that its sockets listen on, each with the unit that says so.
    pub addresses: Vec<(String, String)>,
    /// Directories that its sandbox hides, each with the directive that does.
    pub hidden: Vec<(PathBuf, String)>,
    /// Directories that its sandbox shows at another place, or in a hidden one: where, and what.
    pub bound: Vec<(PathBuf, PathBuf)>,
    /// Whether the journal reads its messages.
    pub is_in_journal: bool,
    /// What the admin may not expect.
    pub warnings: Vec<String>,
    /// What a check cannot see of it.
    pub unseen: Vec<String>,
}

/// What separates the words of a line; no unit can have it in a path.
const SEPARATOR: char = '\t';

impl Service {
    /// The one that this process is to check.
    pub fn checked() -> Option<Service> {
        std::env::var(VARIABLE).ok().map(|text| Service::parse(&text))
    }

    /// Reads what `to_string` wrote.
    fn parse(text: &str) -> Service {
        let mut service = Service::default();
        for line in text.lines() {
            let mut words = line.split(SEPARATOR);
            let (kind, first) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_string());
            let second = words.next().unwrap_or_default().to_string();
            match kind {
                "unit" => service.unit = first,
                "address" => service.addresses.push((first, second)),
                "hidden" => service.hidden.push((first.into(), second)),
                "bound" => service.bound.push((first.into(), second.into())),
                "journal" => service.is_in_journal = true,
                "warning" => service.warnings.push(first),
                "unseen" => service.unseen.push(first),
                _ => {}
            }
        }
        service
    }

    /// What a check cannot see, a sentence each.
    pub fn sentences(&self) -> impl Iterator<Item = String> {
        self.unseen.iter().map(|what| format!("Not checked: {what}."))
    }

    /// Where the service finds what is at `path` for it, or the directive that hides it.
    pub fn locate(&self, path: &Path) -> Result<PathBuf, &str> {
        let depth = |place: &Path| place.components().count();
        let bound = self.bound.iter().filter(|(place, _)| path.starts_with(place));
        let bound = bound.max_by_key(|(place, _)| depth(place));
        let hidden = self.hidden.iter().filter(|(place, _)| path.starts_with(place));
        let hidden = hidden.max_by_key(|(place, _)| depth(place));
        match (bound, hidden) {
            (Some((place, source)), hidden) if hidden.is_none_or(|(hidden, _)| depth(place) >= depth(hidden)) => {
                Ok(path.strip_prefix(place).map_or(path.to_path_buf(), |rest| source.join(rest)))
            }
            (_, Some((_, directive))) => Err(directive),
            (_, None) => Ok(path.to_path_buf()),
        }
    }
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = |kind: &str, first: &str, second: &str| {
            f.write_str(kind)?;
            for word in [first, second] {
                f.write_char(SEPARATOR)?;
                f.write_str(&word.replace(['\n', SEPARATOR], " "))?;
            }
            f.write_char('\n')
        };
        line("unit", &self.unit, "")?;
        self.addresses.iter().try_for_each(|(address, unit)| line("address", address, unit))?;
        self.hidden.iter().try_for_each(|(path, directive)| line("hidden", &path.to_string_lossy(), directive))?;
        let mut bind =
            |(place, source): &(PathBuf, PathBuf)| line("bound", &place.to_string_lossy(), &source.to_string_lossy());
        self.bound.iter().try_for_each(&mut bind)?;
        if self.is_in_journal {
            line("journal", "", "")?;
        }
        self.warnings.iter().try_for_each(|warning| line("warning", warning, ""))?;
        self.unseen.iter().try_for_each(|what| line("unseen", what, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        let path = PathBuf::from;
        Service {
            unit: "otus-httpd.service".into(),
            addresses: vec![("[::]:80".into(), "otus-httpd.socket".into())],
            hidden: vec![(path("/home"), "ProtectHome=yes".into()), (path("/tmp"), "PrivateTmp=yes".into())],
            bound: vec![(path("/home/web"), path("/srv/web")), (path("/data"), path("/mnt"))],
            is_in_journal: true,
            warnings: vec!["It is so.".into()],
            unseen: vec![],
        }
    }

    #[test]
    fn it_is_left_as_it_is() {
        assert_eq!(Service::parse(&service().to_string()), service());
    }

    #[test]
    fn what_the_sandbox_shows_and_hides() {
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
            assert_eq!(service.locate(Path::new(path)), expected.map(PathBuf::from), "{path}");
        }
    }
}
