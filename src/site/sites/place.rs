//! Where a path of a site is among all sites: a site can be a part of another one, or have several names.

use std::borrow::Cow;
use std::iter;
use std::sync::Arc;

use super::{Selected, Sites};
use crate::access::Place;

/// A path of a site.
#[derive(Debug)]
pub struct SitePlace<'p> {
    sites: &'p Sites,
    site: &'p Selected<'p>,
    path: &'p [u8],
    /// The path in the site around this one, if its directory is in that of another entry.
    outer: Option<Vec<u8>>,
}

impl Sites {
    /// Returns where `path`, as in [`Target`](crate::http::Target), of `site` is among all sites.
    pub fn place<'p>(&'p self, site: &'p Selected, path: &'p [u8]) -> SitePlace<'p> {
        let directory = self.directory(site);
        let outer = directory.and_then(|directory| {
            let end = directory.iter().position(|byte| *byte == b'/').filter(|_| !directory.starts_with(b"."))?;
            Some(join(&directory[end + 1..], path))
        });
        SitePlace { sites: self, site, path, outer }
    }

    /// Returns the path of the directory of one of many sites below the directory of sites, without links.
    fn directory(&self, site: &Selected) -> Option<Arc<[u8]>> {
        match (&self.sites, site) {
            (super::Kind::Named(sites), Selected::Named(named)) => sites.directory_of(named),
            _ => None,
        }
    }
}

impl Place for SitePlace<'_> {
    fn paths(&self) -> impl Iterator<Item = &[u8]> {
        iter::once(self.path).chain(self.outer.as_deref())
    }

    /// If the host has no site of its own, its site is the one for all other hosts.
    fn path_in(&self, host: &str) -> Option<Cow<'_, [u8]>> {
        let name = self.site.name()?;
        if name == host {
            return Some(self.path.into());
        }
        let other = self.sites.select(&self.sites.host(Some(host))).ok()?;
        // Two entries may lead to one directory.
        if other.name() == Some(name) || other.identity() == self.site.identity() {
            return Some(self.path.into());
        }
        let (own, other) = (self.sites.directory(self.site)?, self.sites.directory(&other)?);
        let below = |directory: &[u8], path: &[u8]| Some(path.strip_prefix(directory)?.strip_prefix(b"/")?.to_vec());
        match below(&other, &own) {
            Some(part) => Some(join(&part, self.path).into()),
            None => {
                let part = below(&own, &other)?;
                let path = self.path.strip_prefix(part.as_slice())?;
                (path.is_empty() || path.starts_with(b"/")).then(|| path.strip_prefix(b"/").unwrap_or(path).into())
            }
        }
    }
}

fn join(directory: &[u8], path: &[u8]) -> Vec<u8> {
    [directory, path].join(&b'/')
}
