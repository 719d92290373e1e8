//! A file that is ready to be sent, with its metadata.

use std::sync::{Arc, OnceLock};

use super::file::File;
use super::version::FileVersion;
use crate::codec::decode;
use crate::digest::{Digest, Hasher};
use crate::http::h1::encode;
use crate::http::{Coding, Refusal, Representation};
use crate::ipc::decoded::Decoded;

/// The capacity for the fields of a head, in bytes.
const HEAD_BYTES: usize = 256;

/// A file, open or in memory, with its metadata.
#[derive(Debug)]
pub struct Resource {
    /// The version of the file.
    pub version: FileVersion,
    /// The metadata.
    pub representation: Representation,
    /// The content if it is in memory, and the end of the head of a 200.
    bytes: Box<[u8]>,
    content_length: usize,
    validators: usize,
    file: Option<Arc<File>>,
    /// Whether it can be used for other requests.
    is_cacheable: bool,
    /// What its content in memory decodes to, once that was determined.
    decoded: OnceLock<Decoded>,
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
        if file.version().size() > 0 {
            file.check_readable(0)?;
        }
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        let validators = encode_fields(&mut bytes, &representation);
        Ok(Resource {
            version: file.version(),
            representation,
            bytes: bytes.into(),
            content_length: 0,
            validators,
            file: Some(Arc::new(file)),
            is_cacheable: true,
            decoded: OnceLock::new(),
        })
    }

    /// Creates a resource with the file's content in memory; `describe` gets the digest of the content.
    pub fn in_memory(file: &File, describe: impl FnOnce(Digest) -> Representation) -> Result<Resource, Refusal> {
        let version = file.version();
        let mut bytes = Vec::with_capacity(version.size() as usize + HEAD_BYTES);
        let is_cacheable = file.read(&mut bytes)?;
        let content_length = bytes.len();
        let representation = describe(Digest::of(&bytes));
        let validators = encode_fields(&mut bytes, &representation);
        Ok(Resource {
            version,
            representation,
            bytes: bytes.into(),
            content_length,
            validators,
            file: None,
            is_cacheable,
            decoded: OnceLock::new(),
        })
    }

    /// Returns the end of the head of a 200.
    pub fn head(&self) -> &[u8] {
        &self.bytes[self.content_length..]
    }

    /// Returns the fields that a 304 has as well, and the end of its head.
    pub fn validators(&self) -> &[u8] {
        &self.bytes[self.validators..]
    }

    /// Returns the content.
    pub fn content(&self) -> Content<'_> {
        self.file.as_ref().map_or(Content::Memory(&self.bytes[..self.content_length]), Content::Disk)
    }

    /// Returns what its content in memory decodes to, at most `max_bytes`, which is the same at each call. None if its content
    /// is not in memory.
    pub fn decode(&self, coding: Coding, max_bytes: u64) -> Option<Decoded> {
        let Content::Memory(mut content) = self.content() else { return None };
        Some(*self.decoded.get_or_init(|| {
            let mut hasher = Hasher::default();
            let mut update = |decoded: &[u8]| {
                hasher.update(decoded);
                Ok(())
            };
            match decode(coding, &mut content, max_bytes, &mut update) {
                Ok(_) => Decoded::Digest(hasher.finish()),
                Err(reason) => Decoded::Rejected { reason, max_bytes },
            }
        }))
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
    use crate::http::Outcome;

    #[test]
    fn cached_heads_equal_those_of_the_outcome() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), "content").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let file = File::open(&root, c"a").unwrap();
        let now = SystemTime::now() + Duration::from_secs(1);
        for coding in [Coding::Identity, Coding::Gzip] {
            let describe = |digest| {
                let validator = file.version().validator(Some(digest), now);
                Representation::new(7, validator, Some(0), "text/plain", None).coded(coding)
            };
            let resource = Resource::in_memory(&file, describe).unwrap();
            let kept = [(Outcome::Whole, resource.head()), (Outcome::NotModified(None), resource.validators())];
            for (outcome, kept) in kept {
                let mut encoded = Vec::new();
                outcome.fields(&resource.representation).iter().for_each(|field| encode::field(&mut encoded, field));
                assert_eq!(kept, [&encoded[..], b"\r\n"].concat(), "{outcome:?}");
            }
        }
    }
}
