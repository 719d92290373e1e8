//! Finding what a target names: a file, the index of a directory, or a page by its name without the extension.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::SystemTime;

use super::page_names::join;
use super::release::Release;
use super::variants::{self, AvailableCodings};
use super::verification::Candidate;
use super::version::FileVersion;
use super::{Directory, Found, Lookup, Resource, RootState, Site};
use crate::config::Pretty;
use crate::digest::Digest;
use crate::http::coding::{Acceptable, Coding};
use crate::http::{Refusal, Representation, Status, Target};
use crate::rules;

/// The error of a path that no file can have.
const NUL: Refusal = Refusal::Malformed("the path contains a NUL");

/// The limit of releases in which a request looks for a file: each replaced the one before while it was searched.
const MAX_RELEASES: usize = 4;

impl Site {
    /// Finds what `target` names in `release` or in one that has replaced it, in the coding that the client prefers. `path` is
    /// scratch space.
    pub fn find(
        &self,
        release: &Arc<Release>,
        target: &Target,
        acceptable: impl Fn() -> Acceptable,
        path: &mut Vec<u8>,
        lookup: Lookup,
    ) -> Result<Found, Refusal> {
        if target.is_hidden() && !self.settings.dotfiles || is_reserved(target.path) {
            return Err(Refusal::NotFound);
        }
        let mut found = self.find_in(release, target, &acceptable, path, lookup);
        let mut replaced_by: Option<Arc<Release>> = None;
        for _ in 0..MAX_RELEASES {
            // Until now, the release may have been replaced and removed. A check before the file was missed says nothing about that.
            let may_be_stale = match &found {
                Err(refusal) => matches!(refusal.status(), Status::NotFound | Status::Forbidden),
                Ok(found) => matches!(found, Found::Listing(_)),
            };
            if !may_be_stale {
                break;
            }
            match self.root.check() {
                Some(now) if !Arc::ptr_eq(&now, replaced_by.as_ref().unwrap_or(release)) => {
                    found = self.find_in(&now, target, &acceptable, path, lookup);
                    replaced_by = Some(now);
                }
                _ if self.root_state() == RootState::Missing => return Err(Refusal::NoRoot),
                _ => break,
            }
        }
        found
    }

    /// Finds what `target` names in a release.
    fn find_in(
        &self,
        release: &Release,
        target: &Target,
        acceptable: &impl Fn() -> Acceptable,
        path: &mut Vec<u8>,
        lookup: Lookup,
    ) -> Result<Found, Refusal> {
        let found = if target.is_directory() {
            self.find_index(release, target.path, acceptable, path, lookup)
        } else {
            let path = join(&[target.path], path).ok_or(NUL)?;
            self.find_file(release, path, acceptable, lookup).map(|file| file.map_or(Found::Directory, Found::File))
        };
        match (&found, self.settings.page_names.pretty) {
            (_, Pretty::Off) | (Ok(Found::File(_)), Pretty::On) => found,
            (Ok(Found::File(page)), Pretty::Redirect) => {
                let moved = self.pretty_name_of(release, target, path, lookup);
                let moved = moved.map(|location| Found::Moved { page: page.clone(), location });
                moved.map_or(found, Ok)
            }
            (Ok(Found::Directory) | Err(Refusal::NotFound), Pretty::On | Pretty::Redirect) => {
                self.find_page(release, target, acceptable, path, lookup).transpose().unwrap_or(found)
            }
            _ => found,
        }
    }

    /// Finds the index of the directory `directory`, or its listing.
    fn find_index(
        &self,
        release: &Release,
        directory: &[u8],
        acceptable: &impl Fn() -> Acceptable,
        path: &mut Vec<u8>,
        lookup: Lookup,
    ) -> Result<Found, Refusal> {
        for index in &self.settings.page_names.index {
            let path = join(&[directory, index.as_bytes()], path).ok_or(NUL)?;
            match self.find_file(release, path, acceptable, lookup) {
                // A directory with the name of an index is not served as one.
                Ok(None) | Err(Refusal::NotFound) => {}
                Ok(Some(file)) => return Ok(Found::File(file)),
                Err(refusal) => return Err(refusal),
            }
        }
        match self.settings.listing {
            true => Directory::open(&release.root, directory, self.settings.dotfiles, &self.settings.page_names)
                .map(Found::Listing),
            false => Err(Refusal::NotFound),
        }
    }

    /// Finds the page `about.html` for a target `/about`, unless there is a directory that is served by this name; for `/about/`,
    /// its Location.
    fn find_page(
        &self,
        release: &Release,
        target: &Target,
        acceptable: &impl Fn() -> Acceptable,
        path: &mut Vec<u8>,
        lookup: Lookup,
    ) -> Result<Option<Found>, Refusal> {
        let Some(page) = self.settings.page_names.page(target.path, path) else { return Ok(None) };
        let Some(file) = self.find_file(release, page, acceptable, lookup).or_else(none_if_missing)? else {
            return Ok(None);
        };
        if target.is_directory() {
            return Ok(Some(Found::Moved { page: file, location: target.without_slash() }));
        }
        let is_directory = self.is_served_directory(release, target.path, path, lookup);
        Ok((!is_directory).then_some(Found::File(file)))
    }

    /// Returns the Location of the page that `target` names with its extension. None if its pretty name is that of something
    /// else.
    fn pretty_name_of(&self, release: &Release, target: &Target, path: &mut Vec<u8>, lookup: Lookup) -> Option<String> {
        if target.is_directory() {
            return None;
        }
        if self.settings.page_names.is_index(target.path) {
            return Some(target.without_extension(true));
        }
        let is_free = match release.open(
            self.settings.page_names.pretty_name(target.path, path)?,
            lookup,
            |version, content, now| self.settings.media_types.describe(c"", version, content, now),
        ) {
            Err(Refusal::NotFound) => true,
            Ok(None) => {
                !self.is_served_directory(release, &target.path[..target.path.len() - ".html".len()], path, lookup)
            }
            _ => false,
        };
        is_free.then(|| target.without_extension(false))
    }

    /// Returns whether a request for the directory `path` with a slash would get an index or a listing.
    pub fn serves_directory(&self, release: &Release, path: &[u8], lookup: Lookup) -> bool {
        self.is_served_directory(release, path, &mut Vec::new(), lookup)
    }

    /// Returns whether a request for `path` with a slash would get an index or a listing.
    fn is_served_directory(&self, release: &Release, path: &[u8], buffer: &mut Vec<u8>, lookup: Lookup) -> bool {
        let mut exists = |name: &[u8]| {
            let path = join(&[path, b"/", name], buffer);
            path.is_some_and(|path| !matches!(self.open_file(release, path, lookup), Err(Refusal::NotFound) | Ok(None)))
        };
        self.settings.page_names.index.iter().any(|index| exists(index.as_bytes()))
            || self.settings.listing
                && join(&[path, b"/."], buffer).is_some_and(|path| release.root.open_beneath(path).is_ok())
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
            let available = release.variants.of(path, &release.root);
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

/// Returns whether `path` is a file with rules, or a compressed copy of one.
fn is_reserved(path: &[u8]) -> bool {
    let is_copy = || [&b".br"[..], b".zst", b".gz"].iter().find_map(|suffix| path.strip_suffix(*suffix));
    matches!(path.first(), Some(b'_' | b'n')) && (rules::is_reserved(path) || is_copy().is_some_and(rules::is_reserved))
}

fn none_if_missing<T>(refusal: Refusal) -> Result<Option<T>, Refusal> {
    if refusal == Refusal::NotFound { Ok(None) } else { Err(refusal) }
}
