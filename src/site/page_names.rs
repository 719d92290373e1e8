//! The names of pages: which file is served for a directory, and for a name without its extension. The decision for a request is
//! made here, by the server and by `check-site`; each has [`Files`] of its own.

use std::ffi::CStr;
use std::sync::Arc;

use super::{Directory, Resource};
use crate::config::{Options, Pretty};
use crate::http::target::NUL;
use crate::http::{Refusal, Target};
use crate::rules;

/// The extension of a page that a pretty name lacks.
pub const EXTENSION: &[u8] = b".html";

/// The names of pages of a site.
#[derive(Debug)]
pub struct PageNames {
    /// The files that are served for a directory; the first that exists.
    pub index: Vec<String>,
    /// The use of names without extension.
    pub pretty: Pretty,
}

/// The files of a site. Paths are decoded and relative.
pub trait Files {
    /// A file that is served.
    type File: Clone;
    /// A directory that is listed.
    type Listing;

    /// Finds the file at `path`. Returns None for a directory.
    fn find(&self, path: &CStr) -> Result<Option<Self::File>, Refusal>;

    /// Returns whether there is a file at `path`, and not a directory. Fails as [`find`](Files::find) does, except that the
    /// client may prefer another form of it.
    fn has(&self, path: &CStr) -> Result<bool, Refusal>;

    /// Returns whether directories are listed, and `path`, which ends with `/.`, is one.
    fn has_listing(&self, path: &CStr) -> bool;

    /// Opens the directory at `path`, which is empty or ends with a slash, to list it. Fails with [`Refusal::NotFound`] if
    /// directories are not listed.
    fn listing(&self, path: &[u8]) -> Result<Self::Listing, Refusal>;
}

/// What a target names.
#[derive(Debug)]
pub enum Found<F = Arc<Resource>, L = Directory> {
    /// A file and its metadata.
    File(F),
    /// A directory whose target lacks the slash at the end.
    Directory,
    /// A page that has another name.
    Moved {
        /// The page.
        page: F,
        /// The Location of its other name.
        location: String,
    },
    /// A directory without an index, to be listed.
    Listing(L),
}

/// What a target names among these files.
type FoundIn<F> = Found<<F as Files>::File, <F as Files>::Listing>;

impl Default for PageNames {
    fn default() -> Self {
        PageNames { index: vec!["index.html".into()], pretty: Pretty::On }
    }
}

impl PageNames {
    /// Takes the names from the options.
    pub fn new(options: &Options) -> Self {
        PageNames { index: options.index.clone(), pretty: options.pretty }
    }

    /// Finds what `target` names: a file, the index of a directory, or a page by its name without the extension. `buffer` is
    /// scratch space.
    pub fn find<F: Files>(&self, files: &F, target: &Target, buffer: &mut Vec<u8>) -> Result<FoundIn<F>, Refusal> {
        let found = if target.is_directory() {
            self.find_index(files, target.path, buffer)
        } else {
            files.find(target.c_path).map(|file| file.map_or(Found::Directory, Found::File))
        };
        match (&found, self.pretty) {
            (_, Pretty::Off) | (Ok(Found::File(_)), Pretty::On) => found,
            (Ok(Found::File(page)), Pretty::Redirect) => {
                let moved = self.pretty_name_of(files, target, buffer);
                let moved = moved.map(|location| Found::Moved { page: page.clone(), location });
                moved.map_or(found, Ok)
            }
            (Ok(Found::Directory) | Err(Refusal::NotFound), Pretty::On | Pretty::Redirect) => {
                self.find_page(files, target, buffer).transpose().unwrap_or(found)
            }
            _ => found,
        }
    }

    /// Finds the index of the directory `directory`, or its listing.
    fn find_index<F: Files>(&self, files: &F, directory: &[u8], buffer: &mut Vec<u8>) -> Result<FoundIn<F>, Refusal> {
        for index in &self.index {
            let path = join(&[directory, index.as_bytes()], buffer).ok_or(NUL)?;
            match files.find(path) {
                // A directory with the name of an index is not served as one.
                Ok(None) | Err(Refusal::NotFound) => {}
                Ok(Some(file)) => return Ok(Found::File(file)),
                Err(refusal) => return Err(refusal),
            }
        }
        files.listing(directory).map(Found::Listing)
    }

