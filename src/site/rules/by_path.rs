//! What the rules of a site say about paths: it is determined once for a path, and kept as long as there is room.

use std::sync::{Arc, RwLock, Weak};

use super::super::cache::CacheLimits;
use super::super::lock::{read, write};
use super::super::resource::Resource;
use super::kept::{Kept, KeptPaths};
use crate::http::h1::encode;
use crate::http::{Field, FieldChanges, Scheme, Status};
use crate::rules::{HeaderRules, RedirectRules};

/// The limit of heads that are kept for a path: codings, versions, schemes.
const MAX_HEADS: usize = 8;

/// The size of an entry besides its contents, in bytes.
const ENTRY_OVERHEAD: usize = 256;

/// Rules, and what they say about paths.
#[derive(Debug)]
pub struct SiteRules {
    headers: Arc<HeaderRules>,
    /// The rules of `_redirects`.
    pub redirects: Arc<RedirectRules>,
    /// Whether there are paths that nobody gets, since they have a password in `_headers`.
    pub has_passwords: bool,
    paths: Arc<KeptPaths<PathRules>>,
}

/// What the rules say about a path.
#[derive(Debug)]
pub struct PathRules {
    /// The changes of field lines.
    pub changes: FieldChanges,
    /// Whether a rule of `_redirects` may match.
    pub may_have_redirect: bool,
    heads: RwLock<Vec<Head>>,
    /// Where this is kept.
    paths: Weak<KeptPaths<PathRules>>,
}

/// The end of the head of a file's response.
#[derive(Debug)]
struct Head {
    resource: Weak<Resource>,
    key: (Status, Scheme),
    bytes: Arc<[u8]>,
}

impl SiteRules {
    /// Creates the rules of these files.
    pub fn new(headers: Arc<HeaderRules>, redirects: Arc<RedirectRules>, limits: &Arc<CacheLimits>) -> Self {
        let has_passwords = headers.rules().any(|rule| rule.has_password);
        SiteRules { headers, redirects, has_passwords, paths: Arc::new(KeptPaths::new(limits)) }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.redirects.is_empty()
    }

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
        self.paths.get(key).unwrap_or_else(|| {
            let rules = Arc::new(PathRules {
                changes: self.headers.changes(host, path),
                may_have_redirect: self.redirects.may_match(path),
                heads: RwLock::default(),
                paths: Arc::downgrade(&self.paths),
            });
            self.paths.insert(key, &rules);
            rules
        })
    }

    /// Returns whether nobody gets the file at `path`, which begins with a slash.
    pub fn has_password(&self, host: Option<&str>, path: &[u8]) -> bool {
        self.headers.has_password(host, path)
    }
}

impl Kept for PathRules {
    fn bytes(&self) -> usize {
        let FieldChanges { removed, set, vary, .. } = &self.changes;
        let names = removed.iter().chain(vary).map(String::len);
        let lines = set.iter().map(|line| line.name.len() + line.value.len());
        let count = removed.len() + vary.len() + 2 * set.len();
        ENTRY_OVERHEAD + names.chain(lines).sum::<usize>() + count * size_of::<String>()
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
        // The structure of a resource stays in memory with the reference to it.
        let taken = ENTRY_OVERHEAD + size_of::<Resource>() + bytes.len();
        if self.paths.upgrade().is_some_and(|paths| paths.take(taken)) {
            let mut heads = write(&self.heads);
            heads.retain(|head| head.resource.strong_count() > 0);
            if heads.len() >= MAX_HEADS {
                heads.clear();
            }
            heads.push(Head { resource: Arc::downgrade(resource), key, bytes: bytes.clone() });
        }
        bytes
    }
}
