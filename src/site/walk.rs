//! Finding what is beneath the root one component at a time: for kernels before openat2(2), and for absolute links that
//! lead back inside.
//!
//! No component is followed by the kernel (O_NOFOLLOW): links are read and their targets walked in turn, and `..` goes
//! back to a directory that was walked through, never above the root.

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::os::sys::file_type;

/// How files are opened: a FIFO or a device may not block, nor become a terminal of ours.
pub const FLAGS: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// How a place is found: it can be looked at, and nobody notices (open(2), O_PATH).
pub const PLACE: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// As many links as the kernel follows (path_resolution(7)).
const LINKS: usize = 40;

/// Finds `path` beneath `root`, whose absolute names are `names`.
pub fn locate(root: BorrowedFd, names: &[PathBuf], path: &CStr) -> Result<OwnedFd, Errno> {
    let mut directories: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    let mut ahead: Vec<OsString> = Vec::new();
    push_components(&mut ahead, Path::new(OsStr::from_bytes(path.to_bytes())))?;

    while let Some(name) = ahead.pop() {
        if name == ".." {
            directories.pop().ok_or(Errno::EXDEV)?;
            continue;
        }
        let here = directories.last().map_or(root, AsFd::as_fd);
        let there = openat(here, name.as_os_str(), PLACE | OFlag::O_NOFOLLOW, Mode::empty())?;
        match file_type(&fstat(&there)?) {
            SFlag::S_IFLNK => {
                links += 1;
                if links > LINKS {
                    return Err(Errno::ELOOP);
                }
                let target = PathBuf::from(readlinkat(&there, c"")?);
                if target.is_absolute() {
                    let inside = names.iter().find_map(|name| target.strip_prefix(name).ok()).ok_or(Errno::EXDEV)?;
                    directories.clear();
                    push_components(&mut ahead, inside)?;
                } else {
                    push_components(&mut ahead, &target)?;
                }
            }
            SFlag::S_IFDIR => directories.push(there),
            _ if !ahead.is_empty() => return Err(Errno::ENOTDIR),
            _ => return Ok(there),
        }
    }
    directories.pop().map_or_else(|| openat(root, c".", PLACE, Mode::empty()), Ok)
}

/// Opens for reading what is at a place (proc(5), /proc/pid/fd). If that is not to be had at once, because another program
/// has to give up a lease on it first (fcntl(2)), this thread waits.
pub fn reopen(place: &OwnedFd) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", place.as_raw_fd());
    match open(path.as_str(), FLAGS, Mode::empty()) {
        Err(Errno::EAGAIN) => open(path.as_str(), FLAGS.difference(OFlag::O_NONBLOCK), Mode::empty()),
        result => result,
    }
}

/// Puts the components of a relative path before those that are ahead already; the next one is last in `ahead`.
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
