//! certbot(1), which gets and renews certificates.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::installation::{cannot, change, make_directory};
use super::undo::Undo;
use crate::failure::Failure;

/// The directory of certbot.
const DIRECTORY: &str = "/etc/letsencrypt";

/// The certification authority of certbot, if no other is given.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// What certbot runs after each renewal.
const HOOK: &str = "renewal-hooks/deploy/otus-httpd";

/// The timers by which certbot renews: that of Debian, and that of snap.
pub const TIMERS: [&str; 2] = ["certbot.timer", "snap.certbot.renew.timer"];

/// The certificate to get.
#[derive(Debug)]
pub struct Request {
    /// The names; the first one is that of the certificate as well.
    pub names: Vec<String>,
    /// The address of the account.
    pub email: Option<String>,
    /// The directory URL of the certification authority.
    pub server: Option<String>,
    /// Whether the administrator agrees to its terms of service.
    pub agrees: bool,
}

impl Request {
    /// Returns the folder in which certbot keeps the current certificate.
    pub fn folder(&self) -> PathBuf {
        Path::new(DIRECTORY).join("live").join(&self.names[0])
    }

    /// Returns the arguments of certbot. A repetition gets another certificate only if names were added, it expires soon, or
    /// `is_renewed_otherwise`.
    fn arguments(&self, webroot: &Path, is_renewed_otherwise: bool) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["certonly", "--non-interactive", "--webroot", "--webroot-path"].map(String::from).into();
        arguments.push(webroot.display().to_string());
        arguments.extend(["--cert-name".into(), self.names[0].clone()]);
        arguments.extend(self.names.iter().flat_map(|name| ["--domain".into(), name.clone()]));
        let repetition = if is_renewed_otherwise { "--force-renewal" } else { "--keep-until-expiring" };
        arguments.extend([repetition, "--expand"].map(String::from));
        match &self.email {
            Some(email) => arguments.extend(["--email".into(), email.clone(), "--no-eff-email".into()]),
            None => arguments.push("--register-unsafely-without-email".into()),
        }
        arguments.extend(self.server.iter().flat_map(|server| ["--server".into(), server.clone()]));
        arguments.extend(self.agrees.then(|| "--agree-tos".into()));
        arguments
    }

    /// Gets the certificate, or keeps the one that there is.
    pub fn get(&self, webroot: &Path) -> Result<(), Failure> {
        let server = self.server.as_deref().unwrap_or(LETS_ENCRYPT);
        if !self.agrees && !has_account(Path::new(DIRECTORY), server) {
            return Err(Failure::new(format!(
                "There is no account at {server} yet: read the terms of service of this certification authority (those of Let's \
                 Encrypt are at https://letsencrypt.org/repository/), then repeat the command with --agree-tos."
            )));
        }
        let settings = fs::read_to_string(Path::new(DIRECTORY).join(format!("renewal/{}.conf", self.names[0])));
        let is_renewed_otherwise = settings.is_ok_and(|settings| !renews_by(&settings, webroot));
        match Command::new("certbot").args(self.arguments(webroot, is_renewed_otherwise)).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(Failure::new(sentence(&text(&output), server))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
            Err(error) => Err(Failure::new(format!("certbot cannot be run: {error}."))),
        }
    }
}

/// Checks that certbot is installed. Its version would take it a second.
pub fn check() -> Result<(), Failure> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_installed = env::split_paths(&path).any(|directory| directory.join("certbot").exists());
    if is_installed { Ok(()) } else { Err(missing()) }
}

