//! The document root's directory, and the only way to open files below it.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, stat};
use nix::unistd::{AccessFlags, eaccess, faccessat};

use super::errno::{is_exhausted, refuse};
use super::walk::{self, FLAGS, PLACE};
use crate::failure::Failure;
use crate::http::Refusal;
use crate::os::sys::file_type;

/// The limit of attempts: a concurrent rename of a directory above makes openat2 fail (openat2(2), EAGAIN).
const MAX_TRIES: usize = 8;

/// The directory whose files are served.
#[derive(Debug, Clone)]
pub struct Root {
    directory: Arc<OwnedFd>,
    /// Its absolute names, as given and with links resolved: an absolute link that begins with one of them stays inside.
    names: Arc<[PathBuf]>,
    /// Its device and inode.
    identity: (u64, u64),
    /// Whether the kernel has openat2(2), which Linux 5.6 brought.
    openat2: bool,
}

/// What a directory is to the server, for messages.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// Its name.
    pub name: &'static str,
    /// The setting of its path.
    pub setting: &'static str,
}

impl Role {
    /// The document root of the only site.
    pub const DOCUMENT_ROOT: Role = Role { name: "document root", setting: "--root or OTUS_ROOT" };

    /// The directory of sites.
    pub const SITES: Role = Role { name: "directory of sites", setting: "--sites or OTUS_SITES" };

    /// Returns that this process has no permission for the directory `path`.
    pub fn denied(self, path: &Path, verb: &str, errno: Errno) -> Failure {
        let (path, why, Role { name, setting }) = (path.display(), errno.desc(), self);
        Failure::new(format!(
            "The {name} {path} cannot be {verb} ({why}): let this server's user read it and pass through it (chmod a+rx), or \
             name another with {setting}."
        ))
    }
}

