//! The names of pages: which file is served for a directory, and for a name without its extension.

use std::ffi::CStr;

use crate::config::{Options, Pretty};

/// The extension of a page that a pretty name lacks.
const EXTENSION: &[u8] = b".html";

/// The names of pages of a site.
#[derive(Debug)]
pub struct PageNames {
    /// The files that are served for a directory; the first that exists.
    pub index: Vec<String>,
    /// The use of names without extension.
    pub pretty: Pretty,
}

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

    /// Returns the path of the page that has `path`, which ends with a slash or not, as its pretty name. None if there can be
    /// none. `buffer` is scratch space.
    pub fn page<'b>(&self, path: &[u8], buffer: &'b mut Vec<u8>) -> Option<&'b CStr> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if path.is_empty() || path.ends_with(EXTENSION) {
            return None;
        }
        join(&[path, EXTENSION], buffer)
    }

    /// Returns the pretty name of the page at `path`. None if it is no page, or an index.
    pub fn pretty_name<'b>(&self, path: &[u8], buffer: &'b mut Vec<u8>) -> Option<&'b CStr> {
        let stem = path.strip_suffix(EXTENSION).filter(|stem| !matches!(stem.last(), None | Some(b'/')))?;
        join(&[stem], buffer)
    }

    /// Returns whether the file at `path` is the one that is served for its directory.
    pub fn is_index(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        self.index.first().is_some_and(|index| index.as_bytes() == name)
    }
}

/// Joins parts of a path in `buffer`. None if there is a NUL in them.
pub fn join<'b>(parts: &[&[u8]], buffer: &'b mut Vec<u8>) -> Option<&'b CStr> {
    buffer.clear();
    parts.iter().for_each(|part| buffer.extend_from_slice(part));
    buffer.push(0);
    CStr::from_bytes_with_nul(buffer).ok()
}
