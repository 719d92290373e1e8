//! The certificates of a directory, as they change: which are used, which keys are kept, and what is wrong.

mod description;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::sign::SigningKey;

use super::expiry::Validity;
use super::folder::{self, FolderIdentity, Pair, Unusable};
use crate::failure;
use crate::ipc::key_protocol::{Certificate, KeyId, KeyKind, MAX_FOLDERS, Overview};
use crate::log::catalog;
use crate::printable::Printable;

use description::{certificate, limited, overview, report_new, report_unusable};

/// The folder for clients without a server name, or with an unknown one.
const DEFAULT: &str = "default";

/// The time for which a folder that cannot be used is read again before that is a fault, in milliseconds: certbot moves its
/// links one by one, and other programs write one file after the other.
pub const SETTLE_MS: u64 = 5_000;

/// The interval of these readings, in milliseconds.
const SETTLE_INTERVAL_MS: u64 = 250;

/// The interval at which changes are looked for, in milliseconds.
const INTERVAL_MS: u64 = 2_000;

/// The shortest time for which a replaced key is kept, in milliseconds.
const KEEP_MS: u64 = 60_000;

/// The longest time for which a replaced key is kept, in milliseconds: a compromised worker may never say that it has the
/// new certificate.
const MAX_KEEP_MS: u64 = 10 * KEEP_MS;

/// The interval of the messages about dates, in milliseconds.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The certificates, for the thread that reads them.
#[derive(Debug)]
pub struct Certificates {
    directory: PathBuf,
    folders: BTreeMap<String, Folder>,
    retired: Vec<Retired>,
    generation: u64,
    /// What is wrong with the directory as a whole, as it was logged.
    directory_fault: Option<String>,
    /// Whether changes and faults are logged.
    is_reported: bool,
}

#[derive(Debug, Default)]
struct Folder {
    identity: Option<FolderIdentity>,
    current: Option<Pair>,
    /// Since when it cannot be used.
    failing_since_ms: Option<u64>,
    /// Why it cannot be used, once that is a fault.
    fault: Option<Unusable>,
    /// When its dates are reported again.
    next_report_ms: u64,
}

/// A key whose certificate was replaced or removed.
#[derive(Debug)]
struct Retired {
    id: KeyId,
    kind: KeyKind,
    key: Arc<dyn SigningKey>,
    since_ms: u64,
    /// The first generation without it.
    generation: u64,
}

/// The certificates at one time, for the threads that respond.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The generation.
    pub generation: u64,
    /// The usable certificates.
    pub certificates: Vec<Certificate>,
    keys: HashMap<KeyId, (KeyKind, Arc<dyn SigningKey>)>,
    folders: Vec<Overview>,
}

impl Snapshot {
    /// Returns a key, with its kind.
    pub fn key(&self, id: &KeyId) -> Option<&(KeyKind, Arc<dyn SigningKey>)> {
        self.keys.get(id)
    }

    /// Returns the overview of folder number `index` at `now` (seconds since the epoch).
    pub fn overview(&self, index: usize, now: i64) -> Option<Overview> {
        let mut overview = self.folders.get(index)?.clone();
        if overview.not_after != 0 {
            let Overview { not_before, not_after, .. } = overview;
            overview.faults.extend(Validity::at(not_before, not_after, now).fault(not_before, not_after, now));
        }
        Some(overview)
    }

    /// Returns the number of folders.
    pub fn folders(&self) -> usize {
        self.folders.len()
    }
}

impl Certificates {
    /// Creates the list for `directory`, empty. The first generation is `generation`: it differs from those of an earlier
    /// process.
    pub fn new(directory: &Path, generation: u64) -> Self {
        Certificates {
            directory: directory.into(),
            folders: BTreeMap::new(),
            retired: Vec::new(),
            generation: generation.max(1),
            directory_fault: None,
            is_reported: true,
        }
    }

