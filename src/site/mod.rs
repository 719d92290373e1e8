//! The files below the document root: lookup of the file or directory that a request target names.
//!
//! Every path is opened through [`root::Root`], which keeps it below the document root whatever symbolic links and renames do.

mod cache;
mod caching;
pub mod challenges;
mod compressed;
mod decoding;
pub mod digests;
pub mod directory;
mod disk_check;
mod document_root;
pub mod errno;
pub mod file;
mod find;
pub mod hashed_name;
pub mod listings;
mod lock;
mod lookup;
mod media_types;
mod memory;
pub mod page_names;
mod release;
pub mod reserved;
mod resource;
pub mod root;
pub mod rules;
mod sites;
mod variants;
mod verification;
pub mod version;
mod walk;

use std::ffi::CString;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHasher;

use crate::config::Options;
use crate::failure::Failure;
use crate::http::{Refusal, Status, Target};
use crate::os::clock;

use cache::CacheLimits;
pub use cache::Freshness;
use caching::Caching;
pub use compressed::CompressedAccess;
pub use digests::{Digests, HelperAccess};
pub use directory::Directory;
pub use disk_check::DiskCheck;
use document_root::DocumentRoot;
pub use document_root::RootState;
pub use file::File;
pub use lookup::Lookup;
use media_types::MediaTypes;
pub use page_names::Found;
use page_names::{PageNames, join};
pub use release::Release;
use release::Shared;
pub use resource::{Content, Resource};
use root::{Role, Root};
use rules::Faults;
pub use sites::{Host, Selected, Sites, hosts as hosts_of_sites};

/// The size limit of an error page, in bytes: it is sent with every error of its kind.
const MAX_ERROR_PAGE_BYTES: u64 = 64 * 1024;

/// The limit of directories in a path that are searched for a 404.html.
const MAX_ERROR_PAGE_DEPTH: usize = 16;

/// The limit of files that a worker keeps open for later requests.
const MAX_OPEN_FILES: usize = 128;

/// The files of a document root, and the settings that apply to them.
#[derive(Debug)]
pub struct Site {
    root: DocumentRoot,
    /// Identifies it among the sites.
    id: u64,
    settings: Arc<Settings>,
}

/// What all sites of a server have in common.
#[derive(Debug)]
struct Settings {
    media_types: MediaTypes,
    page_names: Arc<PageNames>,
    caching: Caching,
    dotfiles: bool,
    listing: bool,
    has_variants: bool,
    shared: Arc<Shared>,
}

impl Settings {
    /// Reads the settings of processes with a limit of `descriptors` file descriptors each.
    fn load(options: &Options, descriptors: usize) -> Result<Arc<Self>, Failure> {
        // Enough for the files that are requested at one time; most descriptors are for connections.
        let max_open_files = (descriptors / 8).min(MAX_OPEN_FILES);
        Ok(Arc::new(Settings {
            media_types: MediaTypes::load(options)?,
            page_names: Arc::new(PageNames::new(options)),
            caching: Caching::new(options.cache_control),
            dotfiles: options.dotfiles,
            listing: options.listing,
            has_variants: options.precompressed,
            shared: Shared::new(CacheLimits::new(options.cache_size, max_open_files)),
        }))
    }
}

impl Site {
    /// Opens the document root at `path`. If it cannot be opened, that is retried while the server runs.
    fn open(path: &Path, settings: Arc<Settings>) -> Self {
        Site::new(DocumentRoot::open(path, &settings.shared), path, settings)
    }

    fn new(root: DocumentRoot, path: &Path, settings: Arc<Settings>) -> Self {
        let mut hasher = FxHasher::default();
        path.hash(&mut hasher);
        Site { root, id: hasher.finish(), settings }
    }

    /// Stops logging changes of the document root: of the processes that check the same path, one logs them.
    pub fn disable_root_log(&self) {
        self.root.disable_log();
    }

    /// Returns the state of the document root's path at the last check.
    pub fn root_state(&self) -> RootState {
        self.root.state()
    }

    /// Returns the directory that is served, if there was one.
    fn last_root(&self) -> Option<Root> {
        self.root.last_release().map(|release| release.root.clone())
    }

    /// Returns whether its document root was opened.
    fn has_root(&self) -> bool {
        self.root.last_release().is_some()
    }

