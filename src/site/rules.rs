//! The rules of a release: `_headers` and `_redirects` at the top of the document root, and what they say about paths.
//!
//! They are read when the release is opened, and again when one of the files has changed: it is checked with the root's path.
//! What cannot be read, is being written, or is beyond the bounds never takes rules away: the last good ones stay.

use std::ffi::CStr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::SystemTime;

use nix::errno::Errno;
use rustc_hash::FxHashMap;

use super::cache::CacheLimits;
use super::file::File;
use super::lock::{read, write};
use super::resource::Resource;
use super::root::Root;
use super::version::{FileVersion, since_epoch_ns};
use crate::http::h1::encode;
use crate::http::{Field, FieldChanges, Refusal, Scheme, Status};
use crate::rules::{HeaderRules, MAX_BYTES, Mistake, Parsed, RedirectRules, TooMany};

/// The time since the last write after which a file is taken as complete, in nanoseconds. With the interval of checks, a
/// change is seen within a second.
const SETTLED_NS: i128 = 300_000_000;

/// The number of checks in a row that must find no file before its rules end: it may be about to be replaced.
const ABSENT_CHECKS: u32 = 2;

/// The limit of mistakes in a file that are logged.
const MAX_LOGGED: usize = 20;

/// The limit of paths for which it is kept what the rules say, over all releases. When it is reached, all are discarded.
const MAX_PATHS: usize = 2 * 1024;

/// The limit of heads that are kept for a path: codings, versions, schemes.
const MAX_HEADS: usize = 8;

/// The rules files of a release.
#[derive(Debug, Default)]
pub struct RulesFiles {
    has_rules: AtomicBool,
    current: RwLock<Option<Arc<SiteRules>>>,
    files: Mutex<Files>,
}

#[derive(Debug, Clone, Default)]
struct Files {
    headers: RulesFile<HeaderRules>,
    redirects: RulesFile<RedirectRules>,
}

#[derive(Debug, Clone)]
struct RulesFile<T> {
    rules: Arc<T>,
    /// The version that was read last, or that cannot be used.
    seen: Option<FileVersion>,
    absent: u32,
}

impl<T: Default> Default for RulesFile<T> {
    fn default() -> Self {
        RulesFile { rules: Arc::default(), seen: None, absent: 0 }
    }
}

/// Rules, and what they say about paths.
#[derive(Debug)]
pub struct SiteRules {
    headers: Arc<HeaderRules>,
    /// The rules of `_redirects`.
    pub redirects: Arc<RedirectRules>,
    /// Whether there are paths that nobody gets, since they have a password in `_headers`.
    pub has_passwords: bool,
    paths: RwLock<FxHashMap<Box<[u8]>, Arc<PathRules>>>,
    max_paths: usize,
}

/// What the rules say about a path.
#[derive(Debug)]
pub struct PathRules {
    /// The changes of field lines.
    pub changes: FieldChanges,
    /// Whether a rule of `_redirects` may match.
    pub may_have_redirect: bool,
    heads: RwLock<Vec<Head>>,
}

/// The end of the head of a file's response.
#[derive(Debug)]
struct Head {
    resource: Weak<Resource>,
    key: (Status, Scheme),
    bytes: Arc<[u8]>,
}

impl RulesFiles {
    /// Reads the rules of a release. What cannot be read is taken over from the release before.
    pub fn load(root: &Root, path: &Path, before: Option<&RulesFiles>, limits: &CacheLimits, is_logged: bool) -> Self {
        let rules = RulesFiles::default();
        if let Some(before) = before {
            let mut files = before.files().clone();
            (files.headers.seen, files.headers.absent) = (None, ABSENT_CHECKS);
            (files.redirects.seen, files.redirects.absent) = (None, ABSENT_CHECKS);
            *rules.files() = files;
        }
        rules.update(root, path, limits, is_logged, true);
        rules
    }

    /// Reads the files that have changed.
    pub fn refresh(&self, root: &Root, path: &Path, limits: &CacheLimits, is_logged: bool) {
        self.update(root, path, limits, is_logged, false);
    }

    /// Returns the rules, if there are any.
    pub fn current(&self) -> Option<Arc<SiteRules>> {
        if self.has_rules.load(Relaxed) { read(&self.current).clone() } else { None }
    }

    fn update(&self, root: &Root, path: &Path, limits: &CacheLimits, is_logged: bool, is_first: bool) {
        // Another thread reads them: this one does not wait.
        let Ok(mut files) = self.files.try_lock() else { return };
        let log = is_logged.then_some(path);
        let headers = files.headers.update(root, c"_headers", HeaderRules::parse, log, is_first);
        let redirects = files.redirects.update(root, c"_redirects", RedirectRules::parse, log, is_first);
        if !headers && !redirects && !is_first {
            return;
        }
        let (headers, redirects) = (files.headers.rules.clone(), files.redirects.rules.clone());
        let has_rules = !headers.is_empty() || !redirects.is_empty();
        let has_passwords = headers.rules().any(|rule| rule.has_password);
        let (paths, max_paths) = (RwLock::default(), limits.share_of(MAX_PATHS));
        let rules = SiteRules { headers, redirects, has_passwords, paths, max_paths };
        *write(&self.current) = has_rules.then(|| Arc::new(rules));
        self.has_rules.store(has_rules, Relaxed);
    }

