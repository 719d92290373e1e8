//! The header of the ClientHello, before rustls has processed it: the length that it announces.

/// The length of the header of a record.
const RECORD_HEADER: usize = 5;

/// The length of the header of a message of a handshake: its type and its length.
const MESSAGE_HEADER: usize = 4;

/// The header of the first message, from the bytes as they arrive, whatever records it is divided into: rustls moves
/// messages in its input together.
#[derive(Debug, Default)]
pub struct HelloHeader {
    record: [u8; RECORD_HEADER],
    /// The bytes of `record` that have arrived.
    record_bytes: u8,
    /// The content of the record that has arrived.
    content_bytes: u16,
    message: [u8; MESSAGE_HEADER],
    /// The bytes of `message` that have arrived.
    message_bytes: u8,
}

impl HelloHeader {
    /// Adds bytes that have arrived. Returns the length that the first message announces, once it is known.
    pub fn message_length(&mut self, received: &[u8]) -> Option<usize> {
        for byte in received {
            if usize::from(self.message_bytes) == MESSAGE_HEADER {
                break;
            }
            self.push(*byte);
        }
        let [_, length @ ..] = self.message;
        let is_known = usize::from(self.message_bytes) == MESSAGE_HEADER;
        is_known.then(|| length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.record.get_mut(usize::from(self.record_bytes)) {
            *place = byte;
            (self.record_bytes, self.content_bytes) = (self.record_bytes + 1, 0);
        } else {
            self.message[usize::from(self.message_bytes)] = byte;
            self.message_bytes += 1;
            self.content_bytes += 1;
        }
        let [_, _, _, high, low] = self.record;
        if usize::from(self.record_bytes) == RECORD_HEADER && self.content_bytes == u16::from_be_bytes([high, low]) {
            self.record_bytes = 0;
        }
    }
}
