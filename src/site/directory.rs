//! The entries of a directory, for a listing.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstat, fstatat};
use nix::unistd::{AccessFlags, faccessat};

use self::names::{Kind, Names};
use super::errno::refuse;
use super::page_names::PageNames;
use super::root::Root;
use super::version::FileVersion;
use crate::http::Refusal;
use crate::http::listing::{DirEntry, Form, Listing};
use crate::os::sys::file_type;
use crate::rules;

mod names;

/// The limit of entries in a listing: a longer page is useless, and costs memory.
const MAX_ENTRIES: usize = 10_000;

/// The limit of links that are followed, and of other names that are checked: a directory full of dangling links must not
/// delay the listings of others.
const MAX_CHECKS: usize = 2 * MAX_ENTRIES;

/// The limit of names that are read, hidden ones included.
const MAX_NAMES: usize = 10 * MAX_ENTRIES;

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
        let names = self.names(form.is_natural()).map_err(refuse)?;
        let (mut listing, links, mut checks) = (Listing::default(), self.links(&names), 0);
        listing.is_cut = names.is_cut || links.is_cut;
        // Directories first. A link is sorted by the type of its target.
        for wanted in [true, false] {
            let mut targets = links.targets.iter();
            for name in &names.sorted {
                let facts = match name.kind {
                    Kind::File | Kind::Directory if (name.kind == Kind::Directory) == wanted => None,
                    Kind::File | Kind::Directory => continue,
                    Kind::Link | Kind::Unknown => match targets.next().copied().flatten() {
                        Some(target) if target.is_directory == wanted => Some(target),
                        _ => continue,
                    },
                };
                if listing.len() == MAX_ENTRIES || checks == MAX_CHECKS {
                    listing.is_cut = true;
                    return Ok(listing);
                }
                let text = names.text(name);
                checks += usize::from(facts.is_none());
                if let Some(Facts { is_directory, size, modified_s }) = facts.or_else(|| self.facts(text, false)) {
                    listing.push(DirEntry { name: text.to_bytes(), is_directory, size, modified_s });
                }
            }
        }
        Ok(listing)
    }

    /// Reads the names, and sorts them: in natural order if it `is_natural` and makes a difference.
    fn names(&self, is_natural: bool) -> Result<Names, Errno> {
        let mut names = Names::default();
        for (read, entry) in Dir::from_fd(self.descriptor.try_clone().map_err(|_| Errno::EMFILE)?)?.iter().enumerate() {
            // The directory itself and its parent are two more.
            if read == MAX_NAMES + 2 {
                names.is_cut = true;
                break;
            }
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let is_shown = self.dotfiles || !name.starts_with(b".") || (self.path.is_empty() && name == b".well-known");
            let is_reserved = self.path.is_empty() && rules::is_reserved(name);
            if is_shown && !is_reserved && name != b"." && name != b".." {
                names.push(entry.file_name(), entry.file_type());
            }
        }
        names.sort(is_natural && names.sorted.len() > MAX_ENTRIES);
        Ok(names)
    }

    /// Checks the links among the names, and those whose type the file system does not return.
    fn links(&self, names: &Names) -> Links {
        let mut links = Links::default();
        for name in names.sorted.iter().filter(|name| matches!(name.kind, Kind::Link | Kind::Unknown)) {
            if links.targets.len() == MAX_CHECKS {
                links.is_cut = true;
                break;
            }
            links.targets.push(self.facts(names.text(name), name.kind == Kind::Link));
        }
        links
    }

    /// Returns what a listing has of an entry, if it would be served. Permissions are checked by the kernel, since the mode does
    /// not include access control lists.
    fn facts(&self, name: &CStr, is_link: bool) -> Option<Facts> {
        let own =
            if is_link { None } else { Some(fstatat(&self.descriptor, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?) };
        let stat = match own.filter(|own| file_type(own) != SFlag::S_IFLNK) {
            Some(own) => own,
            None => fstat(&self.root.locate(&path_of(&self.path, name).ok()?).ok()?).ok()?,
        };
        // A link's target was located inside the root above.
        let is_permitted = |wanted| faccessat(&self.descriptor, name, wanted, AtFlags::AT_EACCESS).is_ok();
        let is_directory = match file_type(&stat) {
            SFlag::S_IFDIR => true,
            SFlag::S_IFREG => false,
            _ => return None,
        };
        let is_served = match is_directory {
            false => is_permitted(AccessFlags::R_OK),
            true => {
                is_permitted(AccessFlags::R_OK | AccessFlags::X_OK)
                    || (is_permitted(AccessFlags::X_OK) && self.has_index(name))
            }
        };
        let modified_s = u64::try_from(stat.st_mtime).unwrap_or(0);
        is_served.then(|| Facts { is_directory, size: FileVersion::from(&stat).size(), modified_s })
    }

    /// Returns whether a directory that may be searched, but not read, has an index that may be read.
    fn has_index(&self, name: &CStr) -> bool {
        self.page_names.index.iter().any(|index| {
            let index = CString::new([&self.path, name.to_bytes(), b"/", index.as_bytes()].concat());
            index.is_ok_and(|index| self.root.may_read_file(&index))
        })
    }
}

/// What a listing has of an entry besides its name.
#[derive(Debug, Clone, Copy)]
struct Facts {
    is_directory: bool,
    size: u64,
    modified_s: u64,
}

/// The links of a directory, in the order of their names.
#[derive(Default)]
struct Links {
    /// What each leads to, if that would be served.
    targets: Vec<Option<Facts>>,
    /// Whether there are more.
    is_cut: bool,
}

fn path_of(directory: &[u8], name: &CStr) -> Result<CString, Refusal> {
    CString::new([directory, name.to_bytes()].concat()).map_err(|_| Refusal::NotFound)
}
