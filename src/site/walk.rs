//! Path resolution below the root, one component at a time: for kernels before openat2(2), and for absolute symbolic links
//! that lead back inside.
//!
//! The kernel follows no component (O_NOFOLLOW): links are read and their targets resolved in turn, and `..` returns to a
//! directory that was passed before, never above the root.

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::os::sys::file_type;

/// The flags for opening files: a FIFO or a device must not block, nor become this process's terminal.
pub const FLAGS: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// The flags for locating a file without opening it (open(2), O_PATH): other processes do not notice.
pub const PLACE: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// The limit of symbolic links in a path, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Locates `path` below `root`, whose absolute names are `names`.
pub fn locate(root: BorrowedFd, names: &[PathBuf], path: &CStr) -> Result<OwnedFd, Errno> {
    resolve(root, names, path).map(|(located, _)| located)
}

/// Locates `path` in the same way. Returns as well its path below the root without links.
pub fn resolve(root: BorrowedFd, names: &[PathBuf], path: &CStr) -> Result<(OwnedFd, PathBuf), Errno> {
    let mut directories: Vec<OwnedFd> = Vec::new();
    let mut resolved = PathBuf::new();
    let mut links = 0;
    let mut ahead: Vec<OsString> = Vec::new();
    push_components(&mut ahead, Path::new(OsStr::from_bytes(path.to_bytes())))?;

    while let Some(name) = ahead.pop() {
        if name == ".." {
            directories.pop().ok_or(Errno::EXDEV)?;
            resolved.pop();
            continue;
        }
        let here = directories.last().map_or(root, AsFd::as_fd);
        let there = openat(here, name.as_os_str(), PLACE | OFlag::O_NOFOLLOW, Mode::empty())?;
        match file_type(&fstat(&there)?) {
            SFlag::S_IFLNK => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                let target = PathBuf::from(readlinkat(&there, c"")?);
                if target.is_absolute() {
                    let inside = names.iter().find_map(|name| target.strip_prefix(name).ok()).ok_or(Errno::EXDEV)?;
                    directories.clear();
                    resolved.clear();
                    push_components(&mut ahead, inside)?;
                } else {
                    push_components(&mut ahead, &target)?;
                }
            }
            SFlag::S_IFDIR => {
                directories.push(there);
                resolved.push(name);
            }
            _ if !ahead.is_empty() => return Err(Errno::ENOTDIR),
            _ => {
                resolved.push(name);
                return Ok((there, resolved));
            }
        }
    }
    let located = directories.pop().map_or_else(|| openat(root, c".", PLACE, Mode::empty()), Ok)?;
    Ok((located, resolved))
}

/// Opens a located file for reading (proc(5), /proc/pid/fd). If another program has a lease on it (fcntl(2)), this thread
/// waits until the lease is released.
pub fn reopen(located: &OwnedFd) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", located.as_raw_fd());
    match open(path.as_str(), FLAGS, Mode::empty()) {
        Err(Errno::EAGAIN) => open(path.as_str(), FLAGS.difference(OFlag::O_NONBLOCK), Mode::empty()),
        result => result,
    }
}

/// Adds the components of a relative path in front of those still to be resolved. The next one is last in `ahead`.
fn push_components(ahead: &mut Vec<OsString>, path: &Path) -> Result<(), Errno> {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => ahead.push(name.into()),
            Component::ParentDir => ahead.push("..".into()),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err(Errno::EXDEV),
        }
    }
    Ok(())
}
