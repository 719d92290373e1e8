//! What the server answers for a target of this site. The names and the order are those of [`site`](crate::site).

use std::ffi::CString;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};

use super::link::{Reference, path_of_file};
use crate::failure::Failure;
use crate::http::target;
use crate::os::sys::file_type;
use crate::site::root::Root;

/// The number of redirects that are followed. Browsers follow 20.
const MAX_REDIRECTS: usize = 10;

/// A site, and the options that decide what is served.
#[derive(Debug)]
pub struct ServedSite {
    root: Root,
    listing: bool,
    dotfiles: bool,
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Content,
    Redirect(Reference),
    Refused(Refused),
}

/// An error that a request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// The reason.
    pub why: String,
}

/// What a client gets that follows redirects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A file, or another server.
    Content,
    /// An error at this target, which is the first one unless redirects lead to it.
    Refused(String, Refused),
    /// Redirects that lead back to this target, or too many.
    Loop(String),
}

/// What is at a path below the document root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File,
    Directory,
}

impl ServedSite {
    /// Opens the site.
    pub fn open(path: &Path, listing: bool, dotfiles: bool) -> Result<Self, Failure> {
        Ok(ServedSite { root: Root::open(path)?, listing, dotfiles })
    }

    /// Returns what a client gets for `target`, a path and a query.
    pub fn follow(&self, target: &str) -> Outcome {
        let mut target = target.to_string();
        let mut seen = Vec::new();
        loop {
            match self.answer(&target) {
                Answer::Content | Answer::Redirect(Reference::Elsewhere) => return Outcome::Content,
                Answer::Refused(refused) => return Outcome::Refused(target, refused),
                Answer::Redirect(Reference::Target(next)) => {
                    seen.push(std::mem::replace(&mut target, next));
                    if seen.len() > MAX_REDIRECTS || seen.contains(&target) {
                        return Outcome::Loop(target);
                    }
                }
            }
        }
    }

    fn answer(&self, target: &str) -> Answer {
        let mut path = Vec::new();
        let decoded = match target::decode(target, &mut path) {
            Ok(decoded) => decoded,
            Err(refusal) => return refused(refusal.status().code(), "it is no valid path"),
        };
        if decoded.is_hidden() && !self.dotfiles {
            return refused(404, "names that begin with a dot are not served");
        }
        let entry = match self.entry(decoded.path) {
            Ok(entry) => entry,
            Err(errno) => return Answer::Refused(reason(errno)),
        };
        match (entry, decoded.is_directory()) {
            (Entry::File, false) => Answer::Content,
            // The server appends the index to the path.
            (Entry::File, true) => refused(404, "it is a file, not a directory"),
            (Entry::Directory, false) => {
                let query = decoded.query.map(|query| format!("?{query}")).unwrap_or_default();
                Answer::Redirect(Reference::Target(format!("{}/{query}", path_of_file(decoded.path))))
            }
            (Entry::Directory, true) => match self.entry(&[decoded.path, b"index.html"].concat()) {
                Ok(Entry::File) => Answer::Content,
                Err(Errno::ENOENT) if self.listing => Answer::Content,
                Ok(Entry::Directory) | Err(Errno::ENOENT) => refused(404, "the directory has no index.html"),
                Err(errno) => Answer::Refused(reason(errno)),
            },
        }
    }

    fn entry(&self, path: &[u8]) -> Result<Entry, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let path = CString::new(path).map_err(|_| Errno::ENOENT)?;
        match file_type(&fstat(self.root.locate(&path)?)?) {
            SFlag::S_IFREG => Ok(Entry::File),
            SFlag::S_IFDIR => Ok(Entry::Directory),
            _ => Err(Errno::ENXIO),
        }
    }
}

fn refused(status: u16, why: &str) -> Answer {
    Answer::Refused(Refused { status, why: why.into() })
}

fn reason(errno: Errno) -> Refused {
    let (status, why) = match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => (404, "no file has this name"),
        Errno::ELOOP => (404, "the symbolic link leads to itself"),
        Errno::EXDEV => (403, "a symbolic link leads out of the document root"),
        Errno::ENXIO => (403, "it is neither a file nor a directory"),
        Errno::EACCES => (403, "it may not be read"),
        other => (500, other.desc()),
    };
    Refused { status, why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn targets_and_what_they_get() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in
            ["index.html", "a b.html", "ä.html", "d/index.html", "e/x", ".secret", ".well-known/x", "i/index.html/x"]
        {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), b"").unwrap();
        }
        for (link, to) in [("in", "d"), ("out", "/etc/passwd"), ("self", "self"), ("gone", "none")] {
            symlink(to, path(link)).unwrap();
        }
        let site = ServedSite::open(directory.path(), false, false).unwrap();
        for target in [
            "/",
            "/a b.html",
            "/a%20b.html",
            "/%C3%A4.html",
            "/ä.html",
            "/d/",
            "/d",
            "/d?q",
            "/in/",
            "/in",
            "/?q",
            "/.well-known/x",
            "/e/x?q",
            "//d//",
            "/index.html",
        ] {
            assert_eq!(site.follow(target), Outcome::Content, "{target}");
        }
        for (target, status) in [
            ("/none", 404),
            ("/e/", 404),
            ("/index.html/", 404),
            ("/.secret", 404),
            ("/out", 403),
            ("/self", 404),
            ("/gone", 404),
            ("/d/none", 404),
            ("/index.html/x", 404),
            ("/%zz", 400),
            ("/d%2Findex.html", 404),
            ("/i/", 404),
            ("/a%00", 400),
        ] {
            assert!(
                matches!(site.follow(target), Outcome::Refused(at, refused) if at == target && refused.status == status),
                "{target}"
            );
        }
        assert!(matches!(site.follow("/e"), Outcome::Refused(at, _) if at == "/e/"));
        let site = ServedSite::open(directory.path(), true, true).unwrap();
        for target in ["/e/", "/e", "/.secret", "/.well-known/"] {
            assert_eq!(site.follow(target), Outcome::Content, "{target}");
        }
    }
}
