//! Reads a unit from systemd, and replaces this process by a check with the environment, the arguments and the user of the
//! service.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Group, User, geteuid, getgrouplist, setgid, setgroups, setuid};

use super::certificates;
use super::properties::{self, Properties};
use crate::config::file::SettingsFile;
use crate::config::unit::{self, ServiceUnit};
use crate::config::{KEYS_SOCKET, PACKAGED_CERTIFICATES};
use crate::failure::Failure;
use crate::listeners::Purpose;

/// A service unit as systemd has loaded it.
#[derive(Debug)]
pub struct LoadedUnit {
    properties: Properties,
    service: ServiceUnit,
}

impl LoadedUnit {
    /// Reads the unit `name` from systemd; None if there is none.
    pub fn find(name: &str) -> Result<Option<Self>, Failure> {
        let properties = Properties::of(name)?;
        if !matches!(properties.get("LoadState"), "loaded" | "masked") {
            return Ok(None);
        }
        let mut service = ServiceUnit { name: name.into(), ..ServiceUnit::default() };
        service.logs_to_journal = logs_to_journal(&properties);
        service.kill_after = properties::time_span(properties.get("TimeoutStopUSec"));
        read_sandbox(&properties, &mut service);
        read_sockets(&properties, &mut service)?;
        if properties.get("NeedDaemonReload") == "yes" {
            service.warnings.push(format!("{name} was changed after systemd loaded it: run systemctl daemon-reload."));
        }
        if properties.get("LoadState") == "masked" {
            service.warnings.push(format!("{name} is masked: run systemctl unmask {name}."));
        }
        Ok(Some(LoadedUnit { properties, service }))
    }

    /// Replaces this process by the check. Returns only on failure.
    pub fn check(mut self) -> Failure {
        let environment = match self.environment() {
            Ok(environment) => environment,
            Err(failure) => return failure,
        };
        // As root, whom the key process accepts.
        let has_tls = self.service.socket_names.iter().any(|name| Purpose::of(name).is_tls());
        if let (true, Some(socket)) = (has_tls, environment.get(KEYS_SOCKET)) {
            let directory = environment.get("OTUS_CERTIFICATES").map_or(PACKAGED_CERTIFICATES, String::as_str);
            self.service.certificates = certificates::find(Some(Path::new(socket)), Path::new(directory));
        }
        self.apply_limits();
        if let Err(failure) = self.switch_user() {
            return failure;
        }
        let arguments = properties::arguments(self.properties.get("ExecStart"));
        if arguments.iter().any(|argument| argument.contains('$')) {
            self.service.unchecked.push("variables in ExecStart=, which are not expanded".into());
        }
        // /proc/self/exe: the service's user may lack access to the path of this program.
        let mut command = Command::new("/proc/self/exe");
        let kept = ["PATH", "TERM", "LANG", "LC_ALL"].map(|name| (name, std::env::var_os(name)));
        command.env_clear().envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.envs(environment).env(unit::VARIABLE, self.service.to_string());
        let error = command.arg0("otus-httpd").args(arguments).arg("--check").exec();
        Failure::new(format!("{} cannot be checked ({error}): see systemctl cat {0}.", self.service.name))
    }

    /// Returns the variables that systemd sets: those of a file take precedence over Environment=.
    fn environment(&self) -> Result<BTreeMap<String, String>, Failure> {
        let words = properties::words(self.properties.get("Environment"));
        let mut environment: BTreeMap<String, String> = words.iter().filter_map(|word| pair(word)).collect();
        // systemd 229 has the name EnvironmentFile.
        for line in self.properties.all("EnvironmentFiles").chain(self.properties.all("EnvironmentFile")) {
            let path = line.rsplit_once(" (").map_or(line, |(path, _)| path);
            let optional = if line.ends_with("(ignore_errors=yes)") { "-" } else { "" };
            let file = SettingsFile::read(Path::new(&format!("{optional}{path}")));
            environment.extend(file.settings.iter().map(|setting| (setting.name.clone(), setting.value.clone())));
            if let Some(problem) = file.into_read_error() {
                return Err(problem);
            }
        }
        Ok(environment)
    }

    /// Sets the limits of the service, with which the check compares the settings.
    fn apply_limits(&self) {
        for (name, resource) in [("LimitNOFILE", Resource::RLIMIT_NOFILE), ("LimitNPROC", Resource::RLIMIT_NPROC)] {
            if let Ok(limit) = self.properties.get(name).parse() {
                // A limit that cannot be set here cannot be set for the service either.
                let _ = setrlimit(resource, limit, limit);
            }
        }
    }

