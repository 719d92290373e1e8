//! The files below the document root: lookup of the file or directory that a request target names.
//!
//! Every path is opened through [`root::Root`], which keeps it below the document root whatever symbolic links and renames do.

mod cache;
pub mod challenges;
mod compressed;
pub mod digests;
pub mod directory;
pub mod file;
pub mod listings;
mod lock;
mod lookup;
mod media_types;
mod memory;
mod release;
mod resource;
pub mod root;
mod sites;
mod variants;
mod verification;
pub mod version;
mod walk;

use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::Arc;

use crate::config::Options;
use crate::failure::Failure;
use crate::http::coding::{Acceptable, Coding};
use crate::http::{Refusal, Status, Target};

use cache::CacheLimits;
pub use cache::Freshness;
pub use compressed::CompressedAccess;
pub use digests::{Digests, HelperAccess};
pub use directory::Directory;
pub use file::File;
pub use lookup::Lookup;
use media_types::MediaTypes;
pub use release::RootState;
use release::{DocumentRoot, Release};
pub use resource::{Content, Resource};
use root::{Role, Root};
pub use sites::{Host, Selected, Sites};
use variants::AvailableCodings;
use verification::Candidate;
use version::FileVersion;

/// The file that is served for a directory.
const INDEX: &[u8] = b"index.html\0";

/// The size limit of an error page, in bytes: it is sent with every error of its kind.
const MAX_ERROR_PAGE_BYTES: u64 = 64 * 1024;

/// The limit of files that a worker keeps open for later requests.
const MAX_OPEN_FILES: usize = 128;

/// The files of a document root, and the settings that apply to them.
#[derive(Debug)]
pub struct Site {
    root: DocumentRoot,
    settings: Arc<Settings>,
}

/// What all sites of a server have in common.
#[derive(Debug)]
struct Settings {
    media_types: MediaTypes,
    dotfiles: bool,
    listing: bool,
    has_variants: bool,
    cache_limits: Arc<CacheLimits>,
}

impl Settings {
    /// Reads the settings of processes with a limit of `descriptors` file descriptors each.
    fn load(options: &Options, descriptors: usize) -> Result<Arc<Self>, Failure> {
        // Enough for the files that are requested at one time; most descriptors are for connections.
        let max_open_files = (descriptors / 8).min(MAX_OPEN_FILES);
        Ok(Arc::new(Settings {
            media_types: MediaTypes::load(options)?,
            dotfiles: options.dotfiles,
            listing: options.listing,
            has_variants: options.precompressed,
            cache_limits: CacheLimits::new(options.cache_size, max_open_files),
        }))
    }
}

/// The result of a lookup.
#[derive(Debug)]
pub enum Found {
    /// A file and its metadata.
    File(Arc<Resource>),
    /// A directory whose target lacks the slash at the end.
    Directory,
    /// A directory without an index, to be listed.
    Listing(Directory),
}

impl Site {
    /// Opens the document root at `path`. If it cannot be opened, that is retried while the server runs.
    fn open(path: &Path, settings: Arc<Settings>) -> Self {
        Site { root: DocumentRoot::open(path, &settings.cache_limits), settings }
    }

    /// Stops logging changes of the document root: of the processes that check the same path, one logs them.
    pub fn disable_root_log(&self) {
        self.root.disable_log();
    }

    /// Returns the state of the document root's path at the last check.
    pub fn root_state(&self) -> RootState {
        self.root.state()
    }

    /// Returns whether its document root was opened.
    fn has_root(&self) -> bool {
        self.root.last_release().is_some()
    }

    /// Returns whether [`close_stale`](Site::close_stale) is due. It can take as long as a disk does, so no client should
    /// wait for it.
    pub fn may_have_stale_files(&self) -> bool {
        self.root.may_have_stale_files()
    }

    /// Closes the files that were kept open for later requests and have expired.
    pub fn close_stale(&self) {
        self.root.close_stale();
    }

    /// Finds what `target` names, in the coding that the client prefers. `path` is scratch space.
    pub fn find(
        &self,
        target: &Target,
        acceptable: impl Fn() -> Acceptable,
        path: &mut Vec<u8>,
        lookup: Lookup,
    ) -> Result<Found, Refusal> {
        if target.is_hidden() && !self.settings.dotfiles {
            return Err(Refusal::NotFound);
        }
        path.clear();
        path.extend_from_slice(target.path);
        path.extend_from_slice(if target.is_directory() { INDEX } else { b"\0" });
        let path = CStr::from_bytes_with_nul(path).map_err(|_| Refusal::Malformed("the path contains a NUL"))?;

        let release = self.root.release().ok_or(Refusal::NoRoot)?;
        let found = self.find_in(&release, target, &acceptable, path, lookup);
        // Since the last check of the root's path, the release may have been replaced and removed.
        let may_be_stale = match &found {
            Err(refusal) => matches!(refusal.status(), Status::NotFound | Status::Forbidden),
            Ok(found) => matches!(found, Found::Listing(_)),
        };
        if !may_be_stale {
            return found;
        }
        match self.root.release_for(lookup.freshness) {
            Some(now) if !Arc::ptr_eq(&now, &release) => self.find_in(&now, target, &acceptable, path, lookup),
            _ if self.root_state() == RootState::Missing => Err(Refusal::NoRoot),
            _ => found,
        }
    }