    /// Finds the page `about.html` for a target `/about`, unless there is a directory that is served by this name; for `/about/`,
    /// its Location.
    fn find_page<F: Files>(
        &self,
        files: &F,
        target: &Target,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<FoundIn<F>>, Refusal> {
        let Some(page) = self.page(target.path, buffer) else { return Ok(None) };
        let file = match files.find(page) {
            Ok(Some(file)) => file,
            Ok(None) | Err(Refusal::NotFound) => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        if target.is_directory() {
            return Ok(Some(Found::Moved { page: file, location: target.without_slash() }));
        }
        Ok((!self.serves_directory(files, target.path, buffer)).then_some(Found::File(file)))
    }

    /// Returns the Location of the page that `target` names with its extension. None if its pretty name is that of something
    /// else.
    fn pretty_name_of<F: Files>(&self, files: &F, target: &Target, buffer: &mut Vec<u8>) -> Option<String> {
        if target.is_directory() {
            return None;
        }
        if self.is_index(target.path) {
            return Some(target.without_extension(true));
        }
        let is_free = match files.has(self.pretty_name(target.path, buffer)?) {
            Err(Refusal::NotFound) => true,
            Ok(false) => !self.serves_directory(files, target.path.strip_suffix(EXTENSION)?, buffer),
            _ => false,
        };
        is_free.then(|| target.without_extension(false))
    }

    /// Returns whether a request for `path` with a slash would get an index or a listing. `buffer` is scratch space.
    pub fn serves_directory<F: Files>(&self, files: &F, path: &[u8], buffer: &mut Vec<u8>) -> bool {
        let mut exists = |name: &[u8]| {
            let path = join(&[path, b"/", name], buffer);
            path.is_some_and(|path| !matches!(files.has(path), Err(Refusal::NotFound) | Ok(false)))
        };
        self.index.iter().any(|index| exists(index.as_bytes()))
            || join(&[path, b"/."], buffer).is_some_and(|path| files.has_listing(path))
    }

    /// Returns the path of the page that has `path`, which ends with a slash or not, as its pretty name. None if there can be
    /// none. `buffer` is scratch space.
    fn page<'b>(&self, path: &[u8], buffer: &'b mut Vec<u8>) -> Option<&'b CStr> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if path.is_empty() || path.ends_with(EXTENSION) {
            return None;
        }
        join(&[path, EXTENSION], buffer)
    }

    /// Returns the pretty name of the page at `path`. None if it is no page, or an index.
    fn pretty_name<'b>(&self, path: &[u8], buffer: &'b mut Vec<u8>) -> Option<&'b CStr> {
        let stem = path.strip_suffix(EXTENSION).filter(|stem| !matches!(stem.last(), None | Some(b'/')))?;
        join(&[stem], buffer)
    }

    /// Returns whether the file at `path` is the one that is served for its directory.
    fn is_index(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        self.index.first().is_some_and(|index| index.as_bytes() == name)
    }
}

/// Returns whether nothing is served at `target`, whatever exists: it is hidden, unless `dotfiles` are served, or a file with
/// rules, or a compressed copy of one.
pub fn is_never_served(target: &Target, dotfiles: bool) -> bool {
    let path = target.path;
    let is_copy = || [&b".br"[..], b".zst", b".gz"].iter().find_map(|suffix| path.strip_suffix(*suffix));
    let is_reserved = || rules::is_reserved(path) || is_copy().is_some_and(rules::is_reserved);
    target.is_hidden && !dotfiles || matches!(path.first(), Some(b'_' | b'n')) && is_reserved()
}

/// Joins parts of a path in `buffer`. None if there is a NUL in them.
pub fn join<'b>(parts: &[&[u8]], buffer: &'b mut Vec<u8>) -> Option<&'b CStr> {
    buffer.clear();
    parts.iter().for_each(|part| buffer.extend_from_slice(part));
    buffer.push(0);
    CStr::from_bytes_with_nul(buffer).ok()
}
