//! The rules of a release: `_headers` and `_redirects` at the top of the document root, and what they say about paths.
//!
//! They are read when the release is opened, and again when one of the files has changed. What cannot be read, is being
//! written, or is beyond the bounds never takes rules away: the last good ones stay. If there are none, nothing is known
//! about who may get what, and the site gives nothing away.

mod by_path;
mod kept;
mod rules_file;

use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::cache::CacheLimits;
use super::lock::{read, write};
use super::root::Root;
use crate::http::Refusal;
use crate::rules::{HeaderRules, RedirectRules};

pub use by_path::{PathRules, SiteRules};
pub use rules_file::Reading;
use rules_file::RulesFile;

/// The rules files of a release.
#[derive(Debug, Default)]
pub struct RulesFiles {
    /// A [`State`].
    state: AtomicU8,
    current: RwLock<Option<Arc<SiteRules>>>,
    /// The size of the files that the rules are from.
    bytes: AtomicU64,
    files: Mutex<Files>,
}

/// What is known about the rules of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
enum State {
    /// There are none.
    #[default]
    None,
    /// There are some.
    Some,
    /// A file exists, cannot be used, and there are no former rules.
    Unknown,
}

#[derive(Debug, Clone, Default)]
struct Files {
    headers: RulesFile<HeaderRules>,
    redirects: RulesFile<RedirectRules>,
}

impl RulesFiles {
    /// Reads the rules of a release. What cannot be read is taken over from the release before.
    pub fn load(reading: Reading, before: Option<&RulesFiles>, limits: &Arc<CacheLimits>) -> Self {
        let rules = RulesFiles::default();
        if let Some(before) = before {
            let Files { headers, redirects } = &*before.files();
            *rules.files() = Files { headers: headers.of_another_release(), redirects: redirects.of_another_release() };
        }
        rules.refresh(reading, limits);
        rules
    }

    /// No longer relies on the rules for files that have changed: this process was forked from the one that has read them, and
    /// they are not the last good ones.
    pub fn distrust(&self) {
        let mut files = self.files();
        files.headers.distrust();
        files.redirects.distrust();
    }

    /// Returns the rules, if there are any.
    pub fn current(&self) -> Result<Option<Arc<SiteRules>>, Refusal> {
        match self.state.load(Relaxed) {
            state if state == State::None as u8 => Ok(None),
            state if state == State::Unknown as u8 => Err(Refusal::NoRules),
            _ => Ok(read(&self.current).clone()),
        }
    }

    /// Returns the size of the files that the rules are from, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Reads the files that have changed.
    pub fn refresh(&self, reading: Reading, limits: &Arc<CacheLimits>) {
        // Another thread reads them: this one does not wait.
        let Ok(mut files) = self.files.try_lock() else { return };
        let headers = files.headers.update(reading, c"_headers", HeaderRules::parse);
        let redirects = files.redirects.update(reading, c"_redirects", RedirectRules::parse);
        if !headers && !redirects && !reading.is_first {
            return;
        }
        let rules = SiteRules::new(files.headers.rules.clone(), files.redirects.rules.clone(), limits);
        let state = match rules.is_empty() {
            _ if files.headers.is_unknown || files.redirects.is_unknown => State::Unknown,
            true => State::None,
            false => State::Some,
        };
        self.bytes.store(files.headers.bytes() + files.redirects.bytes(), Relaxed);
        *write(&self.current) = (state == State::Some).then(|| Arc::new(rules));
        self.state.store(state as u8, Relaxed);
    }

    fn files(&self) -> std::sync::MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong with the rules of a site.
#[derive(Debug, Default)]
pub struct Faults {
    /// Why files cannot be used.
    pub unusable: Vec<String>,
    /// The mistakes in the others, as in the journal.
    pub mistakes: Vec<String>,
}

/// Returns what is wrong with the rules at the top of `root`, whose path is `path`.
pub fn check(root: &Root, path: &Path) -> Faults {
    let reading = Reading { root, path, reporter: None, is_first: true };
    let mut faults = Faults::default();
    let headers = reading.check(c"_headers", HeaderRules::parse);
    for checked in [headers, reading.check(c"_redirects", RedirectRules::parse)] {
        match checked {
            Ok(mistakes) => faults.mistakes.extend(mistakes),
            Err(why) => faults.unusable.push(why),
        }
    }
    faults
}
