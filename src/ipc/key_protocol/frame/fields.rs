//! The fields of frames: numbers, texts and lists, certificates and overviews.

use crate::ipc::key_protocol::{Certificate, KeyKind, MAX_CHAIN, MAX_CHAIN_BYTES, MAX_NAMES, MAX_TEXT_BYTES, Overview};

/// The most faults of one certificate.
const MAX_FAULTS: usize = 16;

impl KeyKind {
    const ALL: [KeyKind; 4] = [KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::Rsa, KeyKind::Ed25519];
}

/// Appends fields to a frame.
pub(in crate::ipc) struct Writer(pub(in crate::ipc) Vec<u8>);

impl Writer {
    pub(in crate::ipc) fn new(kind: u8, number: u32) -> Self {
        Writer(vec![kind]).u32(number)
    }

    pub(in crate::ipc) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(in crate::ipc) fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    pub(in crate::ipc) fn u16(self, value: u16) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(in crate::ipc) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(in crate::ipc) fn u64(self, value: u64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(in crate::ipc) fn bytes(self, bytes: &[u8]) -> Self {
        let bytes = bytes.get(..usize::from(u16::MAX)).unwrap_or(bytes);
        self.u16(bytes.len() as u16).raw(bytes)
    }

    pub(in crate::ipc) fn list<T: AsRef<[u8]>>(self, items: &[T]) -> Self {
        items.iter().fold(self.u16(items.len() as u16), |writer, item| writer.bytes(item.as_ref()))
    }

    pub(in crate::ipc) fn certificate(self, certificate: &Certificate) -> Self {
        self.raw(&certificate.id)
            .u8(KeyKind::ALL.iter().position(|kind| *kind == certificate.key).unwrap_or(0) as u8)
            .u64(certificate.not_before as u64)
            .u64(certificate.not_after as u64)
            .u8(certificate.is_default.into())
            .bytes(certificate.folder.as_bytes())
            .list(&certificate.chain)
            .list(&certificate.names)
    }

    pub(in crate::ipc) fn overview(self, overview: &Overview) -> Self {
        self.bytes(overview.folder.as_bytes())
            .list(&overview.names)
            .bytes(overview.issuer.as_bytes())
            .bytes(overview.key.as_bytes())
            .u64(overview.not_before as u64)
            .u64(overview.not_after as u64)
            .u8(overview.is_usable.into())
            .list(&overview.faults)
    }
}

/// Parses fields: the rest of a frame. A method returns none if its field is not exactly right.
pub(in crate::ipc) struct Reader<'a>(pub(in crate::ipc) &'a [u8]);

impl<'a> Reader<'a> {
    pub(in crate::ipc) fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(in crate::ipc) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.raw(N)?.try_into().ok()
    }

    pub(in crate::ipc) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(in crate::ipc) fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(in crate::ipc) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(in crate::ipc) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(in crate::ipc) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(in crate::ipc) fn bytes(&mut self, max_length: usize) -> Option<&'a [u8]> {
        let length = usize::from(self.u16()?);
        (length <= max_length).then(|| self.raw(length)).flatten()
    }

    /// Parses a text. A control character could end a line of the log or of the messages to systemd.
    pub(in crate::ipc) fn text(&mut self) -> Option<String> {
        let text = str::from_utf8(self.bytes(MAX_TEXT_BYTES)?).ok()?;
        (!text.contains(char::is_control)).then(|| text.into())
    }

    pub(in crate::ipc) fn list<T>(
        &mut self,
        max_length: usize,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let length = usize::from(self.u16()?);
        // Each item has two bytes at least: a list that does not fit allocates nothing.
        (length <= max_length && 2 * length <= self.0.len()).then_some(())?;
        (0..length).map(|_| item(self)).collect()
    }

    pub(in crate::ipc) fn certificate(&mut self) -> Option<Certificate> {
        Some(Certificate {
            id: self.array()?,
            key: *KeyKind::ALL.get(usize::from(self.u8()?))?,
            not_before: self.u64()? as i64,
            not_after: self.u64()? as i64,
            is_default: self.bool()?,
            folder: self.text()?,
            chain: self.list(MAX_CHAIN, |reader| reader.bytes(MAX_CHAIN_BYTES).map(Vec::from))?,
            names: self.list(MAX_NAMES, Reader::text)?,
        })
    }

    pub(in crate::ipc) fn overview(&mut self) -> Option<Overview> {
        Some(Overview {
            folder: self.text()?,
            names: self.list(MAX_NAMES, Reader::text)?,
            issuer: self.text()?,
            key: self.text()?,
            not_before: self.u64()? as i64,
            not_after: self.u64()? as i64,
            is_usable: self.bool()?,
            faults: self.list(MAX_FAULTS, Reader::text)?,
        })
    }
}
