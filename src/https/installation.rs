//! The files of the packaged service: settings, certificates and challenges.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::systemd;
use super::undo::Undo;
use crate::config::file::SettingsFile;
use crate::config::{DEFAULT_CHALLENGES, PACKAGED_CERTIFICATES};
use crate::failure::{self, Failure};

/// The settings file of the service.
const SETTINGS: &str = "/etc/default/otus-httpd";

/// The variable of `--acme-challenges`.
const ACME_CHALLENGES: &str = "OTUS_ACME_CHALLENGES";

/// The variable of `--sites`.
const SITES: &str = "OTUS_SITES";

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
    /// The directory of sites, if there are many.
    pub sites: Option<PathBuf>,
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
            sites: systemd::variable(SITES).or_else(|| setting(&file, SITES)).map(PathBuf::from),
        })
    }

    /// Returns a setting of the settings file.
    pub fn setting(&self, name: &str) -> Option<String> {
        setting(&SettingsFile::read(&self.settings), name)
    }

    /// Makes the directory of challenges, and in it the path that `certbot --webroot` expects, which leads back to it. Returns
    /// whether it is new.
    pub fn make_challenges(&self, undo: &mut Undo) -> Result<bool, Failure> {
        let is_new = !self.challenges.exists();
        let known = self.challenges.join(".well-known");
        make_directory(&known, undo).map_err(|error| cannot("The directory of challenges", &known, "made", &error))?;
        let link = known.join("acme-challenge");
        match symlink("..", &link) {
            Ok(()) => {
                undo.file(move || fs::remove_file(&link).map_err(|error| cannot("The link", &link, "removed", &error)))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot("The link", &link, "made", &error)),
        }
        Ok(is_new)
    }

    /// Makes the directory of certificates.
    pub fn make_certificates(&self, undo: &mut Undo) -> Result<(), Failure> {
        make_directory(&self.certificates, undo)
            .map_err(|error| cannot("The directory of certificates", &self.certificates, "made", &error))
    }

    /// Sets a setting in the settings file, or removes it.
    pub fn set(&self, name: &str, value: Option<&str>, undo: &mut Undo) -> Result<(), Failure> {
        let cannot = |error: io::Error| cannot("The settings file", &self.settings, "changed", &error);
        let before = match fs::read_to_string(&self.settings) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            result => result.map_err(cannot)?,
        };
        let after = with_setting(&before, name, value);
        if before == after { Ok(()) } else { change(&self.settings, after.as_bytes(), None, undo).map_err(cannot) }
    }
}

/// Returns a failure to work on a file.
pub fn cannot(what: &str, path: &Path, done: &str, error: &io::Error) -> Failure {
    Failure::new(format!("{what} {} cannot be {done} ({}).", path.display(), failure::reason(error)))
}

/// Writes a file of `mode` that replaces the one at `path`.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write(path, content, Access { mode, owner: None })
}

