//! Command line, environment and settings file: every setting, with its unit and its default.

mod check_site;
mod effective;
pub mod file;
mod https;
mod load;
mod parsers;
pub mod ticket_keys;
pub mod unit;
mod unused;

use std::io;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::access::{AllowRule, AuthRule, Network};
use crate::config::unit::ServiceUnit;
use crate::failure::Failure;
use crate::http::Limits;
use crate::http::forwarded::AddressField;
use crate::log::{self, Destination};

pub use check_site::{CheckSite, FindingKind};
pub use effective::Effective;
pub use https::HttpsCommand;
pub use load::read;
pub use parsers::{hsts, requires_https};
pub use unused::is_address;

/// The command line: a subcommand, or the server.
#[derive(Debug, Parser)]
#[command(
    name = "otus-httpd",
    version = crate::VERSION,
    args_override_self = true,
    allow_negative_numbers = true,
    // A subcommand has none of the server's options. Without a subcommand, the server runs.
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    subcommand_value_name = "TASK",
    subcommand_help_heading = "Tasks",
    about = "Static-file web server: worker processes, a thread for each request, socket activation by systemd",
    after_help = "Every setting can also be an environment variable or a line in the settings file, such as OTUS_WORKERS=2. \
                  Precedence: command line, then environment, then settings file. The packaged service reads \
                  /etc/default/otus-httpd.\n\
                  See otus-httpd(5) for the settings, and otus-httpd(8) for socket activation, signals and exit status."
)]
pub struct CommandLine {
    /// Subcommand to run instead of the server.
    #[command(subcommand)]
    pub task: Option<Task>,

    /// Validate the configuration, print every setting with its origin, and exit
    #[arg(long)]
    pub check: bool,

    /// With --check: systemd service to check, such as otus-httpd@shop [default: otus-httpd, if root gives no other
    /// option]
    #[arg(long, value_name = "NAME", requires = "check")]
    pub unit: Option<String>,

    /// The settings.
    #[command(flatten)]
    pub options: Options,

    /// Warnings, such as for a misspelled name, which is otherwise ignored.
    #[arg(skip)]
    pub warnings: Vec<String>,

    /// Problems of the settings file. They are collected for `--check` only; otherwise the first one ends the program.
    #[arg(skip)]
    pub problems: Vec<Failure>,

    /// The settings, with their origins.
    #[arg(skip)]
    pub effective: Vec<Effective>,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Write name.br, name.zst and name.gz beside every file below DIR that becomes smaller
    Precompress {
        /// The directory, such as the document root
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,

        /// Write nothing; list the variants that do not decode to exactly the file beside them
        #[arg(long)]
        verify: bool,
    },

    /// List what is wrong with a site: rules, links that lead nowhere, stale variants; nothing is written
    CheckSite(CheckSite),

    /// Set up HTTPS for the packaged service: certificates, their renewal and the socket
    Https {
        /// What to do.
        #[command(subcommand)]
        command: HttpsCommand,
    },

    /// The process that has the private keys; systemd starts it
    #[command(hide = true)]
    Keys {
        /// The directory of the certificates [default: that of the settings, or /etc/otus-httpd/certificates]
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        certificates: Option<PathBuf>,

        /// The settings file of the server, which may be missing
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
    },
}

