//! A file that is ready to be sent, with its metadata.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use super::file::File;
use super::memory::Reservation;
use super::root::Root;
use super::variants::KnownVariants;
use super::version::FileVersion;
use crate::codec::MEMORY_CODINGS;
use crate::http::h2::priority::Priority;
use crate::http::{Refusal, Representation};
use crate::http::{h1, h2};
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
    /// Its variants on the disk.
    pub variants: KnownVariants,
    /// The content if it is in memory, and the end of the head of a 200.
    bytes: Box<[u8]>,
    content_length: usize,
    validators: usize,
    file: Option<Arc<File>>,
    /// Where it was opened: the root, and the path below it, which may lead through links.
    root: Root,
    path: Box<CStr>,
    /// Whether it can be used for other requests.
    is_cacheable: bool,
    /// What its content in memory decodes to, once that was determined; none if that takes too long.
    pub decoded: OnceLock<Option<Decoded>>,
    /// Its compressed forms, if the server compresses it in memory.
    forms: Option<Box<Forms>>,
    /// The field lines of HTTP/2, once they were needed, and where those begin that a 304 has as well.
    section: OnceLock<(Box<[u8]>, usize)>,
    /// The priority for a client that has sent none.
    priority: Priority,
    /// The memory of such a form.
    _reservation: Option<Reservation>,
}

/// The compressed forms of a file, once they were looked for.
#[derive(Debug, Default)]
pub struct Forms {
    /// In the order of [`MEMORY_CODINGS`]; none if the content does not become shorter.
    pub known: [OnceLock<Option<Arc<Resource>>>; MEMORY_CODINGS.len()],
    /// When the next look is worthwhile, in milliseconds.
    pub next_ms: AtomicU64,
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
        let (version, root, path) = (file.version(), file.root().clone(), file.path().into());
        let resource = Resource::new(version, root, path, representation, Vec::with_capacity(HEAD_BYTES));
        Ok(Resource { file: Some(Arc::new(file)), ..resource })
    }

    /// Creates a resource with the file's content in memory; `describe` gets the content, and whether the file's version is
    /// still the same.
    pub fn in_memory(file: &File, describe: impl FnOnce(&[u8], bool) -> Representation) -> Result<Resource, Refusal> {
        let version = file.version();
        let mut bytes = Vec::with_capacity(version.size() as usize + HEAD_BYTES);
        let is_cacheable = file.read(&mut bytes)?;
        let representation = describe(&bytes, is_cacheable);
        let resource = Resource::new(version, file.root().clone(), file.path().into(), representation, bytes);
        Ok(Resource { is_cacheable, ..resource })
    }

    /// Creates a form of this file with other content in memory: it stands for the same version at the same path.
    pub fn form(&self, representation: Representation, bytes: Vec<u8>, reservation: Option<Reservation>) -> Resource {
        let resource = Resource::new(self.version, self.root.clone(), self.path.clone(), representation, bytes);
        Resource { _reservation: reservation, ..resource }
    }

    /// The same, with the content in a file in memory, which has the reservation.
    pub fn form_in_file(
        &self,
        representation: Representation,
        memory: OwnedFd,
        reservation: Reservation,
    ) -> Option<Resource> {
        let file = File::in_memory(memory, &self.root, self.path.to_bytes(), reservation).ok()?;
        Some(Resource { file: Some(Arc::new(file)), ..self.form(representation, Vec::new(), None) })
    }

    /// Creates a resource with `bytes` as its content in memory.
    fn new(
        version: FileVersion,
        root: Root,
        path: Box<CStr>,
        representation: Representation,
        mut bytes: Vec<u8>,
    ) -> Resource {
        let content_length = bytes.len();
        bytes.reserve(HEAD_BYTES);
        let validators = encode_fields(&mut bytes, &representation);
        Resource {
            version,
            root,
            path,
            priority: Priority::of_media_type(&representation.content_type),
            forms: representation.is_compressible.then(Box::default),
            representation,
            variants: KnownVariants::default(),
            bytes: bytes.into(),
            content_length,
            validators,
            file: None,
            is_cacheable: true,
            decoded: OnceLock::new(),
            section: OnceLock::new(),
            _reservation: None,
        }
    }

    /// Opens its file again.
    pub fn reopen(&self) -> Result<File, Refusal> {
        File::open(&self.root, &self.path)
    }

    /// Returns its compressed forms; none if the server does not compress it in memory.
    pub fn forms(&self) -> Option<&Forms> {
        self.forms.as_deref()
    }

    /// Returns the end of the head of a 200.
    pub fn head(&self) -> &[u8] {
        &self.bytes[self.content_length..]
    }

    /// Returns the fields that a 304 has as well, and the end of its head.
    pub fn validators(&self) -> &[u8] {
        &self.bytes[self.validators..]
    }

    /// Returns its priority in HTTP/2 for a client that has sent none.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Returns the field lines of a 200 in HTTP/2.
    pub fn section(&self) -> &[u8] {
        &self.sections().0
    }

    /// Returns the field lines of a 304 in HTTP/2.
    pub fn validators_section(&self) -> &[u8] {
        let (section, validators) = self.sections();
        &section[*validators..]
    }

    fn sections(&self) -> &(Box<[u8]>, usize) {
        self.section.get_or_init(|| {
            let mut section = Vec::with_capacity(HEAD_BYTES);
            self.representation.content_fields().for_each(|field| h2::encode::field(&mut section, &field));
            let validators = section.len();
            self.representation.validator_fields().for_each(|field| h2::encode::field(&mut section, &field));
            (section.into(), validators)
        })
    }

    /// Returns the content.
    pub fn content(&self) -> Content<'_> {
        self.file.as_ref().map_or(Content::Memory(&self.bytes[..self.content_length]), Content::Disk)
    }

    /// Returns whether its content is in memory.
    pub fn is_in_memory(&self) -> bool {
        self.file.is_none()
    }

    /// Returns whether it can be used for other requests: the file's version did not change while it was read.
    pub fn is_cacheable(&self) -> bool {
        self.is_cacheable
    }

    /// Returns the path below the root, without links, of the file that is at its path now; None if that is another file.
    pub fn real_path(&self) -> Result<Option<Vec<u8>>, Refusal> {
        let own = (self.version.identity.device, self.version.identity.inode);
        self.root.real_path(&self.path, |identity| identity == own)
    }

    /// Returns the bytes of memory that it takes besides the structure itself. The field lines of HTTP/2, which may follow, are
    /// about as long as the end of the head.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.head().len()
    }
}

