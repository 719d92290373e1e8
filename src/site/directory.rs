//! What a directory of the site holds.

use std::ffi::{CStr, CString};
use std::time::{Duration, SystemTime};

use nix::dir::Dir;

use super::file::{File, refuse};
use super::root::Root;
use crate::http::Refusal;
use crate::http::listing::Entry;

/// The most entries that are listed: a page of more is of use to nobody, and costs memory.
const MOST: usize = 10_000;

/// The entries of the directory at `path`, which ends with a slash or is empty: those that would be served if they were
/// asked for, so that a link that leaves the root is not among them, nor a socket.
pub fn entries(root: &Root, path: &[u8], dotfiles: bool) -> Result<Vec<Entry>, Refusal> {
    let of = |name: &[u8]| CString::new([path, name].concat()).map_err(|_| Refusal::NotFound);
    let directory = root.open_beneath(&of(b".")?).map_err(refuse)?;
    let mut entries = Vec::new();
    for entry in Dir::from_fd(directory).map_err(refuse)?.iter() {
        let name = entry.map_err(refuse)?.file_name().to_bytes().to_vec();
        let is_shown = dotfiles || !name.starts_with(b".") || (path.is_empty() && name == b".well-known");
        if !is_shown || name == b"." || name == b".." {
            continue;
        }
        if entries.len() == MOST {
            break;
        }
        entries.extend(of(&name).ok().and_then(|path| entry_at(root, &path, name)));
    }
    Ok(entries)
}

fn entry_at(root: &Root, path: &CStr, name: Vec<u8>) -> Option<Entry> {
    let file = File::open(root, path).ok()?;
    let identity = file.identity();
    let since = u64::try_from(identity.mtime_ns.max(0)).unwrap_or(u64::MAX);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(since);
    Some(Entry { name, is_directory: file.is_directory(), size: identity.size, modified })
}
