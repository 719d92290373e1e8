//! The settings in effect, for `--check`.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::config::file::SettingsFile;

/// A setting in effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The option, as on a command line.
    pub option: String,
    /// The value, with its unit.
    pub value: String,
    /// The origin: the command line, a variable, or a line of the settings file.
    pub origin: String,
}

/// The origin of a default.
const DEFAULT: &str = "default";

/// The origin of a setting on the command line.
pub(super) const COMMAND_LINE: &str = "command line";

impl Effective {
    /// Returns whether it was set and is not the default.
    pub fn is_set(&self) -> bool {
        self.origin != DEFAULT
    }
}

/// Returns all settings, in the order of the help.
pub(super) fn settings(command: &Command, matches: &ArgMatches, file: &SettingsFile) -> Vec<Effective> {
    let settings = command.get_arguments().filter(|argument| argument.get_env().is_some());
    let settings = settings.map(|argument| Effective {
        option: format!("--{}", argument.get_long().unwrap_or_default()),
        value: value(argument, matches),
        origin: origin(argument, matches, file),
    });
    settings.collect()
}

fn value(argument: &Arg, matches: &ArgMatches) -> String {
    let id = argument.get_id().as_str();
    if !argument.get_action().takes_values() {
        return if matches.get_flag(id) { "yes" } else { "no" }.into();
    }
    let Some(values) = matches.get_raw(id) else { return "none".into() };
    let delimiter = argument.get_value_delimiter().unwrap_or(',').to_string();
    let value = values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(&delimiter);
    match argument.get_value_names().and_then(|names| names.first()).map(|name| name.as_str()) {
        Some("SECONDS") if value.ends_with(|end: char| end.is_ascii_digit()) => value + " seconds",
        Some("BYTES") => match matches.get_one::<usize>(id).map(usize::to_string) {
            Some(bytes) if bytes != value => format!("{value} ({bytes} bytes)"),
            _ => value + " bytes",
        },
        _ => value,
    }
}

fn origin(argument: &Arg, matches: &ArgMatches, file: &SettingsFile) -> String {
    let variable = argument.get_env().unwrap_or_default();
    match matches.value_source(argument.get_id().as_str()) {
        Some(ValueSource::CommandLine) => COMMAND_LINE.into(),
        Some(ValueSource::EnvVariable) => format!("environment ({})", variable.display()),
        _ => match file.setting_of(variable) {
            // The values of the settings file were passed to the parser as defaults.
            Some(setting) if argument.get_id() != "settings" => {
                format!("{}:{} ({})", file.path.display(), setting.line, setting.name)
            }
            _ => DEFAULT.into(),
        },
    }
}
