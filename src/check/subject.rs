//! The subject of a check: the server that this command line would start, or a systemd service.

use std::path::Path;

use super::LoadedUnit;
use crate::config::CommandLine;
use crate::failure::Failure;
use crate::{config::unit, log};

/// This directory exists if systemd is the init system (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// The service in the package.
const UNIT: &str = "otus-httpd.service";

/// Directories in which packages and administrators place units.
const UNIT_DIRECTORIES: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// The subject of a check.
#[derive(Debug)]
pub enum Subject {
    /// The server that this command line would start. The sentence, if any, says what is not checked.
    CommandLine(Option<String>),
    /// A systemd service.
    Unit(Box<LoadedUnit>),
}

impl Subject {
    /// Chooses the subject: the unit that `--unit` names; otherwise the packaged service, if root gives no other option;
    /// otherwise the command line.
    pub fn of(command_line: &CommandLine) -> Result<Self, Failure> {
        let has_options = command_line.effective.iter().any(|row| row.is_set());
        if let Some(name) = &command_line.unit {
            return named(name, has_options);
        }
        if !is_at_prompt() {
            return Ok(Subject::CommandLine(None));
        }
        let is_root = nix::unistd::geteuid().is_root();
        let is_installed = UNIT_DIRECTORIES.iter().any(|directory| Path::new(directory).join(UNIT).exists());
        if has_options || !is_root || !is_installed {
            let hint = format!(
                "This check is of a server with this command line. To check {UNIT}, run otus-httpd --check as root, without other options."
            );
            return Ok(Subject::CommandLine(is_installed.then_some(hint)));
        }
        if !Path::new(BOOTED).exists() {
            let hint = format!(
                "This check is of a server that is started by hand: systemd is not running, so {UNIT} was not checked."
            );
            return Ok(Subject::CommandLine(Some(hint)));
        }
        match LoadedUnit::find(UNIT)? {
            Some(unit) => Ok(Subject::Unit(Box::new(unit))),
            None => {
                Ok(Subject::CommandLine(Some(format!("systemd has not loaded {UNIT}: run systemctl daemon-reload."))))
            }
        }
    }
}

/// Returns whether the check was started at a prompt, and not by a service or by a server before a reload.
fn is_at_prompt() -> bool {
    let is_set = |name| std::env::var_os(name).is_some();
    !(is_set(unit::RELOAD_VARIABLE) || is_set(unit::VARIABLE) || log::is_journal(std::io::stderr()))
}

/// Returns the subject for `--unit`.
fn named(name: &str, has_options: bool) -> Result<Subject, Failure> {
    if has_options {
        return Err(Failure::usage(
            "--unit takes all settings from the unit: omit all other options, and unset all variables OTUS_*.",
        ));
    }
    let stem = [".service", ".socket"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    let unit = format!("{stem}.service");
    match LoadedUnit::find(&unit)? {
        Some(unit) => Ok(Subject::Unit(Box::new(unit))),
        None => Err(Failure::new(format!("systemd has no unit {unit}: see systemctl list-units 'otus-httpd*'."))),
    }
}
