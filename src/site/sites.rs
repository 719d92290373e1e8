//! The sites of a server, and which of them a request is for.

mod check;
mod entries;
mod host;
mod linked;
mod listing;
mod named;
mod open_sites;
mod place;

use std::ops::Deref;
use std::sync::Arc;

use nix::errno::Errno;

use super::challenges::Challenges;
use super::release::Shared;
use super::{DiskCheck, RootState, Settings, Site};
use crate::config::Options;
use crate::failure::Failure;
use crate::http::{Authority, Refusal};
use crate::ipc::scoreboard::{Reporter, SiteSlot, WorkerCounters};

pub use check::{check, hosts};
pub use host::Host;
use named::NamedSites;
use open_sites::NamedSite;

/// The sites of a server. The folder of challenges is the same for all.
#[derive(Debug)]
pub struct Sites {
    sites: Kind,
    shared: Arc<Shared>,
    /// The challenges, for all authorities.
    pub challenges: Challenges,
}

#[derive(Debug)]
enum Kind {
    /// One site for all hosts.
    Only(Site),
    /// A site for each host.
    Named(NamedSites),
}

/// The site of a request.
#[derive(Debug)]
pub enum Selected<'s> {
    /// The only one.
    Only(&'s Site),
    /// One of many.
    Named(Arc<NamedSite>),
}

impl Deref for Selected<'_> {
    type Target = Site;

    fn deref(&self) -> &Site {
        match self {
            Selected::Only(site) => site,
            Selected::Named(named) => named.site(),
        }
    }
}

impl Selected<'_> {
    /// Returns where the requests of one of many sites are counted, among the counters of this worker.
    pub fn slot(&self, counters: &WorkerCounters) -> Option<SiteSlot> {
        match self {
            Selected::Only(_) => None,
            Selected::Named(named) => Some(named.slot(counters)),
        }
    }

    /// Returns the name of one of many sites: that of its entry in the directory of sites, whatever alias the request has.
    pub fn name(&self) -> Option<&str> {
        match self {
            Selected::Only(_) => None,
            Selected::Named(named) => Some(named.name()),
        }
    }
}

impl Sites {
    /// Opens the sites for processes with a limit of `descriptors` file descriptors each.
    pub fn open(options: &Options, descriptors: usize) -> Result<Self, Failure> {
        let settings = Settings::load(options, descriptors)?;
        let shared = settings.shared.clone();
        let sites = match &options.sites {
            None => Kind::Only(Site::open(&options.root, settings)),
            Some(directory) => Kind::Named(NamedSites::open(directory, settings, descriptors)),
        };
        Ok(Sites { sites, shared, challenges: Challenges::new(&options.acme_challenges) })
    }

    /// Returns what [`select`](Sites::select) needs of the authority of a request (RFC 9110 §7.2). None is that of a request
    /// without one.
    #[inline]
    pub fn host<'r>(&self, authority: Option<Authority<'r>>) -> Host<'r> {
        match &self.sites {
            Kind::Only(_) => Host::ANY,
            Kind::Named(_) => Host::of(authority),
        }
    }

    /// Returns the site of a host at `now_ms`. It may wait for a disk.
    pub fn select(&self, host: &Host, now_ms: u64) -> Result<Selected<'_>, Refusal> {
        match &self.sites {
            Kind::Only(site) => Ok(Selected::Only(site)),
            Kind::Named(sites) => sites.select(host, now_ms).map(Selected::Named),
        }
    }

    /// Returns the state of the document root, or of the directory of sites, at the last check.
    pub fn root_state(&self) -> RootState {
        match &self.sites {
            Kind::Only(site) => site.root_state(),
            Kind::Named(sites) => sites.state(),
        }
    }

    /// Waits until the disk of the document root, or of the directory of sites, has responded to a stat and a read. Fails with the
    /// error of the disk.
    pub fn check_disk(&self, check: &mut DiskCheck) -> Result<(), Errno> {
        let root = match &self.sites {
            Kind::Only(site) => site.last_root(),
            Kind::Named(sites) => sites.last_root(),
        };
        // That there is none yet is its state.
        root.map_or(Ok(()), |root| check.run(&root))
    }

    /// Returns the number of sites of a directory of sites, and whether it has one for all other hosts.
    pub fn count(&self) -> (usize, bool) {
        match &self.sites {
            Kind::Only(_) => (0, false),
            Kind::Named(sites) => sites.count(),
        }
    }

    /// Begins to serve in a worker, which was forked from the process that has opened the sites. With `is_silent`, another one
    /// logs changes of the document root.
    pub fn begin_worker(&self, reporter: Reporter, is_silent: bool) {
        // It is called once.
        let _ = self.shared.reporter.set(reporter);
        if let Kind::Only(site) = &self.sites {
            site.distrust_rules();
        }
        if is_silent {
            self.disable_root_log();
        }
    }

    fn disable_root_log(&self) {
        match &self.sites {
            Kind::Only(site) => site.disable_root_log(),
            Kind::Named(sites) => sites.disable_log(),
        }
    }

    /// Returns whether [`keep_up`](Sites::keep_up) is due. It can take as long as a disk does, so no client should wait for it.
    pub fn is_upkeep_due(&self) -> bool {
        match &self.sites {
            Kind::Only(site) => site.is_upkeep_due(),
            Kind::Named(sites) => sites.is_upkeep_due(),
        }
    }

    /// Looks for other releases and rules of the sites in use, and closes the files that were kept open for later requests and
    /// have expired.
    pub fn keep_up(&self) {
        match &self.sites {
            Kind::Only(site) => site.keep_up(),
            Kind::Named(sites) => sites.keep_up(),
        }
    }
}
