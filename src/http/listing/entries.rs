//! The entries of a listing, in little memory.
//!
//! A directory has up to ten thousand entries. With an allocation for each name, the allocator would keep megabytes after the
//! listing was made: free(3) joins small allocations to one that it could return to the system only now and then.

/// One entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirEntry<'n> {
    /// Its name, without a slash.
    pub name: &'n [u8],
    /// Whether it is a directory, or a symbolic link to one.
    pub is_directory: bool,
    /// The size of a file in bytes.
    pub size: u64,
    /// The modification time in seconds since the epoch.
    pub modified_s: u64,
}

/// The entries of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// All names, without anything between them.
    names: Vec<u8>,
    entries: Vec<Entry>,
    /// Whether entries that come later in the order are left out.
    pub is_cut: bool,
}

/// An entry, with the place of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    start: u32,
    length: u16,
    is_directory: bool,
    size: u64,
    modified_s: u64,
}

impl Listing {
    /// Appends an entry. Ignores the directory itself and the one above, and a name that no file system has: longer than 64 KiB,
    /// or beyond 4 GiB of names.
    pub fn push(&mut self, entry: DirEntry) {
        let DirEntry { name, is_directory, size, modified_s } = entry;
        let (Ok(start), Ok(length)) = (self.names.len().try_into(), name.len().try_into()) else { return };
        if !matches!(name, b"" | b"." | b"..") {
            self.names.extend_from_slice(name);
            self.entries.push(Entry { start, length, is_directory, size, modified_s });
        }
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the length of all names together, in bytes.
    pub fn names_len(&self) -> usize {
        self.names.len()
    }

    /// Returns the entry that was appended after `index` others. Panics if there is none.
    pub fn entry(&self, index: usize) -> DirEntry<'_> {
        let Entry { start, length, is_directory, size, modified_s } = self.entries[index];
        let start = start as usize;
        DirEntry { name: &self.names[start..start + usize::from(length)], is_directory, size, modified_s }
    }

    /// Returns the entries in the order in which they were appended.
    pub fn iter(&self) -> impl Iterator<Item = DirEntry<'_>> {
        (0..self.len()).map(|index| self.entry(index))
    }
}