    /// Logs nothing.
    pub fn without_reports(self) -> Self {
        Certificates { is_reported: false, ..self }
    }

    /// Returns the time until the next update, in milliseconds.
    pub fn pause_ms(&self) -> u64 {
        let is_settling = |folder: &Folder| folder.failing_since_ms.is_some() && folder.fault.is_none();
        if self.folders.values().any(is_settling) { SETTLE_INTERVAL_MS } else { INTERVAL_MS }
    }

    /// Reads what has changed. `known` is the generation that all workers have, or an earlier one. Returns whether the
    /// snapshot is another one.
    pub fn update(&mut self, now_ms: u64, known: u64) -> bool {
        let before = self.generation;
        let mut has_changed = false;
        let names = self.list();
        if let Some(names) = &names {
            let removed: Vec<_> = self.folders.keys().filter(|name| !names.contains(name)).cloned().collect();
            for name in removed {
                let folder = self.folders.remove(&name);
                if self.is_reported {
                    tracing::info!("The certificate {} was removed: its names are no longer served.", Printable(&name));
                }
                self.retire(folder.and_then(|folder| folder.current), now_ms);
                has_changed = true;
            }
            for name in names {
                self.folders.entry(name.clone()).or_default();
            }
        }
        let names: Vec<_> = self.folders.keys().cloned().collect();
        for name in names {
            has_changed |= self.update_folder(&name, now_ms);
        }
        let retired = self.retired.len();
        self.retired.retain(|key| {
            let kept_ms = now_ms - key.since_ms;
            kept_ms < KEEP_MS || (known < key.generation && kept_ms < MAX_KEEP_MS)
        });
        has_changed || before != self.generation || retired != self.retired.len()
    }

    /// Logs what is wrong with dates, once a day for each certificate. `now` is in seconds since the epoch.
    pub fn report_dates(&mut self, now_ms: u64, now: i64) {
        for (name, folder) in &mut self.folders {
            let Some(pair) = folder.current.as_ref().filter(|_| now_ms >= folder.next_report_ms) else { continue };
            let (not_before, not_after) = (pair.description.not_before, pair.description.not_after);
            let validity = Validity::at(not_before, not_after, now);
            let Some(fault) = validity.fault(not_before, not_after, now) else { continue };
            folder.next_report_ms = now_ms + DAY_MS;
            let certificate = Printable(name);
            match validity {
                Validity::EndsSoon => {
                    tracing::warn!(message_id = catalog::CERTIFICATE_ENDS, certificate = %certificate, "Certificate {certificate}: {fault}");
                }
                _ => {
                    tracing::error!(message_id = catalog::CERTIFICATE_ENDS, certificate = %certificate, "Certificate {certificate}: {fault} It is served as it is.");
                }
            }
        }
    }

