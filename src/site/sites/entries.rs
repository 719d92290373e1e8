//! The entries of the directory of sites: which names are sites, and which lead to the same one.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, readlinkat};
use nix::sys::stat::{SFlag, fstat, fstatat};
use rustc_hash::FxHashMap;

use super::super::root::Root;
use crate::dns_name;
use crate::os::sys::file_type;

/// The name of the site of all hosts that have none of their own.
const DEFAULT: &str = "_default";

/// The limit of entries that are read: more would delay a request for too long.
const MAX_ENTRIES: usize = 100_000;

/// The limit of links from one name to another. As in the kernel, more are a loop (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The names of the sites. Each leads to the entry whose directory is served: another one for an alias, which is a link to
/// the name of another site.
#[derive(Debug, Default)]
pub struct Entries {
    /// By name in lower case; by the empty name for all other hosts. None if the entry has exactly this name.
    sites: FxHashMap<Box<[u8]>, Option<Box<str>>>,
    /// The entries that are links, and no aliases.
    links: Box<[Box<str>]>,
    /// How many are no aliases.
    count: usize,
}

/// An entry that is no site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its name.
    pub name: PathBuf,
    /// Why, and what to do.
    pub reason: &'static str,
}

/// An entry that may be a site.
enum Candidate {
    Directory,
    /// A link to the name of another entry.
    Alias(String),
    /// Another link. It is resolved when it is used.
    Link,
}

impl Entries {
    /// Reads the directory of sites `root`, whose path is `path`. Returns the entries that are no site as well; with
    /// `follows_links`, also the links that lead out of the directory. Otherwise that is determined when they are used.
    pub fn read(root: &Root, path: &Path, follows_links: bool) -> Result<(Self, Vec<Refused>), Errno> {
        let descriptor = root.open_beneath(c".")?;
        let mut directory = Dir::from_fd(descriptor)?;
        let mut entries = Vec::new();
        for entry in directory.iter() {
            let entry = entry?;
            if !entry.file_name().to_bytes().starts_with(b".") {
                entries.push((entry.file_name().to_owned(), entry.file_type()));
            }
        }
        let (mut candidates, mut refused) = (FxHashMap::default(), Vec::new());
        for (index, (name, kind)) in entries.into_iter().enumerate() {
            let Some(candidate) = candidate(&directory, &name, kind, path) else { continue };
            let accepted = match index {
                MAX_ENTRIES.. => Err("there are too many entries"),
                _ if follows_links && !matches!(candidate, Candidate::Directory) => check_link(root, &name),
                _ => Ok(()),
            };
            match site_name(&name).and_then(|name| accepted.map(|()| name)) {
                Ok(name) => drop(candidates.insert(name.into(), candidate)),
                Err(reason) => refused.push(Refused { name: OsStr::from_bytes(name.to_bytes()).into(), reason }),
            }
        }
        let entries = Entries::resolve(&candidates, &mut refused);
        // A directory may have another name than its host if a link with that name leads to it.
        let is_linked = |name: &Path| {
            candidates
                .values()
                .any(|candidate| matches!(candidate, Candidate::Alias(target) if name == Path::new(target)))
        };
        refused.retain(|entry| !is_linked(&entry.name));
        refused.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((entries, refused))
    }

    /// Follows the aliases.
    fn resolve(candidates: &FxHashMap<String, Candidate>, refused: &mut Vec<Refused>) -> Self {
        let mut entries = Entries::default();
        for name in candidates.keys() {
            let key = if name == DEFAULT { String::new() } else { name.to_ascii_lowercase() };
            if key != *name && candidates.contains_key(&key) {
                let reason = "another entry has the same name in lower case: remove one of them";
                refused.push(Refused { name: name.into(), reason });
                continue;
            }
            let mut served = name;
            let mut links = 0;
            while let Some(Candidate::Alias(target)) = candidates.get(served)
                && candidates.contains_key(target)
                && links < MAX_LINKS
            {
                (served, links) = (target, links + 1);
            }
            entries.count += usize::from(links == 0 && !key.is_empty());
            let served = (key != *served).then(|| served.as_str().into());
            entries.sites.insert(key.into_bytes().into(), served);
        }
        entries.sites.shrink_to_fit();
        let links = candidates.iter().filter(|(_, candidate)| matches!(candidate, Candidate::Link));
        entries.links = links.map(|(name, _)| name.as_str().into()).collect();
        entries
    }

    /// Returns the name of the entry that is served for `host`, if there is a site with this name. The empty name is that of
    /// hosts that have none of their own.
    pub fn find(&self, host: &[u8]) -> Option<&str> {
        let (host, entry) = self.sites.get_key_value(host)?;
        entry.as_deref().or_else(|| std::str::from_utf8(host).ok())
    }

    /// Returns the names of the entries that are served, in order.
    pub fn served(&self) -> Vec<&str> {
        let mut served: Vec<_> = self.sites.keys().filter_map(|host| self.find(host)).collect();
        served.sort_unstable();
        served.dedup();
        served
    }

