//! The sites of a directory that are open.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use super::super::Site;
use super::entries::Entries;
use crate::http::Refusal;
use crate::ipc::scoreboard::{SiteSlot, WorkerCounters};

/// The time for which a site is served whose entry is missing, in milliseconds: it may be about to be replaced by another.
pub const ABSENT_MS: u64 = 100;

/// The resolution of the time of the last use, in milliseconds.
const USED_STEP_MS: u64 = 1_000;

/// One of many sites.
#[derive(Debug)]
pub struct NamedSite {
    name: Box<str>,
    site: Site,
    used_ms: AtomicU64,
    /// Where its requests are counted.
    slot: OnceLock<SiteSlot>,
    /// The path of its directory, and when it was determined, in milliseconds.
    directory: Mutex<Option<(Arc<[u8]>, u64)>>,
    /// When its entry was first missed, in milliseconds; 0 if it is there.
    absent_ms: AtomicU64,
}

/// The sites that are open. The maps' hash function is not keyed: the keys are names of entries, which clients cannot choose.
#[derive(Debug, Default)]
pub struct OpenSites {
    /// By host, in lower case; by the empty name for hosts that have none of their own. A site has more than one if it has
    /// aliases.
    by_host: FxHashMap<Box<[u8]>, Arc<NamedSite>>,
    /// By the name of the entry.
    by_entry: FxHashMap<Box<str>, Arc<NamedSite>>,
    /// Hosts whose entry is no directory, or outside.
    unusable: FxHashSet<Box<[u8]>>,
}

/// Sites that were closed: to be dropped while no lock is held.
pub type Closed = Vec<Arc<NamedSite>>;

impl NamedSite {
    /// Creates the site of the entry `name`, which is used now.
    pub fn new(name: &str, site: Site, now_ms: u64) -> Arc<Self> {
        Arc::new(NamedSite {
            name: name.into(),
            site,
            used_ms: AtomicU64::new(now_ms),
            slot: OnceLock::new(),
            directory: Mutex::default(),
            absent_ms: AtomicU64::new(0),
        })
    }

    /// Returns the name of its entry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the site.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Returns where its requests are counted, among the counters of this worker.
    pub fn slot(&self, counters: &WorkerCounters) -> SiteSlot {
        *self.slot.get_or_init(|| counters.site_slot(&self.name))
    }

    /// Returns the path of its directory, which `find` determines if it is older than `max_age_ms`.
    pub fn directory(
        &self,
        now_ms: u64,
        max_age_ms: u64,
        find: impl FnOnce() -> Result<Option<Arc<[u8]>>, Refusal>,
    ) -> Result<Option<Arc<[u8]>>, Refusal> {
        let mut directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((path, found_ms)) = &*directory
            && now_ms < found_ms + max_age_ms
        {
            return Ok(Some(path.clone()));
        }
        // While an entry is replaced, the last path counts: a rule must not be lost in between.
        let found = find()?.or_else(|| directory.as_ref().map(|(path, _)| path.clone()));
        *directory = found.clone().map(|path| (path, now_ms));
        Ok(found)
    }

    /// Records that it is used.
    pub fn use_at(&self, now_ms: u64) {
        if self.used_ms.load(Relaxed) + USED_STEP_MS < now_ms {
            self.used_ms.store(now_ms, Relaxed);
        }
    }

    /// Records that its entry is missing. Returns whether it was so for longer than [`ABSENT_MS`].
    fn is_gone(&self, now_ms: u64) -> bool {
        let since_ms = self.absent_ms.compare_exchange(0, now_ms, Relaxed, Relaxed).unwrap_or_else(|since_ms| since_ms);
        since_ms > 0 && since_ms + ABSENT_MS <= now_ms
    }
}

impl OpenSites {
    /// Returns the site of `host`.
    pub fn of_host(&self, host: &[u8]) -> Option<&Arc<NamedSite>> {
        self.by_host.get(host)
    }

    /// Returns all sites.
    pub fn all(&self) -> impl Iterator<Item = &Arc<NamedSite>> {
        self.by_entry.values()
    }

