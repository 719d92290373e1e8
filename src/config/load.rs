//! Reads the settings. The command line takes precedence over the environment, and the environment over the settings
//! file.

use std::error::Error;
use std::ffi::OsStr;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use strsim::osa_distance;

use super::{CommandLine, Effective, INSTANCE, KEYS_SOCKET, effective};
use crate::config::file::{Setting, SettingsFile};
use crate::failure::Failure;

/// The prefix of the variables of all settings.
const PREFIX: &str = "OTUS_";

/// Reads the command line, the environment and the settings file. `--help` and `--version` print and exit. An invalid
/// setting is an error of one sentence. With `--check`, all problems of the settings file are collected.
pub fn read() -> Result<CommandLine, Failure> {
    let command = CommandLine::command();
    let mut matches = match command.clone().try_get_matches() {
        Err(error) if !error.use_stderr() => error.exit(),
        result => result.map_err(|error| Failure::new(sentence(&error)))?,
    };
    // Subcommands have no settings.
    let path = matches.get_one::<PathBuf>("settings").filter(|_| matches.subcommand().is_none());
    let mut file = path.map(|path| SettingsFile::read(path)).unwrap_or_default();
    let mut warnings = unknown_variables(&command);
    for Setting { name, line, .. } in file.settings.iter().filter(|setting| argument(&command, &setting.name).is_none())
    {
        warnings.push(unknown_setting(&command, name, &format!("{} line {line}", file.path.display())));
    }
    if !file.settings.is_empty() {
        matches = read_with(&mut file, &command)?;
    }
    let command_line = CommandLine::from_arg_matches(&matches).map_err(|error| Failure::new(sentence(&error)))?;
    let effective = effective::settings(&command, &matches, &file);
    file.problems.sort_by_key(|(line, _)| *line);
    let mut problems: Vec<_> = file.problems.into_iter().map(|(_, problem)| problem).collect();
    problems.extend(root_and_sites(&effective));
    if !command_line.check && !problems.is_empty() {
        return Err(problems.remove(0));
    }
    let mut command_line = CommandLine { warnings, problems, effective, ..command_line };
    command_line.ignore_unused_user();
    command_line.use_packaged_certificates();
    Ok(command_line)
}

/// Parses again, with the values of the file as defaults. An invalid value is recorded as a problem of the file and
/// omitted.
fn read_with(file: &mut SettingsFile, command: &Command) -> Result<ArgMatches, Failure> {
    loop {
        let with_defaults = file.settings.iter().fold(command.clone(), |command, Setting { name, value, .. }| {
            match argument(&command, name).map(|argument| argument.get_id().clone()) {
                Some(id) => command.mut_arg(id, |argument| argument.default_value(value.clone())),
                None => command,
            }
        });
        let error = match with_defaults.try_get_matches() {
            Ok(matches) => return Ok(matches),
            Err(error) => error,
        };
        // Parsing succeeded without the file, so a line of the file is the cause: the last one with this name.
        let name = argument_of(&error, command).and_then(|argument| argument.get_env()).unwrap_or_default();
        let Some(at) = file.settings.iter().rposition(|setting| *setting.name == *name) else {
            return Err(Failure::new(sentence(&error)));
        };
        let Setting { name, line, .. } = file.settings.remove(at);
        file.settings.retain(|setting| setting.name != name);
        let value = error.get(ContextKind::InvalidValue).map(ToString::to_string).unwrap_or_default();
        let rule = rule(&error).unwrap_or("give a value".into());
        file.add_problem(line, format_args!("{name} cannot be \"{value}\": {rule}"));
    }
}

/// Returns that both --root and --sites are set, if they are.
fn root_and_sites(effective: &[Effective]) -> Option<Failure> {
    let set = |name| effective.iter().find(|row| row.option == name && row.is_set());
    let (root, sites) = set("--root").zip(set("--sites"))?;
    Some(Failure::new(format!(
        "--root ({}) and --sites ({}) exclude each other: remove one of them.",
        root.origin, sites.origin
    )))
}

