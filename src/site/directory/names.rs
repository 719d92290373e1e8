//! The names in a directory, in little memory: there may be a hundred thousand.

use std::ffi::CStr;

use nix::dir::Type;

use crate::http::listing::natural;

/// The names in a directory.
#[derive(Default)]
pub struct Names {
    /// All names, each with a NUL at its end.
    bytes: Vec<u8>,
    /// The names, [sorted](Names::sort).
    pub sorted: Vec<Name>,
    /// Whether the directory has more names than are read.
    pub is_cut: bool,
}

/// The place of a name, and its type.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    start: u32,
    /// The type.
    pub kind: Kind,
}

/// The type of a name, as far as the file system returns it (readdir(3), d_type).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// The file system does not return types.
    Unknown,
}

impl Names {
    /// Appends a name, unless its type is one that is never served.
    pub fn push(&mut self, name: &CStr, of: Option<Type>) {
        let kind = match of {
            Some(Type::File) => Kind::File,
            Some(Type::Directory) => Kind::Directory,
            Some(Type::Symlink) => Kind::Link,
            None => Kind::Unknown,
            Some(_) => return,
        };
        if let Ok(start) = self.bytes.len().try_into() {
            self.bytes.extend_from_slice(name.to_bytes_with_nul());
            self.sorted.push(Name { start, kind });
        }
    }

    /// Sorts the names by their bytes, or in natural order.
    pub fn sort(&mut self, is_natural: bool) {
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.sort_unstable_by(|a, b| {
            let (a, b) = (self.text(a).to_bytes(), self.text(b).to_bytes());
            let natural = if is_natural { natural::compare(a, b) } else { std::cmp::Ordering::Equal };
            natural.then_with(|| a.cmp(b))
        });
        self.sorted = sorted;
    }

    /// Returns the text of a name.
    pub fn text(&self, name: &Name) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes[name.start as usize..]).unwrap_or_default()
    }
}