/// The settings of the server.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Settings file, with lines such as OTUS_WORKERS=2; with a - before its name, it may be missing [default: none]
    #[arg(long, env = "OTUS_SETTINGS", value_name = "FILE", help_heading = "Settings")]
    pub settings: Option<PathBuf>,

    /// Address or host name to listen on; not used if systemd passes the sockets
    #[arg(short = 's', long, env = "OTUS_HOST", default_value = "127.0.0.1", value_hint = ValueHint::Hostname,
          help_heading = "Address")]
    pub host: String,

    /// TCP port to listen on; 0 selects a free port and prints it
    #[arg(short, long, env = "OTUS_PORT", default_value_t = 8080, value_parser = parsers::port, help_heading = "Address")]
    pub port: u16,

    /// TCP port for HTTPS at the same address, beside --port [default: none]
    #[arg(long, env = "OTUS_HTTPS_PORT", value_name = "PORT", value_parser = parsers::port, help_heading = "Address")]
    pub https_port: Option<u16>,

    /// Directory of certificates for HTTPS, with a subdirectory for each: fullchain.pem and privkey.pem [default: none]
    #[arg(long, env = "OTUS_CERTIFICATES", value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Site")]
    pub certificates: Option<PathBuf>,

    /// File of keys of TLS session tickets that several machines share, newest first, so that each resumes the sessions of the others
    /// [default: random keys]
    #[arg(long, env = "OTUS_TICKET_KEYS", value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Site")]
    pub ticket_keys: Option<PathBuf>,

    /// HTTP/2: for HTTPS and on unix sockets (on), also in clear on all others (cleartext), or not at all (off)
    #[arg(long, env = "OTUS_HTTP2", value_name = "WHERE", default_value = "on", help_heading = "Requests")]
    pub http2: Http2Mode,

    /// Directory of the challenges of certification authorities: a file NAME in it is served at
    /// /.well-known/acme-challenge/NAME for every host
    #[arg(long, env = "OTUS_ACME_CHALLENGES", value_name = "DIR", default_value = DEFAULT_CHALLENGES,
          value_hint = ValueHint::DirPath, help_heading = "Site")]
    pub acme_challenges: PathBuf,

    /// Redirect GET and HEAD of plain HTTP to HTTPS, for the names of the certificates only
    #[arg(long, env = "OTUS_REDIRECT_TO_HTTPS", value_parser = parsers::yes_or_no, help_heading = "Site")]
    pub redirect_to_https: bool,

    /// Strict-Transport-Security: seconds in which browsers use HTTPS only, then optionally ,includeSubDomains and
    /// ,preload [default: none]
    #[arg(long, env = "OTUS_HSTS", value_name = "SECONDS", value_parser = parsers::hsts, help_heading = "Site")]
    pub hsts: Option<String>,

    /// Document root: the directory whose files are served
    #[arg(short, long, env = "OTUS_ROOT", value_name = "DIR", default_value_os_t = default_root(),
          value_hint = ValueHint::DirPath, help_heading = "Site")]
    pub root: PathBuf,

    /// Directory with a document root for each host, such as example.org; instead of --root [default: none]
    #[arg(long, env = "OTUS_SITES", value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Site")]
    pub sites: Option<PathBuf>,

    /// User to run as after binding the socket, if started as root [default: www-data or nobody as root, otherwise the
    /// current user]
    #[arg(long, env = "OTUS_USER", value_name = "NAME", value_hint = ValueHint::Username, help_heading = "Site")]
    pub user: Option<String>,

    /// Media type for an extension, such as wasm=application/wasm; repeatable, or separated by commas
    #[arg(long, env = "OTUS_MIME", value_name = "EXT=TYPE", value_delimiter = ',', value_parser = parsers::mime, help_heading = "Site")]
    pub mime: Vec<(String, String)>,

    /// File of media types and their extensions, such as /etc/mime.types [default: none]
    #[arg(long, env = "OTUS_MIME_TYPES", value_name = "FILE", help_heading = "Site")]
    pub mime_types: Option<PathBuf>,

    /// Networks whose clients alone get a path and all below it, such as /intern=192.0.2.0/24,2001:db8::/32; others get 403.
    /// With --sites, a host before the path means its site. Repeatable, or separated by semicolons
    #[arg(long, env = "OTUS_ALLOW", value_name = "PREFIX=CIDR,...", value_delimiter = ';', value_parser = AllowRule::parse,
          help_heading = "Access")]
    pub allow: Vec<AllowRule>,

    /// File of users who alone get a path and all below it, such as /intern=/etc/otus-httpd/intern.users, with lines of
    /// htpasswd(1). With --sites, a host before the path means its site. Repeatable, or separated by semicolons
    #[arg(long, env = "OTUS_AUTH", value_name = "PREFIX=FILE", value_delimiter = ';', value_parser = AuthRule::parse,
          help_heading = "Access")]
    pub auth: Vec<AuthRule>,

    /// Ask for passwords over plain HTTP from public addresses as well, where anybody on the way can read them
    #[arg(long, env = "OTUS_AUTH_OVER_HTTP", value_parser = parsers::yes_or_no, help_heading = "Access")]
    pub auth_over_http: bool,

    /// Networks of the proxies that are believed who their clients are, such as 192.0.2.10 or 192.0.2.0/24; repeatable, or separated
    /// by commas [default: none]
    #[arg(long, env = "OTUS_TRUSTED_PROXIES", value_name = "CIDR", value_delimiter = ',', value_parser = Network::parse,
          help_heading = "Proxies")]
    pub trusted_proxies: Vec<Network>,

    /// Field by which trusted proxies name the client, such as Forwarded, X-Real-IP or CF-Connecting-IP [default: X-Forwarded-For, or
    /// Forwarded in requests without it]
    #[arg(long, env = "OTUS_CLIENT_ADDRESS_HEADER", value_name = "NAME", value_parser = AddressField::parse,
          help_heading = "Proxies")]
    pub client_address_header: Option<AddressField>,

    /// Let trusted proxies name the host that the client asked for, by X-Forwarded-Host or Forwarded
    #[arg(long, env = "OTUS_FORWARDED_HOST", value_parser = parsers::yes_or_no, help_heading = "Proxies")]
    pub forwarded_host: bool,

    /// Name of the file that is served for a directory; repeatable, or separated by commas: the first that exists
    #[arg(long, env = "OTUS_INDEX", value_name = "NAME", default_value = "index.html", value_delimiter = ',',
          value_parser = parsers::file_name, help_heading = "Site")]
    pub index: Vec<String>,

    /// Names of pages without .html: /about serves about.html if there is nothing else by that name (on), and /about.html
    /// redirects to it (redirect)
    #[arg(long, env = "OTUS_PRETTY", value_name = "HOW", default_value = "on", help_heading = "Site")]
    pub pretty: Pretty,

    /// Cache-Control of files: a year for names that contain a hash of the content, and no use without asking for all others
    /// (hashed), or none (off)
    #[arg(long, env = "OTUS_CACHE_CONTROL", value_name = "HOW", default_value = "hashed", help_heading = "Site")]
    pub cache_control: CacheControlMode,

    /// List directories without an index, as an HTML page or, by Accept, as JSON
    #[arg(long, env = "OTUS_LISTING", value_parser = parsers::yes_or_no, help_heading = "Site")]
    pub listing: bool,

    /// Serve files and directories whose names begin with a dot; otherwise only .well-known
    #[arg(long, env = "OTUS_DOTFILES", value_parser = parsers::yes_or_no, help_heading = "Site")]
    pub dotfiles: bool,

    /// Send name.br, name.zst or name.gz instead of name to clients that accept it: on or off
    #[arg(long, env = "OTUS_PRECOMPRESSED", value_name = "ON", default_value = "on", action = clap::ArgAction::Set,
          value_parser = parsers::yes_or_no, help_heading = "Site")]
    pub precompressed: bool,

    /// Character encoding in the Content-Type of text, such as utf-8 [default: none]
    #[arg(long, env = "OTUS_CHARSET", value_name = "NAME", value_parser = parsers::charset, help_heading = "Site")]
    pub charset: Option<String>,

    /// Number of worker processes [default: number of available processors]
    #[arg(short, long, env = "OTUS_WORKERS", value_name = "N", default_value_t = processors(),
          hide_default_value = true, value_parser = parsers::workers, help_heading = "Capacity")]
    pub workers: usize,

    /// Maximum number of request threads per worker
    #[arg(long, env = "OTUS_MAX_THREADS", value_name = "N", default_value_t = 256, value_parser = parsers::threads,
          help_heading = "Capacity")]
    pub max_threads: usize,

    /// Maximum number of open connections; beyond it, idle ones are closed, or new ones wait in the listen queue
    #[arg(long, env = "OTUS_MAX_CONNECTIONS", value_name = "N", default_value_t = 16384, value_parser = parsers::connections,
          help_heading = "Capacity")]
    pub max_connections: usize,

    /// Maximum number of open connections per client (IPv4 address or IPv6 /64); further ones get 503 [default: no limit]
    #[arg(long, env = "OTUS_MAX_PER_CLIENT", value_name = "N", value_parser = parsers::connections, help_heading = "Capacity")]
    pub max_per_client: Option<usize>,

    /// Memory for small files per worker, in bytes or with k, m or g; 0 disables the cache
    #[arg(long, env = "OTUS_CACHE_SIZE", value_name = "BYTES", default_value = "8m", value_parser = parsers::bytes,
          help_heading = "Capacity")]
    pub cache_size: usize,

    /// Memory for compressed content of files of 1 KiB to 4 MiB, of all workers together, in bytes or with k, m or g; 0 compresses
    /// nothing
    #[arg(long, env = "OTUS_COMPRESS_CACHE", value_name = "BYTES", default_value = "64m", value_parser = parsers::bytes,
          help_heading = "Capacity")]
    pub compress_cache: usize,

    /// Path at which workers answer health checks, such as /health: 200 if the server can serve, otherwise 503; nothing of the site is
    /// served there [default: none]
    #[arg(long, env = "OTUS_HEALTH_PATH", value_name = "PATH", value_parser = parsers::health_path, help_heading = "Requests")]
    pub health_path: Option<String>,

    /// Maximum length of a request line, in bytes or with k; longer ones get 414
    #[arg(long, env = "OTUS_MAX_REQUEST_LINE", value_name = "BYTES", default_value = "8k", value_parser = parsers::head_bytes,
          help_heading = "Requests")]
    pub max_request_line: usize,

    /// Maximum length of a request head, in bytes or with k; longer ones get 431
    #[arg(long, env = "OTUS_MAX_HEAD", value_name = "BYTES", default_value = "16k", value_parser = parsers::head_bytes,
          help_heading = "Requests")]
    pub max_head: usize,

    /// Maximum number of header fields in a request; more get 431
    #[arg(long, env = "OTUS_MAX_FIELDS", value_name = "N", default_value_t = 100, value_parser = parsers::fields,
          help_heading = "Requests")]
    pub max_fields: usize,

    /// Number of requests after which a connection is closed
    #[arg(long, env = "OTUS_MAX_REQUESTS", value_name = "N", default_value_t = 1_000_000, value_parser = parsers::requests,
          help_heading = "Requests")]
    pub max_requests: usize,

    /// Seconds within which a complete request head must arrive; otherwise 408
    #[arg(long, env = "OTUS_HEAD_TIMEOUT", value_name = "SECONDS", default_value = "20", value_parser = parsers::seconds,
          help_heading = "Timeouts")]
    pub head_timeout: Duration,

    /// Seconds that an idle connection is kept open for its next request
    #[arg(long, env = "OTUS_IDLE_TIMEOUT", value_name = "SECONDS", default_value = "60", value_parser = parsers::seconds,
          help_heading = "Timeouts")]
    pub idle_timeout: Duration,

    /// Period in seconds over which a client must receive at least --min-rate; otherwise the connection is closed
    #[arg(long, env = "OTUS_SEND_TIMEOUT", value_name = "SECONDS", default_value = "30", value_parser = parsers::seconds,
          help_heading = "Timeouts")]
    pub send_timeout: Duration,

    /// Minimum rate of a slow client in bytes per second over --send-timeout, or with k
    #[arg(long, env = "OTUS_MIN_RATE", value_name = "BYTES", default_value = "100", value_parser = parsers::bytes,
          help_heading = "Timeouts")]
    pub min_rate: usize,

    /// Seconds that old workers have to finish requests in flight after a reload
    #[arg(long, env = "OTUS_DRAIN_TIMEOUT", value_name = "SECONDS", default_value = "30", value_parser = parsers::seconds,
          help_heading = "Timeouts")]
    pub drain_timeout: Duration,

    /// Seconds that requests in flight have to finish when the server is stopped
    /// [default: 4 if systemd passes the sockets, as new connections wait meanwhile; otherwise as --drain-timeout]
    #[arg(long, env = "OTUS_STOP_TIMEOUT", value_name = "SECONDS", value_parser = parsers::seconds, help_heading = "Timeouts")]
    pub stop_timeout: Option<Duration>,

    /// Seconds after which a document root whose disk does not respond makes the health check 503; it is read five times in that
    /// time, at most once a second
    #[arg(long, env = "OTUS_HEALTH_TIMEOUT", value_name = "SECONDS", default_value = "5", value_parser = parsers::health_timeout,
          help_heading = "Timeouts")]
    pub health_timeout: Duration,

    /// Seconds for which the server still accepts connections after TERM, while the health check says 503; then it stops
    #[arg(long, env = "OTUS_LAME_DUCK", value_name = "SECONDS", default_value = "0", value_parser = parsers::lame_duck,
          help_heading = "Timeouts")]
    pub lame_duck: Duration,

    /// Seconds without a connection after which the server exits; its socket unit starts it again
    /// [default: never]
    #[arg(long, env = "OTUS_IDLE_EXIT", value_name = "SECONDS", value_parser = parsers::idle_exit, help_heading = "Timeouts")]
    pub idle_exit: Option<Duration>,

    /// Access log destination: journal, stderr (JSON lines), errors (only failed requests, with the server log) or off
    /// [default: journal under systemd, otherwise off]
    #[arg(long, env = "OTUS_ACCESS_LOG", value_name = "WHERE", default_value = default_access_log(),
          hide_default_value = true, help_heading = "Log")]
    pub access_log: AccessLogMode,

    /// Maximum number of access-log records per second; further requests are summarized, errors have a separate limit
    #[arg(long, env = "OTUS_LOG_RATE", value_name = "N", default_value_t = 1000, value_parser = parsers::rate,
          help_heading = "Log")]
    pub log_rate: u64,

    /// Record the query string of targets and referers: yes or no
    #[arg(long, env = "OTUS_LOG_QUERY", value_name = "YES", default_value = "yes", action = clap::ArgAction::Set,
          value_parser = parsers::yes_or_no, help_heading = "Log")]
    pub log_query: bool,

    /// Recorded part of client addresses: full, net (IPv4 /24, IPv6 /48) or none
    #[arg(long, env = "OTUS_LOG_ADDRESS", value_name = "HOW", default_value = "full", help_heading = "Log")]
    pub log_address: LogAddress,

    /// Log every request and every connection that ends early
    #[arg(short, long, env = "OTUS_DEBUG", value_parser = parsers::yes_or_no,
          help_heading = "Log")]
    pub debug: bool,
}

