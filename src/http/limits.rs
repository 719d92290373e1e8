//! The bounds that a request has to stay within.

/// What a request may cost before it is refused. Sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest request line, without its line end; beyond it 414, or 501 if its method is too long (RFC 9112 §3, which asks
    /// for at least 8000).
    pub request_line_bytes: usize,
    /// Longest head, from the request line to the empty line; beyond it 431 (RFC 6585 §5).
    pub head_bytes: usize,
    /// Most field lines in a head, at most [`FIELDS`]; beyond it 431. A browser sends about twenty.
    pub fields: usize,
    /// Longest body that is read and dropped, with the framing of its chunks; beyond it 413. No file needs a body, and the
    /// clients that send one with a GET send little.
    pub body_bytes: usize,
}

impl Limits {
    /// The longest request.
    pub fn request_bytes(&self) -> usize {
        self.head_bytes + self.body_bytes
    }
}

/// Room for field lines.
pub const FIELDS: usize = 256;

/// A method longer than this is one that no file answers, and to blame for a request line that is too long. The longest
/// that HTTP knows has 17 bytes (the registry that RFC 9110 §16.1.1 asks for).
pub const METHOD_BYTES: usize = 32;

/// Most bytes of empty lines before a request; beyond it 400. RFC 9112 §2.2 asks for one line, for old clients that end a
/// body with one too many.
pub const BLANK_BYTES: usize = 16;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_line_bytes: 8 * 1024,
            // The request line and as much again for fields: cookies are the large ones, and browsers cap those at 4 KiB.
            head_bytes: 16 * 1024,
            fields: 100,
            body_bytes: 8 * 1024,
        }
    }
}
