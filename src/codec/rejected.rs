//! The reasons why a variant is not the file beside it.

use std::fmt;

/// The reason why encoded content is rejected. Displayed as a clause about the encoded file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rejected {
    /// There is no content.
    Empty = 1,
    /// The content has another format.
    Format = 2,
    /// The content ends too early.
    CutShort = 3,
    /// The content is invalid, or does not have its checksum.
    Damaged = 4,
    /// There are bytes after the end.
    TrailingBytes = 5,
    /// There is more than one gzip member or zstd frame.
    SeveralMembers = 6,
    /// There is a skippable zstd frame.
    SkippableFrame = 7,
    /// A zstd frame names a dictionary.
    Dictionary = 8,
    /// The window of a zstd frame is too large for browsers.
    LargeWindow = 9,
    /// The content uses the extension of Brotli that browsers do not support.
    LargeWindowBrotli = 10,
    /// The decoded content is longer than allowed.
    Longer = 11,
    /// The decoded content is shorter than the file.
    Shorter = 12,
    /// The decoded content differs from the file.
    Differs = 13,
    /// The content could not be read. This is a failure of the disk or of the caller, not of the content.
    Unreadable = 14,
    /// The encoded content is not shorter than the file: then nothing is gained.
    NotSmaller = 15,
    /// The file is too large to be compared, and its modification time differs.
    OtherTime = 16,
}

impl Rejected {
    /// All reasons.
    pub const ALL: [Rejected; 16] = [
        Rejected::Empty,
        Rejected::Format,
        Rejected::CutShort,
        Rejected::Damaged,
        Rejected::TrailingBytes,
        Rejected::SeveralMembers,
        Rejected::SkippableFrame,
        Rejected::Dictionary,
        Rejected::LargeWindow,
        Rejected::LargeWindowBrotli,
        Rejected::Longer,
        Rejected::Shorter,
        Rejected::Differs,
        Rejected::Unreadable,
        Rejected::NotSmaller,
        Rejected::OtherTime,
    ];

    /// Returns its number, for messages between processes. It is never 0.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns the reason that has this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Rejected::ALL.into_iter().find(|rejected| rejected.code() == code)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejected::Empty => "it is empty",
            Rejected::Format => "it is not in the format of its suffix",
            Rejected::CutShort => "it is cut short",
            Rejected::Damaged => "it is damaged",
            Rejected::TrailingBytes => "it has bytes after its end",
            Rejected::SeveralMembers => "it has several members or frames",
            Rejected::SkippableFrame => "it has a skippable frame",
            Rejected::Dictionary => "it needs a dictionary",
            Rejected::LargeWindow => "its window is larger than 8 MiB (RFC 9659)",
            Rejected::LargeWindowBrotli => "it uses the large windows of Brotli, which browsers do not support",
            Rejected::Longer => "it decodes to more bytes than the file has",
            Rejected::Shorter => "it decodes to fewer bytes than the file has",
            Rejected::Differs => "it decodes to other content than that of the file",
            Rejected::Unreadable => "it cannot be read",
            Rejected::NotSmaller => "it is not smaller than the file",
            Rejected::OtherTime => "the file is too large to be compared, and its modification time differs",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_back_to_their_reasons() {
        for (index, rejected) in Rejected::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(rejected.code()), index + 1);
            assert_eq!(Rejected::from_code(rejected.code()), Some(rejected));
        }
        assert_eq!(Rejected::from_code(0), None);
        assert_eq!(Rejected::from_code(Rejected::ALL.len() as u8 + 1), None);
    }
}
