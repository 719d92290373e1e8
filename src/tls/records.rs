//! A buffer for records.

/// Records that are to be sent.
#[derive(Debug, Default)]
pub struct RecordBuffer {
    bytes: Vec<u8>,
    end: usize,
}

impl RecordBuffer {
    /// Returns the records.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// Removes all records.
    pub fn clear(&mut self) {
        self.end = 0;
    }

    /// Appends `bytes`.
    pub fn append(&mut self, bytes: &[u8]) {
        self.spare(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Adds `length` bytes, which were written to the beginning of [`spare`](RecordBuffer::spare).
    pub fn filled(&mut self, length: usize) {
        self.end += length;
    }

    /// Returns the free space that is allocated.
    pub fn allocated(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// Returns at least `size` bytes of free space.
    pub fn spare(&mut self, size: usize) -> &mut [u8] {
        if self.bytes.len() < self.end + size {
            self.bytes.resize(self.end + size, 0);
        }
        &mut self.bytes[self.end..]
    }
}
