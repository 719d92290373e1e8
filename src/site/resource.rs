//! A file that is ready to be sent, with its metadata.

use std::sync::Arc;

use super::file::{File, FileVersion};
use crate::http::h1::encode;
use crate::http::{Refusal, Representation};

/// A file, open or in memory, with its metadata.
#[derive(Debug)]
pub struct Resource {
    /// The version of the file.
    pub version: FileVersion,
    /// The metadata.
    pub representation: Representation,
    /// The end of the head of a 200, and the content if it is in memory.
    bytes: Box<[u8]>,
    validators: usize,
    head_length: usize,
    file: Option<Arc<File>>,
    /// Whether it can be used for other requests.
    is_cacheable: bool,
}

/// The content of a file.
#[derive(Debug)]
pub enum Content<'h> {
    /// Bytes in memory.
    Memory(&'h [u8]),
    /// An open file.
    Disk(&'h Arc<File>),
}

impl Resource {
    /// Creates a resource that keeps the file open. Fails if the file cannot be read.
    pub fn open(file: File, representation: Representation) -> Result<Resource, Refusal> {
        if file.version().size > 0 {
            file.check_readable(0)?;
        }
        let mut bytes = Vec::with_capacity(256);
        let validators = encode_fields(&mut bytes, &representation);
        let (version, head_length) = (file.version(), bytes.len());
        Ok(Resource {
            version,
            representation,
            bytes: bytes.into(),
            validators,
            head_length,
            file: Some(Arc::new(file)),
            is_cacheable: true,
        })
    }

    /// Creates a resource with the file's content in memory.
    pub fn in_memory(file: &File, representation: Representation) -> Result<Resource, Refusal> {
        let version = file.version();
        let mut bytes = Vec::with_capacity(256 + version.size as usize);
        let validators = encode_fields(&mut bytes, &representation);
        let head_length = bytes.len();
        let is_cacheable = file.read(&mut bytes)?;
        Ok(Resource { version, representation, bytes: bytes.into(), validators, head_length, file: None, is_cacheable })
    }

    /// Returns the end of the head of a 200.
    pub fn head(&self) -> &[u8] {
        &self.bytes[..self.head_length]
    }

    /// Returns the fields that a 304 has as well, and the end of its head.
    pub fn validators(&self) -> &[u8] {
        &self.bytes[self.validators..self.head_length]
    }

    /// Returns the content.
    pub fn content(&self) -> Content<'_> {
        self.file.as_ref().map_or(Content::Memory(&self.bytes[self.head_length..]), Content::Disk)
    }

    /// Returns whether its content is in memory.
    pub fn is_in_memory(&self) -> bool {
        self.file.is_none()
    }

    /// Returns whether it can be used for other requests: the file's version did not change while it was read.
    pub fn is_cacheable(&self) -> bool {
        self.is_cacheable
    }

    /// Returns the bytes of memory that it takes besides the structure itself.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Appends the field lines of a 200 and the empty line, the same for every request. Returns where those begin that a 304 has as
/// well (RFC 9110 §15.4.5).
fn encode_fields(out: &mut Vec<u8>, representation: &Representation) -> usize {
    representation.content_fields().for_each(|field| encode::field(out, &field));
    let validators = out.len();
    representation.validator_fields().for_each(|field| encode::field(out, &field));
    out.extend_from_slice(b"\r\n");
    validators
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::super::root::Root;
    use super::*;
    use crate::http::{Coding, Outcome};

    #[test]
    fn cached_heads_equal_those_of_the_outcome() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), "content").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let file = File::open(&root, c"a").unwrap();
        let now = SystemTime::now() + Duration::from_secs(1);
        let plain = Representation::new(file.validator(), "text/plain", None, now);
        for representation in [plain.clone(), plain.coded(Coding::Gzip)] {
            let resource = Resource::in_memory(&file, representation).unwrap();
            for (outcome, kept) in [(Outcome::Whole, resource.head()), (Outcome::NotModified, resource.validators())] {
                let mut encoded = Vec::new();
                outcome.fields(&resource.representation).iter().for_each(|field| encode::field(&mut encoded, field));
                assert_eq!(kept, [&encoded[..], b"\r\n"].concat(), "{outcome:?}");
            }
        }
    }
}
