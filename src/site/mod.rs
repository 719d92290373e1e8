//! The document root: a target becomes a file that is open and beneath the root, or the reason why not.
//!
//! No path is opened except through [`root::Root`], which keeps it beneath the root whatever links and renames do.

mod cache;
pub mod file;
pub mod root;
mod walk;

use std::ffi::CStr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::failure::Failure;
use crate::http::response::Representation;
use crate::http::{Refusal, Target, media_type};
use crate::options::Options;

use cache::Cache;
pub use file::{File, Stored};
use root::Root;

/// The file that a directory stands for.
const INDEX: &[u8] = b"index.html\0";

/// The files of a document root, and what is said of them.
#[derive(Debug)]
pub struct Site {
    root: Root,
    charset: Option<String>,
    dotfiles: bool,
    cache: Cache,
}

/// What a target names.
#[derive(Debug)]
pub enum Found {
    /// A small file, from memory.
    Stored(Arc<Stored>),
    /// A file, open.
    File(File),
    /// A directory that was asked for without its slash.
    Directory,
}

impl Site {
    /// Opens the document root.
    pub fn open(options: &Options) -> Result<Self, Failure> {
        Ok(Site {
            root: Root::open(&options.root)?,
            charset: options.charset.clone(),
            dotfiles: options.dotfiles,
            cache: Cache::new(options.cache_size),
        })
    }

    /// Finds what `target` names. `path` is scratch space.
    pub fn find(&self, target: &Target, path: &mut Vec<u8>) -> Result<Found, Refusal> {
        if target.is_hidden() && !self.dotfiles {
            return Err(Refusal::NotFound);
        }
        path.clear();
        path.extend_from_slice(target.path);
        path.extend_from_slice(if target.is_directory() { INDEX } else { b"\0" });
        let path = CStr::from_bytes_with_nul(path).map_err(|_| Refusal::Malformed("the path holds a NUL"))?;

        if let Some(stored) = self.cache.get(path, &self.root) {
            return Ok(Found::Stored(stored));
        }
        let file = File::open(&self.root, path)?;
        if file.is_directory() {
            // An index.html that is a directory is no page.
            return if target.is_directory() { Err(Refusal::NotFound) } else { Ok(Found::Directory) };
        }
        let now = SystemTime::now();
        if self.cache.wants(&file, now) {
            let mut head = Vec::with_capacity(192);
            self.describe(path, &file, now, &mut head);
            let stored = Arc::new(file.store(head)?);
            self.cache.put(path, &stored);
            return Ok(Found::Stored(stored));
        }
        Ok(Found::File(file))
    }

    /// Ends a 200's head with what is to be said of the file that `target` named.
    pub fn describe(&self, path: &CStr, file: &File, now: SystemTime, head: &mut Vec<u8>) {
        let media_type = media_type::of(path.to_bytes());
        let charset = self.charset.as_deref().filter(|_| media_type::is_text(media_type));
        Representation { validator: file.validator(), media_type, charset, now }.write(head);
    }
}