impl Root {
    /// Opens the document root `path`.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Root::open_as(Role::DOCUMENT_ROOT, path)
    }

    /// Opens the directory `path`.
    pub fn open_as(role: Role, path: &Path) -> Result<Self, Failure> {
        Root::open_path(path).map_err(|errno| {
            let remedy = match errno {
                Errno::ENOENT => "make it",
                Errno::EACCES => "let this server's user pass through it and the directories above",
                _ => "make it a directory",
            };
            let why = errno.desc();
            let or = "or name another with";
            let hint = if is_hidden_by_sandbox(path) {
                "; the packaged service hides /home, /root, /tmp and /var/tmp, see DROP-INS in otus-httpd(8)"
            } else {
                ""
            };
            let (path, Role { name, setting }) = (path.display(), role);
            Failure::new(format!("The {name} {path} cannot be opened ({why}): {remedy}, {or} {setting}{hint}."))
        })
    }

    /// Opens the directory `path`, with the number of the error.
    pub fn open_path(path: &Path) -> Result<Self, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        open(path, flags, Mode::empty()).map(|directory| Root::of(directory, path))
    }

    /// Opens the directory at `name` below this one, whose path is `path`, as a root of its own: what is below it cannot lead
    /// back to this one. Returns EXDEV for a link that leaves this one.
    pub fn open_root(&self, name: &CStr, path: &Path) -> Result<Self, Errno> {
        let directory = self.locate(name)?;
        if file_type(&fstat(&directory)?) != SFlag::S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        Ok(Root::of(directory, path))
    }

    fn of(directory: OwnedFd, path: &Path) -> Self {
        let names: Vec<_> = [std::path::absolute(path), path.canonicalize()].into_iter().flatten().collect();
        let identity = fstat(&directory).map_or((0, 0), |stat| (stat.st_dev, stat.st_ino));
        let mut root = Root { directory: Arc::new(directory), names: names.into(), identity, openat2: true };
        root.openat2 = root.openat2(c".", PLACE).map_or_else(is_exhausted, |_| true);
        root
    }

    /// Checks whether this process has permission to open files in the directory `path`, and to list it with `listing`.
    pub fn check(role: Role, path: &Path, listing: bool) -> Result<(), Failure> {
        Root::open_as(role, path)?;
        let (wanted, verb) = match listing {
            true => (AccessFlags::X_OK | AccessFlags::R_OK, "listed"),
            false => (AccessFlags::X_OK, "entered"),
        };
        eaccess(path, wanted).map_err(|errno| role.denied(path, verb, errno))
    }

    /// Opens the file or directory at `path`, which is relative, for reading. Returns ENXIO if it is neither, without opening
    /// it: a FIFO's writer or a device would notice.
    pub fn open_beneath(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        let located = self.locate(path)?;
        match file_type(&fstat(&located)?) {
            SFlag::S_IFREG | SFlag::S_IFDIR => self.open_located(&located, path),
            _ => Err(Errno::ENXIO),
        }
    }

    /// Opens the file at `path` for reading if it is regular, in fewer system calls than [`locate`](Root::locate) and
    /// [`open_located`](Root::open_located): what is at the path is examined first. Only a special file that replaces a regular
    /// one between these two system calls is opened, and closed at once. Returns None if another way has to be tried, and
    /// ENOENT if there is nothing at the path: an absolute link could lead there only if this directory had been moved, which
    /// is checked before a 404.
    pub fn open_regular(&self, path: &CStr) -> Result<Option<(OwnedFd, FileStat)>, Errno> {
        let is_regular = |stat: &FileStat| file_type(stat) == SFlag::S_IFREG;
        match self.stat(path) {
            Err(Errno::ENOENT) => return Err(Errno::ENOENT),
            Ok(stat) if self.openat2 && is_regular(&stat) => {}
            _ => return Ok(None),
        }
        let Ok(opened) = self.openat2(path, FLAGS) else { return Ok(None) };
        let stat = fstat(&opened).ok().filter(is_regular);
        Ok(stat.map(|stat| (opened, stat)))
    }

    /// Opens for reading the file that [`locate`](Root::locate) returned for `path`, and no other.
    pub fn open_located(&self, located: &OwnedFd, path: &CStr) -> Result<OwnedFd, Errno> {
        match walk::reopen(located) {
            // The file exists, so proc(5) is not mounted.
            Err(Errno::ENOENT | Errno::ENOTDIR) if self.openat2 => {
                let opened = self.openat2(path, FLAGS)?;
                let same = |a: FileStat, b: FileStat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
                if same(fstat(&opened)?, fstat(located)?) { Ok(opened) } else { Err(Errno::ESTALE) }
            }
            result => result,
        }
    }

    /// Locates the file at `path`, which is relative, without opening it (open(2), O_PATH). Returns EXDEV if the path leaves
    /// the root.
    pub fn locate(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        if self.openat2 {
            for _ in 0..MAX_TRIES {
                match self.openat2(path, PLACE) {
                    Err(Errno::EAGAIN) => {}
                    // The cause may be an absolute link that leads back inside, which openat2 does not follow.
                    Err(Errno::EXDEV) => break,
                    result => return result,
                }
            }
        }
        walk::locate(self.directory.as_fd(), &self.names, path)
    }

    /// Returns the path below the root, without links, of what is at `path` now, if its device and inode are the expected ones.
    /// None otherwise, and if there is nothing.
    pub fn real_path(&self, path: &CStr, is_expected: impl Fn((u64, u64)) -> bool) -> Result<Option<Vec<u8>>, Refusal> {
        match self.resolve(path) {
            Ok((path, identity)) => Ok(is_expected(identity).then_some(path)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(refuse(errno)),
        }
    }

    fn resolve(&self, path: &CStr) -> Result<(Vec<u8>, (u64, u64)), Errno> {
        let without_links = self.openat2.then(|| self.openat2_with(path, PLACE, ResolveFlag::RESOLVE_NO_SYMLINKS).ok());
        let (located, resolved) = match without_links.flatten() {
            Some(located) if path == c"." => (located, Vec::new()),
            Some(located) => (located, path.to_bytes().to_vec()),
            // There is a link on the way. The kernel does not tell where it leads without proc(5).
            None => {
                let (located, resolved) = walk::resolve(self.directory.as_fd(), &self.names, path)?;
                (located, resolved.into_os_string().into_vec())
            }
        };
        let stat = fstat(&located)?;
        Ok((resolved, (stat.st_dev, stat.st_ino)))
    }

    /// Returns its device and inode.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Returns whether `path` leads to a readable regular file, without opening it.
    pub fn may_read_file(&self, path: &CStr) -> bool {
        let is_file = |located: &OwnedFd| fstat(located).is_ok_and(|stat| file_type(&stat) == SFlag::S_IFREG);
        // Its path was located below the root, so checking permissions by path reveals nothing about other files.
        self.locate(path).is_ok_and(|located| is_file(&located))
            && faccessat(&self.directory, path, AccessFlags::R_OK, AtFlags::AT_EACCESS).is_ok()
    }

    /// Returns whether `path` leads to this directory. Without permission to check, true is assumed.
    pub fn is_at(&self, path: &Path) -> Result<bool, Errno> {
        self.is(stat(path))
    }

    /// Returns whether `stat` is of this directory. Without permission for it, true is assumed.
    pub fn is(&self, stat: Result<FileStat, Errno>) -> Result<bool, Errno> {
        match stat {
            Ok(stat) => Ok((stat.st_dev, stat.st_ino) == self.identity),
            Err(Errno::EACCES) => Ok(true),
            Err(errno) => Err(errno),
        }
    }

    /// Returns whether it cannot be read although its permissions allow it: it is outside of the directories that this
    /// process is [confined](crate::os::landlock) to, which access(2) does not consider. Fails if it is unknown, since descriptors
    /// or memory have run out.
    pub fn is_out_of_bounds(&self) -> Result<bool, Errno> {
        let may = faccessat(&self.directory, c".", AccessFlags::R_OK, AtFlags::AT_EACCESS);
        match self.open_beneath(c".").map(drop) {
            Err(errno) if is_exhausted(errno) => Err(errno),
            opened => Ok(may.is_ok() && opened == Err(Errno::EACCES)),
        }
    }

    /// Returns the metadata of the file at `path`. The path is not confined to the root here, so the result may only be
    /// compared with that of a file that was opened below the root.
    pub fn stat(&self, path: &CStr) -> Result<FileStat, Errno> {
        fstatat(&self.directory, path, AtFlags::empty())
    }

    fn openat2(&self, path: &CStr, flags: OFlag) -> Result<OwnedFd, Errno> {
        self.openat2_with(path, flags, ResolveFlag::empty())
    }

    fn openat2_with(&self, path: &CStr, flags: OFlag, further: ResolveFlag) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS | further;
        openat2(&self.directory, path, OpenHow::new().flags(flags).resolve(resolve))
    }

    #[cfg(test)]
    fn without_openat2(path: &Path) -> Self {
        Root { openat2: false, ..Root::open(path).unwrap() }
    }
}

/// Returns whether systemd runs this server (systemd.exec(5), `$INVOCATION_ID`), and the sandbox of its unit hides `path`.
fn is_hidden_by_sandbox(path: &Path) -> bool {
    let hidden = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
    std::env::var_os("INVOCATION_ID").is_some() && hidden.iter().any(|directory| path.starts_with(directory))
}

#[cfg(test)]
mod tests;