    /// Lets `host` lead to the site of `entry`, if that is open.
    pub fn add_alias(&mut self, host: &[u8], entry: &str) -> Option<Arc<NamedSite>> {
        let site = self.by_entry.get(entry)?;
        self.by_host.insert(host.into(), site.clone());
        Some(site.clone())
    }

    /// Adds a site for `host`. If another thread has added it meanwhile, returns that one instead. Beyond `max`, closes those
    /// that were not used for the longest time.
    pub fn add(&mut self, host: &[u8], site: Arc<NamedSite>, max: usize) -> (Arc<NamedSite>, Closed) {
        let mut closed = Closed::new();
        if self.by_entry.len() >= max && !self.by_entry.contains_key(&site.name) {
            let mut times: Vec<_> = self.all().map(|site| site.used_ms.load(Relaxed)).collect();
            let kept = max - max.div_ceil(4);
            let (_, &mut oldest_ms, _) = times.select_nth_unstable(self.by_entry.len() - kept - 1);
            closed = self.close_unused(oldest_ms);
        }
        let site = self.by_entry.entry(site.name.clone()).or_insert(site).clone();
        self.by_host.insert(host.into(), site.clone());
        (site, closed)
    }

    /// Closes the sites that were not used since `before_ms`.
    pub fn close_unused(&mut self, before_ms: u64) -> Closed {
        let is_unused = |site: &NamedSite| site.used_ms.load(Relaxed) <= before_ms;
        self.by_host.retain(|_, site| !is_unused(site));
        self.by_entry.extract_if(|_, site| is_unused(site)).map(|(_, site)| site).collect()
    }

    /// Closes sites whose rules take memory, those that were not used for the longest time first, until the files with the rules of
    /// the others have at most `max_bytes` together. The one that was used last stays.
    pub fn close_beyond_rules(&mut self, max_bytes: u64) -> Closed {
        let with_rules = self.all().map(|site| (site.used_ms.load(Relaxed), site.site.rules_bytes(), site.clone()));
        let mut sites: Vec<_> = with_rules.filter(|(_, bytes, _)| *bytes > 0).collect();
        sites.sort_unstable_by_key(|(used_ms, ..)| Reverse(*used_ms));
        let mut total = 0;
        let mut is_beyond = |bytes: u64| {
            total += bytes;
            total > max_bytes
        };
        let beyond = sites.into_iter().enumerate().filter(|(number, (_, bytes, _))| is_beyond(*bytes) && *number > 0);
        let closed: Closed = beyond.map(|(_, (_, _, site))| site).collect();
        let is_closed = |site: &Arc<NamedSite>| closed.iter().any(|closed| Arc::ptr_eq(closed, site));
        if !closed.is_empty() {
            self.by_host.retain(|_, site| !is_closed(site));
            self.by_entry.retain(|_, site| !is_closed(site));
        }
        closed
    }

    /// Closes the sites whose entry is gone, a link to another, or not to be opened. Returns them, and whether the entries of others are missing
    /// since a short time.
    pub fn close_absent(&mut self, entries: &Entries, now_ms: u64) -> (Closed, bool) {
        self.unusable.clear();
        let mut has_absent = false;
        let is_over = |site: &NamedSite, entry: Option<&str>| match entry {
            Some(entry) => {
                site.absent_ms.store(0, Relaxed);
                // A link that was switched to a directory outside has none.
                *entry != *site.name || !site.site.has_root()
            }
            None => site.is_gone(now_ms),
        };
        self.by_host.retain(|host, site| {
            let entry = entries.find(host);
            let is_closed = is_over(site, entry);
            has_absent |= entry.is_none() && !is_closed;
            !is_closed
        });
        let used: FxHashSet<_> = self.by_host.values().map(|site| &*site.name).collect();
        let closed = self.by_entry.extract_if(|name, _| !used.contains(&**name)).map(|(_, site)| site).collect();
        (closed, has_absent)
    }

    /// Records that the entry of `host` is no directory, or outside.
    pub fn set_unusable(&mut self, host: &[u8]) {
        self.unusable.insert(host.into());
    }

    /// Returns whether the entry of `host` was no directory, or outside, at the last check.
    pub fn is_unusable(&self, host: &[u8]) -> bool {
        self.unusable.contains(host)
    }
}
