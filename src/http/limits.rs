//! Size limits of a request.

/// The limits beyond which a request is rejected. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest request line, without its line end; beyond it 414, or 501 if its method is too long (RFC 9112 §3, which
    /// recommends at least 8000).
    pub request_line_bytes: usize,
    /// Longest head, from the request line to the empty line; beyond it 431 (RFC 6585 §5).
    pub head_bytes: usize,
    /// Most field lines in a head, at most [`FIELDS`]; beyond it 431. A browser sends about twenty.
    pub fields: usize,
    /// Longest body that is read and discarded, with the framing of its chunks; beyond it 413. No request for a file needs a
    /// body, and clients that send one with a GET send little.
    pub body_bytes: usize,
}

impl Limits {
    /// Returns the size of the longest request.
    pub fn request_bytes(&self) -> usize {
        self.head_bytes + self.body_bytes
    }
}

/// The capacity for field lines.
pub const FIELDS: usize = 256;

/// The length of the longest method for which an overlong request line gets 414. If the method is longer, it is the
/// cause, and the response is 501. The longest registered method has 17 bytes (the registry of RFC 9110 §16.1.1).
pub const METHOD_BYTES: usize = 32;

/// Most bytes of empty lines before a request; beyond it 400. RFC 9112 §2.2 requires tolerance for one line, since old
/// clients send one after a body.
pub const BLANK_BYTES: usize = 16;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_line_bytes: 8 * 1024,
            // The request line, and as much again for fields: the largest are cookies, which browsers limit to 4 KiB.
            head_bytes: 16 * 1024,
            fields: 100,
            body_bytes: 8 * 1024,
        }
    }
}