    /// Makes a worker rely on rules only that it has read itself, if they have changed since it was forked.
    fn distrust_rules(&self) {
        self.root.distrust_rules();
    }

    /// Returns the size of the files with its rules, in bytes.
    fn rules_bytes(&self) -> u64 {
        self.root.last_release().map_or(0, |release| release.rules.bytes())
    }

    /// Returns whether [`keep_up`](Site::keep_up) is due.
    fn is_upkeep_due(&self) -> bool {
        self.root.is_upkeep_due()
    }

    /// Returns the release to serve at `now_ms`. A request takes it once: its rules are those that came with its files.
    pub fn release(&self, now_ms: u64) -> Result<Arc<Release>, Refusal> {
        self.root.release(now_ms).ok_or(Refusal::NoRoot)
    }

    /// Looks for another release and other rules, and closes the files that were kept open for later requests and have expired. It
    /// can take as long as a disk does, so no client should wait for it.
    pub fn keep_up(&self) {
        self.root.keep_up();
    }

    /// Returns the device and inode of the directory that is served.
    pub fn identity(&self) -> Option<(u64, u64)> {
        self.root.last_release().map(|release| release.root.identity())
    }

    /// Returns the path below the root, without links, of what is at a path as in [`Target`]; None if there is nothing.
    pub fn real_path(&self, path: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let path = CString::new(path).map_err(|_| Refusal::NotFound)?;
        let release = self.root.last_release().ok_or(Refusal::NoRoot)?;
        release.root.real_path(if path.is_empty() { c"." } else { &path }, |_| true)
    }

    /// Returns the site's own page for an error, if it has one of at most [`MAX_ERROR_PAGE_BYTES`]: 401.html, 403.html or
    /// 50x.html in the document root; 404.html in the nearest directory above `target`.
    pub fn error_page(&self, status: Status, target: Option<&Target>, digests: &Digests) -> Option<Arc<Resource>> {
        let path =
            target.filter(|target| self.settings.dotfiles || !target.is_hidden).map_or(&b""[..], |target| target.path);
        let (name, path): (&[u8], _) = match status.code() {
            401 => (b"401.html", &path[..0]),
            403 => (b"403.html", &path[..0]),
            404 => (b"404.html", path),
            500..600 => (b"50x.html", &path[..0]),
            _ => return None,
        };
        let release = self.root.last_release()?;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(slash, _)| slash + 1);
        let directories: Vec<_> = [0].into_iter().chain(ends.take(MAX_ERROR_PAGE_DEPTH)).collect();
        let mut buffer = Vec::new();
        directories.iter().rev().find_map(|end| {
            let lookup = Lookup { freshness: Freshness::NOW, now_ms: clock::now_ms(), digests };
            let page = self.open_file(&release, join(&[&path[..*end], name], &mut buffer)?, lookup).ok()??;
            page_in_memory(page)
        })
    }
}

/// Returns an error page with its content in memory. None if it is too large, or cannot be read.
pub fn page_in_memory(page: Arc<Resource>) -> Option<Arc<Resource>> {
    if page.version.size() > MAX_ERROR_PAGE_BYTES {
        return None;
    }
    match page.content() {
        Content::Memory(_) => Some(page),
        Content::Disk(file) => Resource::in_memory(file, |_, _| page.representation.clone()).ok().map(Arc::new),
    }
}

fn check_root(options: &Options) -> Result<Vec<String>, Failure> {
    Root::check(Role::DOCUMENT_ROOT, &options.root, options.listing)?;
    let Faults { unusable, mistakes } = rules::check(&Root::open(&options.root)?, &options.root);
    if unusable.is_empty() { Ok(mistakes) } else { Err(Failure::new(unusable.join(" "))) }
}

/// Returns the errors that keep a server with these options from serving files, and warnings. With `is_brief`, does not look for
/// what leads to warnings alone.
pub fn check(options: &Options, is_brief: bool) -> (Vec<Failure>, Vec<String>) {
    let checked = match &options.sites {
        None => check_root(options),
        Some(directory) => sites::check(directory, is_brief),
    };
    let (failure, warnings) = checked.map_or_else(|failure| (Some(failure), Vec::new()), |warnings| (None, warnings));
    (failure.into_iter().chain(MediaTypes::load(options).err()).collect(), warnings)
}
