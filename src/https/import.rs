//! `otus-httpd https import`.

use std::fs;
use std::path::Path;

use nix::sys::prctl;
use zeroize::Zeroizing;

use super::enable::{check_server, serve};
use super::installation::{Installation, cannot, change, make_directory, replace};
use super::undo::Undo;
use crate::failure::Failure;
use crate::ipc::key_protocol::Overview;
use crate::keys::{self, folder};

/// The folder that is checked before its files are used. It begins with a dot, so that the key process ignores it.
const STAGE: &str = ".import";

/// Copies a certificate and its key into the directory of certificates, and serves it.
pub fn run(installation: &Installation, chain: &Path, key: &Path) -> Result<(), Failure> {
    check_server()?;
    let mut undo = Undo::default();
    installation.make_certificates(&mut undo)?;
    // No core dump, and no ptrace(2): this process reads a private key. On Linux, it does not fail.
    let _ = prctl::set_dumpable(false);
    let read = |path: &Path| match fs::read(path) {
        Ok(content) => Ok(Zeroizing::new(content)),
        Err(error) => Err(cannot("The file", path, "read", &error)),
    };
    let (chain, key) = (read(chain)?, read(key)?);
    let certificate = check(installation, &chain, &key)?;
    let name = folder_of(&certificate, &keys::read_once(&installation.certificates));
    let path = installation.certificates.join(&name);
    let files = [(folder::KEY, &key, 0o600), (folder::CHAIN, &chain, 0o644)];
    let mut places = [path.clone()].into_iter().chain(files.map(|(file, ..)| path.join(file)));
    if let Some(link) = places.find(|place| place.is_symlink()) {
        return Err(Failure::new(format!(
            "{} is a link, as otus-httpd https enable makes it. If the imported certificate is to replace it, rename {1} to {1}.old, by \
             which it stays in use, then repeat the command and remove that.",
            link.display(),
            path.display()
        )));
    }
    make_directory(&path, &mut undo).map_err(|error| cannot("The directory", &path, "made", &error))?;
    for (file, content, mode) in files {
        let path = path.join(file);
        change(&path, content, Some(mode), &mut undo).map_err(|error| cannot("The file", &path, "written", &error))?;
    }
    // Before other processes are started.
    drop(key);
    let served: Vec<_> = certificate.names.iter().map(|name| name.replacen('*', "otus-httpd-test", 1)).collect();
    serve(installation, &name, &served, false, undo)
}

/// Returns the overview of a certificate, if it can be used with the key.
fn check(installation: &Installation, chain: &[u8], key: &[u8]) -> Result<Overview, Failure> {
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
    Ok(overview)
}

/// Returns the folder of a certificate beside those that there are. One with another type of key has a folder of its own, with the
/// type at the end of its name; one of the same type is replaced.
fn folder_of(certificate: &Overview, present: &[Overview]) -> String {
    let first = certificate.names.first().map_or("default".into(), |name| name.replacen("*.", "wildcard.", 1));
    let own = format!("{first}-{}", key_type(certificate));
    // A folder that cannot be read has no type.
    let has_other_type = |folder: &&Overview| folder.folder == first && key_type(folder) != key_type(certificate);
    let is_taken = present.iter().find(has_other_type).is_some_and(|folder| !folder.key.is_empty());
    let is_own = present.iter().any(|folder| folder.folder == own);
    if is_taken || is_own { own } else { first }
}

/// Returns the type of a key without its size or curve: clients select a certificate by it.
fn key_type(certificate: &Overview) -> String {
    certificate.key.split(' ').next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overview(folder: &str, key: &str, name: &str) -> Overview {
        let names = vec![name.into(), "b.example.org".into()];
        Overview { folder: folder.into(), key: key.into(), names, ..Overview::default() }
    }

    #[test]
    fn a_folder_has_the_first_name() {
        for (name, folder) in [("example.org", "example.org"), ("*.example.org", "wildcard.example.org")] {
            assert_eq!(folder_of(&overview("", "RSA 2048", name), &[]), folder);
        }
    }

    #[test]
    fn certificates_with_other_types_of_keys_are_side_by_side_and_a_successor_replaces() {
        let (first, rsa) = ("example.org", "example.org-rsa");
        for (key, present, expected) in [
            ("RSA 2048", &[(first, "ECDSA P-256")][..], rsa),
            ("RSA 4096", &[(first, "ECDSA P-256"), (rsa, "RSA 2048")], rsa),
            ("ECDSA P-384", &[(first, "ECDSA P-256"), (rsa, "RSA 2048")], first),
            ("RSA 4096", &[(first, "RSA 2048")], first),
            ("ECDSA P-256", &[(first, "RSA 2048")], "example.org-ecdsa"),
            ("Ed25519", &[(first, "RSA 2048")], "example.org-ed25519"),
            // The other one was removed.
            ("RSA 2048", &[(rsa, "RSA 2048")], rsa),
            ("ECDSA P-256", &[(rsa, "RSA 2048")], first),
            // It has no certificate.
            ("RSA 2048", &[(first, "")], first),
            ("RSA 2048", &[("other.example", "ECDSA P-256")], first),
        ] {
            let present: Vec<_> = present.iter().map(|(folder, key)| overview(folder, key, first)).collect();
            assert_eq!(folder_of(&overview("", key, first), &present), expected, "{key} beside {present:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_and_leaves_nothing() {
        let top = tempfile::tempdir().unwrap();
        let certificates = top.path().join("certificates");
        let installation = Installation {
            settings: top.path().join("settings"),
            challenges: top.path().join("acme"),
            certificates,
            sites: None,
        };
        installation.make_certificates(&mut Undo::default()).unwrap();
        let failure = check(&installation, b"no certificate", b"no key").unwrap_err().to_string();
        assert!(failure.starts_with("The certificate cannot be used: "), "{failure}");
        assert!(failure.len() > 50 && failure.matches("cannot be used").count() == 1, "{failure}");
        assert_eq!(fs::read_dir(&installation.certificates).unwrap().count(), 0);
    }
}
