//! A file that is held ready to be sent, with all that is said of it.

use std::sync::Arc;

use super::file::{File, FileVersion};
use crate::http::h1::encode;
use crate::http::{Refusal, Representation};

/// A file, open or in memory, and what is said of it.
#[derive(Debug)]
pub struct Resource {
    /// Which state of which file it is.
    pub version: FileVersion,
    /// What is said of it.
    pub representation: Representation,
    /// The end of a 200's head, and the content if that is in memory.
    bytes: Box<[u8]>,
    validators: usize,
    head_length: usize,
    file: Option<Arc<File>>,
    /// Whether the next request may have it.
    is_cacheable: bool,
}

/// Where a file's content is.
#[derive(Debug)]
pub enum Content<'h> {
    /// Here.
    Memory(&'h [u8]),
    /// In a file that is open.
    Disk(&'h Arc<File>),
}

impl Resource {
    /// Holds a file open, which can be read.
    pub fn open(file: File, representation: Representation) -> Result<Resource, Refusal> {
        if file.version().size > 0 {
            file.probe(0)?;
        }
        let mut bytes = Vec::with_capacity(256);
        let validators = encode_fields(&mut bytes, &representation);
        let (identity, head_length) = (file.version(), bytes.len());
        Ok(Resource {
            version: identity,
            representation,
            bytes: bytes.into(),
            validators,
            head_length,
            file: Some(Arc::new(file)),
            is_cacheable: true,
        })
    }

    /// Holds a file's content in memory.
    pub fn in_memory(file: &File, representation: Representation) -> Result<Resource, Refusal> {
        let identity = file.version();
        let mut bytes = Vec::with_capacity(256 + identity.size as usize);
        let validators = encode_fields(&mut bytes, &representation);
        let head_length = bytes.len();
        let is_to_keep = file.read(&mut bytes)?;
        Ok(Resource {
            version: identity,
            representation,
            bytes: bytes.into(),
            validators,
            head_length,
            file: None,
            is_cacheable: is_to_keep,
        })
    }

    /// The end of a 200's head.
    pub fn head(&self) -> &[u8] {
        &self.bytes[..self.head_length]
    }

    /// What a 304 says of it as well, and the end of its head.
    pub fn validators(&self) -> &[u8] {
        &self.bytes[self.validators..self.head_length]
    }

    /// The content.
    pub fn content(&self) -> Content<'_> {
        self.file.as_ref().map_or(Content::Memory(&self.bytes[self.head_length..]), Content::Disk)
    }

    /// Whether its content is in memory.
    pub fn is_in_memory(&self) -> bool {
        self.file.is_none()
    }

    /// Whether the next request may have it: its identity did not change while it was read.
    pub fn is_cacheable(&self) -> bool {
        self.is_cacheable
    }

    /// Bytes of memory besides the structure.
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
