//! The program: options, log, site, sockets, supervisor.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};
use otus_httpd::access::{self, AccessPolicy};
use otus_httpd::client_limit::ClientLimiter;
use otus_httpd::config::{self, CheckSite, CommandLine, HttpsCommand, Options, Task, ticket_keys};
use otus_httpd::failure::Failure;
use otus_httpd::ipc::handover::KeyHandover;
use otus_httpd::log::Destination;
use otus_httpd::os::landlock::Sandbox;
use otus_httpd::os::run_as::RunAs;
use otus_httpd::site::Sites;
use otus_httpd::supervisor::{self, KeyProcess, Supervisor};
use otus_httpd::worker::WorkerContext;
use otus_httpd::{
    check, check_site, https, ipc::handover, keys, listeners, log, logins, os::rlimit, os::signals, precompress,
};

/// The server cannot start, or a subcommand has failed for some files.
const EXIT_FAILURE: u8 = 1;

/// An option or its value is invalid.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    // This is first: a reload may be requested before the server is ready for it. (Blocking a valid signal cannot
    // fail.)
    let _ = signals::block();
    let command_line = match config::read() {
        Ok(command_line) => command_line,
        Err(failure) => {
            log::start(false, false);
            return fail(&failure, EXIT_USAGE);
        }
    };
    let options = &command_line.options;
    log::start(options.debug, options.access_destination() == Some(Destination::Stderr));
    if command_line.check || command_line.task.is_some() {
        let _ = signals::unblock();
    }
    if command_line.check {
        return check(&command_line);
    }
    let unused_address_warnings = command_line.unused_address_warnings();
    let CommandLine { task, options, warnings, .. } = command_line;
    match task {
        Some(Task::Precompress { directory, verify: true }) => return verify_variants(&directory),
        Some(Task::Precompress { directory, verify: false }) => return precompress(&directory),
        Some(Task::CheckSite(options)) => return check_site(&options),
        Some(Task::Keys { certificates, settings }) => {
            return fail(&keys::run_service(certificates, settings.as_deref()), EXIT_FAILURE);
        }
        Some(Task::Https { command }) => return set_up_https(&command),
        None => {}
    }
    match start(options, &warnings, &unused_address_warnings) {
        Ok(supervisor) => {
            supervisor.run();
            ExitCode::SUCCESS
        }
        Err(failure) => fail(&failure, if failure.is_usage() { EXIT_USAGE } else { EXIT_FAILURE }),
    }
}

/// Prints the configuration on standard output and problems in the log. An invalid setting is a usage error.
fn check(command_line: &CommandLine) -> ExitCode {
    let problems = match check::Subject::of(command_line) {
        Ok(check::Subject::Unit(unit)) => return fail(&unit.check(), EXIT_FAILURE),
        Ok(check::Subject::CommandLine(scope)) => check::report(command_line, scope),
        Err(failure) => return fail(&failure, if failure.is_usage() { EXIT_USAGE } else { EXIT_FAILURE }),
    };
    match (command_line.problems.is_empty(), problems) {
        (false, _) => ExitCode::from(EXIT_USAGE),
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::from(EXIT_FAILURE),
    }
}

/// Prints the summary on standard output and each failure in the log.
fn precompress(directory: &Path) -> ExitCode {
    match precompress::run(directory) {
        Ok(report) => {
            // The reader of the summary may close the pipe.
            let _ = writeln!(std::io::stdout(), "{report}");
            ExitCode::from(if report.failed == 0 { 0 } else { EXIT_FAILURE })
        }
        Err(failure) => fail(&failure, EXIT_FAILURE),
    }
}

/// The rejected variants and the summary go to standard output, each failure to the log.
fn verify_variants(directory: &Path) -> ExitCode {
    match precompress::verify(directory) {
        Ok(result) => {
            // The reader of the list may close the pipe.
            let _ = writeln!(std::io::stdout(), "{result}");
            ExitCode::from(if result.is_clean() { 0 } else { EXIT_FAILURE })
        }
        Err(failure) => fail(&failure, EXIT_FAILURE),
    }
}

/// The report goes to standard output, the reason of a failure to the log.
fn check_site(options: &CheckSite) -> ExitCode {
    match check_site::run(options) {
        Ok(report) => {
            let text = if options.json { report.to_json().to_string() } else { report.to_string() };
            // The reader of the report may close the pipe.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::from(if report.is_clean() { 0 } else { EXIT_FAILURE })
        }
        Err(failure) => fail(&failure, EXIT_FAILURE),
    }
}