/// The use of names of pages without their extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pretty {
    /// A page has only its own name.
    Off,
    /// A page can be requested without its extension, if nothing else has that name.
    On,
    /// The same, and its name with the extension leads there.
    Redirect,
}

/// Where HTTP/2 is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Http2Mode {
    /// Nowhere.
    Off,
    /// Over TLS, and in clear on unix sockets.
    On,
    /// Over TLS, and in clear on all sockets, with clients that know it beforehand.
    Cleartext,
}

/// The Cache-Control of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CacheControlMode {
    /// A year for names that contain a hash of the content; revalidation for all others.
    Hashed,
    /// None.
    Off,
}

/// The requests that are recorded, and the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccessLogMode {
    /// All requests, in the journal.
    Journal,
    /// All requests, as JSON lines on stderr.
    Stderr,
    /// No access log.
    Off,
    /// Only 4xx, 5xx and aborted responses, with the server log.
    Errors,
}

/// The part of a client's address that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogAddress {
    /// Address and port.
    Full,
    /// Network only: IPv4 /24 or IPv6 /48.
    Net,
    /// Nothing.
    None,
}

impl Options {
    /// Returns the directory that is served, and what it is: the document root, or the directory of sites.
    pub fn directory(&self) -> (&Path, &'static str) {
        self.sites.as_ref().map_or((&self.root, "document root"), |sites| (sites, "directory of sites"))
    }

