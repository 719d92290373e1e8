//! The document root: a target becomes a file that is open and beneath the root, or the reason why not.
//!
//! No path is opened except through [`root::Root`], which keeps it beneath the root whatever links and renames do.

mod cache;
mod directory;
pub mod file;
mod held;
pub mod listings;
pub mod root;
mod variants;
mod walk;

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use crate::clock;
use crate::failure::{self, Failure};
use crate::http::coding::{Acceptable, Coding};
use crate::http::media_type::Types;
use crate::http::{Refusal, Representation, Status, Target, media_type};
use crate::options::Options;

use cache::Cache;
pub use directory::Directory;
pub use file::File;
use file::Identity;
pub use held::{Content, Held};
use root::Root;
use variants::Variants;

/// The file that a directory stands for.
const INDEX: &[u8] = b"index.html\0";

/// The largest error page that is sent, in bytes: it is sent for every error of its kind.
const LARGEST_PAGE: u64 = 64 * 1024;

/// The most files that a worker keeps open for the next request.
const MOST_OPEN: usize = 128;

/// How much older than its original a variant may be, in nanoseconds.
const VARIANT_SLACK_NS: i128 = 2_000_000_000;

/// How often the root's path is looked at, in milliseconds: whether another directory is there now.
const LOOK_MS: u64 = 500;

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
    tree: RwLock<Option<Arc<Tree>>>,
    looked_ms: AtomicU64,
    is_tired: AtomicBool,
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
struct Tree {
    root: Root,
    cache: Cache,
    variants: Variants,
}

impl Tree {
    fn new(root: Root, cache: Cache) -> Self {
        Tree { root, cache, variants: Variants::default() }
    }
}

/// When a file was asked for, in the moments of a [`Moments`](crate::clock::Moments).
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// By this moment the request had begun to arrive: a look at the disk from then on is recent enough.
    pub began: u64,
    /// The latest moment there was.
    pub now: u64,
}

impl Asked {
    /// After every look at the disk so far.
    pub const NOW: Asked = Asked { began: u64::MAX, now: 0 };
}

/// What a target names.
#[derive(Debug)]
pub enum Found {
    /// A file, and what is said of it.
    File(Arc<Held>),
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
        let most_open = (descriptors / 8).min(MOST_OPEN);
        let root = Root::open(&options.root).inspect_err(|failure| {
            tracing::error!("{failure} Until then, every request gets 503.");
        });
        let state = AtomicU8::new(if root.is_ok() { RootState::Served } else { RootState::Missing } as u8);
        let tree = root.ok().map(|root| Arc::new(Tree::new(root, Cache::new(options.cache_size, most_open))));
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
            looked_ms: AtomicU64::new(clock::now_ms()),
            is_tired: AtomicBool::new(false),
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
    fn tree(&self) -> Result<Arc<Tree>, Refusal> {
        let now_ms = clock::now_ms();
        let looked_ms = self.looked_ms.load(Relaxed);
        // One thread looks; the others go on with what they have.
        if now_ms < looked_ms + LOOK_MS || self.looked_ms.compare_exchange(looked_ms, now_ms, Relaxed, Relaxed).is_err()
        {
            return self.last_tree().ok_or(Refusal::NoRoot);
        }
        self.is_tired.store(true, Relaxed);
        self.look().ok_or(Refusal::NoRoot)
    }

    fn last_tree(&self) -> Option<Arc<Tree>> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks where the root's path leads now, and says which tree is to be served.
    fn look(&self) -> Option<Arc<Tree>> {
        let tree = self.last_tree();
        match tree.as_ref().map(|tree| tree.root.is_at(&self.path)) {
            Some(Ok(true)) => {
                self.note(RootState::Served);
                return tree;
            }
            Some(Err(_)) => {
                self.note(RootState::Missing);
                return tree;
            }
            Some(Ok(false)) | None => {}
        }
        match Root::open(&self.path) {
            Ok(root) if root.is_out_of_bounds() => {
                self.note(RootState::Outside);
                tree
            }
            Ok(root) => {
                let is_first = tree.is_none();
                let tree = Arc::new(Tree::new(root, Cache::new(self.cache_size, self.most_open)));
                *self.tree.write().unwrap_or_else(PoisonError::into_inner) = Some(tree.clone());
                if !self.note(RootState::Served) && !is_first {
                    tracing::info!("The document root {} is another directory now.", self.path.display());
                }
                Some(tree)
            }
            // In the middle of a swap, or gone: what was there is served until something else is.
            Err(_) => {
                self.note(RootState::Missing);
                tree
            }
        }
    }

