//! For the tests of both protocols: frames are read in no other form than the one in which they are written.

use std::fmt::Debug;

/// Checks that a frame that lacks bytes or has more of them is none, nor does it or a changed one make the parser panic.
#[track_caller]
pub fn check_strict<T: Debug + PartialEq>(frame: &[u8], decode: impl Fn(&[u8]) -> Option<T>) {
    for length in 0..frame.len() {
        assert_eq!(decode(&frame[..length]), None, "{length} of {} bytes", frame.len());
    }
    assert_eq!(decode(&[frame, &[0]].concat()), None, "a further byte");
    for position in 0..frame.len().min(200) {
        let mut changed = frame.to_vec();
        changed[position] ^= 0xff;
        let _ = decode(&changed);
    }
}