/// The result goes to standard output, the reason of a failure to the log.
fn set_up_https(command: &HttpsCommand) -> ExitCode {
    match https::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure, if failure.is_usage() { EXIT_USAGE } else { EXIT_FAILURE }),
    }
}

fn fail(failure: &Failure, status: u8) -> ExitCode {
    log::failure(failure);
    ExitCode::from(status)
}

/// Starts the server. `unused_address_warnings` are logged if systemd passes the sockets.
fn start(mut options: Options, warnings: &[String], unused_address_warnings: &[String]) -> Result<Supervisor, Failure> {
    signals::ignore_meaningless();
    adopt_orphans();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    log::check(options.access_destination())?;
    AccessPolicy::check(&options.allow, &options.auth, options.sites.is_some())?;
    options.root = std::path::absolute(&options.root).unwrap_or(options.root);
    options.sites = options.sites.map(|sites| std::path::absolute(&sites).unwrap_or(sites));
    let descriptors = rlimit::raise_limit();
    let identity = RunAs::new(options.user.as_deref())?;
    let handover = handover::take();
    let is_reload = handover.is_some();
    let mut previous = handover.unwrap_or_default();
    let sockets = listeners::open(std::mem::take(&mut previous.sockets), &options)?;
    if sockets.iter().all(|socket| socket.name.is_some()) {
        for warning in unused_address_warnings {
            tracing::warn!("{warning}");
        }
    }
    if let Some(user) = identity.other_user() {
        tracing::info!(user, "Running as user {user}; root privileges dropped.");
    }
    // The user who starts the server opens the root. So another user can serve a checkout of root's below /root.
    let sites = Sites::open(&options, descriptors)?;
    let confinement = Sandbox::for_root(options.directory().0)?.with(&options.acme_challenges);
    logins::check_places(&access::files(&options.auth), &confinement)?;
    if let Some(path) = &options.ticket_keys {
        ticket_keys::check_place(path, &confinement)?;
    }
    let confinement = Some(confinement);
    // The monitor of the key process keeps the user.
    let has_tls = sockets.iter().any(|socket| socket.purpose.is_tls());
    let keys = match &options.certificates {
        Some(directory) if has_tls => {
            start_keys(directory, std::mem::take(&mut previous.keys), identity.other_user().is_some())?
        }
        _ => KeyProcess::default(),
    };
    identity.drop_privileges()?;
    if identity.other_user().is_some() {
        report_inaccessible(&options);
    }
    if let Err(failure) = listeners::allow_exit(&sockets, options.idle_exit) {
        if !is_reload {
            return Err(failure);
        }
        tracing::warn!("{failure}");
        options.idle_exit = None;
    }
    let clients = ClientLimiter::of(&options)?;
    Supervisor::new(
        WorkerContext { options, sockets, sites, descriptors, sandbox: confinement },
        clients,
        previous,
        keys,
    )
}

/// Makes this process the parent of all that its children leave behind. The key process accepts a child of systemd in the
/// control group of a service, also of one without TLS: so no other process of the service can become one.
fn adopt_orphans() {
    if let Err(errno) = nix::sys::prctl::set_child_subreaper(true) {
        tracing::warn!("A process that a compromised worker leaves behind may get signatures ({}).", errno.desc());
    }
}

/// Connects to the key process, or starts it.
fn start_keys(directory: &Path, previous: KeyHandover, drops_privileges: bool) -> Result<KeyProcess, Failure> {
    KeyProcess::start(directory.to_path_buf(), previous, drops_privileges).map_err(|error| {
        let why = otus_httpd::failure::reason(&error);
        Failure::new(format!("Cannot start the key process ({why}): raise the limits on processes and descriptors."))
    })
}

/// Warns about files that the user of the server cannot access.
fn report_inaccessible(options: &Options) {
    let (program, (root, what)) = (supervisor::program(), options.directory());
    let consequences = [
        (root, AccessFlags::F_OK, format!("a replaced {what} is not detected")),
        (&program, AccessFlags::X_OK, "a reload fails".into()),
    ];
    let inaccessible =
        consequences.into_iter().filter(|(path, wanted, _)| eaccess(*path, *wanted) == Err(Errno::EACCES));
    let (paths, effects): (Vec<_>, Vec<_>) =
        inaccessible.map(|(path, _, effect)| (path.display().to_string(), effect)).unzip();
    if !paths.is_empty() {
        let (paths, effects) = (paths.join(" and "), effects.join(", and "));
        tracing::warn!("This user cannot access {paths}: {effects}. Restart the server instead of reloading it.");
    }
}
