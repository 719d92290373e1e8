//! The entries of a directory, for a listing.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstat, fstatat};
use nix::unistd::{AccessFlags, faccessat};

use super::errno::refuse;
use super::page_names::PageNames;
use super::root::Root;
use super::version::FileVersion;
use crate::http::Refusal;
use crate::http::listing::natural::NaturalKey;
use crate::http::listing::{DirEntry, Form, Listing};
use crate::os::sys::file_type;
use crate::rules;

/// The limit of entries in a listing: a longer page is useless, and costs memory.
const MAX_ENTRIES: usize = 10_000;

/// The limit of links that are followed, and of other names that are checked: a directory full of dangling links must not
/// delay the listings of others.
const MAX_CHECKS: usize = 2 * MAX_ENTRIES;

/// The limit of names that are read, hidden ones included.
const MAX_NAMES: usize = 10 * MAX_ENTRIES;

/// A name that may become an entry.
enum Candidate {
    /// Still to be checked; only the type is known.
    Unchecked { name: CString, is_directory: bool },
    /// Checked.
    Checked(DirEntry),
}

/// The key of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListingKey {
    /// Device and inode of the document root.
    pub root: (u64, u64),
    /// Device and inode of the directory.
    pub directory: (u64, u64),
    /// The directory's path, which the page shows.
    pub path: Vec<u8>,
    /// The format.
    pub form: Form,
}

/// An open directory that may be listed.
#[derive(Debug)]
pub struct Directory {
    root: Root,
    descriptor: OwnedFd,
    /// Its path below the root: empty, or with a slash at its end.
    path: Vec<u8>,
    dotfiles: bool,
    page_names: Arc<PageNames>,
    /// Its device and inode.
    identity: (u64, u64),
}

impl Directory {
    /// Opens the directory at `path`, which ends with a slash or is empty. With `dotfiles`, names that begin with a dot are
    /// listed. `names` has those of indexes.
    pub(super) fn open(root: &Root, path: &[u8], dotfiles: bool, names: &Arc<PageNames>) -> Result<Self, Refusal> {
        let descriptor = root.open_beneath(&path_of(path, c".")?).map_err(refuse)?;
        let stat = fstat(&descriptor).map_err(refuse)?;
        let identity = (stat.st_dev, stat.st_ino);
        Ok(Directory {
            root: root.clone(),
            descriptor,
            path: path.into(),
            dotfiles,
            page_names: names.clone(),
            identity,
        })
    }

    /// Returns the key of its listing in `form`.
    pub fn key(&self, form: Form) -> ListingKey {
        ListingKey { root: self.root.identity(), directory: self.identity, path: self.path.clone(), form }
    }

    /// Returns the document root's directory.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Returns its path below the root: empty, or with a slash at its end.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Returns the path below the root, without links, of the directory that is at its path now; None if that is another one.
    pub fn real_path(&self) -> Result<Option<Vec<u8>>, Refusal> {
        let path = CString::new(self.path.as_slice()).map_err(|_| Refusal::NotFound)?;
        let path = if path.is_empty() { c"." } else { &path };
        self.root.real_path(path, |identity| identity == self.identity)
    }

    /// Returns the entries that would be served if they were requested: no link that leaves the root, and no socket. Opens
    /// none of them, and resolves only links by their path. Beyond the limits, the last entries in the order of names in
    /// `form` are left out, among the names that are read.
    pub fn read(&self, form: Form) -> Result<Listing, Refusal> {
        let Names { mut names, mut is_cut } = self.names().map_err(refuse)?;
        if form.is_natural() && names.len() > MAX_ENTRIES {
            // The sort is stable: names with equal keys remain sorted by their bytes.
            names.sort_by_cached_key(|(name, _)| NaturalKey::of(name.to_bytes()));
        }
        // A link is sorted by the type of its target.
        let (mut candidates, mut checks) = (Vec::with_capacity(names.len()), 0);
        for (name, kind) in names {
            match kind {
                Some(Type::Directory | Type::File) => {
                    candidates.push(Candidate::Unchecked { name, is_directory: kind == Some(Type::Directory) });
                }
                Some(Type::Symlink) | None if checks < MAX_CHECKS => {
                    checks += 1;
                    candidates.extend(self.entry(name, kind.is_some()).map(Candidate::Checked));
                }
                Some(Type::Symlink) | None => is_cut = true,
                Some(_) => {}
            }
        }
        // The sort is stable: names of one type remain sorted.
        candidates.sort_by_key(|candidate| !candidate.is_directory());
        let mut entries = Vec::new();
        checks = 0;
        for candidate in candidates {
            if entries.len() == MAX_ENTRIES || checks == MAX_CHECKS {
                is_cut = true;
                break;
            }
            match candidate {
                Candidate::Checked(entry) => entries.push(entry),
                Candidate::Unchecked { name, .. } => {
                    checks += 1;
                    entries.extend(self.entry(name, false));
                }
            }
        }
        Ok(Listing { entries, is_cut })
    }

