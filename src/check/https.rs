//! Warnings about the settings for HTTPS: those without effect, and challenges that the server cannot read.

use std::io;
use std::path::PathBuf;

use nix::unistd::{AccessFlags, eaccess};

use crate::config::unit::ServiceUnit;
use crate::config::{Options, requires_https};
use crate::failure::{self, Failure};
use crate::listeners::{self, Purpose};

/// Returns whether the server has a socket for HTTPS.
pub fn has_socket(options: &Options, service: Option<&ServiceUnit>) -> bool {
    let names = service.map_or_else(listeners::names_from_systemd, |service| service.socket_names.clone());
    let is_bound = service.is_none_or(|service| service.addresses.is_empty()) && options.https_port.is_some();
    is_bound || names.iter().any(|name| Purpose::of(name).is_tls())
}

/// Returns a sentence for each setting that has no effect, as there is no socket for HTTPS.
pub fn unused_settings(options: &Options) -> Vec<String> {
    let settings = [
        (options.redirect_to_https, "--redirect-to-https (OTUS_REDIRECT_TO_HTTPS)"),
        // With 0 seconds, it may stay after HTTPS was disabled.
        (options.hsts.as_deref().is_some_and(requires_https), "--hsts (OTUS_HSTS)"),
        (options.ticket_keys.is_some(), "--ticket-keys (OTUS_TICKET_KEYS)"),
    ];
    let unused = settings.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| {
        format!(
            "{name} has no effect, since there is no socket for HTTPS: run otus-httpd https enable, or remove the setting."
        )
    });
    unused.collect()
}

/// Returns a sentence if this user cannot read the challenges in `folder`, which need not exist.
pub fn unreadable_challenges(folder: Result<PathBuf, Failure>) -> Option<String> {
    let folder = match folder {
        Ok(folder) => folder,
        Err(failure) => return Some(failure.to_string()),
    };
    let why = match folder.metadata() {
        Ok(metadata) if !metadata.is_dir() => "it is not a directory".into(),
        Ok(_) => eaccess(&folder, AccessFlags::X_OK).err()?.desc().into(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => failure::reason(&error),
    };
    let folder = folder.display();
    Some(format!(
        "Challenges in {folder} cannot be read ({why}), so that no certificate can be got or renewed by them: make it a directory that \
         every user can search (chmod 755), or set another (OTUS_ACME_CHALLENGES)."
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn settings_without_effect_are_those_that_would_have_one() {
        use crate::config::CommandLine;
        use clap::Parser;
        let unused = |arguments: &[&str]| {
            let arguments = [&["otus-httpd"], arguments].concat();
            unused_settings(&CommandLine::try_parse_from(arguments).unwrap().options).join(" ")
        };
        assert!(unused(&["--hsts=300"]).starts_with("--hsts (OTUS_HSTS) has no effect"));
        assert!(unused(&["--redirect-to-https"]).starts_with("--redirect-to-https"));
        assert_eq!(unused(&["--hsts=0"]), "");
        assert_eq!(unused(&["--hsts=0,includeSubDomains"]), "");
    }

    #[test]
    fn challenges_are_in_a_directory_that_can_be_searched() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(unreadable_challenges(Ok(top.path().to_path_buf())), None);
        assert_eq!(unreadable_challenges(Ok(top.path().join("missing"))), None);
        assert!(unreadable_challenges(Ok(file)).unwrap().contains("cannot be read"));
        assert_eq!(unreadable_challenges(Err(Failure::new("Hidden."))).as_deref(), Some("Hidden."));
    }
}
