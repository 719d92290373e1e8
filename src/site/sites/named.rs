//! Many sites: a directory with an entry for each, which has the name of its host.
//!
//! The list of names is read again when the directory has changed, which is checked about twice a second, beside requests: none
//! waits for a list of thousands of names. The probe of the worker is a request, so the list is checked without clients as well.
//! A site is opened by the first request for it, and closed when it was not used for a while, or when too many others are. So a host that
//! has no site costs a look into the list.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, stat};

use super::super::document_root::DocumentRoot;
use super::super::errno::{is_exhausted, refuse};
use super::super::lock::{InProgress, read, write};
use super::super::root::Root;
use super::super::{RootState, Settings, Site};
use super::host::Host;
use super::linked::LinkedDirectories;
use super::listing::{Listing, warnings};
use super::open_sites::{ABSENT_MS, NamedSite, OpenSites};
use crate::http::Refusal;
use crate::ipc::file_identity::FileIdentity;
use crate::log::OncePerMinute;
use crate::os::clock;
use crate::rules::MAX_BYTES;

/// The interval between two checks of the directory, in milliseconds: a bit less than that of the probe, so that there is one with
/// each, and a change counts within a second.
const CHECK_INTERVAL_MS: u64 = 450;

/// The time for which the path of the directory of a site is not determined again, in milliseconds.
const DIRECTORY_MS: u64 = 500;

/// The time after which a site that was not used is closed, in milliseconds.
const UNUSED_MS: u64 = 10 * 60 * 1_000;

/// The limit of sites that are open in a worker. Each has a file descriptor, and some kilobytes of memory.
const MAX_OPEN: usize = 1024;

/// The limit of files with rules of all sites that are open in a worker, in bytes: what is made of them takes several times as much
/// memory.
const MAX_RULES_BYTES: u64 = 4 * MAX_BYTES;

/// The limit of refused entries that are logged at the start.
const MAX_LOGGED: usize = 20;

/// The sites of a directory.
#[derive(Debug)]
pub struct NamedSites {
    path: PathBuf,
    settings: Arc<Settings>,
    max_open: usize,
    /// None until the path has led to a directory.
    listing: RwLock<Option<Arc<Listing>>>,
    open: RwLock<OpenSites>,
    linked: LinkedDirectories,
    checked_ms: AtomicU64,
    is_check_due: AtomicBool,
    /// Whether a thread checks the directory: if its disk hangs, no other one does.
    is_checking: AtomicBool,
    /// The result of the last check: a [`RootState`].
    state: AtomicU8,
    /// Why the list could not be read at the last check, if descriptors or memory had run out: the error number. 0 otherwise.
    exhausted: AtomicI32,
    /// Whether the entry of an open site is missing.
    has_absent: AtomicBool,
    may_have_stale_files: AtomicBool,
    /// Whether a thread keeps sites up: if a disk hangs, no other one does.
    is_keeping_up: AtomicBool,
    /// Whether another process logs the changes of the directory.
    is_log_disabled: AtomicBool,
    outside: OncePerMinute,
}