    /// Switches to the service's user and groups. Only root can do that.
    fn switch_user(&mut self) -> Result<(), Failure> {
        let (name, unit) = (self.properties.get("User"), &self.service.name);
        if name.is_empty() || name == "root" || self.properties.get("DynamicUser") == "yes" {
            if !name.is_empty() && name != "root" {
                self.service
                    .unchecked
                    .push("file permissions of its user, which systemd creates at the start (DynamicUser=)".into());
            }
            return Ok(());
        }
        if !geteuid().is_root() {
            self.service.unchecked.push(format!("file permissions of its user {name}, which only root can check"));
            return Ok(());
        }
        let user = match name.parse() {
            Ok(uid) => User::from_uid(u32::into(uid)),
            Err(_) => User::from_name(name),
        };
        let Ok(Some(user)) = user else {
            return Err(Failure::new(format!(
                "The user \"{name}\" of {unit} (User=) does not exist: create it, or set another with systemctl edit {unit}."
            )));
        };
        let group = |name: &str| match (name.parse().map(Gid::from_raw), Group::from_name(name)) {
            (Ok(gid), _) => Ok(gid),
            (_, Ok(Some(group))) => Ok(group.gid),
            _ => Err(Failure::new(format!(
                "The group \"{name}\" of {unit} does not exist: create it, or set another with systemctl edit {unit}."
            ))),
        };
        let own = Some(self.properties.get("Group")).filter(|name| !name.is_empty());
        let own = own.map(group).transpose()?.unwrap_or(user.gid);
        let name = std::ffi::CString::new(user.name.as_str()).unwrap_or_default();
        let mut groups = getgrouplist(&name, own).unwrap_or_else(|_| vec![own]);
        for further in properties::words(self.properties.get("SupplementaryGroups")) {
            groups.push(group(&further)?);
        }
        let result = setgroups(&groups).and_then(|()| setgid(own)).and_then(|()| setuid(user.uid));
        result.map_err(|errno| Failure::new(format!("Cannot switch to the user {} ({}).", user.name, errno.desc())))
    }
}

fn pair(word: &str) -> Option<(String, String)> {
    word.split_once('=').map(|(name, value)| (name.into(), value.into()))
}

/// Whether the journal reads the standard error of the service.
fn logs_to_journal(properties: &Properties) -> bool {
    let output = match properties.get("StandardError") {
        "inherit" => properties.get("StandardOutput"),
        output => output,
    };
    ["journal", "syslog", "kmsg"].iter().any(|kind| output.starts_with(kind))
}

/// Reads the sandboxing directives that hide or bind-mount directories.
fn read_sandbox(properties: &Properties, service: &mut ServiceUnit) {
    let mut hide = |directive: &str, paths: &[&str]| {
        let directive = format!("{directive}={}", properties.get(directive));
        service.hidden_paths.extend(paths.iter().map(|path| (PathBuf::from(path), directive.clone())));
    };
    if matches!(properties.get("ProtectHome"), "yes" | "tmpfs") {
        hide("ProtectHome", &["/home", "/root", "/run/user"]);
    }
    if !matches!(properties.get("PrivateTmp"), "" | "no") {
        hide("PrivateTmp", &["/tmp", "/var/tmp"]);
    }
    for directive in ["InaccessiblePaths", "InaccessibleDirectories", "TemporaryFileSystem"] {
        for word in properties::words(properties.get(directive)) {
            let path = word.trim_start_matches(['-', '+']).split(':').next().unwrap_or_default();
            service.hidden_paths.push((path.into(), format!("{directive}={word}")));
        }
    }
    for directive in ["BindPaths", "BindReadOnlyPaths"] {
        for word in properties::words(properties.get(directive)) {
            let mut parts = word.trim_start_matches(['-', '+']).split(':');
            let source = parts.next().unwrap_or_default();
            let destination = parts.next().filter(|destination| !destination.is_empty()).unwrap_or(source);
            service.bind_mounts.push((destination.into(), source.into()));
        }
    }
    for directive in ["RootDirectory", "RootImage"] {
        if !properties.get(directive).is_empty() {
            service.unchecked.push(format!("files beneath its {directive}={}", properties.get(directive)));
        }
    }
}

/// Reads the addresses and names of its socket units, and whether these are active.
fn read_sockets(properties: &Properties, service: &mut ServiceUnit) -> Result<(), Failure> {
    let mut closed = BTreeMap::<String, Vec<&str>>::new();
    let units = properties::words(properties.get("TriggeredBy"));
    for unit in units.iter().filter(|unit| unit.ends_with(".socket")) {
        let socket = Properties::of(unit)?;
        let is_open = socket.get("ActiveState") == "active";
        let name = socket.get("FileDescriptorName");
        let is_optional = name == "metrics" || Purpose::of(name).is_tls();
        if !is_open && is_optional && socket.get("UnitFileState") != "enabled" {
            continue;
        }
        service.addresses.extend(properties::addresses(&socket).map(|address| (address, unit.clone())));
        service.socket_names.push(name.to_string());
        if !is_open {
            // A socket is not started beside its running service; a restart of the service starts those that it wants.
            let is_wanted = properties::words(socket.get("WantedBy")).contains(&service.name);
            let remedy = match (is_wanted, is_optional) {
                (true, _) => format!("restart {}", service.name),
                // A package before this one has enabled it without that.
                (false, true) => format!("enable {unit}, then systemctl restart {}", service.name),
                (false, false) => format!("start {unit}"),
            };
            closed.entry(remedy).or_default().push(unit);
        }
        if socket.get("NeedDaemonReload") == "yes" {
            service.warnings.push(format!("{unit} was changed after systemd loaded it: run systemctl daemon-reload."));
        }
    }
    for (remedy, closed) in closed {
        let closed = closed.join(" ");
        service
            .warnings
            .push(format!("{closed} is not active, so that no client can connect: run systemctl {remedy}."));
    }
    Ok(())
}
