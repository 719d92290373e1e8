//! The directory that the document root's path leads to: its replacement by another release, and its absence.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nix::errno::Errno;

use super::lock::InProgress;
use super::release::{Release, Shared};
use super::root::Root;
use crate::os::clock;

/// The interval between two checks of the root's path, in milliseconds.
const CHECK_INTERVAL_MS: u64 = 500;

/// The same while the path does not lead to the directory that is served, so that it is served soon after it exists.
const ABSENT_CHECK_INTERVAL_MS: u64 = 100;

/// The time after the last check within which a request leaves the next one to the upkeep, which is not part of a request, in
/// milliseconds. Later, there were no requests for a while, or the upkeep hangs, and the request itself checks: what it sends is
/// never a second old.
const UPKEEP_MS: u64 = 750;

/// The limit of checks in a row, if other threads find another release each time.
const MAX_TRIES: usize = 8;

/// Another thread has found another release.
#[derive(Debug)]
struct Replaced;

/// The state of the document root's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RootState {
    /// It leads to the directory that is served.
    Served,
    /// It leads to no directory. Files that still exist below the last directory are served, other requests get 503.
    Missing,
    /// It leads to a directory that this process, being confined, may not read. The last directory is served.
    Outside,
}

/// Where a document root is.
#[derive(Debug)]
pub enum Location {
    /// At a path, whatever links are in it.
    Path(PathBuf),
    /// The entry `name` of a directory of sites. A link is not followed out of that directory.
    Entry {
        /// The directory of sites.
        sites: Root,
        /// The name in it.
        name: CString,
        /// The path of both.
        path: PathBuf,
    },
}

/// The document root: its location, the release that is served, and the state of the location.
#[derive(Debug)]
pub struct DocumentRoot {
    location: Location,
    shared: Arc<Shared>,
    /// None until the path has led to a directory.
    release: RwLock<Option<Arc<Release>>>,
    checked_ms: AtomicU64,
    is_upkeep_due: AtomicBool,
    /// Whether a thread does the upkeep: if the disk hangs, no other one does.
    is_keeping_up: AtomicBool,
    /// Held by the thread that opens another release.
    opening: Mutex<()>,
    /// The result of the last check: a [`RootState`].
    state: AtomicU8,
    /// Whether another process logs the changes of the root.
    is_log_disabled: AtomicBool,
}

impl RootState {
    /// Returns the state that was stored as a number.
    pub fn from_number(state: u8) -> Self {
        match state {
            state if state == RootState::Missing as u8 => RootState::Missing,
            state if state == RootState::Outside as u8 => RootState::Outside,
            _ => RootState::Served,
        }
    }
}

impl Location {
    /// Opens the directory.
    fn open(&self) -> Result<Root, Errno> {
        match self {
            Location::Path(path) => Root::open_path(path),
            Location::Entry { sites, name, path } => sites.open_root(name, path),
        }
    }

    /// Returns whether it leads to the directory of `root`.
    fn leads_to(&self, root: &Root) -> Result<bool, Errno> {
        match self {
            Location::Path(path) => root.is_at(path),
            Location::Entry { sites, name, .. } => root.is(sites.stat(name)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Location::Path(path) | Location::Entry { path, .. } => path,
        }
    }
}

impl DocumentRoot {
    /// Opens the directory at `path`. If that fails, it is logged and retried while the server runs: a client that
    /// connects before the directory exists must not end the server.
    pub fn open(path: &Path, shared: &Arc<Shared>) -> Self {
        let root = Root::open(path).inspect_err(|failure| {
            tracing::error!("{failure} Until then, every request gets 503.");
        });
        // A relative path is relative to the directory in which the server was started.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        DocumentRoot::new(Location::Path(path), root.ok(), shared)
    }

    /// Opens the directory that is the entry `name` of the directory `sites` with the path `path`. If that is not permitted at
    /// the moment, it is retried while the server runs. Fails if there is no such directory, with EXDEV if it is outside. Its
    /// changes are not logged; mistakes in its rules are.
    pub fn open_entry(sites: &Root, name: &CStr, path: &Path, shared: &Arc<Shared>) -> Result<Self, Errno> {
        let path = path.join(OsStr::from_bytes(name.to_bytes()));
        let root = match sites.open_root(name, &path) {
            Err(errno @ (Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV)) => return Err(errno),
            result => result.ok(),
        };
        let location = Location::Entry { sites: sites.clone(), name: name.into(), path };
        let document_root = DocumentRoot::new(location, root, shared);
        document_root.is_log_disabled.store(true, Relaxed);
        Ok(document_root)
    }

