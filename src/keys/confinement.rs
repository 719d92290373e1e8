//! What the key process may do: read the directory of the certificates, and the directories that its links lead to.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::prctl;

use super::folder;
use crate::os::{landlock, sys};

/// The processes of the machine: a peer is known by its control group.
const PROCESSES: &str = "/proc";

/// The directories that this process may read, by device and inode.
#[derive(Debug)]
pub struct Confinement(Option<BTreeSet<(u64, u64)>>);

/// Confines this process: no other process of its user can read its memory, and it can neither write nor open any file but
/// those below the directories that the certificates are in now. `is_service` is whether systemd has started it: then it has
/// no capabilities, and reads what there is about the processes that connect.
pub fn confine(certificates: &Path, is_service: bool) -> Confinement {
    // Also before Linux 5.13, which has no Landlock: no core dump, no ptrace(2), and /proc/PID is root's.
    if let Err(errno) = prctl::set_dumpable(false) {
        tracing::error!("The memory of the key process is not protected from its own user ({}).", errno.desc());
    }
    if !is_service && let Err(error) = sys::keep_reading_only() {
        tracing::error!("The key process keeps the capabilities of its user ({error}).");
    }
    let directories = directories(certificates);
    let processes = is_service.then(|| PathBuf::from(PROCESSES));
    let paths: Vec<_> = directories.iter().cloned().chain(processes).collect();
    match landlock::allow_reading(&paths) {
        Ok(version) if version > 0 => Confinement(Some(directories.iter().filter_map(identity).collect())),
        Ok(_) => Confinement(None),
        Err(error) => {
            tracing::warn!("The key process is not confined: {error}.");
            Confinement(None)
        }
    }
}

impl Confinement {
    /// Returns whether links lead to a directory that this process may not read, because they were made after it was
    /// confined. Another process may.
    pub fn is_outdated(&self, certificates: &Path) -> bool {
        let is_missing = |allowed: &BTreeSet<_>| {
            directories(certificates).iter().filter_map(identity).any(|directory| !allowed.contains(&directory))
        };
        self.0.as_ref().is_some_and(is_missing)
    }
}

fn identity(directory: &PathBuf) -> Option<(u64, u64)> {
    let metadata = fs::metadata(directory).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Returns the directory of the certificates, and those that contain the files to which its links lead.
fn directories(certificates: &Path) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    let Ok(certificates) = certificates.canonicalize() else { return directories };
    for entry in fs::read_dir(&certificates).into_iter().flatten().flatten() {
        let Ok(folder) = entry.path().canonicalize() else { continue };
        for name in [folder::CHAIN, folder::KEY] {
            let file = folder.join(name).canonicalize().ok();
            directories.extend(file.and_then(|file| file.parent().map(Path::to_path_buf)));
        }
        if folder.is_dir() {
            directories.insert(folder);
        }
    }
    directories.retain(|directory| !directory.starts_with(&certificates));
    directories.insert(certificates);
    directories
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// As certbot does it: links to a folder of links.
    #[test]
    fn the_directories_are_those_that_links_lead_to() {
        let top = tempfile::tempdir().unwrap();
        let path = |name: &str| top.path().join(name);
        for directory in ["certificates/own", "live/example.org", "archive/example.org", "archive/other.org"] {
            fs::create_dir_all(path(directory)).unwrap();
        }
        for name in [folder::CHAIN, folder::KEY] {
            fs::write(path("archive/example.org").join(name), "").unwrap();
            symlink(path("archive/example.org").join(name), path("live/example.org").join(name)).unwrap();
            fs::write(path("certificates/own").join(name), "").unwrap();
        }
        symlink(path("live/example.org"), path("certificates/example.org")).unwrap();
        symlink(path("nowhere"), path("certificates/broken")).unwrap();
        let expected = ["archive/example.org", "certificates", "live/example.org"].map(path);
        assert_eq!(directories(&path("certificates")), expected.into_iter().collect());
        assert!(directories(&path("nowhere")).is_empty());
        // The file of this link is in a folder of its own.
        symlink(path("archive/other.org/x"), path("certificates/own/x")).unwrap();
        let known = directories(&path("certificates"));
        let confinement = Confinement(Some(known.iter().filter_map(identity).collect()));
        assert!(!confinement.is_outdated(&path("certificates")));
        fs::create_dir(path("elsewhere")).unwrap();
        symlink(path("elsewhere"), path("certificates/later")).unwrap();
        assert!(confinement.is_outdated(&path("certificates")));
    }
}
