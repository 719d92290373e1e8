//! One of the files with rules: its versions, and the last good rules.

use std::ffi::CStr;
use std::fmt::Display;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use nix::errno::Errno;
use rustc_hash::FxHasher;

use super::super::file::File;
use super::super::root::Root;
use super::super::version::{FileVersion, since_epoch_ns};
use crate::http::Refusal;
use crate::ipc::scoreboard::Reporter;
use crate::rules::{MAX_BYTES, MAX_RULES, Mistake, Parsed, TooMany};

/// The time since the last write after which a file is taken as complete, in nanoseconds. With the interval of checks, a
/// change is seen within a second.
const SETTLED_NS: i128 = 300_000_000;

/// The number of checks in a row that must find no file before its rules end: it may be about to be replaced.
const ABSENT_CHECKS: u32 = 2;

/// The limit of mistakes in a file that are logged.
const MAX_LOGGED: usize = 20;

/// A file with rules.
#[derive(Debug, Clone)]
pub struct RulesFile<T> {
    /// The last good rules.
    pub rules: Arc<T>,
    /// Whether there are no good rules: the file has never been usable.
    pub is_unknown: bool,
    /// Whether `rules` are what this process has seen, or its parent if the file is the same: they can be relied on if the file
    /// becomes unusable.
    is_reliable: bool,
    /// The version that the rules are from.
    good: Option<FileVersion>,
    /// The version that cannot be used, and whether it may be readable at the next check.
    bad: Option<(FileVersion, bool)>,
    absent: u32,
}

/// How files are read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'r> {
    /// Where they are.
    pub root: &'r Root,
    /// The path of that, for the journal.
    pub path: &'r Path,
    /// Decides which worker logs a mistake; none in a process that all workers are forked from.
    pub reporter: Option<Reporter>,
    /// Whether the release is new, so that nothing can be waited for.
    pub is_first: bool,
}

/// A file that cannot be used.
#[derive(Debug)]
struct Unusable {
    why: String,
    /// None if it changes at the moment.
    version: Option<Box<FileVersion>>,
    /// Whether it may be readable at the next check.
    may_pass: bool,
}

impl<T: Default> Default for RulesFile<T> {
    fn default() -> Self {
        RulesFile { rules: Arc::default(), is_unknown: false, is_reliable: false, good: None, bad: None, absent: 0 }
    }
}

impl<T: Default> RulesFile<T> {
    /// Returns the rules for another release: they stay if its file cannot be used.
    pub fn of_another_release(&self) -> Self {
        let RulesFile { rules, is_unknown, is_reliable, .. } = self;
        RulesFile { rules: rules.clone(), is_unknown: *is_unknown, is_reliable: *is_reliable, ..RulesFile::default() }
    }

    /// Returns the size of the file that the rules are from, in bytes.
    pub fn bytes(&self) -> u64 {
        self.good.map_or(0, |version| version.size())
    }

    /// See [`RulesFiles::distrust`](super::RulesFiles::distrust).
    pub fn distrust(&mut self) {
        self.is_reliable = false;
    }

    /// Reads the file if it has changed. Returns whether the rules are others now, or unknown.
    pub fn update(
        &mut self,
        reading: Reading,
        name: &CStr,
        parse: impl FnOnce(&[u8]) -> Result<Parsed<T>, TooMany>,
    ) -> bool {
        let version = match reading.root.stat(name) {
            Ok(stat) => FileVersion::from(&stat),
            Err(Errno::ENOENT) => return self.miss(reading.is_first),
            Err(errno) => return self.reject(reading, name, Unusable::now(errno.desc())),
        };
        self.absent = 0;
        if self.good == Some(version) {
            self.bad = None;
            return self.rely();
        }
        // While nothing else holds, what may pass is tried again.
        let is_bad = |may_pass: bool| self.is_reliable || self.is_unknown && !may_pass;
        if self.bad.is_some_and(|(bad, may_pass)| bad == version && is_bad(may_pass))
            || !reading.is_first && !is_complete(&version)
        {
            return false;
        }
        let parsed = read_file(reading.root, name).and_then(|(version, bytes)| {
            parse(&bytes).map(|parsed| (version, parsed)).map_err(|bounds| Unusable::version(version, &bounds))
        });
        match parsed {
            Ok((version, Parsed { rules, mistakes })) => {
                if !mistakes.is_empty() && reading.is_reporter(name, (version, "")) {
                    report(&reading.file(name), &mistakes);
                }
                (self.rules, self.good, self.bad) = (Arc::new(rules), Some(version), None);
                self.rely();
                true
            }
            Err(unusable) => self.reject(reading, name, unusable),
        }
    }

    /// The rules are those of the file. Returns whether they were unknown.
    fn rely(&mut self) -> bool {
        self.is_reliable = true;
        std::mem::take(&mut self.is_unknown)
    }

    /// There is no file.
    fn miss(&mut self, is_first: bool) -> bool {
        self.absent = self.absent.saturating_add(1);
        if !is_first && self.absent < ABSENT_CHECKS {
            return self.good.is_none() && self.rely();
        }
        let had_rules = self.good.is_some() || is_first;
        (self.good, self.bad) = (None, None);
        if had_rules {
            self.rules = Arc::default();
        }
        self.rely() || had_rules
    }

