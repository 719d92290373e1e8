//! Finding what a target names: the files of a release, in the form that the client prefers. Which of them a target names is
//! decided in [`page_names`].

use std::ffi::CStr;
use std::sync::Arc;
use std::time::SystemTime;

use super::errno::is_exhausted;
use super::page_names::{self, Files};
use super::release::Release;
use super::variants::{self, AvailableCodings};
use super::verification::Candidate;
use super::version::FileVersion;
use super::{Directory, Found, Lookup, Resource, RootState, Site};
use crate::digest::Digest;
use crate::http::coding::{Acceptable, Coding};
use crate::http::{Refusal, Representation, Status, Target};

/// The files of a release, for one request.
struct FilesOf<'r, A> {
    site: &'r Site,
    release: &'r Release,
    acceptable: &'r A,
    lookup: Lookup<'r>,
}

impl<A: Fn() -> Acceptable> Files for FilesOf<'_, A> {
    type File = Arc<Resource>;
    type Listing = Directory;

    fn find(&self, path: &CStr) -> Result<Option<Arc<Resource>>, Refusal> {
        self.site.find_file(self.release, path, self.acceptable, self.lookup)
    }

    fn has(&self, path: &CStr) -> Result<bool, Refusal> {
        Ok(self.site.open_file(self.release, path, self.lookup)?.is_some())
    }

    fn has_listing(&self, path: &CStr) -> bool {
        self.site.settings.listing && self.release.root.open_beneath(path).map_or_else(is_exhausted, |_| true)
    }

    fn listing(&self, directory: &[u8]) -> Result<Directory, Refusal> {
        let settings = &self.site.settings;
        match settings.listing {
            true => Directory::open(&self.release.root, directory, settings.dotfiles, &settings.page_names),
            false => Err(Refusal::NotFound),
        }
    }
}

impl Site {
    /// Finds what `target` names in `release`, in the coding that the client prefers. Fails with [`Refusal::Replaced`] if there is
    /// another release by now, in which it may be. `path` is scratch space.
    pub fn find(
        &self,
        release: &Arc<Release>,
        target: &Target,
        acceptable: impl Fn() -> Acceptable,
        path: &mut Vec<u8>,
        lookup: Lookup,
    ) -> Result<Found, Refusal> {
        if page_names::is_never_served(target, self.settings.dotfiles) {
            return Err(Refusal::NotFound);
        }
        let files = FilesOf { site: self, release, acceptable: &acceptable, lookup };
        let found = self.settings.page_names.find(&files, target, path);
        // Until now, the release may have been replaced and removed. A check before the file was missed says nothing about that.
        let may_be_stale = match &found {
            Err(refusal) => matches!(refusal.status(), Status::NotFound | Status::Forbidden),
            Ok(found) => matches!(found, Found::Listing(_)),
        };
        if may_be_stale {
            match self.root.check() {
                Some(now) if !Arc::ptr_eq(&now, release) => return Err(Refusal::Replaced),
                _ if self.root_state() == RootState::Missing => return Err(Refusal::NoRoot),
                _ => {}
            }
        }
        found
    }

    /// Returns whether a request for the directory `path` with a slash would get an index or a listing.
    pub fn serves_directory(&self, release: &Release, path: &[u8], lookup: Lookup) -> bool {
        let files = FilesOf { site: self, release, acceptable: &|| Acceptable::IDENTITY, lookup };
        self.settings.page_names.serves_directory(&files, path, &mut Vec::new())
    }