    fn names(&self) -> Result<Names, Errno> {
        let mut names = Vec::new();
        let mut is_cut = false;
        for (read, entry) in Dir::from_fd(self.descriptor.try_clone().map_err(|_| Errno::EMFILE)?)?.iter().enumerate() {
            // The directory itself and its parent are two more.
            if read == MAX_NAMES + 2 {
                is_cut = true;
                break;
            }
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let is_shown = self.dotfiles || !name.starts_with(b".") || (self.path.is_empty() && name == b".well-known");
            let is_reserved = self.path.is_empty() && rules::is_reserved(name);
            if is_shown && !is_reserved && name != b"." && name != b".." {
                names.push((entry.file_name().to_owned(), entry.file_type()));
            }
        }
        names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Names { names, is_cut })
    }

    /// Returns the entry for a name, if it would be served. Permissions are checked by the kernel, since the mode does not
    /// include access control lists.
    fn entry(&self, name: CString, is_link: bool) -> Option<DirEntry> {
        let own = if is_link {
            None
        } else {
            Some(fstatat(&self.descriptor, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?)
        };
        let stat = match own.filter(|own| file_type(own) != SFlag::S_IFLNK) {
            Some(own) => own,
            None => fstat(&self.root.locate(&path_of(&self.path, &name).ok()?).ok()?).ok()?,
        };
        // A link's target was located inside the root above.
        let is_permitted = |wanted| faccessat(&self.descriptor, name.as_c_str(), wanted, AtFlags::AT_EACCESS).is_ok();
        let is_directory = match file_type(&stat) {
            SFlag::S_IFDIR => true,
            SFlag::S_IFREG => false,
            _ => return None,
        };
        let is_served = match is_directory {
            false => is_permitted(AccessFlags::R_OK),
            true => {
                is_permitted(AccessFlags::R_OK | AccessFlags::X_OK)
                    || (is_permitted(AccessFlags::X_OK) && self.has_index(&name))
            }
        };
        let version = FileVersion::from(&stat);
        let since = u64::try_from(version.identity.mtime_ns.max(0)).unwrap_or(u64::MAX);
        let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(since);
        is_served.then(|| DirEntry { name: name.into_bytes(), is_directory, size: version.size(), modified })
    }

    /// Returns whether a directory that may be searched, but not read, has an index that may be read.
    fn has_index(&self, name: &CStr) -> bool {
        self.page_names.index.iter().any(|index| {
            let index = CString::new([&self.path, name.to_bytes(), b"/", index.as_bytes()].concat());
            index.is_ok_and(|index| self.root.may_read_file(&index))
        })
    }
}

impl Candidate {
    fn is_directory(&self) -> bool {
        match self {
            Candidate::Unchecked { is_directory, .. } => *is_directory,
            Candidate::Checked(entry) => entry.is_directory,
        }
    }
}

/// The names in a directory, sorted.
struct Names {
    /// With their types, as far as the file system returns them (readdir(3), d_type).
    names: Vec<(CString, Option<Type>)>,
    /// Whether the directory has more names than are read.
    is_cut: bool,
}

fn path_of(directory: &[u8], name: &CStr) -> Result<CString, Refusal> {
    CString::new([directory, name.to_bytes()].concat()).map_err(|_| Refusal::NotFound)
}