    /// Returns the present state, for the threads that respond.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { generation: self.generation, ..Snapshot::default() };
        for retired in &self.retired {
            snapshot.keys.insert(retired.id, (retired.kind, retired.key.clone()));
        }
        for (name, folder) in &self.folders {
            if let Some(pair) = &folder.current {
                snapshot.keys.insert(pair.description.id, (pair.kind, pair.key.clone()));
                snapshot.certificates.push(certificate(name, pair));
            }
            snapshot.folders.push(overview(name, folder));
        }
        if let Some(why) = &self.directory_fault {
            snapshot.folders.push(Overview { faults: vec![limited(why)], ..Overview::default() });
        }
        snapshot
    }

    /// Returns the names of the folders; none if they are not known.
    fn list(&mut self) -> Option<Vec<String>> {
        let directory = Printable(&self.directory.display().to_string()).to_string();
        let (names, fault) = match folder_names(&self.directory) {
            Ok((names, 0)) => (Some(names), None),
            Ok((names, omitted)) => {
                let fault = format!(
                    "The directory of the certificates, {directory}, has {} folders, and {omitted} of them, the last by name, are not \
                     used: remove those that are not needed, down to {MAX_FOLDERS}.",
                    names.len() + omitted
                );
                (Some(names), Some(fault))
            }
            Err(error) => {
                let fault = format!(
                    "The directory of the certificates, {directory}, cannot be read ({}): make root, or the user of the key process, \
                     its owner.",
                    failure::reason(&error)
                );
                (None, Some(fault))
            }
        };
        if fault != self.directory_fault {
            match &fault {
                Some(fault) if self.is_reported && names.is_none() => {
                    tracing::error!(message_id = catalog::CERTIFICATE_UNUSABLE, certificate = "", "{fault}");
                }
                Some(fault) if self.is_reported => tracing::warn!("{fault}"),
                _ => {}
            }
            self.directory_fault = fault;
            self.generation += 1;
        }
        names
    }

    fn update_folder(&mut self, name: &str, now_ms: u64) -> bool {
        let is_reported = self.is_reported;
        let Some(folder) = self.folders.get_mut(name) else { return false };
        let path = self.directory.join(name);
        let identity = FolderIdentity::of(&path);
        if folder.identity.as_ref() == Some(&identity) && (folder.failing_since_ms.is_none() || folder.fault.is_some())
        {
            return false;
        }
        let result = folder::read(&path);
        // Links may have moved meanwhile: then this may be an old chain and its key, and they are read again.
        folder.identity = Some(identity);
        match result {
            Ok(pair) => {
                (folder.failing_since_ms, folder.fault) = (None, None);
                self.replace(name, pair, now_ms);
                true
            }
            Err(unusable) => {
                let since_ms = *folder.failing_since_ms.get_or_insert(now_ms);
                if folder.fault.is_none() && now_ms < since_ms + SETTLE_MS {
                    return false;
                }
                let is_known = folder.fault.as_ref().is_some_and(|known| known.why == unusable.why);
                if !is_known && is_reported {
                    report_unusable(name, &unusable, folder.current.is_some());
                }
                folder.fault = Some(unusable);
                !is_known
            }
        }
    }

    fn replace(&mut self, name: &str, pair: Pair, now_ms: u64) {
        let Some(folder) = self.folders.get_mut(name) else { return };
        if folder.current.as_ref().is_some_and(|current| current.chain == pair.chain) {
            return;
        }
        if self.is_reported {
            report_new(name, &pair.description);
        }
        folder.next_report_ms = 0;
        let replaced = folder.current.replace(pair);
        self.retire(replaced, now_ms);
    }

    /// Begins a generation without `pair`, whose key is kept for a while.
    fn retire(&mut self, pair: Option<Pair>, now_ms: u64) {
        self.generation += 1;
        let Some(Pair { description, kind, key, .. }) = pair else { return };
        self.retired.push(Retired { id: description.id, kind, key, since_ms: now_ms, generation: self.generation });
    }
}

/// Returns the names of the folders in `directory`, which need not exist, in order: the first [`MAX_FOLDERS`], and the number of
/// the others. The folder of the default certificate is the first.
fn folder_names(directory: &Path) -> io::Result<(Vec<String>, usize)> {
    let name = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
        // A link whose target is missing is a fault of that certificate. A file, such as certbot's README, is none.
        let is_folder = match entry.file_type() {
            Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).map_or(true, |metadata| metadata.is_dir()),
            kind => kind.map_or(true, |kind| kind.is_dir()),
        };
        is_folder.then_some(name)
    };
    let mut names: Vec<_> = match fs::read_dir(directory) {
        Ok(entries) => entries.filter_map(name).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    names.sort_unstable_by(|a, b| (a != DEFAULT, a).cmp(&(b != DEFAULT, b)));
    let omitted = names.len().saturating_sub(MAX_FOLDERS);
    names.truncate(MAX_FOLDERS);
    Ok((names, omitted))
}

#[cfg(test)]
mod tests;