fn missing() -> Failure {
    Failure::new(
        "certbot, which gets and renews certificates, is not installed: run apt install certbot, then repeat the command. For a \
         certificate from elsewhere: otus-httpd https import FULLCHAIN KEY.",
    )
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// Returns whether the settings of a renewal have its challenges in `webroot`, and not with a web server from before. certbot
/// writes them only when it gets a certificate.
fn renews_by(settings: &str, webroot: &Path) -> bool {
    setting(settings, "authenticator") == Some("webroot") && settings.contains(&webroot.display().to_string())
}

/// Returns whether certbot has an account at a certification authority.
fn has_account(directory: &Path, server: &str) -> bool {
    let path = server.split_once("://").map_or(server, |(_, path)| path);
    let accounts = directory.join("accounts").join(path.trim_end_matches('/'));
    fs::read_dir(accounts).is_ok_and(|mut entries| entries.next().is_some())
}

/// Returns why certbot has failed, from its output.
fn sentence(output: &str, server: &str) -> String {
    const LOG: &str = "/var/log/letsencrypt/letsencrypt.log";
    let has = |words: &[&str]| words.iter().any(|word| output.contains(word));
    if has(&["rateLimited", "too many", "Too Many Requests", "Error code 429", "429 Client Error"]) {
        return format!(
            "{server} issues no further certificate for now, since there were too many requests (its rate limit): repeat the command \
             later. {}Details: {LOG}.",
            details(output)
        );
    }
    if has(&["ConnectionError", "NewConnectionError", "Max retries exceeded", "Connection refused", "Timeout"])
        && !has(&["Some challenges have failed"])
    {
        return format!(
            "The certification authority at {server} cannot be reached: check the network, the URL and its status page, then repeat \
             the command. Details: {LOG}."
        );
    }
    if has(&["Some challenges have failed"]) {
        return format!(
            "The certification authority could not verify that the names lead to this server. {}Check the DNS records (A, AAAA) and \
             that port 80 of this machine is open to the internet, then repeat the command. Details: {LOG}.",
            details(output)
        );
    }
    let last = output.lines().map(str::trim).rfind(|line| {
        !line.is_empty()
            && !line.starts_with("- -")
            && !line.starts_with("Ask for help")
            && !line.starts_with("See the logfile")
    });
    format!("certbot has failed: {}. Details: {LOG}.", last.unwrap_or("it gave no reason").trim_end_matches('.'))
}

/// Returns what certbot reports of each name: its lines `Domain:` and `Detail:`.
fn details(output: &str) -> String {
    let mut details = String::new();
    let mut name = "";
    let mut lines = output.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if let Some(domain) = line.strip_prefix("Domain:") {
            name = domain.trim();
        } else if let Some(detail) = line.strip_prefix("Detail:") {
            // certbot before 2 wraps its lines.
            let mut words = vec![detail.trim()];
            while let Some(rest) = lines.next_if(|line| !line.is_empty() && !line.starts_with("Domain:")) {
                words.push(rest);
            }
            details += &format!("{name}: {}. ", words.join(" ").trim_end_matches('.'));
        }
    }
    details
}

/// Returns the hook for the certificates in `certificates`. certbot runs it after each renewal, also of certificates of other
/// programs.
fn hook(certificates: &Path) -> String {
    format!(
        "#!/bin/sh\n\
         # Placed by otus-httpd https enable: a renewed certificate is used at once. Without this, it is within ten seconds.\n\
         for folder in {}/*; do\n\
         \x20   if [ \"$(readlink -f \"$folder\")\" = \"$(readlink -f \"$RENEWED_LINEAGE\")\" ]; then\n\
         \x20       exec systemctl try-reload-or-restart otus-httpd.service\n\
         \x20   fi\n\
         done\n",
        quoted(&certificates.display().to_string())
    )
}

/// Returns `text` as one word of the shell, in which no character has a meaning.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Places the hook.
pub fn place_hook(certificates: &Path, undo: &mut Undo) -> Result<(), Failure> {
    let path = Path::new(DIRECTORY).join(HOOK);
    let content = hook(certificates);
    if fs::read(&path).is_ok_and(|before| before == content.as_bytes()) {
        return Ok(());
    }
    let directory = path.parent().map_or(Ok(()), |directory| make_directory(directory, undo));
    let placed = directory.and_then(|()| change(&path, content.as_bytes(), Some(0o755), undo));
    placed.map_err(|error| cannot("The hook", &path, "placed", &error))
}