/// Appends the field lines of a 200 and the empty line, the same for every request. Returns where those begin that a 304 has as
/// well (RFC 9110 §15.4.5).
fn encode_fields(out: &mut Vec<u8>, representation: &Representation) -> usize {
    representation.content_fields().for_each(|field| h1::encode::field(out, &field));
    let validators = out.len();
    representation.validator_fields().for_each(|field| h1::encode::field(out, &field));
    out.extend_from_slice(b"\r\n");
    validators
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::digest::Digest;
    use crate::http::{Coding, Outcome};

    #[test]
    fn cached_heads_equal_those_of_the_outcome() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), "content").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let file = File::open(&root, c"a").unwrap();
        let now = SystemTime::now() + Duration::from_secs(1);
        for coding in [Coding::Identity, Coding::Gzip] {
            let describe = |content: &[u8], _| {
                let validator = file.version().validator(Some(Digest::of(content)), now);
                Representation::new(7, validator, Some(0), "text/plain", None).coded(coding)
            };
            let resource = Resource::in_memory(&file, describe).unwrap();
            let kept = [(Outcome::Whole, resource.head()), (Outcome::NotModified(None), resource.validators())];
            for (outcome, kept) in kept {
                let mut encoded = Vec::new();
                outcome
                    .fields(&resource.representation)
                    .iter()
                    .for_each(|field| h1::encode::field(&mut encoded, field));
                assert_eq!(kept, [&encoded[..], b"\r\n"].concat(), "{outcome:?}");
            }
            let kept =
                [(Outcome::Whole, resource.section()), (Outcome::NotModified(None), resource.validators_section())];
            for (outcome, kept) in kept {
                let mut encoded = Vec::new();
                outcome
                    .fields(&resource.representation)
                    .iter()
                    .for_each(|field| h2::encode::field(&mut encoded, field));
                assert_eq!(kept, encoded, "{outcome:?}");
            }
        }
    }
}
