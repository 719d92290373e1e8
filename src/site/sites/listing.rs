//! The list of the sites of a directory.

use std::path::Path;
use std::time::SystemTime;

use nix::errno::Errno;

use super::super::root::{Role, Root};
use super::super::version::since_epoch_ns;
use super::entries::{Entries, Refused};
use crate::failure::Failure;
use crate::ipc::file_identity::FileIdentity;

/// The names of the sites at one time.
#[derive(Debug)]
pub struct Listing {
    /// The directory.
    pub root: Root,
    /// The entries.
    pub entries: Entries,
    /// The metadata of the directory; none if a change could have left them as they are.
    pub identity: Option<FileIdentity>,
}

impl Listing {
    /// Opens and reads the directory at `path`.
    pub fn open(path: &Path) -> Result<(Self, Vec<Refused>), Failure> {
        let root = Root::open_as(Role::SITES, path)?;
        Listing::read(root, path, true).map_err(|errno| Role::SITES.denied(path, "listed", errno))
    }

    /// Reads the directory `root`, whose path is `path`. See [`Entries::read`].
    pub fn read(root: Root, path: &Path, follows_links: bool) -> Result<(Self, Vec<Refused>), Errno> {
        let identity = FileIdentity::from(&root.stat(c".")?);
        let (entries, refused) = Entries::read(&root, path, follows_links)?;
        let is_settled = identity.is_settled(since_epoch_ns(SystemTime::now()));
        Ok((Listing { root, entries, identity: is_settled.then_some(identity) }, refused))
    }
}

/// Returns the warnings about a directory of sites, at most `max` about entries that are no site.
pub fn warnings(path: &Path, entries: &Entries, refused: &[Refused], max: usize) -> Vec<String> {
    let path = path.display();
    let mut warnings: Vec<_> = refused
        .iter()
        .take(max)
        .map(|Refused { name, reason }| format!("{path}/{} is no site: {reason}.", name.display()))
        .collect();
    if let Some(more) = refused.len().checked_sub(max).filter(|more| *more > 0) {
        warnings.push(format!("{more} more entries of {path} are no site; otus-httpd --check names all."));
    }
    if entries.is_empty() {
        warnings.push(format!("{path} has no site: make a directory in it with the name of a host, or _default."));
    }
    warnings
}
