//! The document root: a target becomes a file that is open and beneath the root, or the reason why not.
//!
//! No path is opened except through [`root::Root`], which keeps it beneath the root whatever links and renames do.

mod cache;
mod directory;
pub mod file;
pub mod listings;
mod resource;
pub mod root;
mod variants;
mod walk;

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use crate::config::Options;
use crate::failure::{self, Failure};
use crate::http::coding::{Acceptable, Coding};
use crate::http::media_type::Types;
use crate::http::{Refusal, Representation, Status, Target, media_type};
use crate::os::clock;

use cache::Cache;
pub use directory::Directory;
pub use file::File;
use file::FileVersion;
pub use resource::{Content, Resource};
use root::Root;
use variants::Variants;

/// The file that a directory stands for.
const INDEX: &[u8] = b"index.html\0";

/// The largest error page that is sent, in bytes: it is sent for every error of its kind.
const MAX_ERROR_PAGE_BYTES: u64 = 64 * 1024;

/// The most files that a worker keeps open for the next request.
const MAX_OPEN_FILES: usize = 128;

/// How much older than its original a variant may be, in nanoseconds.
const VARIANT_SLACK_NS: i128 = 2_000_000_000;

/// How often the root's path is looked at, in milliseconds: whether another directory is there now.
const ROOT_CHECK_MS: u64 = 500;

/// The files of a document root, and what is said of them.
#[derive(Debug)]
pub struct Site {
    path: PathBuf,
    charset: Option<String>,
    types: Types,
    dotfiles: bool,
    listing: bool,
    has_variants: bool,
    cache_size: usize,
    most_open: usize,
    /// None as long as there was no root.
    tree: RwLock<Option<Arc<Release>>>,
    checked_ms: AtomicU64,
    needs_upkeep: AtomicBool,
    /// What the last look at the root's path found: a [`RootState`].
    state: AtomicU8,
}

/// What the document root's path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RootState {
    /// The directory that is served.
    Served,
    /// Nothing that can be served: a file that is still beneath the directory that was there is, all else is refused.
    Missing,
    /// A directory that this process may not read, being confined: the one that was there is served.
    Outside,
}

/// One directory that the root's path has led to. A release that is swapped for another, by a rename or by a link that
/// points elsewhere, is another tree; an answer that has begun ends with the file that it began with.
#[derive(Debug)]
struct Release {
    root: Root,
    cache: Cache,
    variants: Variants,
}

impl Release {
    fn new(root: Root, cache: Cache) -> Self {
        Release { root, cache, variants: Variants::default() }
    }
}

/// When a file was asked for, in the times of a [`LogicalClock`](crate::os::clock::LogicalClock).
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// By this moment the request had begun to arrive: a look at the disk from then on is recent enough.
    pub began: u64,
    /// The latest moment there was.
    pub now: u64,
}

impl Freshness {
    /// After every look at the disk so far.
    pub const NOW: Freshness = Freshness { began: u64::MAX, now: 0 };
}

/// What a target names.
#[derive(Debug)]
pub enum Found {
    /// A file, and what is said of it.
    File(Arc<Resource>),
    /// A directory that was asked for without its slash.
    Directory,
    /// A directory without an index, which is to be listed.
    Listing(Directory),
}

impl Site {
    /// Opens the document root, for processes that may have so many descriptors each. One that cannot be opened is looked for
    /// again while the server serves: a visitor who comes a second too early must not end it.
    pub fn open(options: &Options, descriptors: usize) -> Result<Self, Failure> {
        // Enough for the files that are asked for at one time; most descriptors are for connections.
        let most_open = (descriptors / 8).min(MAX_OPEN_FILES);
        let root = Root::open(&options.root).inspect_err(|failure| {
            tracing::error!("{failure} Until then, every request gets 503.");
        });
        let state = AtomicU8::new(if root.is_ok() { RootState::Served } else { RootState::Missing } as u8);
        let tree = root.ok().map(|root| Arc::new(Release::new(root, Cache::new(options.cache_size, most_open))));
        Ok(Site {
            // A relative path is that of the directory in which the server was started.
            path: std::path::absolute(&options.root).unwrap_or_else(|_| options.root.clone()),
            charset: options.charset.clone(),
            types: types(options)?,
            dotfiles: options.dotfiles,
            listing: options.listing,
            has_variants: options.precompressed,
            cache_size: options.cache_size,
            most_open,
            tree: RwLock::new(tree),
            checked_ms: AtomicU64::new(clock::now_ms()),
            needs_upkeep: AtomicBool::new(false),
            state,
        })
    }

    /// What the root's path led to when it was last looked at.
    pub fn root_state(&self) -> RootState {
        match self.state.load(Relaxed) {
            state if state == RootState::Missing as u8 => RootState::Missing,
            state if state == RootState::Outside as u8 => RootState::Outside,
            _ => RootState::Served,
        }
    }

