//! The files of a tree, and their distribution among the processors.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::available_parallelism;

use nix::sys::stat::{FileStat, SFlag};

use super::directory::Directory;
use crate::os::sys::file_type;

/// A file to process.
#[derive(Debug)]
pub struct Job {
    /// Its directory, relative to the top.
    pub directory: PathBuf,
    /// Its name in it.
    pub name: CString,
    /// Its size in bytes.
    pub size: u64,
}

impl Job {
    /// Returns its path, for messages.
    pub fn path(&self, top: &Path) -> PathBuf {
        top.join(self.relative())
    }

    /// Returns its path, relative to the top.
    pub fn relative(&self) -> PathBuf {
        self.directory.join(OsStr::from_bytes(self.name.to_bytes()))
    }
}

/// The choice of files and directories.
pub trait Choice {
    /// Returns whether a file is to be processed, or a directory searched. `stat` does not follow a symbolic link.
    fn chooses(&mut self, directory: &Directory, name: &CStr, stat: &FileStat) -> io::Result<bool>;

    /// Reports a file or a directory that failed.
    fn fail(&mut self, path: &Path, error: &io::Error);
}

/// Finds the files below `top` that `choice` chooses, the largest first: otherwise one thread could still process the
/// largest while the others are idle. Only one directory is open at a time, however deep the tree is.
pub fn find(top: &Directory, choice: &mut impl Choice) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(relative) = pending.pop() {
        let found = top.beneath(&relative).and_then(|directory| Ok((directory.names()?, directory)));
        let (names, directory) = match found {
            Ok(found) => found,
            Err(error) => {
                choice.fail(&top.path_of(c"").join(&relative), &error);
                continue;
            }
        };
        for name in names {
            let chosen = directory.stat(&name).and_then(|stat| match stat {
                Some(stat) => Ok(choice.chooses(&directory, &name, &stat)?.then_some(stat)),
                None => Ok(None),
            });
            match chosen {
                Ok(None) => {}
                Ok(Some(stat)) if file_type(&stat) == SFlag::S_IFDIR => {
                    pending.push(relative.join(OsStr::from_bytes(name.to_bytes())));
                }
                Ok(Some(stat)) => {
                    jobs.push(Job { directory: relative.clone(), name, size: stat.st_size.unsigned_abs() });
                }
                Err(error) => choice.fail(&directory.path_of(&name), &error),
            }
        }
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.size));
    jobs
}

/// Calls `work` for each job, on all processors. Returns the results of all threads.
pub fn on_all_processors<J: Sync, R: Default + Send>(jobs: &[J], work: impl Fn(&J, &mut R) + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut result = R::default();
        while let Some(job) = jobs.get(next.fetch_add(1, Relaxed)) {
            work(job, &mut result);
        }
        result
    };
    let threads = available_parallelism().map_or(1, usize::from).min(jobs.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.collect()
    })
}
