//! `--check`: all steps of a start except serving. It does not disturb a running server.
//!
//! Run by root at a prompt, it checks the packaged service, whose configuration is in its units. A check that a server
//! runs before a reload, or a service before its start, covers that server only.

pub mod certificates;
mod https;
mod loaded_unit;
pub mod properties;
mod subject;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{User, geteuid};

use crate::access::{self, AccessPolicy, AuthRule};
use crate::client_limit::ClientLimiter;
use crate::config::file::SettingsFile;
use crate::config::unit::{self, Certificates, ServiceUnit};
use crate::config::{self, CommandLine, Effective, Options, ticket_keys};
use crate::failure::Failure;
use crate::os::landlock::Sandbox;
use crate::os::run_as::RunAs;
use crate::{listeners, log, logins, os::rlimit, site};

pub use loaded_unit::LoadedUnit;
pub use subject::Subject;

/// The problems and warnings of a check, apart from those of the settings themselves.
#[derive(Debug, Default)]
pub struct Findings {
    /// Problems that prevent a start or serving.
    pub problems: Vec<Failure>,
    /// Problems that do not prevent a start.
    pub warnings: Vec<String>,
}

/// Prints the settings in effect, the problems of the settings, and the problems that a server with these settings would have.
/// Returns the number of the latter. `scope` is a sentence on what the check does not cover.
pub fn report(command_line: &CommandLine, scope: Option<String>) -> usize {
    let service = ServiceUnit::from_environment();
    let is_passed_sockets = service.as_ref().is_some_and(|service| !service.addresses.is_empty());
    let certificates = certificates(command_line, service.as_ref());
    let Findings { mut problems, mut warnings } = find(&command_line.options, service.as_ref());
    if is_passed_sockets {
        warnings.extend(command_line.unused_address_warnings());
    }
    let known: Vec<_> = command_line.problems.iter().map(ToString::to_string).collect();
    problems.retain(|problem| !known.contains(&problem.to_string()));
    // The table of settings is not written to the journal at each reload.
    if !log::is_journal(io::stdout()) {
        let addresses = service.iter().flat_map(|service| &service.addresses).map(|(address, unit)| Effective {
            option: "ListenStream".into(),
            value: address.clone(),
            origin: unit.clone(),
        });
        let settings = command_line.effective.iter().filter(|row| !(is_passed_sockets && config::is_address(row)));
        let settings = settings.cloned().map(|row| match row.option.as_str() {
            "--stop-timeout" if !row.is_set() => {
                let timeout = command_line.options.stop_timeout(is_passed_sockets);
                Effective { value: format!("{} seconds", timeout.as_secs()), ..row }
            }
            _ => row,
        });
        print(&table(&addresses.chain(settings).collect::<Vec<_>>()));
    }
    certificates.lines.iter().for_each(|line| print(&format!("{line}\n")));
    warnings.extend(certificates.warnings);
    command_line.problems.iter().chain(&problems).for_each(log::failure);
    // Before a reload, nobody reads warnings: many would fill the pipe.
    for warning in command_line.warnings.iter().chain(&warnings).filter(|_| !is_reload()) {
        tracing::warn!("{warning}");
    }
    for sentence in scope.into_iter().chain(service.iter().flat_map(ServiceUnit::unchecked_sentences)) {
        print(&format!("{sentence}\n"));
    }
    let verdict = match command_line.problems.len() + problems.len() {
        0 => "Configuration OK".to_string(),
        1 => "Configuration has 1 problem".to_string(),
        count => format!("Configuration has {count} problems"),
    };
    let unit = service.map(|service| service.name + " ").unwrap_or_default();
    print(&format!("{verdict} (checked {unit}as user {})\n", user()));
    problems.len()
}

/// Returns what can be seen of the certificates of a server with TLS. This comes before a change of the user.
fn certificates(command_line: &CommandLine, service: Option<&ServiceUnit>) -> Certificates {
    if let Some(service) = service {
        return service.certificates.clone();
    }
    // A server knows them before a reload.
    let has_tls = https::has_socket(&command_line.options, None);
    match &command_line.options.certificates {
        Some(directory) if has_tls && !is_reload() => {
            let socket = std::env::var_os(config::KEYS_SOCKET).map(PathBuf::from);
            certificates::find(socket.as_deref(), directory)
        }
        _ => Certificates::default(),
    }
}

/// Returns whether a server runs this check before a reload.
fn is_reload() -> bool {
    std::env::var_os(unit::RELOAD_VARIABLE).is_some()
}

