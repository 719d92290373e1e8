//! What is wrong with a directory of sites, before it is served.

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::super::root::{Role, Root};
use super::super::rules::{self, Faults};
use super::listing::{Listing, warnings};
use crate::failure::Failure;

/// The number of warnings about rules after which a check only counts the other sites with mistakes.
const MAX_RULES_WARNINGS: usize = 100;

/// Returns the warnings about the directory of sites at `path`, for a check; or why it cannot be served. With `is_brief`, only
/// the latter.
pub fn check(path: &Path, is_brief: bool) -> Result<Vec<String>, Failure> {
    Root::check(Role::SITES, path, true)?;
    let (found, refused) = Listing::open(path)?;
    if is_brief {
        return Ok(Vec::new());
    }
    let mut warnings = warnings(path, &found.entries, &refused, usize::MAX);
    let is_denied = |entry: &&str| eaccess(&path.join(entry), AccessFlags::X_OK) == Err(Errno::EACCES);
    let denied: Vec<_> = found.entries.served().into_iter().filter(is_denied).collect();
    warnings.extend(denied.iter().map(|entry| {
        let path = path.display();
        format!("{path}/{entry} cannot be entered: let this server's user pass through it (chmod a+x).")
    }));
    warnings.extend(check_rules(&found, path));
    Ok(warnings)
}

/// Returns what is wrong with the rules of the sites in the directory at `path`: the other sites are served all the same.
fn check_rules(listing: &Listing, path: &Path) -> Vec<String> {
    let (mut warnings, mut others) = (Vec::new(), 0_usize);
    for entry in listing.entries.served() {
        let (name, path) = (CString::new(entry).unwrap_or_default(), path.join(entry));
        // What cannot be opened has a warning of its own.
        let Ok(root) = listing.root.open_root(&name, &path) else { continue };
        let Faults { unusable, mistakes } = rules::check(&root, &path);
        match unusable.is_empty() && mistakes.is_empty() {
            true => {}
            false if warnings.len() >= MAX_RULES_WARNINGS => others += 1,
            false => warnings.extend(unusable.into_iter().chain(mistakes)),
        }
    }
    if others > 0 {
        let (are, path) = (if others == 1 { "site has" } else { "sites have" }, path.display());
        warnings.push(format!(
            "{others} more {are} mistakes in the rules: \"otus-httpd check-site {path}/NAME\" lists those of one."
        ));
    }
    warnings
}

/// Returns the hosts of each site in the directory at `path`; first the one with the name of its entry.
pub fn hosts(path: &Path) -> Result<Vec<Vec<String>>, Failure> {
    Listing::open(path).map(|(listing, _)| listing.entries.hosts())
}