    /// Returns the destination of the access log, if there is one.
    pub fn access_destination(&self) -> Option<Destination> {
        match self.access_log {
            AccessLogMode::Journal => Some(Destination::Journal),
            AccessLogMode::Stderr => Some(Destination::Stderr),
            AccessLogMode::Off => None,
            AccessLogMode::Errors if log::is_journal(io::stderr()) => Some(Destination::Journal),
            AccessLogMode::Errors => Some(Destination::Stderr),
        }
    }

    /// Returns the connection limit of each worker.
    pub fn connections_per_worker(&self) -> usize {
        self.max_connections.div_ceil(self.workers)
    }

    /// Returns the limits of a request.
    pub fn limits(&self) -> Limits {
        Limits {
            request_line_bytes: self.max_request_line,
            head_bytes: self.max_head,
            fields: self.max_fields,
            ..Limits::default()
        }
    }
}

/// The variable with the name of the instance. The unit sets it; it is not a setting for administrators.
pub(crate) const INSTANCE: &str = "OTUS_INSTANCE";

/// The directory of certificates of the packaged service, unless it is set.
pub const PACKAGED_CERTIFICATES: &str = "/etc/otus-httpd/certificates";

/// The directory of challenges, unless it is set.
pub const DEFAULT_CHALLENGES: &str = "/var/lib/otus-httpd/acme";

