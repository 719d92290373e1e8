//! Whether the disk of the document root responds. What is requested may be in the page cache, so that a disk that is gone would
//! not be noticed: a page of a file is read from the disk itself.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, PosixFadviseAdvice, fcntl, posix_fadvise};
use nix::sys::stat::{SFlag, fstat};

use super::errno::is_exhausted;
use super::root::Root;
use super::walk::FLAGS;
use crate::os::sys::file_type;

/// The size and the alignment of a read, in bytes: no disk has larger sectors.
const PAGE_BYTES: usize = 4096;

/// The limit of files of which one is read: if one sector is damaged, the disk still responds.
const MAX_FILES: usize = 4;

/// The limit of directories, and of names in each, in which the files are looked for.
const MAX_DIRECTORIES: usize = 16;
const MAX_NAMES: usize = 64;

/// The check of one document root, or of a directory of sites.
#[derive(Debug)]
pub struct DiskCheck {
    /// The files that are looked for first, also in a directory that cannot be listed.
    index: Vec<CString>,
    files: Vec<CString>,
    page: Box<Page>,
}

#[derive(Debug)]
#[repr(align(4096))]
struct Page([u8; PAGE_BYTES]);

impl DiskCheck {
    /// Creates one. `index` are names of files that a directory may have.
    pub fn new(index: &[String]) -> Self {
        let index = index.iter().filter_map(|name| CString::new(name.as_str()).ok()).collect();
        DiskCheck { index, files: Vec::new(), page: Box::new(Page([0; PAGE_BYTES])) }
    }

    /// Waits until the disk of `root` has responded to a stat and a read. Fails with the error of the disk. If there is no file
    /// to read, the directory itself is listed.
    pub fn run(&mut self, root: &Root) -> Result<(), Errno> {
        let result = match self.read_any(root) {
            Ok(false) => self.find_files(root).and_then(|()| self.read_any(root)),
            result => result,
        };
        match result {
            Err(errno) if is_of_disk(errno) => {
                self.files.clear();
                Err(errno)
            }
            _ => Ok(()),
        }
    }

    /// Reads from one of the known files. Returns whether there is one.
    fn read_any(&mut self, root: &Root) -> Result<bool, Errno> {
        root.stat(c".")?;
        let mut failure = None;
        while let Some(path) = self.files.first() {
            match read_page(root, path, &mut self.page) {
                Ok(()) => return Ok(true),
                Err(errno) => failure = Some(errno).filter(|errno| is_of_disk(*errno)).or(failure),
            }
            // It is gone, or a sector of it is damaged.
            self.files.remove(0);
        }
        failure.map_or(Ok(false), Err)
    }

    /// Looks for files on the disk of `root`, preferably of a page or more: smaller ones may be read with their metadata.
    fn find_files(&mut self, root: &Root) -> Result<(), Errno> {
        let device = root.stat(c".")?.st_dev;
        let mut found: Vec<(bool, CString)> = Vec::new();
        let mut directories = vec![c".".to_owned()];
        let mut next = 0;
        while let Some(directory) = directories.get(next).cloned() {
            next += 1;
            for path in self.index.iter().map(|name| join(&directory, name)).chain(names_in(root, &directory)?) {
                let stat = match root.stat(&path) {
                    Ok(stat) if stat.st_dev == device => stat,
                    Err(errno) if is_of_disk(errno) => return Err(errno),
                    _ => continue,
                };
                match file_type(&stat) {
                    SFlag::S_IFREG if stat.st_size > 0 => found.push((stat.st_size < PAGE_BYTES as i64, path)),
                    SFlag::S_IFDIR if directories.len() < MAX_DIRECTORIES => directories.push(path),
                    _ => {}
                }
            }
            if found.iter().filter(|(is_small, _)| !is_small).count() >= MAX_FILES {
                break;
            }
        }
        found.sort_by_key(|(is_small, _)| *is_small);
        self.files = found.into_iter().map(|(_, path)| path).take(MAX_FILES).collect();
        Ok(())
    }
}