    fn new(location: Location, root: Option<Root>, shared: &Arc<Shared>) -> Self {
        let state = AtomicU8::new(if root.is_some() { RootState::Served } else { RootState::Missing } as u8);
        let release = root.map(|root| Arc::new(Release::new(root, location.path(), None, shared)));
        DocumentRoot {
            location,
            shared: shared.clone(),
            release: RwLock::new(release),
            checked_ms: AtomicU64::new(clock::now_ms()),
            is_upkeep_due: AtomicBool::new(false),
            is_keeping_up: AtomicBool::new(false),
            opening: Mutex::default(),
            state,
            is_log_disabled: AtomicBool::new(false),
        }
    }

    /// Stops logging changes of the root: of the processes that check the same path, one logs them.
    pub fn disable_log(&self) {
        self.is_log_disabled.store(true, Relaxed);
    }

    /// Returns the state of the path at the last check.
    pub fn state(&self) -> RootState {
        RootState::from_number(self.state.load(Relaxed))
    }

    /// Makes a worker rely on rules only that it has read itself; see [`RulesFiles::distrust`].
    pub fn distrust_rules(&self) {
        self.last_release().iter().for_each(|release| release.rules.distrust());
    }

    /// Returns the release to serve at `now_ms`. If the last check of the path is older than the interval, the [upkeep](Self::keep_up) is due;
    /// if it is much older, the path is checked first.
    pub fn release(&self, now_ms: u64) -> Option<Arc<Release>> {
        let is_served = self.state() == RootState::Served;
        let interval_ms = if is_served { CHECK_INTERVAL_MS } else { ABSENT_CHECK_INTERVAL_MS };
        let checked_ms = self.checked_ms.load(Relaxed);
        if now_ms < checked_ms + interval_ms {
            return self.last_release();
        }
        if !self.is_upkeep_due.swap(true, Relaxed) {
            self.shared.is_upkeep_due.store(true, Relaxed);
        }
        // One thread checks; the others use the last release.
        if is_served && now_ms < checked_ms + UPKEEP_MS || !self.begin_check(checked_ms, now_ms) {
            return self.last_release();
        }
        self.update()
    }

    fn begin_check(&self, checked_ms: u64, now_ms: u64) -> bool {
        self.checked_ms.compare_exchange(checked_ms, now_ms, Relaxed, Relaxed).is_ok()
    }

    /// Returns whether the [upkeep](Self::keep_up) is due, and no thread does it.
    pub fn is_upkeep_due(&self) -> bool {
        self.is_upkeep_due.load(Relaxed) && !self.is_keeping_up.load(Relaxed)
    }

    /// Checks the path, reads the rules that have changed, and closes the files that were kept open for later requests and have
    /// expired. It can take as long as a disk does, and as parsing does, so no client waits for it.
    pub fn keep_up(&self) {
        let Some(_keeping_up) = InProgress::begin(&self.is_keeping_up) else { return };
        self.is_upkeep_due.store(false, Relaxed);
        let (now_ms, checked_ms) = (clock::now_ms(), self.checked_ms.load(Relaxed));
        let release = match now_ms >= checked_ms + CHECK_INTERVAL_MS && self.begin_check(checked_ms, now_ms) {
            true => self.update(),
            false => self.last_release(),
        };
        if let Some(release) = release {
            release.cache.close_stale();
        }
    }

    /// Checks the path and the rules.
    fn update(&self) -> Option<Arc<Release>> {
        let release = self.check();
        if let Some(release) = &release {
            release.refresh(self.location.path(), &self.shared);
        }
        release
    }