/// The variable with the path of the socket of the key process. The unit sets it, as [`INSTANCE`].
pub const KEYS_SOCKET: &str = "OTUS_KEYS_SOCKET";

/// The timeout of requests in flight when the server stops and systemd keeps its sockets open: new clients wait until
/// the next server accepts them.
const HELD_STOP_TIMEOUT: Duration = Duration::from_secs(4);

impl CommandLine {
    /// Uses the directory of the packaged service if its unit names the key process and no other directory is set. Without
    /// the package, a directory has to be set.
    fn use_packaged_certificates(&mut self) {
        if self.options.certificates.is_some() || std::env::var_os(KEYS_SOCKET).is_none() {
            return;
        }
        self.options.certificates = Some(PACKAGED_CERTIFICATES.into());
        let rows = self.effective.iter_mut().filter(|row| row.option == "--certificates");
        rows.for_each(|row| row.value = PACKAGED_CERTIFICATES.into());
    }
}

impl Options {
    /// Returns the timeout of requests in flight when the server stops. `is_held`: systemd keeps the sockets open.
    pub fn stop_timeout(&self, is_held: bool) -> Duration {
        let longest = if is_held { HELD_STOP_TIMEOUT } else { Duration::MAX };
        self.stop_timeout.unwrap_or(self.drain_timeout.min(longest))
    }
}

