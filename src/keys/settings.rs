//! The settings file of the packaged service, of which the key process uses one setting: the directory of the certificates.

use std::path::{Path, PathBuf};

use nix::sys::stat::stat;

use crate::config::file::SettingsFile;
use crate::ipc::file_identity::FileIdentity;

/// The settings file as it was read. Later, the key process may not open it, but it sees that it is another one.
#[derive(Debug)]
pub struct SettingsVersion {
    path: PathBuf,
    /// None if there was no file.
    identity: Option<FileIdentity>,
}

impl SettingsVersion {
    /// Reads the file at `path`. Returns the directory of the certificates as well, if it is set.
    pub fn read(path: &Path) -> (Self, Option<PathBuf>) {
        // Before: a change during the reading is one.
        let identity = identity(path);
        let file = SettingsFile::read(path);
        let directory = file.setting_of("OTUS_CERTIFICATES").map(|setting| PathBuf::from(&setting.value));
        (SettingsVersion { path: path.into(), identity }, directory)
    }

    /// Returns whether the file has changed.
    pub fn is_outdated(&self) -> bool {
        identity(&self.path) != self.identity
    }
}

fn identity(path: &Path) -> Option<FileIdentity> {
    stat(path).ok().map(|stat| FileIdentity::from(&stat))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_of_the_file_is_seen() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("settings");
        let (missing, directory) = SettingsVersion::read(&path);
        assert_eq!((missing.is_outdated(), directory), (false, None));
        fs::write(&path, "OTUS_CERTIFICATES=/one\nOTUS_WORKERS=none\n").unwrap();
        assert!(missing.is_outdated());
        let (one, directory) = SettingsVersion::read(&path);
        assert_eq!((one.is_outdated(), directory), (false, Some("/one".into())));
        // As sed -i and editors do it.
        fs::write(top.path().join("new"), "OTUS_CERTIFICATES=/two\nOTUS_WORKERS=none\n").unwrap();
        fs::rename(top.path().join("new"), &path).unwrap();
        assert!(one.is_outdated());
    }
}
