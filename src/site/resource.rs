//! A file that is ready to be sent, with its metadata.

use std::ffi::CStr;
use std::io::{self, BufRead, Read};
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use super::compressed::Forms;
use super::digests::Digests;
use super::file::File;
use super::memory::Reservation;
use super::root::Root;
use super::variants::KnownVariants;
use super::version::FileVersion;
use crate::codec::{Rejected, decode};
use crate::digest::Hasher;
use crate::http::h1::encode;
use crate::http::{Coding, Refusal, Representation};
use crate::ipc::decoded::Decoded;
use crate::os::clock;

/// The capacity for the fields of a head, in bytes.
const HEAD_BYTES: usize = 256;

/// The processor time that a request spends on decoding, in nanoseconds. 128 KiB take 0.4 ms, but content that was made for
/// it takes 30 times as long. Without optimization, all takes longer.
const MAX_DECODE_NS: u64 = if cfg!(debug_assertions) { 60_000_000 } else { 2_000_000 };

/// The bytes that are decoded between two checks of the time.
const DECODE_STEP_BYTES: usize = 1024;

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
    decoded: OnceLock<Option<Decoded>>,
    /// Its compressed forms, if the server compresses it in memory.
    forms: Option<Box<Forms>>,
    /// The memory of such a form.
    _reservation: Option<Reservation>,
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
            forms: representation.is_compressible.then(Box::default),
            representation,
            variants: KnownVariants::default(),
            bytes: bytes.into(),
            content_length,
            validators,
            file: None,
            is_cacheable: true,
            decoded: OnceLock::new(),
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

    /// Returns the content.
    pub fn content(&self) -> Content<'_> {
        self.file.as_ref().map_or(Content::Memory(&self.bytes[..self.content_length]), Content::Disk)
    }

    /// Returns what its content in memory decodes to, at most `max_bytes`, which is the same at each call. None if its content
    /// is not in memory, or takes too long.
    pub fn decode(&self, coding: Coding, max_bytes: u64, digests: &Digests) -> Option<Decoded> {
        let Content::Memory(content) = self.content() else { return None };
        let decode = || decode_content(coding, content, max_bytes);
        *self.decoded.get_or_init(|| match self.representation.digest() {
            Some(digest) => digests.decoded_content(digest, coding, decode),
            None => decode(),
        })
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

    /// Returns the bytes of memory that it takes besides the structure itself.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Returns what `content` decodes to, at most `max_bytes`; None if that takes too long.
fn decode_content(coding: Coding, content: &[u8], max_bytes: u64) -> Option<Decoded> {
    let mut content = LimitedTime { content, end_ns: clock::thread_ns() + MAX_DECODE_NS };
    let mut hasher = Hasher::default();
    let mut update = |decoded: &[u8]| {
        hasher.update(decoded);
        Ok(())
    };
    match decode(coding, &mut content, max_bytes, &mut update) {
        Ok(_) => Some(Decoded::Digest(hasher.finish())),
        Err(Rejected::Unreadable) => None,
        Err(reason) => Some(Decoded::Rejected { reason, max_bytes }),
    }
}

/// A reader of content in memory that fails once this thread has used too much processor time.
struct LimitedTime<'c> {
    content: &'c [u8],
    end_ns: u64,
}

impl BufRead for LimitedTime<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if clock::thread_ns() > self.end_ns {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(&self.content[..self.content.len().min(DECODE_STEP_BYTES)])
    }

    fn consume(&mut self, length: usize) {
        self.content = &self.content[length..];
    }
}

impl Read for LimitedTime<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(out)?;
        self.consume(length);
        Ok(length)
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

    use super::*;
    use crate::digest::Digest;
    use crate::http::Outcome;
    use crate::ipc::scoreboard::WorkerCounters;

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
                outcome.fields(&resource.representation).iter().for_each(|field| encode::field(&mut encoded, field));
                assert_eq!(kept, [&encoded[..], b"\r\n"].concat(), "{outcome:?}");
            }
        }
    }

    /// A gzip member of 32 KiB: each 12 bytes are a block with Huffman codes of its own, which encodes one byte of 255
    /// (RFC 1951 §3.2.7). Returns the number of blocks as well.
    fn costly_gzip() -> (Vec<u8>, u32) {
        let (mut bits, mut count) = (Vec::new(), 0u32);
        let mut put = |value: u32, length: u32| bits.extend((0..length).map(|bit| (value >> bit & 1) as u8));
        while count < 2_800 {
            count += 1;
            // Not the last; dynamic; 257 literals and 1 distance; 18 lengths of codes, 1 bit each for 18 and for 1.
            [(0, 1), (2, 2), (0, 5), (0, 5), (14, 4)].into_iter().for_each(|(value, length)| put(value, length));
            (0..18).for_each(|index| put(u32::from(matches!(index, 2 | 17)), 3));
            // No code for 138 and 117 literals; one bit each for 255, the end and a distance; then 255 and the end.
            let lengths = [(1, 1), (138 - 11, 7), (1, 1), (117 - 11, 7), (0, 3)];
            lengths.into_iter().chain([(0, 1), (1, 1)]).for_each(|(value, length)| put(value, length));
        }
        // A last block without content.
        [(1, 1), (1, 2), (0, 7), (0, 7)].into_iter().for_each(|(value, length)| put(value, length));
        let deflated = bits.chunks_exact(8).map(|byte| byte.iter().rev().fold(0, |byte, bit| byte << 1 | bit));
        let mut checksum = flate2::Crc::new();
        checksum.update(&vec![255; count as usize]);
        let end = [checksum.sum().to_le_bytes(), count.to_le_bytes()].concat();
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03".iter().copied().chain(deflated).chain(end).collect(), count)
    }

    #[test]
    fn content_that_takes_too_long_to_decode_is_left_to_others() {
        let directory = tempfile::tempdir().unwrap();
        let (costly, count) = costly_gzip();
        let mut decoded = Vec::new();
        decode(Coding::Gzip, &mut &costly[..], 1 << 20, &mut |part| {
            decoded.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
        assert!(decoded == vec![255; count as usize] && costly.len() < 34_000);
        let root = Root::open(directory.path()).unwrap();
        let digests = Digests::new(None, WorkerCounters::discard());
        for (content, is_decoded) in [(costly, false), (b"\x1f\x8b".to_vec(), true)] {
            fs::write(directory.path().join("a"), content).unwrap();
            let file = File::open(&root, c"a").unwrap();
            let describe = |_: &[u8], _| Representation::new(7, None, None, "text/plain", None);
            let resource = Resource::in_memory(&file, describe).unwrap();
            for _ in 0..2 {
                let begin_ns = clock::thread_ns();
                assert_eq!(resource.decode(Coding::Gzip, 1 << 20, &digests).is_some(), is_decoded);
                assert!(clock::thread_ns() - begin_ns < 2 * MAX_DECODE_NS);
            }
        }
    }
}