    /// Finds the file at `path`, in the coding that the client prefers. Returns None for a directory.
    fn find_file(
        &self,
        release: &Release,
        path: &CStr,
        acceptable: &impl Fn() -> Acceptable,
        lookup: Lookup,
    ) -> Result<Option<Arc<Resource>>, Refusal> {
        let Some(original) = self.open_file(release, path, lookup)? else { return Ok(None) };
        // Variants of a file that is coded by itself would be coded twice.
        if original.representation.coding != Coding::Identity {
            return Ok(Some(original));
        }
        if self.settings.has_variants {
            let available = original.variants.of(path, &release.root, lookup.now_ms);
            if !available.is_empty() {
                return self.find_variant(release, acceptable(), available, path, lookup, original);
            }
        }
        Ok(Some(find_compressed(acceptable, lookup, &original).unwrap_or(original)))
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
    ) -> Result<Option<Arc<Resource>>, Refusal> {
        let mut is_original_acceptable = false;
        let mut is_undecided = false;
        for coding in acceptable.order() {
            if coding == Coding::Identity {
                is_original_acceptable = true;
                break;
            }
            // A variant that cannot be read, or is no regular file, is ignored.
            if available.has(coding)
                && let Ok(Some(variant)) = self.open_variant(release, path, coding, &original, lookup)
            {
                let root = &release.root;
                let candidate = Candidate { root, path, original: &original, coding, variant: &variant };
                match candidate.is_variant(lookup) {
                    Some(true) => return Ok(Some(variant)),
                    Some(false) => {}
                    None => is_undecided = true,
                }
            }
        }
        // What is compressed while a variant is being verified would soon be useless.
        if !is_undecided && let Some(form) = find_compressed(|| acceptable, lookup, &original) {
            return Ok(Some(form));
        }
        if is_original_acceptable {
            return self.with_vary(release, path, lookup, original);
        }
        Err(Refusal::NotAcceptable)
    }

    /// Opens the file at `path`. Returns None for a directory.
    pub(super) fn open_file(
        &self,
        release: &Release,
        path: &CStr,
        lookup: Lookup,
    ) -> Result<Option<Arc<Resource>>, Refusal> {
        release.open(path, lookup, |version, content, now| self.describe(path, version, content, now))
    }

    /// Returns the metadata of the file at `path`.
    fn describe(&self, path: &CStr, version: &FileVersion, content: Option<Digest>, now: SystemTime) -> Representation {
        let representation = self.settings.media_types.describe(path, version, content, now);
        let cache_control =
            self.settings.caching.of(self.id, path.to_bytes(), !representation.is_page(), version, content);
        representation.cached(cache_control)
    }

    /// Opens the variant of the file at `path`: caches may do the same with it. Returns None for a directory.
    fn open_variant(
        &self,
        release: &Release,
        path: &CStr,
        coding: Coding,
        original: &Resource,
        lookup: Lookup,
    ) -> Result<Option<Arc<Resource>>, Refusal> {
        let (variant_path, cache_control) = (variants::path(path, coding), original.representation.cache_control);
        let open = || {
            release.open(&variant_path, lookup, |version, content, now| {
                self.settings.media_types.describe(path, version, content, now).cached(cache_control).coded(coding)
            })
        };
        match open()? {
            // It was cached before the content of the original changed.
            Some(variant) if variant.representation.cache_control != cache_control => {
                release.cache.remove(&variant_path);
                open()
            }
            variant => Ok(variant),
        }
    }

    /// Returns an original beside which there are variants. The cached one may be from before there were any, without Vary.
    fn with_vary(
        &self,
        release: &Release,
        path: &CStr,
        lookup: Lookup,
        original: Arc<Resource>,
    ) -> Result<Option<Arc<Resource>>, Refusal> {
        if original.representation.varies {
            return Ok(Some(original));
        }
        release.cache.remove(path);
        release.open(path, lookup, |version, content, now| {
            self.describe(path, version, content, now).coded(Coding::Identity)
        })
    }
}

/// Returns what the server has compressed a file to, if that is there and the client prefers it.
fn find_compressed(acceptable: impl Fn() -> Acceptable, lookup: Lookup, original: &Resource) -> Option<Arc<Resource>> {
    original.forms()?;
    lookup.digests.compressed.as_ref()?.preferred(original, acceptable())
}