    /// The tree that the root's path leads to, as of half a second ago at most.
    fn tree(&self) -> Result<Arc<Release>, Refusal> {
        let now_ms = clock::now_ms();
        let checked_ms = self.checked_ms.load(Relaxed);
        // One thread looks; the others go on with what they have.
        if now_ms < checked_ms + ROOT_CHECK_MS
            || self.checked_ms.compare_exchange(checked_ms, now_ms, Relaxed, Relaxed).is_err()
        {
            return self.last_tree().ok_or(Refusal::NoRoot);
        }
        self.needs_upkeep.store(true, Relaxed);
        self.check_root().ok_or(Refusal::NoRoot)
    }

    fn last_tree(&self) -> Option<Arc<Release>> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks where the root's path leads now, and says which tree is to be served.
    fn check_root(&self) -> Option<Arc<Release>> {
        let tree = self.last_tree();
        match tree.as_ref().map(|tree| tree.root.is_at(&self.path)) {
            Some(Ok(true)) => {
                self.set_state(RootState::Served);
                return tree;
            }
            Some(Err(_)) => {
                self.set_state(RootState::Missing);
                return tree;
            }
            Some(Ok(false)) | None => {}
        }
        match Root::open(&self.path) {
            Ok(root) if root.is_out_of_bounds() => {
                self.set_state(RootState::Outside);
                tree
            }
            Ok(root) => {
                let is_first = tree.is_none();
                let tree = Arc::new(Release::new(root, Cache::new(self.cache_size, self.most_open)));
                *self.tree.write().unwrap_or_else(PoisonError::into_inner) = Some(tree.clone());
                if !self.set_state(RootState::Served) && !is_first {
                    tracing::info!("The document root {} is another directory now.", self.path.display());
                }
                Some(tree)
            }
            // In the middle of a swap, or gone: what was there is served until something else is.
            Err(_) => {
                self.set_state(RootState::Missing);
                tree
            }
        }
    }

    /// Remembers what a look has found; says so if that is new, and whether it did.
    fn set_state(&self, state: RootState) -> bool {
        let before = self.state.swap(state as u8, Relaxed);
        if before == state as u8 {
            return false;
        }
        let path = self.path.display();
        match state {
            RootState::Served => tracing::info!("The document root {path} is there again."),
            RootState::Missing => tracing::warn!(
                "The document root {path} is gone: what is still open of it is served, all else gets 503 until it is there again."
            ),
            RootState::Outside => tracing::info!(
                "The document root {path} leads to a place now that these workers may not read: others are to be started, and \
                 what was there before is served until they do."
            ),
        }
        true
    }

    /// Whether it is time to [`close_stale`](Site::close_stale). That takes as long as a disk does, so that no client should wait for it.
    pub fn needs_upkeep(&self) -> bool {
        self.needs_upkeep.load(Relaxed)
    }

    /// Closes the files that were open for requests to come and have not been asked for.
    pub fn close_stale(&self) {
        self.needs_upkeep.store(false, Relaxed);
        if let Some(tree) = self.last_tree() {
            tree.cache.close_stale();
        }
    }

    /// Finds what `target` names, in the coding that the client likes best. `path` is scratch space.
    pub fn find(
        &self,
        target: &Target,
        acceptable: impl Fn() -> Acceptable,
        path: &mut Vec<u8>,
        freshness: Freshness,
    ) -> Result<Found, Refusal> {
        if target.is_hidden() && !self.dotfiles {
            return Err(Refusal::NotFound);
        }
        path.clear();
        path.extend_from_slice(target.path);
        path.extend_from_slice(if target.is_directory() { INDEX } else { b"\0" });
        let path = CStr::from_bytes_with_nul(path).map_err(|_| Refusal::Malformed("the path holds a NUL"))?;

        let tree = self.tree()?;
        let found = self.find_in(&tree, target, &acceptable, path, freshness);
        // A release may have been swapped for another, and removed, since the root's path was looked at.
        if !matches!(found, Err(Refusal::NotFound | Refusal::Unreadable) | Ok(Found::Listing(_))) {
            return found;
        }
        match self.check_root() {
            Some(now) if !Arc::ptr_eq(&now, &tree) => self.find_in(&now, target, &acceptable, path, freshness),
            _ if self.root_state() == RootState::Missing => Err(Refusal::NoRoot),
            _ => found,
        }
    }