/// Checks everything that a server with these settings needs.
fn find(options: &Options, service: Option<&ServiceUnit>) -> Findings {
    let mut findings = Findings { warnings: limit_warnings(options), ..Findings::default() };
    findings.warnings.extend(service.iter().flat_map(|service| service.warnings.clone()));
    findings.warnings.extend(service.and_then(|service| killed_early(options, service)));
    // The check must have the permissions of the server's user. Without --user, root checks as root: the service has its own user.
    if let Some(name) = &options.user {
        match RunAs::new(Some(name)).and_then(|identity| identity.drop_privileges()) {
            // The settings were read by root; a service and a reload read them as that user.
            Ok(()) => findings
                .problems
                .extend(options.settings.as_ref().and_then(|path| SettingsFile::read(path).into_read_error())),
            Err(failure) => findings.problems.push(failure),
        }
    }
    if !https::has_socket(options, service) {
        findings.warnings.extend(https::unused_settings(options));
    }
    let challenges = service.map_or(Ok(options.acme_challenges.clone()), |service| {
        locate(service, "The directory of challenges", &options.acme_challenges)
    });
    findings.warnings.extend(https::unreadable_challenges(challenges));
    match service.map_or(Ok(options.clone()), |service| resolve_paths(options, service)) {
        Ok(options) => {
            let (problems, warnings) = site::check(&options, is_reload());
            findings.problems.extend(problems);
            findings.warnings.extend(warnings);
            check_users(&options, &mut findings);
            check_ticket_keys(&options, &mut findings);
        }
        Err(failure) => findings.problems.push(failure),
    }
    findings.problems.extend(AccessPolicy::check(&options.allow, &options.auth, options.sites.is_some()).err());
    findings.problems.extend(ClientLimiter::of(options).err());
    findings.problems.extend(too_few_descriptors(options));
    findings.problems.extend(log::check(options.access_destination()).err());
    // A server passes the names of its sockets to the check before a reload.
    let names = service.map_or_else(listeners::names_from_systemd, |service| service.socket_names.clone());
    findings
        .problems
        .extend(names.iter().filter_map(|name| listeners::check_name(name, options.certificates.is_some()).err()));
    let is_tcp = |(address, _): &(String, String)| !address.starts_with(['/', '@']);
    let has_tcp = service.is_none_or(|service| service.addresses.iter().any(is_tcp));
    let without_proxies = |name: &String| listeners::without_proxies(name, !options.trusted_proxies.is_empty());
    findings.warnings.extend(names.iter().filter(|_| has_tcp).filter_map(without_proxies));
    let is_bound = service.is_none_or(|service| service.addresses.is_empty());
    if is_bound && options.https_port.is_some() && options.certificates.is_none() {
        findings.problems.push(listeners::no_certificates());
    }
    if is_bound && let Err(failure) = listeners::resolve(&options.host, options.port) {
        match std::env::var_os("INVOCATION_ID") {
            // In a systemd service, the server receives its sockets from systemd; this process does not.
            Some(_) => {
                findings.warnings.push(format!("{failure} The address is not used if systemd passes the sockets."))
            }
            None => findings.problems.push(failure),
        }
    }
    findings
}

/// Checks the files of users: no worker may read them, and this user must.
fn check_users(options: &Options, findings: &mut Findings) {
    let files = access::files(&options.auth);
    if files.is_empty() {
        return;
    }
    findings.problems.extend(workers_sandbox(options).and_then(|workers| logins::check_places(&files, &workers)).err());
    for file in files {
        match logins::check(&file) {
            Ok(warning) => findings.warnings.extend(warning),
            Err(failure) => findings.problems.push(failure),
        }
    }
}

/// Checks the file of ticket keys: no worker may read it, and nobody but this user.
fn check_ticket_keys(options: &Options, findings: &mut Findings) {
    let Some(path) = &options.ticket_keys else { return };
    let workers = workers_sandbox(options);
    findings.problems.extend(workers.and_then(|workers| ticket_keys::check_place(path, &workers)).err());
    findings.problems.extend(ticket_keys::read(path).err());
}

/// Returns where the workers may read.
fn workers_sandbox(options: &Options) -> Result<Sandbox, Failure> {
    Sandbox::for_root(options.directory().0).map(|sandbox| sandbox.with(&options.acme_challenges))
}

/// Returns the path outside the service's sandbox, or that it is hidden.
fn locate(service: &ServiceUnit, what: &str, path: &Path) -> Result<PathBuf, Failure> {
    // The path as it is written must be visible, and so must the path to which its links lead.
    let real = path.canonicalize().unwrap_or(path.to_path_buf());
    service.resolve(path).and_then(|resolved| service.resolve(&real).map(|_| resolved)).map_err(|directive| {
        let unit = &service.name;
        let remedy = match directive.split_once('=') {
            Some(("ProtectHome", _)) => "or set ProtectHome=read-only",
            _ => "or add a line BindReadOnlyPaths= with it",
        };
        Failure::new(format!(
            "{what} {} is hidden from {unit} by {directive}: move it, such as to a directory beneath /srv, {remedy} in its unit: \
             systemctl edit {unit}, then systemctl restart {unit}.",
            path.display()
        ))
    })
}

