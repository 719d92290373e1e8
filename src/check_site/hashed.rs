//! The names that the server takes for ones with a hash of the content: browsers keep these files for a year.

use std::fmt;

use serde_json::{Value, json};

use crate::printable::Printable;
use crate::site::hashed_name::is_hashed;
use crate::tree::Job;

/// The number of names that are kept. Further ones are counted.
const MAX_KEPT: usize = 10_000;

/// The names of a site.
#[derive(Debug, Default)]
pub struct Hashed {
    /// Their paths, relative to the document root, in order.
    kept: Vec<String>,
    left_out: u64,
}

impl Hashed {
    /// Finds them among `files`, which are in the order of their paths.
    pub fn among(files: &[Job]) -> Self {
        let mut found = Hashed::default();
        let paths = files.iter().map(|job| job.relative().to_string_lossy().into_owned());
        for path in paths.filter(|path| is_hashed(path.as_bytes())) {
            if found.kept.len() < MAX_KEPT {
                found.kept.push(path);
            } else {
                found.left_out += 1;
            }
        }
        found
    }

    /// Returns them as a JSON array.
    pub fn to_json(&self) -> Value {
        json!(self.kept)
    }

    /// Returns the number of those that were not kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// A heading, and a line for each directory with the number of such names and one of them; nothing if there are none.
impl fmt::Display for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kept.is_empty() {
            return Ok(());
        }
        writeln!(f, "Browsers keep these files for a year, since their names have a hash (--json lists all):")?;
        let directory = |path: &str| path.rfind('/').map_or(0, |slash| slash + 1);
        for group in self.kept.chunk_by(|a, b| a[..directory(a)] == b[..directory(b)]) {
            let (directory, name) = group[0].split_at(directory(&group[0]));
            let (count, directory) = (group.len(), if directory.is_empty() { "./" } else { directory });
            writeln!(f, "  {}: {count}, such as {}", Printable(directory), Printable(name))?;
        }
        Ok(())
    }
}
