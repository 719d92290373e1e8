use super::*;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;

/// A root with files and links, beside a secret; gone when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap().keep();
        let root = top.join("root");
        fs::create_dir_all(root.join("dir/deep")).unwrap();
        fs::write(top.join("secret"), "secret").unwrap();
        fs::write(root.join("file"), "file").unwrap();
        fs::write(root.join("dir/deep/file"), "deep").unwrap();
        symlink("file", root.join("link")).unwrap();
        symlink("deep", root.join("dir/inner")).unwrap();
        symlink("../file", root.join("dir/up")).unwrap();
        symlink("..", root.join("dir/parent")).unwrap();
        symlink(root.join("dir/deep"), root.join("absolute")).unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink(top.join("secret"), root.join("absolute-out")).unwrap();
        symlink("..", root.join("out-dir")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("nothing", root.join("dangling")).unwrap();
        symlink(format!("{}-x/file", root.display()), root.join("sibling")).unwrap();
        nix::unistd::mkfifo(&root.join("fifo"), Mode::S_IRWXU).unwrap();
        Tree(top)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn content(fd: OwnedFd) -> String {
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text).unwrap();
    text
}

/// The same answer from the kernel's own resolution and from ours.
fn check(path: &str, expected: Result<&str, Errno>) {
    let tree = Tree::new();
    let path = CString::new(path).unwrap();
    let root = tree.0.join("root");
    for root in [Root::open(&root).unwrap(), Root::without_openat2(&root)] {
        let found = root.open_beneath(&path).map(content);
        assert_eq!(found.as_deref().map_err(|errno| *errno), expected, "{path:?}, openat2: {}", root.openat2);
    }
}

#[test]
fn plain_files() {
    check("file", Ok("file"));
    check("dir/deep/file", Ok("deep"));
    check("none", Err(Errno::ENOENT));
    check("none/file", Err(Errno::ENOENT));
    check("file/file", Err(Errno::ENOTDIR));
    check(&"x".repeat(256), Err(Errno::ENAMETOOLONG));
}

#[test]
fn links_that_stay_inside() {
    check("link", Ok("file"));
    check("dir/inner/file", Ok("deep"));
    check("dir/up", Ok("file"));
    check("dir/parent/dir/parent/link", Ok("file"));
    check("absolute/file", Ok("deep"));
}

#[test]
fn links_that_leave() {
    check("out", Err(Errno::EXDEV));
    check("absolute-out", Err(Errno::EXDEV));
    check("out-dir/secret", Err(Errno::EXDEV));
    check("sibling", Err(Errno::EXDEV));
    check("magic/etc/passwd", Err(Errno::EXDEV));
    check("../secret", Err(Errno::EXDEV));
}

#[test]
fn links_that_lead_nowhere() {
    check("loop", Err(Errno::ELOOP));
    check("dangling", Err(Errno::ENOENT));
}

#[test]
fn a_fifo_is_not_opened() {
    check("fifo", Err(Errno::ENXIO));
}

/// Each name of a file leads to one path without links, by either way of resolving.
#[test]
fn the_real_path_has_no_links() {
    let tree = Tree::new();
    let root = tree.0.join("root");
    for root in [Root::open(&root).unwrap(), Root::without_openat2(&root)] {
        for (path, expected) in [
            (".", Ok(Some(""))),
            ("file", Ok(Some("file"))),
            ("link", Ok(Some("file"))),
            ("dir/up", Ok(Some("file"))),
            ("dir/parent/dir/inner/file", Ok(Some("dir/deep/file"))),
            ("absolute/file", Ok(Some("dir/deep/file"))),
            ("dir/inner", Ok(Some("dir/deep"))),
            ("dir/parent", Ok(Some(""))),
            ("out", Err(Refusal::OutsideRoot)),
            ("dangling", Ok(None)),
            ("missing", Ok(None)),
        ] {
            let path = CString::new(path).unwrap();
            let real = root.real_path(&path, |_| true).map(|path| path.map(|path| String::from_utf8(path).unwrap()));
            assert_eq!(real, expected.map(|path| path.map(String::from)), "{path:?}");
        }
        let identity = |path: &CStr| root.stat(path).map(|stat| (stat.st_dev, stat.st_ino)).unwrap();
        let file = identity(c"file");
        assert!(root.real_path(c"link", |identity| identity == file).unwrap().is_some());
        assert!(root.real_path(c"dir/deep/file", |identity| identity == file).unwrap().is_none());
    }
}
