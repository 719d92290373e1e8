//! What a check is of: of the server that this command line would start, or of a service of systemd.

use std::path::Path;

use super::Unit;
use crate::config::CommandLine;
use crate::failure::Failure;
use crate::{config::service, log};

/// sd_booted(3): there if systemd runs the machine.
const BOOTED: &str = "/run/systemd/system";

/// The service of the package.
const UNIT: &str = "otus-httpd.service";

/// Where packages and administrators put units.
const PLACES: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// What is checked.
#[derive(Debug)]
pub enum Subject {
    /// What this process would do as a server; and a sentence on what that does not tell, if there is anything.
    Own(Option<String>),
    /// What that service would.
    Unit(Box<Unit>),
}

impl Subject {
    /// What a check with that command line is of: of the unit that it names; else of the package's service, if root says
    /// nothing else; else of this process.
    pub fn of(command_line: &CommandLine) -> Result<Self, Failure> {
        let has_options = command_line.effective.iter().any(|row| row.is_set());
        if let Some(name) = &command_line.unit {
            return named(name, has_options);
        }
        if !is_by_hand() {
            return Ok(Subject::Own(None));
        }
        let is_root = nix::unistd::geteuid().is_root();
        let is_installed = PLACES.iter().any(|place| Path::new(place).join(UNIT).exists());
        if has_options || !is_root || !is_installed {
            let hint = format!(
                "This is what a server with this command line does. What {UNIT} does: otus-httpd --check, as root and alone."
            );
            return Ok(Subject::Own(is_installed.then_some(hint)));
        }
        if !Path::new(BOOTED).exists() {
            let hint = format!(
                "This is what a server started by hand does: systemd does not run here, so {UNIT} was not looked at."
            );
            return Ok(Subject::Own(Some(hint)));
        }
        match Unit::find(UNIT)? {
            Some(unit) => Ok(Subject::Unit(Box::new(unit))),
            None => Ok(Subject::Own(Some(format!("systemd knows no {UNIT}: run systemctl daemon-reload.")))),
        }
    }
}

/// Whether somebody asks at a prompt, rather than a server or a service about itself.
fn is_by_hand() -> bool {
    let is_set = |name| std::env::var_os(name).is_some();
    !(is_set(service::OWN) || is_set(service::VARIABLE) || log::is_journal(std::io::stderr()))
}

fn named(name: &str, has_options: bool) -> Result<Subject, Failure> {
    if has_options {
        return Err(Failure::usage(
            "--unit takes all settings from the unit: leave out the other options, and the variables OTUS_*.",
        ));
    }
    let stem = [".service", ".socket"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    let unit = format!("{stem}.service");
    match Unit::find(&unit)? {
        Some(unit) => Ok(Subject::Unit(Box::new(unit))),
        None => Err(Failure::new(format!("systemd knows no unit {unit}: see systemctl list-units 'otus-httpd*'."))),
    }
}
