//! Where a path of a site is among all sites: a site can be a part of another one, or have several names.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Host, Selected, Sites};
use crate::access::Place;
use crate::http::Refusal;
use crate::os::clock;

/// A path of a site.
#[derive(Debug)]
pub struct SitePlace<'p> {
    sites: &'p Sites,
    site: &'p Selected<'p>,
    path: &'p [u8],
    /// The path of its directory below the directory of sites, without links; none if there is one site.
    directory: Result<Option<Arc<[u8]>>, Refusal>,
}

impl Sites {
    /// Returns where `path`, as in [`Target`](crate::http::Target), of `site` is among all sites.
    pub fn place<'p>(&'p self, site: &'p Selected, path: &'p [u8]) -> SitePlace<'p> {
        // If the entry is being replaced, it is unknown where the site is.
        let directory = match self.directory(site) {
            Ok(None) if site.name().is_some() => Err(Refusal::NoRoot),
            directory => directory,
        };
        SitePlace { sites: self, site, path, directory }
    }

    /// Returns the path of the directory of one of many sites below the directory of sites, without links; none if there is none.
    fn directory(&self, site: &Selected) -> Result<Option<Arc<[u8]>>, Refusal> {
        match (&self.sites, site) {
            (super::Kind::Named(sites), Selected::Named(named)) => sites.directory_of(named),
            _ => Ok(None),
        }
    }
}

impl SitePlace<'_> {
    /// Returns whether `is_wanted` holds for its path in a site around this one, or in one that is a part of it.
    fn has_path_elsewhere(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Result<bool, Refusal> {
        let (Some(directory), super::Kind::Named(sites)) = (self.directory.clone()?, &self.sites.sites) else {
            return Ok(false);
        };
        let whole = join(&directory, self.path);
        for (slash, _) in whole.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            if slash == directory.len() || !is_wanted(&whole[slash + 1..]) {
                continue;
            }
            match sites.is_site(&whole[..slash]) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                // The path of a request need not exist; that of the site does, unless it is being replaced.
                Err(Refusal::NotFound) if slash > directory.len() => {}
                Err(Refusal::NotFound) => return Err(Refusal::NoRoot),
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(false)
    }
}

impl Place for SitePlace<'_> {
    fn has_path(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Result<bool, Refusal> {
        Ok(is_wanted(self.path) || self.has_path_elsewhere(is_wanted)?)
    }

    /// If the host has no site of its own, its site is the one for all other hosts.
    fn path_in(&self, host: &str) -> Result<Option<Cow<'_, [u8]>>, Refusal> {
        let Some(name) = self.site.name() else { return Ok(None) };
        if name == host {
            return Ok(Some(self.path.into()));
        }
        let other = match self.sites.select(&Host::named(host.as_bytes()), clock::now_ms()) {
            Ok(other) => other,
            Err(Refusal::NoSite) => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        // Two entries may lead to one directory.
        if other.name() == Some(name) || other.identity() == self.site.identity() {
            return Ok(Some(self.path.into()));
        }
        let Some(own) = self.directory.clone()? else { return Ok(None) };
        let other = match self.sites.directory(&other) {
            // It cannot be entered, so nothing in it is served.
            Ok(None) | Err(Refusal::Unreadable) => return Ok(None),
            Ok(Some(other)) => other,
            Err(refusal) => return Err(refusal),
        };
        Ok(path_between(&own, &other, self.path))
    }
}

/// Returns the path in the directory `other` of what is at `path` in the directory `own`, if it is in both.
fn path_between<'p>(own: &[u8], other: &[u8], path: &'p [u8]) -> Option<Cow<'p, [u8]>> {
    if let Some(part) = below(other, own) {
        return Some(join(part, path).into());
    }
    let path = path.strip_prefix(below(own, other)?)?;
    (path.is_empty() || path.starts_with(b"/")).then(|| path.strip_prefix(b"/").unwrap_or(path).into())
}

/// Returns the path of `path` below `directory`.
fn below<'p>(directory: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    path.strip_prefix(directory)?.strip_prefix(b"/")
}

fn join(directory: &[u8], path: &[u8]) -> Vec<u8> {
    [directory, path].join(&b'/')
}