    /// Returns the release to serve as of the last check.
    pub fn last_release(&self) -> Option<Arc<Release>> {
        self.release.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks where the path leads now, and returns the release to serve.
    pub fn check(&self) -> Option<Arc<Release>> {
        (1..MAX_TRIES).find_map(|_| self.try_check().ok()).unwrap_or_else(|| self.last_release())
    }

    /// Checks once. Fails if another thread has found another release meanwhile, which may be an older or a later one than
    /// what was found here.
    fn try_check(&self) -> Result<Option<Arc<Release>>, Replaced> {
        let last = self.last_release();
        match last.as_ref().map(|release| self.location.leads_to(&release.root)) {
            Some(Ok(true)) => {
                self.set_state(RootState::Served);
                return Ok(last);
            }
            Some(Err(_)) => {
                self.set_state(RootState::Missing);
                return Ok(last);
            }
            Some(Ok(false)) | None => {}
        }
        // The rules of a release are read once, and not by each thread that misses a file meanwhile.
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if self.last_release().as_ref().map(Arc::as_ptr) != last.as_ref().map(Arc::as_ptr) {
            return Err(Replaced);
        }
        match self.location.open().and_then(|root| Ok((root.is_out_of_bounds()?, root))) {
            Ok((true, _)) => {
                self.set_state(RootState::Outside);
                Ok(last)
            }
            Ok((false, root)) => {
                let is_first = last.is_none();
                let release = Arc::new(Release::new(root, self.location.path(), last.as_deref(), &self.shared));
                self.replace(&last, Some(release.clone()))?;
                if !self.set_state(RootState::Served) && !is_first && !self.is_log_disabled.load(Relaxed) {
                    tracing::info!("The document root {} is another directory now.", self.location.path().display());
                }
                Ok(Some(release))
            }
            // A link was switched to a directory that must not be served.
            Err(Errno::EXDEV) => {
                self.replace(&last, None)?;
                self.set_state(RootState::Missing);
                Ok(None)
            }
            // Between the two steps of a replacement, or removed: the last release is served until there is another.
            Err(_) => {
                self.set_state(RootState::Missing);
                Ok(last)
            }
        }
    }

    /// Replaces the release `last` by `next`, if it is still served.
    fn replace(&self, last: &Option<Arc<Release>>, next: Option<Arc<Release>>) -> Result<(), Replaced> {
        let mut release = self.release.write().unwrap_or_else(PoisonError::into_inner);
        if release.as_ref().map(Arc::as_ptr) != last.as_ref().map(Arc::as_ptr) {
            return Err(Replaced);
        }
        *release = next;
        Ok(())
    }

    /// Stores the result of a check. Returns whether it is new, in which case it is logged, unless the root is silent.
    fn set_state(&self, state: RootState) -> bool {
        let before = self.state.swap(state as u8, Relaxed);
        if before == state as u8 {
            return false;
        }
        if self.is_log_disabled.load(Relaxed) {
            return true;
        }
        let path = self.location.path().display();
        match state {
            RootState::Served => tracing::info!("The document root {path} exists again."),
            RootState::Missing => tracing::warn!(
                "The document root {path} does not exist: files of the last directory that still exist are served, all \
                 other requests get 503 until it exists again."
            ),
            RootState::Outside => tracing::info!(
                "The document root {path} now leads to a directory that these workers may not read: new workers will be \
                 started, and the last directory is served until they are ready."
            ),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::super::cache::CacheLimits;
    use super::*;

    #[test]
    fn each_check_finds_the_release_of_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("current");
        let deploy = |name: &str| {
            fs::create_dir(directory.path().join(name)).unwrap();
            symlink(name, directory.path().join("next")).unwrap();
            fs::rename(directory.path().join("next"), &path).unwrap();
        };
        deploy("1");
        let root = DocumentRoot::open(&path, &Shared::new(CacheLimits::new(1 << 20, 8)));
        let first = root.check().unwrap();
        assert!(Arc::ptr_eq(&first, &root.check().unwrap()));
        deploy("2");
        let second = root.check().unwrap();
        assert!(!Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &root.last_release().unwrap()));
        // A slower thread, which has found another release before, does not put it back.
        assert!(root.replace(&Some(first.clone()), Some(first)).is_err());
        assert!(Arc::ptr_eq(&second, &root.last_release().unwrap()));
    }

    /// The rules of a large file take a while.
    #[test]
    fn a_request_leaves_changed_rules_to_the_upkeep_unless_there_was_none_for_long() {
        let directory = tempfile::tempdir().unwrap();
        let root = DocumentRoot::open(directory.path(), &Shared::new(CacheLimits::new(1 << 20, 8)));
        let has_rules = |root: &DocumentRoot| root.last_release().unwrap().rules.current().unwrap().is_some();
        let was_checked_before_ms = |age_ms: u64| root.checked_ms.store(clock::now_ms() - age_ms, Relaxed);
        let write = |name: &str| {
            let file = directory.path().join(name);
            fs::write(&file, "/* /x\n").unwrap();
            // Until it is taken as complete.
            let begin = SystemTime::now();
            while begin.elapsed().is_ok_and(|age| age.as_millis() < 400) {
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
        };
        write("_redirects");
        for _ in 0..10 {
            was_checked_before_ms(CHECK_INTERVAL_MS + 50);
            root.release(clock::now_ms()).unwrap();
            assert!(!has_rules(&root) && root.is_upkeep_due() && root.shared.is_upkeep_due.load(Relaxed));
        }
        root.keep_up();
        assert!(has_rules(&root) && !root.is_upkeep_due());
        fs::remove_file(directory.path().join("_redirects")).unwrap();
        for _ in 0..3 {
            was_checked_before_ms(2 * UPKEEP_MS);
            root.release(clock::now_ms()).unwrap();
        }
        assert!(!has_rules(&root));
    }
}
