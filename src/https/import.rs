//! `otus-httpd https import`.

use std::fs;
use std::path::Path;

use nix::sys::prctl;
use zeroize::Zeroizing;

use super::enable::{check_server, serve};
use super::installation::{Installation, cannot, replace};
use super::undo::Undo;
use crate::failure::Failure;
use crate::keys::{self, folder};

/// The folder that is checked before its files are used. It begins with a dot, so that the key process ignores it.
const STAGE: &str = ".import";

/// Copies a certificate and its key into the directory of certificates, and serves it.
pub fn run(installation: &Installation, chain: &Path, key: &Path) -> Result<(), Failure> {
    check_server()?;
    installation.make_certificates()?;
    // No core dump, and no ptrace(2): this process reads a private key. On Linux, it does not fail.
    let _ = prctl::set_dumpable(false);
    let read = |path: &Path| match fs::read(path) {
        Ok(content) => Ok(Zeroizing::new(content)),
        Err(error) => Err(cannot("The file", path, "read", &error)),
    };
    let (chain, key) = (read(chain)?, read(key)?);
    let names = check(installation, &chain, &key)?;
    let name = folder_of(&names);
    let path = installation.certificates.join(&name);
    if path.is_symlink() {
        return Err(Failure::new(format!(
            "{0} is a link, as otus-httpd https enable makes it. If the imported certificate is to replace it, rename it to {0}.old, by \
             which it stays in use, then repeat the command and remove it.",
            path.display()
        )));
    }
    let mut undo = Undo::default();
    if !path.exists() {
        let made = path.clone();
        undo.push(move || drop(fs::remove_dir_all(made)));
    }
    fs::create_dir_all(&path).map_err(|error| cannot("The directory", &path, "made", &error))?;
    for (file, content, mode) in [(folder::KEY, &key, 0o600), (folder::CHAIN, &chain, 0o644)] {
        let path = path.join(file);
        let before = fs::read(&path).ok().map(Zeroizing::new);
        replace(&path, content, mode).map_err(|error| cannot("The file", &path, "written", &error))?;
        undo.push(move || match before {
            Some(before) => drop(replace(&path, &before, mode)),
            None => drop(fs::remove_file(&path)),
        });
    }
    // Before other processes are started.
    drop(key);
    let served: Vec<_> = names.iter().map(|name| name.replacen('*', "otus-httpd-test", 1)).collect();
    serve(installation, &name, &served, false, undo)
}

/// Returns the names of a certificate, if it can be used with the key.
fn check(installation: &Installation, chain: &[u8], key: &[u8]) -> Result<Vec<String>, Failure> {
    let stage = installation.certificates.join(STAGE);
    let _ = fs::remove_dir_all(&stage);
    let folder = stage.join("certificate");
    let write = || {
        fs::create_dir_all(&folder)?;
        replace(&folder.join(folder::KEY), key, 0o600)?;
        replace(&folder.join(folder::CHAIN), chain, 0o644)
    };
    let overview = write().map(|()| keys::read_once(&stage).pop());
    let _ = fs::remove_dir_all(&stage);
    let overview = overview.map_err(|error| cannot("The directory", &stage, "written", &error))?.unwrap_or_default();
    if !overview.is_usable {
        let faults = overview.faults.join(" ");
        let faults = faults.strip_prefix("It cannot be used: ").unwrap_or(&faults);
        return Err(Failure::new(format!("The certificate cannot be used: {faults}")));
    }
    if overview.names.is_empty() {
        return Err(Failure::new(
            "The certificate cannot be used: it has no DNS names (subjectAltName); get another one.",
        ));
    }
    Ok(overview.names)
}

/// Returns the folder of a certificate with these names.
fn folder_of(names: &[String]) -> String {
    names.first().map_or("default".into(), |name| name.replacen("*.", "wildcard.", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_the_first_name() {
        for (name, folder) in [("example.org", "example.org"), ("*.example.org", "wildcard.example.org")] {
            assert_eq!(folder_of(&[name.into(), "b.example.org".into()]), folder);
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_and_leaves_nothing() {
        let top = tempfile::tempdir().unwrap();
        let certificates = top.path().join("certificates");
        let installation =
            Installation { settings: top.path().join("settings"), challenges: top.path().join("acme"), certificates };
        installation.make_certificates().unwrap();
        let failure = check(&installation, b"no certificate", b"no key").unwrap_err().to_string();
        assert!(failure.starts_with("The certificate cannot be used: "), "{failure}");
        assert!(failure.len() > 50 && failure.matches("cannot be used").count() == 1, "{failure}");
        assert_eq!(fs::read_dir(&installation.certificates).unwrap().count(), 0);
    }
}
