//! The files of the packaged service: settings, certificates and challenges.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::systemd;
use super::undo::Undo;
use crate::config::file::SettingsFile;
use crate::config::{DEFAULT_CHALLENGES, PACKAGED_CERTIFICATES};
use crate::failure::{self, Failure};

/// The settings file of the service.
const SETTINGS: &str = "/etc/default/otus-httpd";

/// The variable of `--acme-challenges`.
const ACME_CHALLENGES: &str = "OTUS_ACME_CHALLENGES";

/// The variable of `--redirect-to-https`.
pub const REDIRECT: &str = "OTUS_REDIRECT_TO_HTTPS";

/// The variable of `--hsts`.
pub const HSTS: &str = "OTUS_HSTS";

/// The paths of the packaged service.
#[derive(Debug)]
pub struct Installation {
    /// The settings file.
    pub settings: PathBuf,
    /// The directory of certificates.
    pub certificates: PathBuf,
    /// The directory of challenges.
    pub challenges: PathBuf,
}

impl Installation {
    /// Returns the paths that the service has by its settings file.
    pub fn of_package() -> Result<Self, Failure> {
        if !Path::new("/run/systemd/system").exists() {
            return Err(Failure::new(
                "otus-httpd https sets up the packaged service, and systemd does not run here: without it, start the server with \
                 --https-port and --certificates.",
            ));
        }
        let mut file = SettingsFile::read(Path::new(&format!("-{SETTINGS}")));
        if let Some((_, problem)) = file.problems.drain(..).next() {
            return Err(problem);
        }
        let certificates = setting(&file, "OTUS_CERTIFICATES");
        let challenges = systemd::variable(ACME_CHALLENGES).or_else(|| setting(&file, ACME_CHALLENGES));
        Ok(Installation {
            settings: SETTINGS.into(),
            // The key process reads this file only.
            certificates: certificates.unwrap_or_else(|| PACKAGED_CERTIFICATES.into()).into(),
            challenges: challenges.unwrap_or_else(|| DEFAULT_CHALLENGES.into()).into(),
        })
    }

    /// Returns a setting of the settings file.
    pub fn setting(&self, name: &str) -> Option<String> {
        setting(&SettingsFile::read(&self.settings), name)
    }

    /// Makes the directory of challenges, and in it the path that `certbot --webroot` expects, which leads back to it. Returns
    /// whether it is new.
    pub fn make_challenges(&self) -> Result<bool, Failure> {
        let is_new = !self.challenges.exists();
        let known = self.challenges.join(".well-known");
        make_directory(&known).map_err(|error| cannot("The directory of challenges", &known, "made", &error))?;
        match symlink("..", known.join("acme-challenge")) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(cannot("The link", &known.join("acme-challenge"), "made", &error))
            }
            _ => Ok(is_new),
        }
    }

    /// Makes the directory of certificates.
    pub fn make_certificates(&self) -> Result<(), Failure> {
        make_directory(&self.certificates)
            .map_err(|error| cannot("The directory of certificates", &self.certificates, "made", &error))
    }

    /// Sets a setting in the settings file, or removes it.
    pub fn set(&self, name: &str, value: Option<&str>, undo: &mut Undo) -> Result<(), Failure> {
        let (path, cannot) =
            (self.settings.clone(), |error: io::Error| cannot("The settings file", &self.settings, "changed", &error));
        let before = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            result => Some(result.map_err(cannot)?),
        };
        let after = with_setting(before.as_deref().unwrap_or_default(), name, value);
        if before.as_ref() == Some(&after) {
            return Ok(());
        }
        replace(&path, after.as_bytes(), mode(&path)).map_err(cannot)?;
        undo.push(move || match before {
            Some(text) => drop(replace(&path, text.as_bytes(), mode(&path))),
            None => drop(fs::remove_file(&path)),
        });
        Ok(())
    }
}

/// Returns a failure to work on a file.
pub fn cannot(what: &str, path: &Path, done: &str, error: &io::Error) -> Failure {
    Failure::new(format!("{what} {} cannot be {done} ({}).", path.display(), failure::reason(error)))
}

/// Writes a file of `mode` that replaces the one at `path`.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".otus-new");
    let new = path.with_file_name(name);
    let _ = fs::remove_file(&new);
    let result = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    });
    result.inspect_err(|_| drop(fs::remove_file(&new)))
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn mode(path: &Path) -> u32 {
    path.metadata().map_or(0o644, |metadata| metadata.mode() & 0o777)
}

fn setting(file: &SettingsFile, name: &str) -> Option<String> {
    file.setting_of(name).map(|setting| setting.value.clone())
}

/// Returns the text of a settings file with `name` set, in the place of the line that sets it or shows its default. Without a
/// value, the lines that set it become comments.
fn with_setting(text: &str, name: &str, value: Option<&str>) -> String {
    let begins = |line: &str, prefix: &str| {
        let rest = line.strip_prefix(prefix).and_then(|line| line.strip_prefix(name));
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let lines: Vec<&str> = text.lines().collect();
    let place =
        lines.iter().rposition(|line| begins(line, "")).or_else(|| lines.iter().rposition(|line| begins(line, "#")));
    let setting = value.map(|value| format!("{name}={value}"));
    let mut result = String::new();
    for (index, line) in lines.iter().enumerate() {
        match &setting {
            Some(setting) if Some(index) == place => result += setting,
            _ if begins(line, "") => result = result + "#" + line,
            _ => result += line,
        }
        result += "\n";
    }
    if let (Some(setting), None) = (setting, place) {
        result += &setting;
        result += "\n";
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_takes_the_place_of_its_line_or_of_its_comment() {
        for (text, value, expected) in [
            ("", Some("1"), "A=1\n"),
            ("# About A.\n#A=0\nB=2\n", Some("1"), "# About A.\nA=1\nB=2\n"),
            ("A=0\n#A=0\nAB=3", Some("1"), "A=1\n#A=0\nAB=3\n"),
            ("A=0\nA = 2\n", Some("1"), "#A=0\nA=1\n"),
            ("A=1\nB=2\n", None, "#A=1\nB=2\n"),
            ("B=2\n", None, "B=2\n"),
        ] {
            assert_eq!(with_setting(text, "A", value), expected, "{text:?}");
        }
    }

    #[test]
    fn the_path_of_certbot_leads_back_to_the_directory_of_challenges() {
        let top = tempfile::tempdir().unwrap();
        let challenges = top.path().join("acme");
        let (settings, certificates) = (top.path().join("settings"), top.path().join("certificates"));
        let installation = Installation { settings, certificates, challenges: challenges.clone() };
        assert!(installation.make_challenges().unwrap());
        assert!(!installation.make_challenges().unwrap());
        fs::write(challenges.join(".well-known/acme-challenge/token"), "a").unwrap();
        assert_eq!(fs::read_to_string(challenges.join("token")).unwrap(), "a");
        assert_eq!(challenges.metadata().unwrap().mode() & 0o777, 0o755);

        let mut undo = Undo::default();
        installation.set("OTUS_X", Some("1"), &mut undo).unwrap();
        assert_eq!(installation.setting("OTUS_X").as_deref(), Some("1"));
        drop(undo);
        assert!(!installation.settings.exists());
    }
}