    /// Remembers what a look has found; says so if that is new, and whether it did.
    fn note(&self, state: RootState) -> bool {
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

    /// Whether it is time to [`rest`](Site::rest). That takes as long as a disk does, so that no client should wait for it.
    pub fn is_tired(&self) -> bool {
        self.is_tired.load(Relaxed)
    }

    /// Closes the files that were open for requests to come and have not been asked for.
    pub fn rest(&self) {
        self.is_tired.store(false, Relaxed);
        if let Some(tree) = self.last_tree() {
            tree.cache.close_old();
        }
    }

    /// Finds what `target` names, in the coding that the client likes best. `path` is scratch space.
    pub fn find(
        &self,
        target: &Target,
        acceptable: impl Fn() -> Acceptable,
        path: &mut Vec<u8>,
        asked: Asked,
    ) -> Result<Found, Refusal> {
        if target.is_hidden() && !self.dotfiles {
            return Err(Refusal::NotFound);
        }
        path.clear();
        path.extend_from_slice(target.path);
        path.extend_from_slice(if target.is_directory() { INDEX } else { b"\0" });
        let path = CStr::from_bytes_with_nul(path).map_err(|_| Refusal::Malformed("the path holds a NUL"))?;

        let tree = self.tree()?;
        let found = self.find_in(&tree, target, &acceptable, path, asked);
        // A release may have been swapped for another, and removed, since the root's path was looked at.
        if !matches!(found, Err(Refusal::NotFound | Refusal::Unreadable) | Ok(Found::Listing(_))) {
            return found;
        }
        match self.look() {
            Some(now) if !Arc::ptr_eq(&now, &tree) => self.find_in(&now, target, &acceptable, path, asked),
            _ if self.root_state() == RootState::Missing => Err(Refusal::NoRoot),
            _ => found,
        }
    }

    /// Finds what `target`, whose file is at `path`, names in a tree.
    fn find_in(
        &self,
        tree: &Tree,
        target: &Target,
        acceptable: impl Fn() -> Acceptable,
        path: &CStr,
        asked: Asked,
    ) -> Result<Found, Refusal> {
        let original = match self.fetch(tree, path, asked, |file, now| self.describe(path, file, now)) {
            Err(Refusal::NotFound) if self.listing && target.is_directory() => {
                return Directory::open(&tree.root, target.path, self.dotfiles).map(Found::Listing);
            }
            result => result?,
        };
        let Some(identity) = original.identity() else {
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
                return self.as_one_of_several(tree, path, asked, original);
            }
            let describe = |file: &File, now| self.describe(path, file, now).coded(coding);
            // A variant that cannot be read, or is no file, is as good as none.
            if seen.has(coding)
                && let Ok(variant) = self.fetch(tree, &variants::path(path, coding), asked, describe)
                && variant.identity().is_some_and(|variant| is_variant_of(variant, identity))
            {
                return Ok(variant);
            }
        }
        Err(Refusal::NotAcceptable)
    }

    /// The site's own page for an error, if it has one that is small: 404.html, 403.html, 50x.html in the root.
    pub fn error_page(&self, status: Status) -> Option<Arc<Held>> {
        let path = match status.code() {
            403 => c"403.html",
            404 => c"404.html",
            500..600 => c"50x.html",
            _ => return None,
        };
        let tree = self.last_tree()?;
        match self.fetch(&tree, path, Asked::NOW, |file, now| self.describe(path, file, now)).ok()? {
            Found::File(page) if page.identity.size <= LARGEST_PAGE => match page.content() {
                Content::Memory(_) => Some(page),
                Content::Disk(file) => Held::in_memory(file, page.representation.clone()).ok().map(Arc::new),
            },
            _ => None,
        }
    }

    /// Gets a file from memory, or opens it, and keeps it if it is one to keep.
    fn fetch(
        &self,
        tree: &Tree,
        path: &CStr,
        asked: Asked,
        describe: impl FnOnce(&File, SystemTime) -> Representation,
    ) -> Result<Found, Refusal> {
        if let Some(held) = tree.cache.get(path, &tree.root, asked) {
            return Ok(Found::File(held));
        }
        let file = File::open(&tree.root, path)?;
        if file.is_directory() {
            return Ok(Found::Directory);
        }
        let now = SystemTime::now();
        let representation = describe(&file, now);
        let held = Arc::new(match tree.cache.has_room_for(&file, now) {
            true => Held::in_memory(&file, representation)?,
            false => Held::open(file, representation)?,
        });
        if held.is_to_keep() {
            tree.cache.put(path, &held);
        }
        Ok(Found::File(held))
    }

    /// An original beside which there are variants. What memory has of it may be from before there were any.
    fn as_one_of_several(&self, tree: &Tree, path: &CStr, asked: Asked, original: Found) -> Result<Found, Refusal> {
        match original {
            Found::File(held) if !held.representation.varies => {
                tree.cache.forget(path);
                self.fetch(tree, path, asked, |file, now| self.describe(path, file, now).coded(Coding::Identity))
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
fn is_variant_of(variant: Identity, original: Identity) -> bool {
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
        matches!(self, Found::File(held) if held.representation.coding != Coding::Identity)
    }

    /// Which state of which file it is, if it is one.
    fn identity(&self) -> Option<Identity> {
        match self {
            Found::File(held) => Some(held.identity),
            Found::Directory | Found::Listing(_) => None,
        }
    }
}