impl NamedSites {
    /// Opens the directory of sites at `path`, and logs the entries that are no site. If it cannot be opened, that is logged
    /// and retried while the server runs. `descriptors` is the limit of file descriptors of a worker.
    pub fn open(path: &Path, settings: Arc<Settings>, descriptors: usize) -> Self {
        // A relative path is relative to the directory in which the server was started.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let listing = match Listing::open(&path) {
            Ok((listing, refused)) => {
                warnings(&path, &listing.entries, &refused, MAX_LOGGED)
                    .iter()
                    .for_each(|line| tracing::warn!("{line}"));
                Some(Arc::new(listing))
            }
            Err(failure) => {
                tracing::error!("{failure} Until then, every request gets 503.");
                None
            }
        };
        let state = if listing.is_some() { RootState::Served } else { RootState::Missing };
        NamedSites {
            path,
            settings,
            max_open: (descriptors / 8).clamp(1, MAX_OPEN),
            listing: RwLock::new(listing),
            open: RwLock::default(),
            linked: LinkedDirectories::default(),
            checked_ms: AtomicU64::new(clock::now_ms()),
            is_check_due: AtomicBool::new(false),
            is_checking: AtomicBool::new(false),
            state: AtomicU8::new(state as u8),
            exhausted: AtomicI32::new(0),
            has_absent: AtomicBool::new(false),
            may_have_stale_files: AtomicBool::new(false),
            is_keeping_up: AtomicBool::new(false),
            is_log_disabled: AtomicBool::new(false),
            outside: OncePerMinute::default(),
        }
    }

    /// Returns the site of `host` at `now_ms`.
    pub fn select(&self, host: &Host, now_ms: u64) -> Result<Arc<NamedSite>, Refusal> {
        let is_changing = self.has_absent.load(Relaxed) || self.state() != RootState::Served;
        self.check_soon(if is_changing { ABSENT_MS } else { CHECK_INTERVAL_MS }, now_ms);
        if let Some(site) = read(&self.open).of_host(host.name()) {
            site.use_at(now_ms);
            return Ok(site.clone());
        }
        let site = match self.open_site(host.name(), now_ms)? {
            None => {
                // The host may have a site, which an older list does not name.
                self.list_is_readable()?;
                self.check_soon(ABSENT_MS, now_ms);
                self.default(now_ms)?
            }
            site => site,
        };
        match site {
            Some(site) => Ok(site),
            None if self.state() == RootState::Missing => Err(Refusal::NoRoot),
            None if host.is_missing() => Err(Refusal::NoHost),
            None => Err(Refusal::NoSite),
        }
    }

    /// Fails if the list could not be read at the last check, since descriptors or memory had run out.
    fn list_is_readable(&self) -> Result<(), Refusal> {
        match self.exhausted.load(Relaxed) {
            0 => Ok(()),
            errno => Err(Refusal::Exhausted(errno)),
        }
    }

    /// Returns the site of hosts that have none of their own.
    fn default(&self, now_ms: u64) -> Result<Option<Arc<NamedSite>>, Refusal> {
        if let Some(site) = read(&self.open).of_host(b"") {
            site.use_at(now_ms);
            return Ok(Some(site.clone()));
        }
        self.open_site(b"", now_ms)
    }

    /// Opens the site that the list has for `host`.
    fn open_site(&self, host: &[u8], now_ms: u64) -> Result<Option<Arc<NamedSite>>, Refusal> {
        let listing = read(&self.listing).clone().ok_or(Refusal::NoRoot)?;
        let Some(entry) = listing.entries.find(host) else { return Ok(None) };
        if read(&self.open).is_unusable(host) {
            return Ok(None);
        }
        let opened = write(&self.open).add_alias(host, entry);
        if opened.is_some() {
            return Ok(opened);
        }
        match self.open_entry(&listing, entry) {
            Ok(site) => {
                let (site, closed) = write(&self.open).add(host, NamedSite::new(entry, site, now_ms), self.max_open);
                drop(closed);
                Ok(Some(site))
            }
            Err(errno) => {
                if errno == Errno::EXDEV && self.outside.is_due() {
                    let path = self.path.display();
                    tracing::warn!(
                        "{path}/{entry} is no site: it is a link that leads out of {path}. Logged once a minute."
                    );
                }
                write(&self.open).set_unusable(host);
                Ok(None)
            }
        }
    }

    fn open_entry(&self, listing: &Listing, entry: &str) -> Result<Site, Errno> {
        // Names of entries have no NUL.
        let name = CString::new(entry).unwrap_or_default();
        let root = DocumentRoot::open_entry(&listing.root, &name, &self.path, &self.settings.shared)?;
        Ok(Site::new(root, &self.path.join(entry), self.settings.clone()))
    }

    /// Lets the [upkeep](NamedSites::keep_up) check the directory if the last check is older than `interval_ms`.
    fn check_soon(&self, interval_ms: u64, now_ms: u64) {
        if now_ms >= self.checked_ms.load(Relaxed) + interval_ms {
            self.is_check_due.store(true, Relaxed);
        }
    }

    /// Checks the directory if that is due, and no other thread does.
    fn check_if_due(&self) {
        if !self.is_check_due.load(Relaxed) {
            return;
        }
        let Some(_checking) = InProgress::begin(&self.is_checking) else { return };
        let now_ms = clock::now_ms();
        self.checked_ms.store(now_ms, Relaxed);
        self.is_check_due.store(false, Relaxed);
        self.may_have_stale_files.store(true, Relaxed);
        self.check(now_ms);
    }

    fn check(&self, now_ms: u64) {
        let last = read(&self.listing).clone();
        let stat = match (stat(&self.path), &last) {
            // The user who started the server was allowed to pass through the directories above.
            (Err(Errno::EACCES), Some(last)) => last.root.stat(c"."),
            (stat, _) => stat,
        };
        let state = match stat {
            Ok(stat) if last.as_ref().is_some_and(|last| last.identity == Some(FileIdentity::from(&stat))) => {
                Ok(RootState::Served)
            }
            Ok(stat) => self.read_again(last.as_deref(), stat),
            Err(errno) => Err(errno),
        };
        let exhausted = match state {
            Err(errno) if is_exhausted(errno) => errno as i32,
            _ => 0,
        };
        self.exhausted.store(exhausted, Relaxed);
        let state = state.unwrap_or(RootState::Missing);
        self.set_state(state);
        let listing = read(&self.listing).clone();
        if let Some(listing) = listing {
            self.linked.refresh(&listing, now_ms);
            let (closed, has_absent) = write(&self.open).close_absent(&listing.entries, now_ms);
            self.has_absent.store(has_absent, Relaxed);
            drop(closed);
        }
    }

    /// Reads the list again; `stat` is of the directory to which the path leads. If it is another one than before, all sites
    /// are opened anew.
    fn read_again(&self, last: Option<&Listing>, stat: FileStat) -> Result<RootState, Errno> {
        let same = last.map(|last| &last.root).filter(|root| root.is(Ok(stat)) == Ok(true));
        let root = same.map_or_else(|| Root::open_path(&self.path), |root| Ok(root.clone()))?;
        if same.is_none() && root.is_out_of_bounds()? {
            return Ok(RootState::Outside);
        }
        let (listing, _) = Listing::read(root, &self.path, false)?;
        *write(&self.listing) = Some(Arc::new(listing));
        if same.is_none() {
            let closed = std::mem::take(&mut *write(&self.open));
            drop(closed);
        }
        Ok(RootState::Served)
    }

    /// Returns the path of the directory of `site` below this one, without links, as it was at most [`DIRECTORY_MS`] ago.
    /// None if there is nothing, or not what is served.
    pub fn directory_of(&self, site: &NamedSite) -> Result<Option<Arc<[u8]>>, Refusal> {
        let identity = site.site().identity();
        site.directory(clock::now_ms(), DIRECTORY_MS, || {
            let Some(listing) = read(&self.listing).clone() else { return Ok(None) };
            // Names of entries have no NUL.
            let name = CString::new(site.name()).unwrap_or_default();
            let is_served = |present| identity.is_none_or(|identity| identity == present);
            Ok(listing.root.real_path(&name, is_served)?.map(Arc::from))
        })
    }

    /// Returns whether the directory at `path` below this one, which is without links, is a site of its own.
    pub fn is_site(&self, path: &[u8]) -> Result<bool, Refusal> {
        if !path.starts_with(b".") && !path.contains(&b'/') {
            return Ok(true);
        }
        let (Some(listing), Ok(path)) = (read(&self.listing).clone(), CString::new(path)) else { return Ok(false) };
        let stat = listing.root.stat(&path).map_err(refuse)?;
        self.linked.contains((stat.st_dev, stat.st_ino), &listing, clock::now_ms())
    }

    /// Returns the number of sites, and whether there is one for all other hosts.
    pub fn count(&self) -> (usize, bool) {
        read(&self.listing).as_ref().map_or((0, false), |listing| listing.entries.count())
    }

    /// Returns the directory, if there was one.
    pub fn last_root(&self) -> Option<Root> {
        read(&self.listing).as_ref().map(|listing| listing.root.clone())
    }

    /// Returns the state of the directory at the last check.
    pub fn state(&self) -> RootState {
        RootState::from_number(self.state.load(Relaxed))
    }

    /// Stores the result of a check, and logs it if it is new.
    fn set_state(&self, state: RootState) {
        let before = self.state.swap(state as u8, Relaxed);
        if before == state as u8 || self.is_log_disabled.load(Relaxed) {
            return;
        }
        let path = self.path.display();
        match state {
            RootState::Served => tracing::info!("The directory of sites {path} exists again."),
            RootState::Missing => tracing::warn!(
                "The directory of sites {path} does not exist or cannot be read: files of open sites that still exist are \
                 served, all other requests get 503 until it exists again."
            ),
            RootState::Outside => tracing::info!(
                "The directory of sites {path} is another one now, which these workers may not read: new workers will be \
                 started, and the last directory is served until they are ready."
            ),
        }
    }

    /// Stops logging changes of the directory.
    pub fn disable_log(&self) {
        self.is_log_disabled.store(true, Relaxed);
    }

    /// Returns whether [`keep_up`](NamedSites::keep_up) is due.
    pub fn is_upkeep_due(&self) -> bool {
        let has_work = self.may_have_stale_files.load(Relaxed) || self.settings.shared.is_upkeep_due.load(Relaxed);
        has_work && !self.is_keeping_up.load(Relaxed)
            || self.is_check_due.load(Relaxed) && !self.is_checking.load(Relaxed)
    }

    /// Checks the directory, looks for other releases and rules of the sites in use, closes the files that were kept open for later
    /// requests and have expired, and the sites that were not used for long.
    pub fn keep_up(&self) {
        self.check_if_due();
        let Some(_keeping_up) = InProgress::begin(&self.is_keeping_up) else { return };
        self.settings.shared.is_upkeep_due.store(false, Relaxed);
        let is_for_all = self.may_have_stale_files.swap(false, Relaxed);
        let is_due = |site: &&Arc<NamedSite>| is_for_all || site.site().is_upkeep_due();
        let due: Vec<_> = read(&self.open).all().filter(is_due).cloned().collect();
        due.iter().for_each(|site| site.site().keep_up());
        if is_for_all && let Some(before_ms) = clock::now_ms().checked_sub(UNUSED_MS) {
            let closed = write(&self.open).close_unused(before_ms);
            drop(closed);
        }
        if read(&self.open).all().map(|site| site.site().rules_bytes()).sum::<u64>() > MAX_RULES_BYTES {
            let closed = write(&self.open).close_beyond_rules(MAX_RULES_BYTES);
            drop(closed);
        }
    }
}
