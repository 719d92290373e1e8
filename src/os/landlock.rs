//! The sandbox of a worker: it may read the directory around the document root and that of challenges, and use its
//! inherited sockets. It uses Landlock (landlock(7)) and no_new_privs, as far as the kernel supports them. So a compromised
//! worker has no other rights, even outside a sandbox of systemd.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::failure::{self, Failure};

/// The version whose rights are removed, as far as the kernel supports them. A later version may include rights that a
/// worker needs, such as connecting to the journal's socket.
const VERSION: ABI = ABI::V6;

/// The threads of this process: the stall detector reads which of them run.
const TASKS: &str = "/proc/self/task";

/// The directories that workers may read.
#[derive(Debug)]
pub struct Sandbox {
    directories: Vec<(OwnedFd, PathBuf)>,
}

impl Sandbox {
    /// Creates the sandbox of workers that serve `root`.
    pub fn for_root(root: &Path) -> Result<Self, Failure> {
        Sandbox::open(root).map_err(|error| {
            let (root, why) = (root.display(), failure::reason(&error));
            Failure::new(format!(
                "Cannot open a parent directory of {root} ({why}): choose another directory with --root or --sites."
            ))
        })
    }

    fn open(root: &Path) -> io::Result<Self> {
        // The rules of the kernel apply to directories, not to names. But a root may be recreated, or be a link that is
        // switched to another release. So the directory that contains the root may be read, and the directory that
        // contains the target of a link. For a root directly below /, only the root may be read, since its parent
        // contains everything.
        let holder = |name: PathBuf| match name.parent() {
            Some(parent) if parent != Path::new("/") => parent.to_path_buf(),
            _ => name,
        };
        let mut holders: Vec<_> =
            [std::path::absolute(root), root.canonicalize()].into_iter().flatten().map(holder).collect();
        holders.dedup();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = |path: PathBuf| match open(&path, flags, Mode::empty()) {
            Ok(directory) => Some(Ok((directory, path))),
            // When the root appears, new workers are started for it.
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => None,
            Err(errno) => Some(Err(io::Error::from(errno))),
        };
        let directories = holders.into_iter().filter_map(directory).collect::<io::Result<_>>()?;
        Ok(Sandbox { directories })
    }

    /// Adds `directory` with all that is in it, if it exists.
    pub fn with(mut self, directory: &Path) -> Self {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = open(directory, flags, Mode::empty()).map(|opened| (opened, directory.to_path_buf()));
        self.directories.extend(opened);
        self
    }

    /// Returns the directory by which a worker may read the file at `path`; none if it may not.
    pub fn directory_of(&self, path: &Path) -> Option<&Path> {
        let real = real_path(path);
        let directories = self.directories.iter().map(|(_, directory)| directory.as_path());
        directories.into_iter().find(|directory| real.starts_with(real_path(directory)))
    }

    /// Restricts this thread and its future child threads permanently. Logs the extent if `is_logged`.
    pub fn restrict_self(&self, is_logged: bool) {
        let result = self.restrict();
        if !is_logged {
            return;
        }
        let directories: Vec<_> = self.directories.iter().map(|(_, path)| path.display().to_string()).collect();
        let directories = if directories.is_empty() { "no directory yet".into() } else { directories.join(" and ") };
        match result {
            Ok(status) if version(&status) > 0 => tracing::info!(
                landlock = version(&status),
                "Workers are confined: they can read beneath {directories}, and neither write nor execute{} (Landlock {}{}).",
                beyond_files(version(&status)),
                version(&status),
                if status.no_new_privs { ", no new privileges" } else { "" },
            ),
            Ok(_) => tracing::info!(
                landlock = 0,
                "Workers cannot gain privileges, but are not confined further: this kernel has no Landlock."
            ),
            Err(error) => tracing::warn!("Workers are not confined: {error}."),
        }
    }

