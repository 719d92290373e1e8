//! The files of users: read again when they have changed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat, stat};

use crate::access::users::{self, Mistake, Users};
use crate::failure::{self, Failure};
use crate::ipc::file_identity::FileIdentity;
use crate::log::catalog;
use crate::os::landlock::Sandbox;
use crate::os::{clock, sys};

/// A file of users as it was read.
#[derive(Debug)]
pub struct UserFile {
    /// A number that no other version has, nor one of another process.
    pub generation: u64,
    /// The users.
    pub users: Users,
}

/// The files of users.
#[derive(Debug)]
pub struct UserFiles {
    files: Vec<KnownFile>,
    last_generation: u64,
}

#[derive(Debug)]
struct KnownFile {
    path: PathBuf,
    /// The version that was read, and whether a later write could have the same times.
    version: Option<(FileIdentity, bool)>,
    /// None if it cannot be read.
    file: Option<Arc<UserFile>>,
    /// What was reported last.
    report: Option<String>,
}

impl UserFiles {
    /// Creates the state of these files, which are not yet read.
    pub fn new(paths: &[PathBuf]) -> Self {
        let files = paths.iter().map(|path| KnownFile { path: path.clone(), version: None, file: None, report: None });
        UserFiles { files: files.collect(), last_generation: clock::unix_us() }
    }

    /// Reads all files, so that mistakes are reported at the start.
    pub fn read_all(&mut self) {
        for number in 0..self.files.len() as u16 {
            self.current(number);
        }
    }

    /// Returns the present version of file number `number`; none if it cannot be read.
    pub fn current(&mut self, number: u16) -> Option<Arc<UserFile>> {
        let known = self.files.get_mut(usize::from(number))?;
        let present = stat(&known.path).ok().map(|stat| FileIdentity::from(&stat));
        if let (Some((version, true)), Some(present)) = (&known.version, &present)
            && version == present
        {
            return known.file.clone();
        }
        match read(&known.path) {
            Ok((text, identity)) => {
                let is_same = known.version.as_ref().is_some_and(|(version, _)| *version == identity);
                let (users, mistakes) = Users::parse(&text);
                known.version = Some((identity, identity.is_settled(i128::from(clock::unix_us()) * 1_000)));
                if !is_same || known.file.as_ref().is_none_or(|file| file.users != users) {
                    self.last_generation += 1;
                    known.file = Some(Arc::new(UserFile { generation: self.last_generation, users }));
                }
                known.report_mistakes(&mistakes);
            }
            Err(error) => {
                (known.version, known.file) = (None, None);
                known.report_unreadable(&error);
            }
        }
        known.file.clone()
    }
}

impl KnownFile {
    /// Logs the first mistake, and how many others there are, once for each version of the file.
    fn report_mistakes(&mut self, mistakes: &[Mistake]) {
        let text = sentence(&self.path, mistakes);
        if self.report == text {
            return;
        }
        self.report = text;
        let path = self.path.display();
        if let Some(sentence) = &self.report {
            let line = mistakes.first().map(|mistake| mistake.line);
            tracing::error!(message_id = catalog::USERS_MISTAKE, %path, line, "{sentence}");
        }
    }

    fn report_unreadable(&mut self, error: &io::Error) {
        let text = Some(unreadable(&self.path, error));
        if self.report != text {
            self.report = text;
            let (path, sentence) = (self.path.display(), self.report.as_deref().unwrap_or_default());
            tracing::error!(message_id = catalog::USERS_UNREADABLE, %path, "{sentence} Until then, its logins get 503.");
        }
    }
}

/// Reads a file of users for `--check`: returns a warning about its lines.
pub fn check(path: &Path) -> Result<Option<String>, Failure> {
    let (text, _) = read(path).map_err(|error| Failure::new(unreadable(path, &error)))?;
    Ok(sentence(path, &Users::parse(&text).1))
}

/// Checks that no worker may read these files of users: a worker could be made to send what it can read.
pub fn check_places(paths: &[PathBuf], workers: &Sandbox) -> Result<(), Failure> {
    for path in paths {
        if let Some(directory) = workers.directory_of(path) {
            let (path, directory) = (path.display(), directory.display());
            return Err(Failure::usage(format!(
                "The file of users {path} (--auth, OTUS_AUTH) is in {directory}, where workers may read: move it, such as to \
                 /etc/otus-httpd."
            )));
        }
    }
    Ok(())
}

fn sentence(path: &Path, mistakes: &[Mistake]) -> Option<String> {
    let Mistake { line, reason } = mistakes.first()?;
    let others = match mistakes.len() - 1 {
        0 => String::new(),
        others => format!(" So are {others} others."),
    };
    Some(format!("{}:{line} is not used: {reason}.{others}", path.display()))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let (path, why) = (path.display(), failure::reason(error));
    format!(
        "The file of users {path} cannot be read ({why}): let the server's group read it (chown root:otus-httpd {path}; chmod 640 \
         {path})."
    )
}

/// Reads a file of users, with the identity of what was read.
fn read(path: &Path) -> io::Result<(zeroize::Zeroizing<Vec<u8>>, FileIdentity)> {
    // A FIFO must not block.
    let file = File::options().read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()).open(path)?;
    let stat = fstat(&file)?;
    if sys::file_type(&stat) != SFlag::S_IFREG {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text =
        zeroize::Zeroizing::new(Vec::with_capacity((stat.st_size as u64).min(users::MAX_BYTES) as usize + 1));
    file.take(users::MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > users::MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {} KiB", users::MAX_BYTES / 1024)));
    }
    Ok((text, FileIdentity::from(&stat)))
}