/// What is known of the renewal of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// certbot has a configuration for it.
    Certbot,
    /// certbot has one that says autorenew = False.
    Off,
    /// Nothing is known: another program, or somebody, may renew it.
    Unknown,
}

/// Returns what certbot has for the renewal of the certificate in `folder`, a link to a folder of its own.
pub fn renewal(folder: &Path) -> Renewal {
    renewal_in(Path::new(DIRECTORY), folder)
}

fn renewal_in(directory: &Path, folder: &Path) -> Renewal {
    let (Ok(folder), Ok(live)) = (folder.canonicalize(), directory.join("live").canonicalize()) else {
        return Renewal::Unknown;
    };
    let Ok(lineage) = folder.strip_prefix(live) else { return Renewal::Unknown };
    // Without it, as after its removal by hand, certbot does not know the certificate.
    match fs::read_to_string(directory.join("renewal").join(format!("{}.conf", lineage.display()))) {
        Ok(settings) if setting(&settings, "autorenew").is_some_and(|value| value.eq_ignore_ascii_case("false")) => {
            Renewal::Off
        }
        Ok(_) => Renewal::Certbot,
        Err(_) => Renewal::Unknown,
    }
}

/// Returns a setting of a configuration of certbot.
fn setting<'a>(settings: &'a str, name: &str) -> Option<&'a str> {
    let options = settings.lines().filter_map(|line| line.split_once('='));
    options.map(|(name, value)| (name.trim(), value.trim())).find(|(other, _)| *other == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::https::installation::replace;

    fn request(email: Option<&str>, server: Option<&str>, agrees: bool) -> Request {
        let names = ["example.org", "www.example.org"].map(String::from).into();
        Request { names, email: email.map(String::from), server: server.map(String::from), agrees }
    }

    #[test]
    fn certbot_writes_to_the_directory_of_challenges_and_may_be_repeated() {
        let arguments = request(None, None, true).arguments(Path::new("/var/lib/otus-httpd/acme"), false).join(" ");
        assert_eq!(
            arguments,
            "certonly --non-interactive --webroot --webroot-path /var/lib/otus-httpd/acme --cert-name example.org --domain \
             example.org --domain www.example.org --keep-until-expiring --expand --register-unsafely-without-email --agree-tos"
        );
        let arguments =
            request(Some("a@example.org"), Some("https://ca/dir"), false).arguments(Path::new("/acme"), true).join(" ");
        assert!(arguments.contains(" --force-renewal --expand "), "{arguments}");
        assert!(arguments.ends_with("--email a@example.org --no-eff-email --server https://ca/dir"), "{arguments}");
        assert_eq!(request(None, None, true).folder(), Path::new("/etc/letsencrypt/live/example.org"));
    }

    #[test]
    fn a_certificate_of_another_web_server_is_renewed_at_once() {
        let settings = |authenticator: &str, webroot: &str| {
            format!(
                "version = 2.1.0\n[renewalparams]\nauthenticator = {authenticator}\nwebroot_path = {webroot},\n\
                 [[webroot_map]]\nexample.org = {webroot}\n"
            )
        };
        let own = "/var/lib/otus-httpd/acme";
        for (authenticator, webroot, expected) in
            [("webroot", own, true), ("nginx", own, false), ("webroot", "/var/www/html", false)]
        {
            assert_eq!(
                renews_by(&settings(authenticator, webroot), Path::new(own)),
                expected,
                "{authenticator} {webroot}"
            );
        }
        assert!(!renews_by("", Path::new(own)));
    }

    #[test]
    fn what_renews_a_certificate_is_known_by_its_configuration_only() {
        let top = tempfile::tempdir().unwrap();
        let (certbot, certificates) = (top.path().join("certbot"), top.path().join("certificates"));
        for name in ["renewed", "off", "forgotten"] {
            fs::create_dir_all(certbot.join("live").join(name)).unwrap();
        }
        for name in ["own", "renewed.conf"] {
            fs::create_dir_all(certificates.join(name)).unwrap();
        }
        fs::create_dir(certbot.join("renewal")).unwrap();
        fs::write(certbot.join("renewal/renewed.conf"), "version = 2.1.0\n[renewalparams]\nautorenew = True\n")
            .unwrap();
        fs::write(certbot.join("renewal/off.conf"), "[renewalparams]\nautorenew = False\n").unwrap();
        for name in ["renewed", "off", "forgotten", "missing"] {
            std::os::unix::fs::symlink(certbot.join("live").join(name), certificates.join(name)).unwrap();
        }
        for (name, expected) in [
            ("renewed", Renewal::Certbot),
            ("off", Renewal::Off),
            ("forgotten", Renewal::Unknown),
            ("missing", Renewal::Unknown),
            ("own", Renewal::Unknown),
            ("renewed.conf", Renewal::Unknown),
        ] {
            assert_eq!(renewal_in(&certbot, &certificates.join(name)), expected, "{name}");
        }
    }

    #[test]
    fn an_account_is_one_at_the_same_authority() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("accounts/ca.example:14000/dir/0123")).unwrap();
        assert!(has_account(directory.path(), "https://ca.example:14000/dir"));
        assert!(!has_account(directory.path(), LETS_ENCRYPT));
    }

    #[test]
    fn each_failure_has_a_sentence() {
        for (output, expected) in [
            (
                "Certbot failed to authenticate some domains (authenticator: webroot).\n  Domain: example.org\n  Type:   \
                 unauthorized\n  Detail: 192.0.2.1: Invalid response: 404\n\nSome challenges have failed.\n",
                "verify that the names lead to this server. example.org: 192.0.2.1: Invalid response: 404. Check the DNS",
            ),
            (
                "Some challenges have failed.\n   Domain: a.org\n   Detail: Get\n   http://a.org: refused\n   Domain: b.org\n   \
                 Detail: No.\n\n   To fix these errors\n",
                "a.org: Get http://a.org: refused. b.org: No. Check the DNS",
            ),
            (
                "An unexpected error occurred:\nrequests.exceptions.ConnectionError: HTTPSConnectionPool(host='ca'): Max retries \
                 exceeded\nAsk for help\n",
                "https://ca/dir cannot be reached",
            ),
            (
                "An unexpected error occurred:\nError creating new order :: too many certificates already issued\n",
                "its rate limit",
            ),
            ("urn:ietf:params:acme:error:rateLimited", "repeat the command later. Details"),
            (
                "Saving debug log\nUnknown fault.\nAsk for help or search\n",
                "certbot has failed: Unknown fault. Details",
            ),
            ("", "certbot has failed: it gave no reason. Details"),
        ] {
            let sentence = sentence(output, "https://ca/dir");
            assert!(sentence.contains(expected), "{sentence}");
        }
    }

    #[test]
    fn the_hook_is_for_certificates_of_this_server() {
        let top = tempfile::tempdir().unwrap();
        let path = |name: &str| top.path().join(name);
        // Nothing of a name is run by the shell.
        let certificates = "certi\"fi'cat es$(touch made)`touch made`${HOME}\\";
        for name in ["live/own", "live/other", certificates, "bin"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        std::os::unix::fs::symlink(path("live/own"), path(certificates).join("example.org")).unwrap();
        replace(&path("bin/systemctl"), b"#!/bin/sh\necho \"$@\"\n", 0o755).unwrap();
        for (lineage, expected) in [("live/own", "try-reload-or-restart otus-httpd.service\n"), ("live/other", "")] {
            let output = Command::new("sh")
                .args(["-c", &hook(&path(certificates))])
                .current_dir(top.path())
                .env("RENEWED_LINEAGE", path(lineage))
                .env("PATH", format!("{}:/usr/bin:/bin", path("bin").display()))
                .output()
                .unwrap();
            assert_eq!(text(&output), expected, "{lineage}");
        }
        assert!(!path("made").exists());
    }
}
