//! What a directory of the site holds.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstat, fstatat};
use nix::unistd::{AccessFlags, faccessat};

use super::file::{FileVersion, refuse};
use super::listings::Key;
use super::root::Root;
use crate::http::Refusal;
use crate::http::listing::{DirEntry, Form, Listing};
use crate::os::sys::file_type;

/// The most entries that are listed: a page of more is of use to nobody, and costs memory.
const MOST: usize = 10_000;

/// The most links that are followed, and the most further names that are looked at: who fills a directory with links that lead
/// nowhere makes others wait no longer.
const MOST_LOOKS: usize = 2 * MOST;

/// The most names that are read, hidden ones included.
const MOST_NAMES: usize = 10 * MOST;

/// A name that was read, and what is known of it.
enum Candidate {
    /// It is to be looked at; whether it is a directory is known.
    Unseen { name: CString, is_directory: bool },
    /// It was looked at.
    Seen(DirEntry),
}

/// A directory that may be listed, open.
#[derive(Debug)]
pub struct Directory {
    root: Root,
    descriptor: OwnedFd,
    /// Below the root: empty, or with a slash at its end.
    path: Vec<u8>,
    dotfiles: bool,
    /// Its device and inode.
    identity: (u64, u64),
}

impl Directory {
    /// Opens the directory at `path`, which ends with a slash or is empty; `dotfiles` says whether names that begin with a dot
    /// are shown.
    pub fn open(root: &Root, path: &[u8], dotfiles: bool) -> Result<Self, Refusal> {
        let descriptor = root.open_beneath(&path_of(path, c".")?).map_err(refuse)?;
        let stat = fstat(&descriptor).map_err(refuse)?;
        let identity = (stat.st_dev, stat.st_ino);
        Ok(Directory { root: root.clone(), descriptor, path: path.into(), dotfiles, identity })
    }

    /// Which listing of it is its one in `form`.
    pub fn key(&self, form: Form) -> Key {
        Key { root: self.root.identity(), directory: self.identity, path: self.path.clone(), form }
    }

    /// The root that it is beneath.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Its path below the root: empty, or with a slash at its end.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Reads what it holds.
    pub fn read(&self) -> Result<Listing, Refusal> {
        listing(&self.root, &self.descriptor, &self.path, self.dotfiles)
    }
}

/// The entries that would be served if they were asked for, so that a link that leaves the root is not among them, nor a socket.
/// Nothing is opened, and only links are found by their path. If there are more than are listed, it is the last in the order that
/// are left out, among those names that are read.
fn listing(root: &Root, descriptor: &OwnedFd, path: &[u8], dotfiles: bool) -> Result<Listing, Refusal> {
    let Names { names, mut is_cut } = names(descriptor, path, dotfiles).map_err(refuse)?;
    let look = |name, is_link| entry_at(root, descriptor, path, name, is_link);
    // Where a link leads decides its place in the order.
    let (mut candidates, mut looks) = (Vec::with_capacity(names.len()), 0);
    for (name, kind) in names {
        match kind {
            Some(Type::Directory | Type::File) => {
                candidates.push(Candidate::Unseen { name, is_directory: kind == Some(Type::Directory) });
            }
            Some(Type::Symlink) | None if looks < MOST_LOOKS => {
                looks += 1;
                candidates.extend(look(name, kind.is_some()).map(Candidate::Seen));
            }
            Some(Type::Symlink) | None => is_cut = true,
            Some(_) => {}
        }
    }
    // Those of one kind stay in the order of their names.
    candidates.sort_by_key(|candidate| !candidate.is_directory());
    let mut entries = Vec::new();
    looks = 0;
    for candidate in candidates {
        if entries.len() == MOST || looks == MOST_LOOKS {
            is_cut = true;
            break;
        }
        match candidate {
            Candidate::Seen(entry) => entries.push(entry),
            Candidate::Unseen { name, .. } => {
                looks += 1;
                entries.extend(look(name, false));
            }
        }
    }
    Ok(Listing { entries, is_cut })
}

impl Candidate {
    fn is_directory(&self) -> bool {
        match self {
            Candidate::Unseen { is_directory, .. } => *is_directory,
            Candidate::Seen(entry) => entry.is_directory,
        }
    }
}

/// The names in a directory, in their order.
struct Names {
    /// With what the file system says of their type (readdir(3), d_type).
    names: Vec<(CString, Option<Type>)>,
    /// Whether there are more than are read.
    is_cut: bool,
}

fn names(directory: &OwnedFd, path: &[u8], dotfiles: bool) -> Result<Names, Errno> {
    let mut names = Vec::new();
    let mut is_cut = false;
    for (read, entry) in Dir::from_fd(directory.try_clone().map_err(|_| Errno::EMFILE)?)?.iter().enumerate() {
        // The directory itself and its parent are two more.
        if read == MOST_NAMES + 2 {
            is_cut = true;
            break;
        }
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let is_shown = dotfiles || !name.starts_with(b".") || (path.is_empty() && name == b".well-known");
        if is_shown && name != b"." && name != b".." {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Names { names, is_cut })
}

fn path_of(directory: &[u8], name: &CStr) -> Result<CString, Refusal> {
    CString::new([directory, name.to_bytes()].concat()).map_err(|_| Refusal::NotFound)
}

/// What a name, which may be known to be a link, stands for, if that would be served. The permissions are the kernel's answer: the
/// mode alone does not know of access control lists.
fn entry_at(root: &Root, directory: &OwnedFd, path: &[u8], name: CString, is_link: bool) -> Option<DirEntry> {
    let own =
        if is_link { None } else { Some(fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?) };
    let stat = match own.filter(|own| file_type(own) != SFlag::S_IFLNK) {
        Some(own) => own,
        None => fstat(&root.locate(&path_of(path, &name).ok()?).ok()?).ok()?,
    };
    // Where a link leads is known to be inside by now.
    let may = |wanted| faccessat(directory, name.as_c_str(), wanted, AtFlags::AT_EACCESS).is_ok();
    let is_directory = match file_type(&stat) {
        SFlag::S_IFDIR => true,
        SFlag::S_IFREG => false,
        _ => return None,
    };
    let is_served = match is_directory {
        false => may(AccessFlags::R_OK),
        true => may(AccessFlags::R_OK | AccessFlags::X_OK) || (may(AccessFlags::X_OK) && has_index(root, path, &name)),
    };
    let identity = FileVersion::from(&stat);
    let since = u64::try_from(identity.mtime_ns.max(0)).unwrap_or(u64::MAX);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(since);
    is_served.then(|| DirEntry { name: name.into_bytes(), is_directory, size: identity.size, modified })
}

/// Whether a directory that may be passed through, and not listed, has a page: a file that may be read.
fn has_index(root: &Root, path: &[u8], name: &CStr) -> bool {
    let index = CString::new([path, name.to_bytes(), b"/index.html"].concat());
    index.is_ok_and(|index| root.may_read_file(&index))
}
