//! What a directory of the site holds.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use nix::dir::{Dir, Type};
use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstat, fstatat};
use nix::unistd::{AccessFlags, faccessat};

use super::file::{Identity, refuse};
use super::root::Root;
use crate::http::Refusal;
use crate::http::listing::{Entry, Listing};
use crate::sys::file_type;

/// The most entries that are listed: a page of more is of use to nobody, and costs memory.
const MOST: usize = 10_000;

/// The most names that are looked at for them: who fills a directory with links that lead nowhere makes others wait no
/// longer.
const MOST_LOOKS: usize = 2 * MOST;

/// The most names that are read.
const MOST_NAMES: usize = 10 * MOST;

/// What the directory at `path`, which ends with a slash or is empty, holds: the entries that would be served if they were
/// asked for, so that a link that leaves the root is not among them, nor a socket. Nothing is opened, and only links are
/// found by their path. If there are more than are listed, it is the last in the order that are left out.
pub fn listing(root: &Root, path: &[u8], dotfiles: bool) -> Result<Listing, Refusal> {
    let descriptor = root.open_beneath(&path_of(path, c".")?).map_err(refuse)?;
    let mut directory = Dir::from_fd(descriptor.try_clone().map_err(|_| Refusal::NotFound)?).map_err(refuse)?;
    let mut names = Vec::new();
    let mut is_cut = false;
    for entry in directory.iter() {
        let entry = entry.map_err(refuse)?;
        let name = entry.file_name();
        let bytes = name.to_bytes();
        let is_shown = dotfiles || !bytes.starts_with(b".") || (path.is_empty() && bytes == b".well-known");
        if !is_shown || bytes == b"." || bytes == b".." {
            continue;
        }
        if names.len() == MOST_NAMES {
            is_cut = true;
            break;
        }
        names.push((entry.file_type() != Some(Type::Directory), name.to_owned()));
    }
    names.sort_unstable();
    let mut entries = Vec::new();
    for (looks, (_, name)) in names.into_iter().enumerate() {
        if entries.len() == MOST || looks == MOST_LOOKS {
            is_cut = true;
            break;
        }
        entries.extend(entry_at(root, &descriptor, path, name));
    }
    Ok(Listing { entries, is_cut })
}

fn path_of(directory: &[u8], name: &CStr) -> Result<CString, Refusal> {
    CString::new([directory, name.to_bytes()].concat()).map_err(|_| Refusal::NotFound)
}

fn entry_at(root: &Root, directory: &OwnedFd, path: &[u8], name: CString) -> Option<Entry> {
    let mut stat = fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    if file_type(&stat) == SFlag::S_IFLNK {
        let target = root.locate(&path_of(path, &name).ok()?).ok()?;
        stat = fstat(&target).ok()?;
    }
    // What everybody may needs no question; where a link leads is known to be inside by now.
    let may = |wanted: AccessFlags, bits: u32| {
        stat.st_mode & bits == bits || faccessat(directory, name.as_c_str(), wanted, AtFlags::AT_EACCESS).is_ok()
    };
    let is_directory = match file_type(&stat) {
        SFlag::S_IFDIR => true,
        SFlag::S_IFREG => false,
        _ => return None,
    };
    let is_served = match is_directory {
        false => may(AccessFlags::R_OK, 0o444),
        true => may(AccessFlags::X_OK, 0o111) && (may(AccessFlags::R_OK, 0o444) || has_index(root, path, &name)),
    };
    let identity = Identity::from(&stat);
    let since = u64::try_from(identity.mtime_ns.max(0)).unwrap_or(u64::MAX);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(since);
    is_served.then(|| Entry { name: name.into_bytes(), is_directory, size: identity.size, modified })
}

/// Whether a directory that may be passed through, and not listed, has a page.
fn has_index(root: &Root, path: &[u8], name: &CStr) -> bool {
    let index = CString::new([path, name.to_bytes(), b"/index.html"].concat());
    index.is_ok_and(|index| root.locate(&index).is_ok())
}