    fn files(&self) -> std::sync::MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> RulesFile<T> {
    /// Reads the file if it has changed. Returns whether the rules are others now.
    fn update(
        &mut self,
        root: &Root,
        name: &CStr,
        parse: impl FnOnce(&[u8]) -> Result<Parsed<T>, TooMany>,
        log: Option<&Path>,
        is_first: bool,
    ) -> bool {
        let file = log.map(|root| root.join(name.to_string_lossy().as_ref()));
        let file = file.as_ref().map(|file| file.display());
        let version = match root.stat(name) {
            Ok(stat) => FileVersion::from(&stat),
            Err(Errno::ENOENT) => {
                self.absent = self.absent.saturating_add(1);
                let ends = self.seen.is_some() || is_first;
                if !ends || self.absent < ABSENT_CHECKS {
                    return false;
                }
                (self.rules, self.seen) = (Arc::default(), None);
                return true;
            }
            Err(_) => return false,
        };
        self.absent = 0;
        if self.seen == Some(version) || !is_first && !is_complete(&version) {
            return false;
        }
        let parsed = match read_file(root, name) {
            Ok(None) => return false,
            Ok(Some((version, bytes))) => {
                self.seen = Some(version);
                parse(&bytes).map_err(|bounds| bounds.to_string())
            }
            Err(why) => {
                self.seen = Some(version);
                Err(why)
            }
        };
        match parsed {
            Ok(Parsed { rules, mistakes }) => {
                if let Some(file) = file {
                    report(&file, &mistakes);
                }
                self.rules = Arc::new(rules);
                true
            }
            Err(why) => {
                if let Some(file) = file {
                    tracing::warn!(%file, "{file} is not used: {why}. The last good rules stay.");
                }
                false
            }
        }
    }
}

/// Returns whether the last write was so long ago that another is not to be expected. A file with a time in the future is.
fn is_complete(version: &FileVersion) -> bool {
    let age_ns = since_epoch_ns(SystemTime::now()) - version.identity.mtime_ns.max(version.identity.ctime_ns);
    !(0..SETTLED_NS).contains(&age_ns)
}

/// Reads a file. Returns None if it is to be tried again; an error says why it cannot be used.
fn read_file(root: &Root, name: &CStr) -> Result<Option<(FileVersion, Vec<u8>)>, String> {
    let file = match File::open(root, name) {
        Ok(file) => file,
        Err(Refusal::NotFound | Refusal::Exhausted(_)) => return Ok(None),
        Err(refusal) => return Err(refusal.to_string()),
    };
    if file.is_directory() {
        return Err("it is a directory".into());
    }
    if file.version().size() > MAX_BYTES {
        return Err(TooMany::Bytes.to_string());
    }
    let mut bytes = Vec::new();
    match file.read(&mut bytes) {
        Ok(_) => Ok(Some((file.version(), bytes))),
        Err(Refusal::Changed | Refusal::Exhausted(_)) => Ok(None),
        Err(refusal) => Err(refusal.to_string()),
    }
}

fn report(file: &impl std::fmt::Display, mistakes: &[Mistake]) {
    for Mistake { line, reason } in mistakes.iter().take(MAX_LOGGED) {
        let reason = reason.trim_end_matches('.');
        tracing::warn!(%file, line, %reason, "{file}, line {line}: {reason}. The other rules hold.");
    }
    if let Some(more) = mistakes.len().checked_sub(MAX_LOGGED).filter(|more| *more > 0) {
        tracing::warn!(%file, "{file} has {more} more mistakes: \"otus-httpd check-site DIR\" lists them all.");
    }
}

impl SiteRules {
    /// Returns what the rules say about `path`, which begins with a slash, at a host.
    pub fn of(&self, host: Option<&str>, path: &[u8]) -> Arc<PathRules> {
        let with_host: Vec<u8>;
        let key = match host.filter(|_| self.headers.depends_on_host()) {
            None => path,
            Some(host) => {
                with_host = [host.as_bytes(), path].concat();
                &with_host
            }
        };
        let known = read(&self.paths).get(key).cloned();
        known.unwrap_or_else(|| {
            let (changes, heads) = (self.headers.changes(host, path), RwLock::default());
            let rules = Arc::new(PathRules { changes, may_have_redirect: self.redirects.may_match(path), heads });
            let mut paths = write(&self.paths);
            if paths.len() >= self.max_paths {
                paths.clear();
            }
            paths.insert(key.into(), rules.clone());
            rules
        })
    }

    /// Returns whether nobody gets the file at `path`, which begins with a slash.
    pub fn has_password(&self, host: Option<&str>, path: &[u8]) -> bool {
        self.headers.has_password(host, path)
    }
}

impl PathRules {
    /// Returns the end of the head of a 200 or 304 with the whole file `resource`, encoded once: `fields`, as changed.
    pub fn head<'f>(
        &self,
        resource: &Arc<Resource>,
        status: Status,
        scheme: Scheme,
        fields: impl FnOnce() -> Vec<Field<'f>>,
    ) -> Arc<[u8]> {
        let key = (status, scheme);
        // While there is a weak reference, no other resource has this address.
        let is_of = |head: &Head| head.key == key && std::ptr::eq(head.resource.as_ptr(), Arc::as_ptr(resource));
        if let Some(head) = read(&self.heads).iter().find(|head| is_of(head)) {
            return head.bytes.clone();
        }
        let mut bytes = Vec::new();
        encode::changed_fields(&mut bytes, status, &fields(), &self.changes, scheme, false);
        let bytes: Arc<[u8]> = bytes.into();
        let mut heads = write(&self.heads);
        heads.retain(|head| head.resource.strong_count() > 0);
        if heads.len() >= MAX_HEADS {
            heads.clear();
        }
        heads.push(Head { resource: Arc::downgrade(resource), key, bytes: bytes.clone() });
        bytes
    }
}
