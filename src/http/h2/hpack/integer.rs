//! Integers with a prefix of some bits (RFC 7541 §5.1).

use super::DecodeError;

/// The limit of bytes after the prefix: a value has at most 28 bits more than it. Others are longer than any string that a frame
/// holds, or zeros that make it longer than it need be.
const MAX_FURTHER_BYTES: usize = 4;

/// Removes the integer at the beginning of `bytes`, whose prefix are the lowest `prefix_bits` of the first byte.
pub fn take(bytes: &mut &[u8], prefix_bits: u32) -> Result<u32, DecodeError> {
    let mask = (1u32 << prefix_bits) - 1;
    let (&first, rest) = bytes.split_first().ok_or(DecodeError::Malformed("a field section ends too early"))?;
    *bytes = rest;
    let mut value = u32::from(first) & mask;
    if value < mask {
        return Ok(value);
    }
    for number in 0..MAX_FURTHER_BYTES {
        let (&byte, rest) = bytes.split_first().ok_or(DecodeError::Malformed("an integer ends too early"))?;
        *bytes = rest;
        value += u32::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(DecodeError::Malformed("an integer is too long"))
}

/// Appends an integer with a prefix of `prefix_bits`; the bits above it are those of `pattern`.
pub fn put(out: &mut Vec<u8>, pattern: u8, prefix_bits: u32, value: usize) {
    let mask = (1usize << prefix_bits) - 1;
    if value < mask {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