/// Returns the argument that the variable `name` sets. The path of the settings file cannot be set in that file.
fn argument<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let mut settings = command.get_arguments().filter(|argument| argument.get_id() != "settings");
    settings.find(|argument| argument.get_env().is_some_and(|variable| variable == name))
}

/// Returns the argument that causes an error.
fn argument_of<'a>(error: &clap::Error, command: &'a Command) -> Option<&'a Arg> {
    let option = error.get(ContextKind::InvalidArg)?.to_string();
    let long = option.split(' ').next()?.strip_prefix("--")?;
    command.get_arguments().find(|argument| argument.get_long() == Some(long))
}

/// Returns a warning for each variable OTUS_* of the environment that is not a setting.
fn unknown_variables(command: &Command) -> Vec<String> {
    let is_setting = |name: &OsStr| command.get_arguments().any(|argument| argument.get_env() == Some(name));
    let is_known = |name: &OsStr| [INSTANCE, KEYS_SOCKET].iter().any(|known| name == *known) || is_setting(name);
    let names = std::env::vars_os().map(|(name, _)| name);
    let unknown = names.filter(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) && !is_known(name));
    unknown.map(|name| unknown_setting(command, &name.to_string_lossy(), "the environment")).collect()
}

fn unknown_setting(command: &Command, name: &str, source: &str) -> String {
    match similar(command, name) {
        Some(other) => format!("{name} in {source} is not a setting of otus-httpd; did you mean {other}?"),
        None => format!("{name} in {source} is not a setting of otus-httpd; see otus-httpd(5) for the list."),
    }
}

/// Returns the variable whose name differs from `name` by a typing error or two, if there is one.
fn similar(command: &Command, name: &str) -> Option<String> {
    let name = name.strip_prefix(PREFIX)?;
    let variables = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    let edits = variables.map(|variable| (osa_distance(name, variable.trim_start_matches(PREFIX)), variable));
    // The path of the settings file cannot be set in that file: it is a setting, in the wrong place.
    let (edits, variable) = edits.filter(|(edits, _)| *edits > 0).min()?;
    // One in three characters may be wrong: OTUS_FOO is not OTUS_ROOT.
    (edits * 3 <= name.chars().count()).then(|| variable.to_string())
}

/// Returns the rule that an invalid value violates, such as "give a number from 1 to 1024".
fn rule(error: &clap::Error) -> Option<String> {
    match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::ValueValidation, _) => error.source().map(ToString::to_string),
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(values))) => {
            let (last, others) = values.split_last()?;
            Some(format!("give {} or {last}", others.join(", ")))
        }
        _ => None,
    }
}

/// Returns clap's error as one sentence. Otherwise each of its lines would be a record in the journal.
pub(super) fn sentence(error: &clap::Error) -> String {
    let text = |kind| error.get(kind).map(ToString::to_string);
    if let (Some(option), Some(value), Some(rule)) =
        (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue), rule(error))
    {
        let option = option.split(' ').next().unwrap_or_default();
        let command = CommandLine::command();
        let variable =
            argument_of(error, &command).and_then(|argument| argument.get_env()).unwrap_or_default().display();
        return format!("{option} ({variable} in the environment) cannot be \"{value}\": {rule}.");
    }
    if let (ErrorKind::MissingRequiredArgument, Some(name)) = (error.kind(), text(ContextKind::InvalidArg)) {
        return format!("{name} is missing; see otus-httpd --help.");
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "enable, import, status or disable is missing after https; see otus-httpd https --help.".into();
    }
    let rendered = error.to_string();
    let first = rendered.lines().next().unwrap_or_default().trim_start_matches("error: ");
    match text(ContextKind::SuggestedArg) {
        Some(option) => format!("{first}; did you mean {option}?"),
        None => format!("{first}; see otus-httpd --help."),
    }
}