    fn restrict(&self) -> Result<RestrictionStatus, RulesetError> {
        let reading = AccessFs::ReadFile | AccessFs::ReadDir;
        let mut ruleset = strictest()?.create()?;
        for (directory, _) in &self.directories {
            ruleset = ruleset.add_rule(PathBeneath::new(directory.as_fd(), reading))?;
        }
        if let Ok(tasks) = PathFd::new(TASKS) {
            ruleset = ruleset.add_rule(PathBeneath::new(&tasks, reading))?;
            // While the descriptor is open, the kernel keeps the directory and its rule.
            std::mem::forget(tasks);
        }
        ruleset.restrict_self()
    }
}

/// Returns a path without links, as far as it exists.
fn real_path(path: &Path) -> PathBuf {
    let in_directory = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(in_directory).unwrap_or_else(|| path.to_path_buf())
}

/// Takes the access to all paths from this thread and all that it starts, for good, as far as the kernel can. Open files stay
/// readable.
pub fn deny_all_paths() -> Result<(), RulesetError> {
    strictest()?.create()?.restrict_self().map(drop)
}

/// Takes the access to all paths but for reading `directories`, in the same way. Returns the version of Landlock that is in
/// force; 0 for none.
pub fn allow_reading(directories: &[PathBuf]) -> Result<u32, RulesetError> {
    let mut ruleset = strictest()?.create()?;
    for directory in directories.iter().filter_map(|directory| PathFd::new(directory).ok()) {
        ruleset = ruleset.add_rule(PathBeneath::new(&directory, AccessFs::ReadFile | AccessFs::ReadDir))?;
        // While the descriptor is open, the kernel keeps the directory and its rule.
        std::mem::forget(directory);
    }
    ruleset.restrict_self().map(|status| version(&status))
}

/// Returns a ruleset without exceptions.
fn strictest() -> Result<Ruleset, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(AccessNet::from_all(VERSION))?
        .scope(Scope::from_all(VERSION))
}

/// Returns the version of Landlock that is in force; 0 for none.
fn version(status: &RestrictionStatus) -> u32 {
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as u32,
        _ => 0,
    }
}