    /// Finds what `target`, whose file is at `path`, names in a release.
    fn find_in(
        &self,
        release: &Release,
        target: &Target,
        acceptable: impl Fn() -> Acceptable,
        path: &CStr,
        lookup: Lookup,
    ) -> Result<Found, Refusal> {
        let original = match self.open_file(release, path, None, lookup) {
            Err(Refusal::NotFound) if self.settings.listing && target.is_directory() => {
                return Directory::open(&release.root, target.path, self.settings.dotfiles).map(Found::Listing);
            }
            result => result?,
        };
        let Some(original) = original else {
            // A directory that is named index.html is not served as one.
            return if target.is_directory() { Err(Refusal::NotFound) } else { Ok(Found::Directory) };
        };
        // Variants of a file that is coded by itself would be coded twice.
        if original.representation.coding != Coding::Identity {
            return Ok(Found::File(original));
        }
        if self.settings.has_variants {
            let available = release.variants.of(path, &release.root);
            if !available.is_empty() {
                return self.find_variant(release, acceptable(), available, path, lookup, original);
            }
        }
        Ok(Found::File(find_compressed(&acceptable, lookup, &original).unwrap_or(original)))
    }

    /// Finds the form of the file at `path` that the client prefers: a variant, or if there is none, what the server has compressed
    /// it to, or itself.
    fn find_variant(
        &self,
        release: &Release,
        acceptable: Acceptable,
        available: AvailableCodings,
        path: &CStr,
        lookup: Lookup,
        original: Arc<Resource>,
    ) -> Result<Found, Refusal> {
        let mut is_original_acceptable = false;
        let mut is_undecided = false;
        for coding in acceptable.order() {
            if coding == Coding::Identity {
                is_original_acceptable = true;
                break;
            }
            // A variant that cannot be read, or is no regular file, is ignored.
            if available.has(coding)
                && let Ok(Some(variant)) = self.open_file(release, path, Some(coding), lookup)
            {
                let root = &release.root;
                let candidate = Candidate { root, path, original: &original, coding, variant: &variant };
                match candidate.is_variant(lookup) {
                    Some(true) => return Ok(Found::File(variant)),
                    Some(false) => {}
                    None => is_undecided = true,
                }
            }
        }
        // What is compressed while a variant is being verified would soon be useless.
        if !is_undecided && let Some(form) = find_compressed(|| acceptable, lookup, &original) {
            return Ok(Found::File(form));
        }
        if is_original_acceptable {
            return self.with_vary(release, path, lookup, original);
        }
        Err(Refusal::NotAcceptable)
    }

    /// Returns the path below the root, without links, of what is at a path as in [`Target`]; None if there is nothing.
    pub fn real_path(&self, path: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let path = CString::new(path).map_err(|_| Refusal::NotFound)?;
        let release = self.root.last_release().ok_or(Refusal::NoRoot)?;
        release.root.real_path(if path.is_empty() { c"." } else { &path }, |_| true)
    }

    /// Opens the file at `path`, or its variant with this coding. `Identity` stands for the original beside variants. Returns
    /// None for a directory.
    fn open_file(
        &self,
        release: &Release,
        path: &CStr,
        coding: Option<Coding>,
        lookup: Lookup,
    ) -> Result<Option<Arc<Resource>>, Refusal> {
        let describe = |version: &FileVersion, content, now| {
            let original = self.settings.media_types.describe(path, version, content, now);
            match coding {
                None => original,
                Some(coding) => original.coded(coding),
            }
        };
        match coding {
            None | Some(Coding::Identity) => release.open(path, lookup, describe),
            Some(coding) => release.open(&variants::path(path, coding), lookup, describe),
        }
    }

    /// Returns an original beside which there are variants. The cached one may be from before there were any, without Vary.
    fn with_vary(
        &self,
        release: &Release,
        path: &CStr,
        lookup: Lookup,
        original: Arc<Resource>,
    ) -> Result<Found, Refusal> {
        if original.representation.varies {
            return Ok(Found::File(original));
        }
        release.cache.remove(path);
        let original = self.open_file(release, path, Some(Coding::Identity), lookup)?;
        Ok(original.map_or(Found::Directory, Found::File))
    }

    /// Returns the site's own page for an error, if it has one of at most [`MAX_ERROR_PAGE_BYTES`]: 404.html, 403.html or
    /// 50x.html in the document root.
    pub fn error_page(&self, status: Status, digests: &Digests) -> Option<Arc<Resource>> {
        let path = match status.code() {
            403 => c"403.html",
            404 => c"404.html",
            500..600 => c"50x.html",
            _ => return None,
        };
        let lookup = Lookup { freshness: Freshness::NOW, digests };
        let page = self.open_file(&*self.root.last_release()?, path, None, lookup).ok()??;
        if page.version.size() > MAX_ERROR_PAGE_BYTES {
            return None;
        }
        match page.content() {
            Content::Memory(_) => Some(page),
            Content::Disk(file) => Resource::in_memory(file, |_, _| page.representation.clone()).ok().map(Arc::new),
        }
    }
}

/// Returns what the server has compressed a file to, if that is there and the client prefers it.
fn find_compressed(acceptable: impl Fn() -> Acceptable, lookup: Lookup, original: &Resource) -> Option<Arc<Resource>> {
    original.forms()?;
    lookup.digests.compressed.as_ref()?.preferred(original, acceptable())
}

/// Returns the errors that keep a server with these options from serving files, and warnings.
pub fn check(options: &Options) -> (Vec<Failure>, Vec<String>) {
    let checked = match &options.sites {
        None => Root::check(Role::DOCUMENT_ROOT, &options.root, options.listing).map(|()| Vec::new()),
        Some(directory) => sites::check(directory),
    };
    let (failure, warnings) = checked.map_or_else(|failure| (Some(failure), Vec::new()), |warnings| (None, warnings));
    (failure.into_iter().chain(MediaTypes::load(options).err()).collect(), warnings)
}
