//! The comparison of a variant's decoded content with the original, in memory of a constant size.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;

use super::variant::modified;
use crate::codec::{Rejected, decode};
use crate::http::coding::Coding;

/// The size of the read buffer, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;

/// Decodes `variant` and compares it with `original`, whose metadata was `before`. Returns the reason if they differ.
///
/// Fails if one of them cannot be read, or if the original changes meanwhile.
pub fn compare(variant: &File, coding: Coding, original: &File, before: &Metadata) -> io::Result<Option<Rejected>> {
    let mut source = Source { file: variant, offset: 0, error: None };
    let (mut offset, mut expected, mut failure) = (0, Vec::new(), None);
    let mut sink = |part: &[u8]| {
        expected.resize(part.len(), 0);
        if let Err(error) = original.read_exact_at(&mut expected, offset) {
            failure = Some(error);
            return Err(Rejected::Unreadable);
        }
        offset += part.len() as u64;
        if part == expected { Ok(()) } else { Err(Rejected::Differs) }
    };
    let mut input = BufReader::with_capacity(BUFFER_BYTES, &mut source);
    let decoded = decode(coding, &mut input, before.len(), &mut sink);
    let after = original.metadata()?;
    if (after.len(), modified(&after)) != (before.len(), modified(before)) {
        return Err(changed());
    }
    match decoded {
        Ok(length) if length < before.len() => Ok(Some(Rejected::Shorter)),
        Ok(_) => Ok(None),
        // Without an error of a file, the decoder had too little memory.
        Err(Rejected::Unreadable) => Err(source.error.or(failure).unwrap_or_else(|| ErrorKind::OutOfMemory.into())),
        Err(rejected) => Ok(Some(rejected)),
    }
}

/// Returns the error for a file that changes while it is compared.
pub fn changed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it changed while it was compared with its variant")
}

/// A file that is read from its start, and the error that ended it: the decoders do not return it.
struct Source<'f> {
    file: &'f File,
    offset: u64,
    error: Option<io::Error>,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read_at(buffer, self.offset) {
            Ok(length) => {
                self.offset += length as u64;
                Ok(length)
            }
            Err(error) => {
                let kind = error.kind();
                self.error = Some(error);
                Err(kind.into())
            }
        }
    }
}