/// Changes the content of a file, or makes it. A link stays, and the file that it leads to is changed. Without `mode`, so stay its
/// permissions and its owner.
pub fn change(path: &Path, content: &[u8], mode: Option<u32>, undo: &mut Undo) -> io::Result<()> {
    let path = destination(path);
    let former = match fs::metadata(&path) {
        Ok(metadata) => Some((Access::of(&metadata), Zeroizing::new(fs::read(&path)?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let access = match (mode, &former) {
        (None, Some((access, _))) => *access,
        _ => Access { mode: mode.unwrap_or(0o644), owner: None },
    };
    write(&path, content, access)?;
    undo.file(move || {
        let result = match former {
            Some((access, content)) => write(&path, &content, access),
            None => fs::remove_file(&path),
        };
        result.map_err(|error| cannot("The file", &path, "restored", &error))
    });
    Ok(())
}

/// Makes a directory, and those above it.
pub fn make_directory(path: &Path, undo: &mut Undo) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).map(Path::to_path_buf).collect();
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    if !missing.is_empty() {
        let removed = move |path: PathBuf| {
            fs::remove_dir(&path).map_err(|error| cannot("The directory", &path, "removed", &error))
        };
        undo.file(move || missing.into_iter().try_for_each(removed));
    }
    Ok(())
}

/// The permissions of a file, and its owner and group; none for those of this process.
#[derive(Debug, Clone, Copy)]
struct Access {
    mode: u32,
    owner: Option<(u32, u32)>,
}

impl Access {
    fn of(metadata: &fs::Metadata) -> Self {
        Access { mode: metadata.mode() & 0o7777, owner: Some((metadata.uid(), metadata.gid())) }
    }
}

fn write(path: &Path, content: &[u8], Access { mode, owner }: Access) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".otus-new");
    let new = path.with_file_name(name);
    let _ = fs::remove_file(&new);
    let result =
        fs::OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(&new).and_then(|mut file| {
            file.write_all(content)?;
            if let Some((user, group)) = owner {
                fchown(&file, Some(user), Some(group))?;
            }
            // After fchown(2), which removes the bits for another user. Not by open(2), which takes away those of the mask.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
            fs::rename(&new, path)
        });
    result.inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Returns the file that `path` leads to, which need not exist.
fn destination(path: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::read_link(path).map_or_else(|_| path.to_path_buf(), |target| directory.join(target))
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

    fn installation(top: &Path) -> Installation {
        let path = |name: &str| top.join(name);
        Installation {
            settings: path("settings"),
            certificates: path("a/certificates"),
            challenges: path("acme"),
            sites: None,
        }
    }

    #[test]
    fn the_path_of_certbot_leads_back_to_the_directory_of_challenges() {
        let top = tempfile::tempdir().unwrap();
        let installation = installation(top.path());
        let challenges = &installation.challenges;
        for keep in [false, true] {
            let mut undo = Undo::default();
            assert!(installation.make_challenges(&mut undo).unwrap());
            assert!(!installation.make_challenges(&mut undo).unwrap());
            installation.make_certificates(&mut undo).unwrap();
            if keep {
                undo.keep();
            } else {
                drop(undo);
                assert_eq!(fs::read_dir(top.path()).unwrap().count(), 0, "nothing stays");
            }
        }
        fs::write(challenges.join(".well-known/acme-challenge/token"), "a").unwrap();
        assert_eq!(fs::read_to_string(challenges.join("token")).unwrap(), "a");
        assert_eq!(challenges.metadata().unwrap().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_setting_is_taken_back_with_its_file() {
        let top = tempfile::tempdir().unwrap();
        let installation = installation(top.path());
        let mut undo = Undo::default();
        installation.set("OTUS_X", None, &mut undo).unwrap();
        assert!(undo.is_empty() && !installation.settings.exists(), "there is nothing to remove");
        installation.set("OTUS_X", Some("1"), &mut undo).unwrap();
        installation.set("OTUS_Y", Some("2"), &mut undo).unwrap();
        assert_eq!(installation.setting("OTUS_X").as_deref(), Some("1"));
        drop(undo);
        assert_eq!(fs::read_dir(top.path()).unwrap().count(), 0);
    }

    /// As with etckeeper, stow or a volume: the file is elsewhere.
    #[test]
    fn a_linked_settings_file_stays_linked_with_its_permissions() {
        let top = tempfile::tempdir().unwrap();
        let installation = installation(top.path());
        let real = top.path().join("elsewhere/real");
        fs::create_dir(top.path().join("elsewhere")).unwrap();
        symlink("elsewhere/real", &installation.settings).unwrap();
        let text = || fs::read_to_string(&real).ok();
        // The link may lead to nothing.
        let mut undo = Undo::default();
        installation.set("OTUS_X", Some("1"), &mut undo).unwrap();
        assert_eq!(text().as_deref(), Some("OTUS_X=1\n"));
        drop(undo);
        assert_eq!(text(), None);
        fs::write(&real, "OTUS_Y=2\n").unwrap();
        // The bit of the group is in no usual mask.
        fs::set_permissions(&real, fs::Permissions::from_mode(0o664)).unwrap();
        let access = || fs::metadata(&real).map(|metadata| (metadata.mode(), metadata.uid(), metadata.gid())).unwrap();
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(&real, Some(65534), Some(65534)).unwrap();
        }
        let before = access();
        let mut undo = Undo::default();
        installation.set("OTUS_X", Some("1"), &mut undo).unwrap();
        assert_eq!((text().as_deref(), access()), (Some("OTUS_Y=2\nOTUS_X=1\n"), before));
        assert!(installation.settings.is_symlink());
        drop(undo);
        assert_eq!((text().as_deref(), access()), (Some("OTUS_Y=2\n"), before));
        assert!(installation.settings.is_symlink());
        assert_eq!(fs::read_dir(top.path().join("elsewhere")).unwrap().count(), 1);
    }
}