    /// The file cannot be used. Returns whether the rules are unknown since now.
    fn reject(&mut self, reading: Reading, name: &CStr, unusable: Unusable) -> bool {
        let Unusable { why, version, may_pass } = unusable;
        let version = version.map(|version| *version);
        let is_new = version.is_some() && version != self.bad.map(|(bad, _)| bad);
        self.bad = version.map(|version| (version, may_pass));
        let is_unknown = !self.is_reliable;
        let becomes_unknown = is_unknown && !std::mem::replace(&mut self.is_unknown, is_unknown);
        if (is_new || becomes_unknown) && reading.is_reporter(name, (version, &*why, is_unknown)) {
            let file = reading.file(name);
            match is_unknown {
                true => tracing::error!(%file, "{}", unknown(&file, &why)),
                false => tracing::warn!(%file, "{file} is not used: {why}. The last good rules stay."),
            }
        }
        becomes_unknown
    }
}

impl Reading<'_> {
    /// Returns what the journal would say about the mistakes in the file, if it exists; or why it cannot be used.
    pub fn check<T>(
        self,
        name: &CStr,
        parse: impl FnOnce(&[u8]) -> Result<Parsed<T>, TooMany>,
    ) -> Result<Vec<String>, String> {
        let file = self.file(name);
        let parsed = match self.root.stat(name) {
            Err(Errno::ENOENT) => return Ok(Vec::new()),
            Err(errno) => Err(errno.desc().into()),
            Ok(_) => match read_file(self.root, name) {
                Ok((_, bytes)) => parse(&bytes).map_err(|bounds| bounds.to_string()),
                Err(unusable) => Err(unusable.why),
            },
        };
        let Parsed { mistakes, .. } = parsed.map_err(|why| unknown(&file, &why))?;
        let first = mistakes.iter().take(MAX_LOGGED).map(|mistake| sentence(&file, mistake));
        Ok(first.chain(more(&file, &mistakes)).collect())
    }

    /// Returns whether this process logs `what` about a file.
    fn is_reporter(self, name: &CStr, what: impl Hash) -> bool {
        let mut hasher = FxHasher::default();
        (self.path, name, what).hash(&mut hasher);
        self.reporter.is_none_or(|reporter| reporter.begin(hasher.finish()))
    }

    fn file(self, name: &CStr) -> String {
        self.path.join(name.to_string_lossy().as_ref()).display().to_string()
    }
}

/// Says that a file cannot be used while there are no former rules.
fn unknown(file: &impl Display, why: &str) -> String {
    format!(
        "{file} cannot be used: {why}. Since its rules are unknown, all requests for this site get 503. Make it a file that \
         this server's user can read, of at most {} MiB and {MAX_RULES} rules, or remove it.",
        MAX_BYTES >> 20
    )
}

/// Returns whether the last write was so long ago that another is not to be expected. A file with a time in the future is.
fn is_complete(version: &FileVersion) -> bool {
    let age_ns = since_epoch_ns(SystemTime::now()) - version.identity.mtime_ns.max(version.identity.ctime_ns);
    !(0..SETTLED_NS).contains(&age_ns)
}

/// Reads a file.
fn read_file(root: &Root, name: &CStr) -> Result<(FileVersion, Vec<u8>), Unusable> {
    let file = File::open(root, name).map_err(|refusal| match refusal {
        // Its permissions, or where its link leads.
        Refusal::Unreadable | Refusal::OutsideRoot | Refusal::NotAFile => {
            let version = root.stat(name).ok().map(|stat| FileVersion::from(&stat).into());
            Unusable { version, may_pass: false, ..Unusable::now(&refusal) }
        }
        _ => Unusable::now(&refusal),
    })?;
    let version = file.version();
    if file.is_directory() {
        return Err(Unusable::version(version, &"it is a directory"));
    }
    if version.size() > MAX_BYTES {
        return Err(Unusable::version(version, &TooMany::Bytes));
    }
    let mut bytes = Vec::new();
    match file.read(&mut bytes) {
        Ok(_) => Ok((version, bytes)),
        Err(refusal @ Refusal::Disk(_)) => Err(Unusable { may_pass: true, ..Unusable::version(version, &refusal) }),
        Err(refusal) => Err(Unusable::now(&refusal)),
    }
}

impl Unusable {
    /// Until it changes.
    fn version(version: FileVersion, why: &impl Display) -> Self {
        Unusable { why: why.to_string(), version: Some(version.into()), may_pass: false }
    }

    /// At the moment.
    fn now(why: &(impl Display + ?Sized)) -> Self {
        Unusable { why: why.to_string(), version: None, may_pass: true }
    }
}

fn report(file: &impl Display, mistakes: &[Mistake]) {
    for mistake in mistakes.iter().take(MAX_LOGGED) {
        let Mistake { line, reason } = mistake;
        tracing::warn!(%file, line, reason = reason.trim_end_matches('.'), "{}", sentence(file, mistake));
    }
    if let Some(more) = more(file, mistakes) {
        tracing::warn!(%file, "{more}");
    }
}

fn sentence(file: &impl Display, Mistake { line, reason }: &Mistake) -> String {
    format!("{file}, line {line}: {}. The other rules hold.", reason.trim_end_matches('.'))
}

/// Returns that there are more mistakes than are logged.
fn more(file: &impl Display, mistakes: &[Mistake]) -> Option<String> {
    let more = mistakes.len().checked_sub(MAX_LOGGED).filter(|more| *more > 0)?;
    Some(format!("{file} has {more} more mistakes: \"otus-httpd check-site DIR\" lists them all."))
}