    /// Finds what `target`, whose file is at `path`, names in a tree.
    fn find_in(
        &self,
        tree: &Release,
        target: &Target,
        acceptable: impl Fn() -> Acceptable,
        path: &CStr,
        freshness: Freshness,
    ) -> Result<Found, Refusal> {
        let original = match self.open_cached(tree, path, freshness, |file, now| self.describe(path, file, now)) {
            Err(Refusal::NotFound) if self.listing && target.is_directory() => {
                return Directory::open(&tree.root, target.path, self.dotfiles).map(Found::Listing);
            }
            result => result?,
        };
        let Some(version) = original.version() else {
            // An index.html that is a directory is no page.
            return if target.is_directory() { Err(Refusal::NotFound) } else { Ok(original) };
        };
        // A file that is coded by itself has no variants: they would be coded twice.
        if original.is_coded() || !self.has_variants {
            return Ok(original);
        }
        let seen = tree.variants.of(path, &tree.root);
        if seen.is_empty() {
            return Ok(original);
        }
        for coding in acceptable().order() {
            if coding == Coding::Identity {
                return self.with_vary(tree, path, freshness, original);
            }
            let describe = |file: &File, now| self.describe(path, file, now).coded(coding);
            // A variant that cannot be read, or is no file, is as good as none.
            if seen.has(coding)
                && let Ok(variant) = self.open_cached(tree, &variants::path(path, coding), freshness, describe)
                && variant.version().is_some_and(|variant| is_variant_of(variant, version))
            {
                return Ok(variant);
            }
        }
        Err(Refusal::NotAcceptable)
    }

    /// The site's own page for an error, if it has one that is small: 404.html, 403.html, 50x.html in the root.
    pub fn error_page(&self, status: Status) -> Option<Arc<Resource>> {
        let path = match status.code() {
            403 => c"403.html",
            404 => c"404.html",
            500..600 => c"50x.html",
            _ => return None,
        };
        let tree = self.last_tree()?;
        match self.open_cached(&tree, path, Freshness::NOW, |file, now| self.describe(path, file, now)).ok()? {
            Found::File(page) if page.version.size <= MAX_ERROR_PAGE_BYTES => match page.content() {
                Content::Memory(_) => Some(page),
                Content::Disk(file) => Resource::in_memory(file, page.representation.clone()).ok().map(Arc::new),
            },
            _ => None,
        }
    }

    /// Gets a file from memory, or opens it, and keeps it if it is one to keep.
    fn open_cached(
        &self,
        tree: &Release,
        path: &CStr,
        freshness: Freshness,
        describe: impl FnOnce(&File, SystemTime) -> Representation,
    ) -> Result<Found, Refusal> {
        if let Some(resource) = tree.cache.get(path, &tree.root, freshness) {
            return Ok(Found::File(resource));
        }
        let file = File::open(&tree.root, path)?;
        if file.is_directory() {
            return Ok(Found::Directory);
        }
        let now = SystemTime::now();
        let representation = describe(&file, now);
        let resource = Arc::new(match tree.cache.fits_in_memory(&file, now) {
            true => Resource::in_memory(&file, representation)?,
            false => Resource::open(file, representation)?,
        });
        if resource.is_cacheable() {
            tree.cache.put(path, &resource);
        }
        Ok(Found::File(resource))
    }

    /// An original beside which there are variants. What memory has of it may be from before there were any.
    fn with_vary(&self, tree: &Release, path: &CStr, freshness: Freshness, original: Found) -> Result<Found, Refusal> {
        match original {
            Found::File(resource) if !resource.representation.varies => {
                tree.cache.remove(path);
                self.open_cached(tree, path, freshness, |file, now| {
                    self.describe(path, file, now).coded(Coding::Identity)
                })
            }
            found => Ok(found),
        }
    }

    fn describe(&self, path: &CStr, file: &File, now: SystemTime) -> Representation {
        let media_type = self.types.of(path.to_bytes());
        let charset = self.charset.as_deref().filter(|_| media_type::is_text(media_type));
        let coding = media_type::coding(path.to_bytes(), media_type);
        Representation::new(file.validator(), media_type, charset, now).stored_in(coding)
    }
}

/// Whether a file beside another may be its variant. One that is older is stale, but for the moment that a copy of both takes
/// which keeps no times: which of them is copied first is chance. An empty one is no compressed form of anything.
fn is_variant_of(variant: FileVersion, original: FileVersion) -> bool {
    variant.size > 0 && variant.mtime_ns + VARIANT_SLACK_NS >= original.mtime_ns
}

/// What keeps files from being served with these options.
pub fn problems(options: &Options) -> Vec<Failure> {
    [Root::check(&options.root, options.listing).err(), types(options).err()].into_iter().flatten().collect()
}

/// The types that the options ask for: those of a file, then those given one by one, which count before them.
fn types(options: &Options) -> Result<Types, Failure> {
    let text = options.mime_types.as_ref().map(|path| {
        std::fs::read_to_string(path).map_err(|error| {
            let (path, why) = (path.display(), failure::reason(&error));
            Failure::new(format!(
                "The media types in {path} cannot be read ({why}): name another file with --mime-types."
            ))
        })
    });
    let text = text.transpose()?.unwrap_or_default();
    Ok(Types::new(media_type::parse_mime_types(&text).chain(options.mime.iter().cloned())))
}

impl Found {
    /// Whether it is a file that is not what its media type says before it is decoded.
    fn is_coded(&self) -> bool {
        matches!(self, Found::File(resource) if resource.representation.coding != Coding::Identity)
    }

    /// Which state of which file it is, if it is one.
    fn version(&self) -> Option<FileVersion> {
        match self {
            Found::File(resource) => Some(resource.version),
            Found::Directory | Found::Listing(_) => None,
        }
    }
}
