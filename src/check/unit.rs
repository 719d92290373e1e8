//! Reads what systemd would start, and becomes a check of that: with the environment, the arguments and the user of the service.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Group, User, geteuid, getgrouplist, setgid, setgroups, setuid};

use super::show::{self, Properties};
use crate::config::file::SettingsFile;
use crate::config::service::{self, Service};
use crate::failure::Failure;

/// A service as systemd has read it.
#[derive(Debug)]
pub struct Unit {
    properties: Properties,
    service: Service,
}

impl Unit {
    /// The unit `name`, if there is one.
    pub fn find(name: &str) -> Result<Option<Self>, Failure> {
        let properties = Properties::of(name)?;
        if !matches!(properties.get("LoadState"), "loaded" | "masked") {
            return Ok(None);
        }
        let mut service = Service { unit: name.into(), ..Service::default() };
        service.is_in_journal = is_in_journal(&properties);
        read_sandbox(&properties, &mut service);
        read_sockets(&properties, &mut service)?;
        if properties.get("NeedDaemonReload") == "yes" {
            service.warnings.push(format!("systemd has not yet read a change of {name}: run systemctl daemon-reload."));
        }
        if properties.get("LoadState") == "masked" {
            service.warnings.push(format!("{name} is masked: run systemctl unmask {name}."));
        }
        Ok(Some(Unit { properties, service }))
    }

    /// Becomes the check. Returns only if that fails.
    pub fn check(mut self) -> Failure {
        let environment = match self.environment() {
            Ok(environment) => environment,
            Err(failure) => return failure,
        };
        self.take_limits();
        if let Err(failure) = self.take_identity() {
            return failure;
        }
        let arguments = show::arguments(self.properties.get("ExecStart"));
        if arguments.iter().any(|argument| argument.contains('$')) {
            self.service.unseen.push("the variables in ExecStart=, which are taken as they stand".into());
        }
        // By way of the kernel: the service's user may not be able to find the file that this process was started from.
        let mut command = Command::new("/proc/self/exe");
        let kept = ["PATH", "TERM", "LANG", "LC_ALL"].map(|name| (name, std::env::var_os(name)));
        command.env_clear().envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.envs(environment).env(service::VARIABLE, self.service.to_string());
        let error = command.arg0("otus-httpd").args(arguments).arg("--check").exec();
        Failure::new(format!(
            "Cannot check {} ({error}): run systemctl cat {0} to see what it says.",
            self.service.unit
        ))
    }

    /// What systemd sets, in its order: a file counts before Environment=.
    fn environment(&self) -> Result<BTreeMap<String, String>, Failure> {
        let words = show::words(self.properties.get("Environment"));
        let mut environment: BTreeMap<String, String> = words.iter().filter_map(|word| pair(word)).collect();
        // The latter is what systemd 229 calls it.
        for line in self.properties.all("EnvironmentFiles").chain(self.properties.all("EnvironmentFile")) {
            let path = line.rsplit_once(" (").map_or(line, |(path, _)| path);
            let optional = if line.ends_with("(ignore_errors=yes)") { "-" } else { "" };
            let file = SettingsFile::read(Path::new(&format!("{optional}{path}")));
            environment.extend(file.settings.iter().map(|setting| (setting.name.clone(), setting.value.clone())));
            if let Some(problem) = file.whole_problem() {
                return Err(problem);
            }
        }
        Ok(environment)
    }

    /// Takes the limits that the check compares the settings with.
    fn take_limits(&self) {
        for (name, resource) in [("LimitNOFILE", Resource::RLIMIT_NOFILE), ("LimitNPROC", Resource::RLIMIT_NPROC)] {
            if let Ok(limit) = self.properties.get(name).parse() {
                // Where it cannot be that high, it could not be for the service.
                let _ = setrlimit(resource, limit, limit);
            }
        }
    }

