//! The read buffer of a thread.

/// Bytes that were read and not yet parsed.
#[derive(Debug)]
pub struct ReadBuffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// Creates an empty buffer of `size` bytes.
    pub fn new(size: usize) -> Self {
        ReadBuffer { bytes: vec![0; size].into(), start: 0, end: 0 }
    }

    /// Returns the unread bytes.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Returns the unread bytes for changes.
    pub fn unread_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Replaces the content with `bytes`, which are from a buffer of the same size.
    pub fn load(&mut self, bytes: &[u8]) {
        self.bytes[..bytes.len()].copy_from_slice(bytes);
        (self.start, self.end) = (0, bytes.len());
    }

    /// Removes the first `length` bytes.
    pub fn consume(&mut self, length: usize) {
        self.start += length;
        // Mostly, these were all: then nothing is to be moved.
        if self.start == self.end {
            self.clear();
        }
    }

    /// Removes all bytes.
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Removes all bytes after the first `length`.
    pub fn truncate(&mut self, length: usize) {
        self.end = self.end.min(self.start + length);
    }

    /// Returns the free space after the unread bytes.
    pub fn spare(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.bytes[self.end..]
    }

    /// Adds `length` bytes, which were written to the beginning of [`spare`](ReadBuffer::spare), to the unread bytes.
    pub fn filled(&mut self, length: usize) {
        self.end += length;
    }
}

#[cfg(test)]
mod tests {
    use super::ReadBuffer;

    #[test]
    fn bytes_are_appended_at_the_end_and_consumed_from_the_start() {
        let mut input = ReadBuffer::new(8);
        input.load(b"abcdef");
        input.consume(4);
        assert_eq!(input.unread(), b"ef");
        assert_eq!(input.spare().len(), 6);
        input.spare()[..2].copy_from_slice(b"gh");
        input.filled(2);
        assert_eq!(input.unread(), b"efgh");
        input.truncate(3);
        input.truncate(4);
        assert_eq!(input.unread(), b"efg");
        input.clear();
        assert_eq!(input.unread(), b"");
        assert_eq!(input.spare().len(), 8);
    }
}
