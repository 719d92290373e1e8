//! gzip (RFC 1952).

use std::io::{BufRead, ErrorKind, Read};

use flate2::bufread::GzDecoder;

use super::{Output, Rejected, read_up_to};

/// ID1, ID2, and the compression method "deflate" (§2.3.1).
const START: [u8; 3] = [0x1f, 0x8b, 8];

/// Decodes one member. The decoder verifies its checksum, its length, and the checksum of its header if there is one.
pub fn decode(input: &mut dyn BufRead, mut output: Output) -> Result<u64, Rejected> {
    let start = read_up_to::<{ START.len() }>(input)?;
    if !START.starts_with(&start) {
        return Err(Rejected::Format);
    }
    let mut decoder = GzDecoder::new(start.chain(input));
    loop {
        match decoder.read(&mut output.buffer) {
            Ok(0) => break,
            Ok(length) => output.pass(length)?,
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::UnexpectedEof => return Err(Rejected::CutShort),
                // The errors of the decoder.
                ErrorKind::InvalidInput | ErrorKind::InvalidData => return Err(Rejected::Damaged),
                _ => return Err(Rejected::Unreadable),
            },
        }
    }
    // The decoder leaves the bytes after the member to its caller.
    match read_up_to::<2>(&mut decoder.into_inner())?[..] {
        [] => Ok(output.length),
        [0x1f, 0x8b] => Err(Rejected::SeveralMembers),
        _ => Err(Rejected::TrailingBytes),
    }
}