/// Returns the settings with their paths as they are outside the service's sandbox.
fn resolve_paths(options: &Options, service: &ServiceUnit) -> Result<Options, Failure> {
    let locate = |what: &str, path: &Path| locate(service, what, path);
    let (root, sites) = match &options.sites {
        None => (locate("The document root", &options.root)?, None),
        Some(sites) => (options.root.clone(), Some(locate("The directory of sites", sites)?)),
    };
    let users = |rule: &AuthRule| Ok(AuthRule { file: locate("The file of users", &rule.file)?, ..rule.clone() });
    let auth = options.auth.iter().map(users).collect::<Result<_, Failure>>()?;
    let mime_types = options.mime_types.as_ref().map(|path| locate("The file of media types", path)).transpose()?;
    let ticket_keys = options.ticket_keys.as_ref().map(|path| locate("The file of ticket keys", path)).transpose()?;
    Ok(Options { root, sites, mime_types, auth, ticket_keys, ..options.clone() })
}

/// Returns a failure if the descriptor limit is too low for the supervisor with all workers, twice as many during a reload.
fn too_few_descriptors(options: &Options) -> Option<Failure> {
    let (allowed, needed) = (
        rlimit::raise_limit(),
        rlimit::for_supervisor(options.workers, options.certificates.is_some(), !options.auth.is_empty()),
    );
    let workers = options.workers;
    (allowed < needed).then(|| {
        Failure::new(format!(
            "{workers} workers need up to {needed} descriptors, and the limit of this process is {allowed}: raise the limit \
             (LimitNOFILE= in the unit, ulimit -n), or lower --workers."
        ))
    })
}

/// Returns a warning if systemd kills the service before it has completed the requests in flight.
fn killed_early(options: &Options, service: &ServiceUnit) -> Option<String> {
    let (lame_duck, stop) = (options.lame_duck, options.stop_timeout(!service.addresses.is_empty()));
    let kill_after = service.kill_after.filter(|kill_after| lame_duck + stop > *kill_after)?;
    let [lame_duck, stop, kill_after] = [lame_duck, stop, kill_after].map(|time| time.as_secs());
    let unit = &service.name;
    Some(format!(
        "--lame-duck ({lame_duck} s) and --stop-timeout ({stop} s) take longer together than TimeoutStopSec= of {unit} \
         ({kill_after} s), after which systemd may kill the server: lower them, or raise TimeoutStopSec= by systemctl edit {unit}."
    ))
}

/// Returns a warning for each limit of the system that is below a limit of the settings.
fn limit_warnings(options: &Options) -> Vec<String> {
    let mut warnings = Vec::new();
    let descriptors = rlimit::raise_limit();
    let (connections, room) = (options.connections_per_worker(), descriptors / 2);
    if connections > room {
        warnings.push(format!(
            "The limit of a worker is {descriptors} descriptors, of which half are for connections: {room} instead of \
             {connections}; raise the limit (LimitNOFILE= in the unit, ulimit -n), or lower --max-connections."
        ));
    }
    // Each worker has a main thread, one that writes its access log, and one that checks the document root.
    let threads = (options.max_threads + 3) * options.workers + 1;
    let (allowed, _) = getrlimit(Resource::RLIMIT_NPROC).unwrap_or((u64::MAX, u64::MAX));
    if threads as u64 > allowed {
        warnings.push(format!(
            "The limit of this user is {allowed} processes and threads, and the server may need {threads}; raise the limit \
             (LimitNPROC= in the unit, ulimit -u), or lower --max-threads or --workers."
        ));
    }
    warnings
}

/// Formats settings in columns, one per line.
fn table(effective: &[Effective]) -> String {
    let width = |column: fn(&Effective) -> &String| effective.iter().map(|row| column(row).chars().count()).max();
    let option_width = width(|row| &row.option).unwrap_or(0);
    let value_width = width(|row| &row.value).unwrap_or(0).min(40);
    let line = |Effective { option, value, origin }: &Effective| {
        format!("{option:option_width$}  {value:value_width$}  {origin}\n")
    };
    effective.iter().map(line).collect()
}

/// Writes to standard output. Errors are ignored: the reader of the table, such as head(1), may close the pipe.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Returns the name of this process's user.
fn user() -> String {
    let uid = geteuid();
    let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    if uid.is_root() { name + ", who can read files that the server's user cannot" } else { name }
}