    /// Returns the hosts of each site, in order; first the one with the name of its entry.
    pub fn hosts(&self) -> Vec<Vec<String>> {
        let mut sites: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for host in self.sites.keys().filter_map(|host| std::str::from_utf8(host).ok()).filter(|host| !host.is_empty())
        {
            sites.entry(self.find(host.as_bytes()).unwrap_or(host)).or_default().push(host.into());
        }
        for (entry, hosts) in &mut sites {
            hosts.sort_by_key(|host| (!host.eq_ignore_ascii_case(entry), host.clone()));
        }
        sites.into_values().collect()
    }

    /// Returns the names of the entries that are links to other directories than those of entries.
    pub fn links(&self) -> &[Box<str>] {
        &self.links
    }

    /// Returns the number of sites without their aliases, and whether there is one for all other hosts.
    pub fn count(&self) -> (usize, bool) {
        (self.count, self.sites.contains_key(&b""[..]))
    }

    /// Returns whether there is no site.
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }
}

/// Returns what an entry may be: none if it is neither a directory nor a link.
fn candidate(directory: &Dir, name: &CStr, kind: Option<Type>, path: &Path) -> Option<Candidate> {
    let kind = kind.or_else(|| {
        // The file system does not tell it with the name.
        let stat = fstatat(directory.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        match file_type(&stat) {
            SFlag::S_IFDIR => Some(Type::Directory),
            SFlag::S_IFLNK => Some(Type::Symlink),
            _ => None,
        }
    });
    match kind? {
        Type::Directory => Some(Candidate::Directory),
        Type::Symlink => {
            let target = PathBuf::from(readlinkat(directory.as_fd(), name).ok()?);
            Some(entry_name(&target, path).map_or(Candidate::Link, |name| Candidate::Alias(name.into())))
        }
        _ => None,
    }
}

/// Returns the name of the entry of the directory `path` to which the target of a link in it leads, if it is one.
fn entry_name<'t>(target: &'t Path, path: &Path) -> Option<&'t str> {
    let target = if target.is_absolute() { target.strip_prefix(path).ok()? } else { target };
    let mut components = target.components().filter(|component| *component != Component::CurDir);
    let name = components.next().filter(|_| components.next().is_none())?;
    match name {
        Component::Normal(name) => name.to_str().filter(|name| !name.starts_with('.')),
        _ => None,
    }
}

/// Returns the name of an entry as text, if a host can have it.
fn site_name(name: &CStr) -> Result<&str, &'static str> {
    match name.to_str() {
        Ok(name) if dns_name::is_name(name) => Ok(name),
        Ok(name) if !name.is_ascii() => Err(
            "requests name their host in ASCII (A-label): rename it to what `idn2 NAME` prints, such as xn--bcher-kva.example, or let a link with that name lead to it",
        ),
        _ => Err("no host can have this name: rename it, or begin its name with a dot"),
    }
}

/// Returns whether a link leads to a directory that may be served.
fn check_link(root: &Root, name: &CStr) -> Result<(), &'static str> {
    match root.locate(name).map(|located| fstat(&located).map(|stat| file_type(&stat))) {
        Err(Errno::EXDEV) => Err("it is a link that leads out of the directory: move what it leads to into it"),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Err("it is a link that leads nowhere"),
        Err(Errno::ELOOP) => Err("it is a link that leads in a circle"),
        Ok(Ok(SFlag::S_IFDIR)) | Ok(Err(_)) | Err(_) => Ok(()),
        Ok(Ok(_)) => Err("it is a link to a file: let it lead to a directory"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_site_has_the_hosts_of_its_aliases() {
        let top = tempfile::tempdir().unwrap();
        for name in ["b.test", "A.test", "_default", ".releases"] {
            fs::create_dir(top.path().join(name)).unwrap();
        }
        for (target, link) in [
            ("A.test", "www.a.test"),
            ("www.a.test", "0.a.test"),
            ("_default", "c.test"),
            (".releases", "d.test"),
            ("e2.test", "e1.test"),
            ("e1.test", "e2.test"),
        ] {
            symlink(target, top.path().join(link)).unwrap();
        }
        let read = |follows| Entries::read(&Root::open(top.path()).unwrap(), top.path(), follows).unwrap();
        let (entries, refused) = read(true);
        let hosts = [&["a.test", "0.a.test", "www.a.test"][..], &["c.test"], &["b.test"], &["d.test"]];
        assert_eq!(entries.hosts(), hosts);
        assert_eq!(entries.count(), (3, true));
        assert_eq!(entries.served(), ["A.test", "_default", "b.test", "d.test"]);
        assert_eq!(refused.len(), 2, "{refused:?}");
        for (host, entry) in [("0.a.test", Some("A.test")), ("", Some("_default")), ("e1.test", None)] {
            assert_eq!(entries.find(host.as_bytes()), entry, "{host}");
        }
        assert!(read(false).0.find(b"e1.test").is_some(), "links are followed when they are used");
    }
}
