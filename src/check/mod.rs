//! `--check`: everything that a start does short of serving, so that a running server is not disturbed.
//!
//! By hand, root means the service: what that would do, its units say. A check that a server or a service makes of itself asks
//! nobody else.

mod show;
mod subject;
mod unit;

use std::io::{self, Write};
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{User, geteuid};

use crate::client_limit::ClientLimiter;
use crate::config::file::SettingsFile;
use crate::config::service::Service;
use crate::config::{self, CommandLine, Effective, Options};
use crate::failure::Failure;
use crate::os::run_as::RunAs;
use crate::{listeners, log, os::rlimit, site};

pub use subject::Subject;
pub use unit::Unit;

/// What a check found besides the settings themselves.
#[derive(Debug, Default)]
pub struct Findings {
    /// What would keep a server from starting, or from serving.
    pub problems: Vec<Failure>,
    /// What it would put up with.
    pub warnings: Vec<String>,
}

/// Prints the settings in effect, and reports what is wrong with them, or would be with a server that has them. Returns how
/// many problems the latter has. `unseen` is what could not be looked at.
pub fn report(command_line: &CommandLine, unseen: Option<String>) -> usize {
    let service = Service::checked();
    let is_passed_sockets = service.as_ref().is_some_and(|service| !service.addresses.is_empty());
    let Findings { mut problems, mut warnings } = look(&command_line.options, service.as_ref());
    if is_passed_sockets {
        warnings.extend(command_line.unused_address());
    }
    let known: Vec<_> = command_line.problems.iter().map(ToString::to_string).collect();
    problems.retain(|problem| !known.contains(&problem.to_string()));
    // The journal need not have all settings at each reload.
    if !log::is_journal(io::stdout()) {
        let addresses = service.iter().flat_map(|service| &service.addresses).map(|(address, unit)| Effective {
            option: "ListenStream".into(),
            value: address.clone(),
            origin: unit.clone(),
        });
        let settings = command_line.effective.iter().filter(|row| !(is_passed_sockets && config::is_address(row)));
        print(&table(&addresses.chain(settings.cloned()).collect::<Vec<_>>()));
    }
    let all = || command_line.problems.iter().chain(&problems);
    all().for_each(log::failure);
    for warning in command_line.warnings.iter().chain(&warnings) {
        tracing::warn!("{warning}");
    }
    let verdict = if all().next().is_none() { "In order" } else { "Not in order" };
    for unseen in unseen.into_iter().chain(service.iter().flat_map(Service::sentences)) {
        print(&format!("{unseen}\n"));
    }
    let of = service.map(|service| format!("{}, ", service.unit)).unwrap_or_default();
    print(&format!("{verdict}; checked {of}as user {}.\n", user()));
    problems.len()
}

/// Looks at all that a server with these settings needs.
fn look(options: &Options, service: Option<&Service>) -> Findings {
    let mut findings = Findings { warnings: limits(options), ..Findings::default() };
    findings.warnings.extend(service.iter().flat_map(|service| service.warnings.clone()));
    // What that user may not see, a server would not either. Root may check without naming one, for a service that has its own.
    if let Some(name) = &options.user {
        match RunAs::new(Some(name)).and_then(|identity| identity.drop_privileges()) {
            // Root has read the settings; a service, and a reload, read them as that user.
            Ok(()) => findings
                .problems
                .extend(options.settings.as_ref().and_then(|path| SettingsFile::read(path).whole_problem())),
            Err(failure) => findings.problems.push(failure),
        }
    }
    match service.map_or(Ok(options.clone()), |service| located(options, service)) {
        Ok(options) => findings.problems.extend(site::problems(&options)),
        Err(failure) => findings.problems.push(failure),
    }
    findings.problems.extend(ClientLimiter::of(options).err());
    findings.problems.extend(too_few_descriptors(options));
    findings.problems.extend(log::check(options.access_destination()).err());
    if service.is_none_or(|service| service.addresses.is_empty())
        && let Err(failure) = listeners::resolve(&options.host, options.port)
    {
        match std::env::var_os("INVOCATION_ID") {
            // In a service of systemd, which passes the sockets: not to this process, but to the server.
            Some(_) => findings.warnings.push(format!("{failure} It is not used where systemd passes the sockets.")),
            None => findings.problems.push(failure),
        }
    }
    findings
}

