//! What caches may do with the files of a site: those whose names contain a hash of their content have a lifetime of a year.
//!
//! Whether a name contains a hash is a guess, and what a browser has stored cannot be taken back. So the content under each such
//! name is remembered, over all releases: if it changes, the name has no lifetime from then on.

use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::hashed_name;
use super::version::FileVersion;
use crate::config::CacheControlMode;
use crate::digest::Digest;
use crate::http::CacheControl;
use crate::log::{OncePerMinute, catalog};

/// The limit of names whose content is remembered, about 1.5 MiB in all. When it is reached, all are forgotten that have not
/// changed.
const MAX_NAMES: usize = 8 * 1024;

/// The limit of names of a site that have changed. Beyond it, the site does not name its files by their content, and no name has
/// a lifetime.
const MAX_CHANGED: usize = 256;

/// What caches may do with each file of the sites.
#[derive(Debug)]
pub struct Caching {
    mode: CacheControlMode,
    seen: Mutex<Seen>,
    changed: OncePerMinute,
}

#[derive(Debug, Default)]
struct Seen {
    /// By site and path.
    names: FxHashMap<(u64, Box<[u8]>), Content>,
    /// The number of names that have changed, by site.
    changed: FxHashMap<u64, usize>,
}

/// The content under a name.
#[derive(Debug)]
enum Content {
    /// The same as long as it was observed.
    Same { version: FileVersion, digest: Option<Digest> },
    /// Not always the same.
    Changed,
}

impl Caching {
    /// Creates the decisions for all sites.
    pub fn new(mode: CacheControlMode) -> Self {
        Caching { mode, seen: Mutex::default(), changed: OncePerMinute::default() }
    }

    /// Returns what caches may do with the file at `path` of a site, which was opened now and is no page if it `may_last`; its content has
    /// the digest `content`, if that is known.
    pub fn of(
        &self,
        site: u64,
        path: &[u8],
        may_last: bool,
        version: &FileVersion,
        content: Option<Digest>,
    ) -> CacheControl {
        match self.mode {
            CacheControlMode::Off => CacheControl::Unstated,
            CacheControlMode::Hashed
                if may_last && hashed_name::is_hashed(path) && self.is_same(site, path, version, content) =>
            {
                CacheControl::Immutable
            }
            CacheControlMode::Hashed => CacheControl::Revalidate,
        }
    }

    /// Returns whether the content at `path` has been the same since it was first served, and remembers it.
    fn is_same(&self, site: u64, path: &[u8], version: &FileVersion, digest: Option<Digest>) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.changed.get(&site).is_some_and(|changed| *changed > MAX_CHANGED) {
            return false;
        }
        let key = (site, path.into());
        let Some(known) = seen.names.get_mut(&key) else {
            if seen.names.len() >= MAX_NAMES {
                seen.names.retain(|_, content| matches!(content, Content::Changed));
            }
            // Many sites have changed names: no further name counts.
            let has_room = seen.names.len() < MAX_NAMES;
            if has_room {
                seen.names.insert(key, Content::Same { version: *version, digest });
            }
            return has_room;
        };
        let Content::Same { version: known_version, digest: known_digest } = known else { return false };
        match (*known_digest, digest) {
            (Some(before), Some(now)) if before == now => {
                *known_version = *version;
                true
            }
            (None, _) | (_, None) if known_version.identity == version.identity => {
                *known_digest = known_digest.or(digest);
                true
            }
            // The file was touched, copied or written, and its digest is not known yet.
            (None, _) | (_, None) if known_version.size() == version.size() => false,
            _ => {
                *known = Content::Changed;
                *seen.changed.entry(site).or_default() += 1;
                drop(seen);
                self.report(path);
                false
            }
        }
    }

    fn report(&self, path: &[u8]) {
        if self.changed.is_due() {
            let path = format!("/{}", path.escape_ascii());
            tracing::warn!(
                message_id = catalog::HASHED_NAME_CHANGED,
                %path,
                "The content of \"{path}\" has changed, although its name seems to contain a hash of it. Browsers that have \
                 the old content keep it for up to a year; from now on, they are told to ask before each use. Give the new \
                 content another name, or set --cache-control=off. Logged once a minute."
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{file::File, root::Root};
    use super::*;

    #[test]
    fn a_name_whose_content_changes_has_no_lifetime_from_then_on() {
        let directory = tempfile::tempdir().unwrap();
        let version = |content: &str| {
            fs::write(directory.path().join("f"), content).unwrap();
            File::open(&Root::open(directory.path()).unwrap(), c"f").unwrap().version()
        };
        let (one, two, longer) = (version("1"), version("2"), version("longer"));
        let (a, b) = (Some(Digest::of(b"a")), Some(Digest::of(b"b")));
        let caching = Caching::new(CacheControlMode::Hashed);
        let of = |name: &str, version, digest| {
            caching.of(1, format!("_astro/{name}.CTsyyMEd.js").as_bytes(), true, version, digest)
                == CacheControl::Immutable
        };
        // Touched, or released again.
        assert!(of("x", &one, a) && of("x", &two, a));
        assert!(!of("x", &two, b) && !of("x", &two, a) && !of("x", &one, a));
        // A digest that becomes known later.
        assert!(of("y", &one, None) && of("y", &one, a) && of("y", &one, None));
        assert!(!of("y", &two, None) && of("y", &two, a) && !of("y", &two, b));
        assert!(of("z", &one, None) && !of("z", &longer, None) && !of("z", &one, None));
        assert_eq!(caching.of(1, b"_astro/x.CTsyyMEe.js", false, &one, a), CacheControl::Revalidate);
        assert_eq!(caching.of(1, b"x.js", true, &one, a), CacheControl::Revalidate);
        let off = Caching::new(CacheControlMode::Off);
        assert_eq!(off.of(1, b"_astro/x.CTsyyMEe.js", true, &one, a), CacheControl::Unstated);
    }

    #[test]
    fn a_site_where_many_names_change_has_no_lifetimes() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("f"), "").unwrap();
        let version = File::open(&Root::open(directory.path()).unwrap(), c"f").unwrap().version();
        let caching = Caching::new(CacheControlMode::Hashed);
        let of = |number: usize, content: &[u8]| {
            let path = format!("_astro/{number}.CTsyyMEd.js");
            caching.of(1, path.as_bytes(), true, &version, Some(Digest::of(content))) == CacheControl::Immutable
        };
        for number in 0..3 * MAX_NAMES {
            assert!(of(number, b"a"));
            assert!(caching.seen.lock().unwrap().names.len() <= MAX_NAMES);
        }
        for number in 0..=MAX_CHANGED {
            of(number, b"a");
            assert!(!of(number, b"b"));
        }
        assert!(!of(MAX_NAMES * 4, b"a"));
        let other = caching.of(2, b"_astro/x.CTsyyMEd.js", true, &version, None);
        assert_eq!(other, CacheControl::Immutable, "another site");
    }
}