    /// Becomes the service's user, with its groups. Only root can.
    fn take_identity(&mut self) -> Result<(), Failure> {
        let (name, unit) = (self.properties.get("User"), &self.service.unit);
        if name.is_empty() || name == "root" || self.properties.get("DynamicUser") == "yes" {
            if !name.is_empty() && name != "root" {
                self.service
                    .unseen
                    .push("what its user may read, which DynamicUser= makes when the service starts".into());
            }
            return Ok(());
        }
        if !geteuid().is_root() {
            self.service.unseen.push(format!("what its user {name} may read: only root can check that"));
            return Ok(());
        }
        let user = match name.parse() {
            Ok(uid) => User::from_uid(u32::into(uid)),
            Err(_) => User::from_name(name),
        };
        let Ok(Some(user)) = user else {
            return Err(Failure::new(format!(
                "There is no user \"{name}\", which {unit} is to run as (User=): make it, or name another by systemctl edit {unit}."
            )));
        };
        let group = |name: &str| match (name.parse().map(Gid::from_raw), Group::from_name(name)) {
            (Ok(gid), _) => Ok(gid),
            (_, Ok(Some(group))) => Ok(group.gid),
            _ => Err(Failure::new(format!(
                "There is no group \"{name}\", which {unit} is to run with: make it, or name another by systemctl edit {unit}."
            ))),
        };
        let own = Some(self.properties.get("Group")).filter(|name| !name.is_empty());
        let own = own.map(group).transpose()?.unwrap_or(user.gid);
        let name = std::ffi::CString::new(user.name.as_str()).unwrap_or_default();
        let mut groups = getgrouplist(&name, own).unwrap_or_else(|_| vec![own]);
        for further in show::words(self.properties.get("SupplementaryGroups")) {
            groups.push(group(&further)?);
        }
        let result = setgroups(&groups).and_then(|()| setgid(own)).and_then(|()| setuid(user.uid));
        result.map_err(|errno| Failure::new(format!("Cannot become the user {} ({}).", user.name, errno.desc())))
    }
}

fn pair(word: &str) -> Option<(String, String)> {
    word.split_once('=').map(|(name, value)| (name.into(), value.into()))
}

fn is_in_journal(properties: &Properties) -> bool {
    let output = match properties.get("StandardError") {
        "inherit" => properties.get("StandardOutput"),
        output => output,
    };
    ["journal", "syslog", "kmsg"].iter().any(|kind| output.starts_with(kind))
}

/// What its sandbox does with directories that could hold a site.
fn read_sandbox(properties: &Properties, service: &mut Service) {
    let mut hide = |directive: &str, places: &[&str]| {
        let directive = format!("{directive}={}", properties.get(directive));
        service.hidden.extend(places.iter().map(|place| (PathBuf::from(place), directive.clone())));
    };
    if matches!(properties.get("ProtectHome"), "yes" | "tmpfs") {
        hide("ProtectHome", &["/home", "/root", "/run/user"]);
    }
    if !matches!(properties.get("PrivateTmp"), "" | "no") {
        hide("PrivateTmp", &["/tmp", "/var/tmp"]);
    }
    for directive in ["InaccessiblePaths", "InaccessibleDirectories", "TemporaryFileSystem"] {
        for word in show::words(properties.get(directive)) {
            let place = word.trim_start_matches(['-', '+']).split(':').next().unwrap_or_default();
            service.hidden.push((place.into(), format!("{directive}={word}")));
        }
    }
    for directive in ["BindPaths", "BindReadOnlyPaths"] {
        for word in show::words(properties.get(directive)) {
            let mut parts = word.trim_start_matches(['-', '+']).split(':');
            let source = parts.next().unwrap_or_default();
            let place = parts.next().filter(|place| !place.is_empty()).unwrap_or(source);
            service.bound.push((place.into(), source.into()));
        }
    }
    for directive in ["RootDirectory", "RootImage"] {
        if !properties.get(directive).is_empty() {
            service.unseen.push(format!("what is beneath its {directive}={}", properties.get(directive)));
        }
    }
}

/// Where its sockets listen, and whether anybody can connect.
fn read_sockets(properties: &Properties, service: &mut Service) -> Result<(), Failure> {
    let mut closed = Vec::new();
    let units = show::words(properties.get("TriggeredBy"));
    for unit in units.iter().filter(|unit| unit.ends_with(".socket")) {
        let socket = Properties::of(unit)?;
        let is_open = socket.get("ActiveState") == "active";
        if !is_open && socket.get("FileDescriptorName") == "metrics" && socket.get("UnitFileState") != "enabled" {
            continue;
        }
        service.addresses.extend(show::addresses(&socket).map(|address| (address, unit.clone())));
        if !is_open {
            closed.push(unit.as_str());
        }
        if socket.get("NeedDaemonReload") == "yes" {
            service.warnings.push(format!("systemd has not yet read a change of {unit}: run systemctl daemon-reload."));
        }
    }
    if !closed.is_empty() {
        let closed = closed.join(" ");
        service
            .warnings
            .push(format!("Nobody can connect to {closed}, which is not active: run systemctl start {closed}."));
    }
    Ok(())
}