/// The settings with the paths at which the service finds what they name.
fn located(options: &Options, service: &Service) -> Result<Options, Failure> {
    let locate = |what: &str, path: &Path| {
        // As it is written, and where its links lead.
        let real = path.canonicalize().unwrap_or(path.to_path_buf());
        service.locate(path).and_then(|located| service.locate(&real).map(|_| located)).map_err(|directive| {
            let unit = &service.unit;
            let remedy = match directive.split_once('=') {
                Some(("ProtectHome", _)) => "or have it shown by ProtectHome=read-only",
                _ => "or have it shown by BindReadOnlyPaths=, a line that names it,",
            };
            Failure::new(format!(
                "{what} {} is hidden from {unit} by {directive}: put it elsewhere, such as beneath /srv, {remedy} in its unit: \
                 systemctl edit {unit}, then systemctl restart {unit}.",
                path.display()
            ))
        })
    };
    let root = locate("The document root", &options.root)?;
    let mime_types = options.mime_types.as_ref().map(|path| locate("The file of media types", path)).transpose()?;
    Ok(Options { root, mime_types, ..options.clone() })
}

/// What keeps the supervisor from holding all workers, and during a reload twice as many.
fn too_few_descriptors(options: &Options) -> Option<Failure> {
    let (allowed, needed) = (rlimit::raise_limit(), rlimit::for_supervisor(options.workers));
    let workers = options.workers;
    (allowed < needed).then(|| {
        Failure::new(format!(
            "{workers} workers need up to {needed} descriptors, and this process may have {allowed}: raise the limit \
             (LimitNOFILE= in the unit, ulimit -n), or lower --workers."
        ))
    })
}

/// What the system allows less of than the settings do.
fn limits(options: &Options) -> Vec<String> {
    let mut warnings = Vec::new();
    let descriptors = rlimit::raise_limit();
    let (connections, room) = (options.connections_per_worker(), descriptors / 2);
    if connections > room {
        warnings.push(format!(
            "A worker may have {descriptors} descriptors, of which half are for connections: {room} and not {connections}; \
             raise the limit (LimitNOFILE= in the unit, ulimit -n), or lower --max-connections."
        ));
    }
    // Each worker has a keeper, and one that writes its access log.
    let threads = (options.max_threads + 2) * options.workers + 1;
    let (allowed, _) = getrlimit(Resource::RLIMIT_NPROC).unwrap_or((u64::MAX, u64::MAX));
    if threads as u64 > allowed {
        warnings.push(format!(
            "This user may have {allowed} processes and threads, and the server may come to {threads}; raise the limit \
             (LimitNPROC= in the unit, ulimit -u), or lower --max-threads or --workers."
        ));
    }
    warnings
}

/// One setting a line, in columns.
fn table(effective: &[Effective]) -> String {
    let width = |column: fn(&Effective) -> &String| effective.iter().map(|row| column(row).chars().count()).max();
    let option_width = width(|row| &row.option).unwrap_or(0);
    let value_width = width(|row| &row.value).unwrap_or(0).min(40);
    let line = |Effective { option, value, origin }: &Effective| {
        format!("{option:option_width$}  {value:value_width$}  {origin}\n")
    };
    effective.iter().map(line).collect()
}

/// Who reads the table may have seen enough before its end.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn user() -> String {
    let uid = geteuid();
    let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    if uid.is_root() { name + ", who may read what a server's user may not" } else { name }
}