/// Returns the paths of what is in `directory`, as far as it may be listed.
fn names_in(root: &Root, directory: &CStr) -> Result<Vec<CString>, Errno> {
    let list = || Dir::from_fd(root.open_beneath(directory)?);
    let mut dir = match list() {
        Ok(dir) => dir,
        Err(errno) if is_of_disk(errno) => return Err(errno),
        Err(_) => return Ok(Vec::new()),
    };
    let is_visible = |name: &CStr| !name.to_bytes().starts_with(b".");
    let entries = dir.iter().take(MAX_NAMES).flatten();
    Ok(entries.filter(|entry| is_visible(entry.file_name())).map(|entry| join(directory, entry.file_name())).collect())
}

fn join(directory: &CStr, name: &CStr) -> CString {
    let path = [directory.to_bytes(), b"/", name.to_bytes()].concat();
    // Neither has a NUL.
    CString::new(path).unwrap_or_default()
}

/// Reads the first page of a file from the disk.
fn read_page(root: &Root, path: &CStr, page: &mut Page) -> Result<(), Errno> {
    let opened = root.open_beneath(path)?;
    if file_type(&fstat(&opened)?) != SFlag::S_IFREG {
        return Err(Errno::ENXIO);
    }
    let file = File::from(opened);
    // Past the page cache, if the file system can do that,
    let set_flags = |flags| fcntl(&file, FcntlArg::F_SETFL(flags)).is_ok();
    if set_flags(FLAGS | nix::fcntl::OFlag::O_DIRECT) {
        match read(&file, page) {
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {}
            result => return result.map_err(errno_of),
        }
        set_flags(FLAGS);
    }
    // or else after it has forgotten the page. That is only a request: what is in memory alone, as in tmpfs, stays.
    let _ = posix_fadvise(&file, 0, PAGE_BYTES as i64, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    read(&file, page).map_err(errno_of)
}

fn read(file: &File, page: &mut Page) -> io::Result<()> {
    loop {
        match file.read_at(&mut page.0, 0) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result.map(drop),
        }
    }
}

fn errno_of(error: io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32))
}

/// Returns whether an error is one of the disk: not of a name or of a permission, nor for lack of descriptors or memory.
fn is_of_disk(errno: Errno) -> bool {
    let is_of_path = matches!(
        errno,
        Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::EISDIR
            | Errno::ENAMETOOLONG
            | Errno::ELOOP
            | Errno::EXDEV
            | Errno::EACCES
            | Errno::EPERM
            | Errno::ENXIO
    );
    !is_of_path && !is_exhausted(errno)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_found_in_directories_and_replaced_when_they_are_gone() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: usize| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![b'x'; bytes]).unwrap();
        };
        let root = Root::open(directory.path()).unwrap();
        let mut check = DiskCheck::new(&["index.html".into()]);
        assert_eq!((check.run(&root), check.files.len()), (Ok(()), 0), "an empty directory");
        write("example.org/index.html", 5);
        assert_eq!(check.run(&root), Ok(()));
        assert_eq!(check.files[0].to_bytes(), b"./example.org/index.html");
        fs::remove_file(directory.path().join("example.org/index.html")).unwrap();
        write("small", 100);
        write("a/b/large", 4096);
        write(".hidden", 4096);
        write("empty", 0);
        assert_eq!(check.run(&root), Ok(()));
        let files: Vec<_> = check.files.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(files, ["./a/b/large", "./small"]);
        assert!(check.page.0.iter().all(|byte| *byte == b'x'));
    }

    #[test]
    fn a_directory_that_cannot_be_listed_has_its_index() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("index.html"), "home").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o311)).unwrap();
        let root = Root::open(directory.path()).unwrap();
        let mut check = DiskCheck::new(&["index.html".into()]);
        assert_eq!(check.run(&root), Ok(()));
        assert_eq!(check.files[0].to_bytes(), b"./index.html");
    }

    #[test]
    fn a_directory_that_was_removed_is_not_an_error_of_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), "a").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let mut check = DiskCheck::new(&[]);
        assert_eq!(check.run(&root), Ok(()));
        drop(directory);
        assert_eq!(check.run(&root), Ok(()));
    }
}