/// Returns the default document root, which depends on the instance. systemd escapes a `/` in the name of an instance.
fn default_root() -> PathBuf {
    let name = std::env::var(INSTANCE).ok().filter(|name| !name.is_empty() && !name.contains('/'));
    name.map_or("/var/www/html".into(), |name| Path::new("/srv").join(name))
}

fn processors() -> usize {
    available_parallelism().map_or(1, usize::from)
}

fn default_access_log() -> &'static str {
    // For a checked service, standard error of this process is not that of the service.
    let is_journal =
        log::is_journal(io::stderr()) || ServiceUnit::from_environment().is_some_and(|service| service.logs_to_journal);
    if is_journal { "journal" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::load::sentence;
    use super::*;
    use clap::CommandFactory;

    fn options(arguments: &[&str]) -> Options {
        CommandLine::try_parse_from([&["otus-httpd"], arguments].concat()).unwrap().options
    }

    #[test]
    fn the_definition_passes_claps_self_check() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn short_options_take_values_in_both_forms() {
        for arguments in [["-s", "::1", "-p", "81", "-w", "3"].as_slice(), &["-s=::1", "-p=81", "-w=3"]] {
            let options = options(arguments);
            assert_eq!((options.host.as_str(), options.port, options.workers), ("::1", 81, 3));
        }
    }

    #[test]
    fn the_last_of_repeated_options_takes_effect() {
        assert_eq!(options(&["-p=81", "--port=82"]).port, 82);
    }

    #[test]
    fn a_usage_error_is_one_sentence_that_names_option_and_variable() {
        let sentence = |argument| sentence(&CommandLine::try_parse_from(["otus-httpd", argument]).unwrap_err());
        assert_eq!(
            sentence("-w=none"),
            "--workers (OTUS_WORKERS in the environment) cannot be \"none\": give a number from 1 to 1024."
        );
        assert_eq!(sentence("--wokers=2"), "unexpected argument '--wokers' found; did you mean --workers?");
        assert_eq!(
            sentence("-w"),
            "a value is required for '--workers <N>' but none was supplied; see otus-httpd --help."
        );
    }

    #[test]
    fn a_subcommand_takes_no_options_of_the_server() {
        let parse = |arguments: &[&str]| CommandLine::try_parse_from([&["otus-httpd"], arguments].concat());
        for (arguments, expected) in
            [(&["precompress", "/srv/www"][..], false), (&["precompress", "--verify", "/srv/www"], true)]
        {
            let Some(Task::Precompress { directory, verify }) = parse(arguments).unwrap().task else {
                panic!("no task");
            };
            assert_eq!((directory, verify), (PathBuf::from("/srv/www"), expected));
        }
        assert!(parse(&["-p", "80"]).unwrap().task.is_none());
        assert_eq!(options(&["-r", "precompress"]).root, PathBuf::from("precompress"));
        for wrong in
            [&["-p", "80", "precompress", "/srv"][..], &["precompress", "-p", "80", "/srv"], &["compress", "/srv"]]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(sentence(&parse(&["precompress"]).unwrap_err()), "<DIR> is missing; see otus-httpd --help.");
    }

    #[test]
    fn values_out_of_range_are_usage_errors() {
        for wrong in [
            "-p=65536",
            "-p=x",
            "-w=0",
            "-w=-1",
            "--head-timeout=0",
            "--idle-exit=2",
            "--charset=a b",
            "--mime=x",
            "--mime=x=y",
            "--max-threads=0",
            "--hsts=x",
            "--trusted-proxies=192.0.2.1/24",
            "--client-address-header=X Real IP",
            "--hsts=31536000,preload",
            "--health-path=health",
            "--health-path=/",
            "--health-path=/a?b",
            "--health-path=/a%20b",
            "--health-path=//a",
            "--health-path=/a/../b",
            "--health-timeout=2",
            "--lame-duck=-1",
            "--lame-duck=3601",
        ] {
            assert!(CommandLine::try_parse_from(["otus-httpd", wrong]).is_err(), "{wrong}");
        }
    }
}