/// Returns the other rights that the kernel denies, depending on the version.
fn beyond_files(version: u32) -> &'static str {
    match version {
        0..4 => "",
        4..6 => ", nor bind or connect TCP sockets",
        _ => ", nor bind or connect TCP sockets, nor signal other processes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::process::{Command, Stdio};

    use nix::errno::Errno;
    use nix::sys::signal::kill;
    use nix::unistd::Pid;
    use tempfile::TempDir;

    /// Two sites with a release each, and a link to that of the first.
    fn sites() -> TempDir {
        let top = tempfile::tempdir().unwrap();
        for release in ["one/releases/1", "one/releases/2", "other/releases/1"] {
            fs::create_dir_all(top.path().join(release)).unwrap();
            fs::write(top.path().join(release).join("file"), release).unwrap();
        }
        symlink("releases/1", top.path().join("one/current")).unwrap();
        top
    }

    /// Runs `what` in a thread that is restricted like a worker of `root`, with the version of Landlock.
    fn confined<T: Send>(root: &Path, what: impl FnOnce(u32) -> T + Send) -> T {
        let confinement = Sandbox::for_root(root).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| what(version(&confinement.restrict().unwrap())));
            thread.join().unwrap()
        })
    }

    /// It is rejected from version `since` on; before, it works.
    fn check<T>(what: &str, since: u32, version: u32, result: io::Result<T>) {
        let refused = result.err().map(|error| error.kind());
        assert_eq!(refused, (version >= since).then_some(ErrorKind::PermissionDenied), "{what}, Landlock {version}");
    }

    #[test]
    fn only_the_parent_directory_of_the_root_is_readable() {
        let top = sites();
        let path = |name: &str| top.path().join(name);
        confined(&path("one/releases/1"), |version| {
            assert_eq!(fs::read_to_string(path("one/releases/1/file")).unwrap(), "one/releases/1");
            assert_eq!(fs::read_to_string(path("one/current/file")).unwrap(), "one/releases/1");
            assert_eq!(fs::read_dir(path("one/releases")).unwrap().count(), 2);
            check("another site", 1, version, fs::read(path("other/releases/1/file")));
            check("a list of what is above", 1, version, fs::read_dir(path("one")));
            check("a file of the system", 1, version, fs::read("/etc/passwd"));
            let tasks = fs::read_dir(TASKS).unwrap().flatten();
            assert!(tasks.filter(|task| fs::read(task.path().join("stat")).is_ok()).count() > 1);
        });
    }

    #[test]
    fn the_parent_directory_of_a_link_target_is_readable_too() {
        let top = sites();
        let path = |name: &str| top.path().join(name);
        symlink(path("other/releases/1"), path("one/away")).unwrap();
        confined(&path("one/away"), |version| {
            for name in ["one/away/file", "one/current/file", "other/releases/1/file"] {
                assert!(fs::read(path(name)).is_ok(), "{name}");
            }
            check("a list of what is above", 1, version, fs::read_dir(path("other")));
        });
    }

    #[test]
    fn a_root_that_is_recreated_or_swapped_is_readable() {
        let top = sites();
        let path = |name: &str| top.path().join(name);
        let confinement = Sandbox::for_root(&path("one/current")).unwrap();
        fs::remove_file(path("one/current")).unwrap();
        symlink("releases/3", path("one/current")).unwrap();
        fs::remove_dir_all(path("one/releases/1")).unwrap();
        for release in ["one/releases/1", "one/releases/3"] {
            fs::create_dir_all(path(release)).unwrap();
            fs::write(path(release).join("file"), "new").unwrap();
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                confinement.restrict().unwrap();
                for name in ["one/current/file", "one/releases/1/file"] {
                    assert_eq!(fs::read_to_string(path(name)).unwrap(), "new");
                }
            });
            thread.join().unwrap();
        });
    }

    #[test]
    fn a_further_directory_is_readable_if_it_exists() {
        let top = sites();
        let path = |name: &str| top.path().join(name);
        let confinement = Sandbox::for_root(&path("one/current")).unwrap();
        let confinement = confinement.with(&path("other/releases/1")).with(&path("missing"));
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let version = version(&confinement.restrict().unwrap());
                assert!(fs::read(path("other/releases/1/file")).is_ok());
                check("a list of what is above", 1, version, fs::read_dir(path("other")));
            });
            thread.join().unwrap();
        });
    }

    #[test]
    fn writing_and_executing_are_denied() {
        let top = sites();
        let root = top.path().join("one/releases/1");
        confined(&root, |version| {
            check("writing", 1, version, File::options().write(true).open(root.join("file")));
            check("a new file", 1, version, File::create(root.join("new")));
            check("a new directory", 1, version, fs::create_dir(root.join("directory")));
            check("a new link", 1, version, symlink("file", root.join("link")));
            check("a removal", 1, version, fs::remove_file(root.join("file")));
            check("a program", 1, version, Command::new("/bin/true").status());
            assert_eq!(nix::sys::prctl::get_no_new_privs(), Ok(true));
        });
    }

    #[test]
    fn inherited_sockets_work_and_new_ones_are_denied() {
        let top = sites();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let name = SocketAddr::from_abstract_name(format!("otus-httpd-test-{}", address.port())).unwrap();
        let _outside = UnixListener::bind_addr(&name).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        confined(&top.path().join("one/current"), |version| {
            let (mut connection, _) = listener.accept().unwrap();
            connection.write_all(b"served").unwrap();
            check("a connection", 4, version, TcpStream::connect(address));
            check("a listening socket", 4, version, TcpListener::bind("127.0.0.1:0"));
            check("an abstract unix socket", 6, version, UnixStream::connect_addr(&name));
        });
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "served");
    }

    #[test]
    fn signals_to_other_processes_are_denied() {
        let top = sites();
        let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(other.id() as i32);
        confined(&top.path().join("one/current"), |version| {
            check("a signal", 6, version, kill(pid, None).map_err(|errno: Errno| errno.into()));
            assert_eq!(kill(Pid::this(), None), Ok(()));
        });
        drop(other.stdin.take());
        assert!(other.wait().unwrap().success());
    }
}
