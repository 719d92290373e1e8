//! A start that failed: one sentence for whoever started the server.

use std::io;

use nix::errno::Errno;

use crate::printable::Printable;

/// Why the server cannot start, and what to do about it. Written once, by `main`, which then exits with status 1, or 2.
#[derive(Debug)]
pub struct Failure {
    sentence: String,
    is_usage: bool,
}

impl Failure {
    /// `sentence` names the thing that is wrong and the remedy. It may hold names as they come.
    pub fn new(sentence: impl Into<String>) -> Self {
        Failure { sentence: sentence.into(), is_usage: false }
    }

    /// One that is for an option that is wrong here.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Failure { sentence: sentence.into(), is_usage: true }
    }

    /// Whether an option is wrong, rather than anything else.
    pub fn is_usage(&self) -> bool {
        self.is_usage
    }
}

/// What an error is, in the words of errno(3), without its number.
pub fn reason(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_string())
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Printable(&self.sentence).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn a_sentence_is_one_line_that_a_terminal_can_show() {
        let failure = Failure::new("Cannot open /srv/\u{202e}\u{9b}2J\n<0>it's \"ф\".");
        assert_eq!(failure.to_string(), "Cannot open /srv/\\u{202e}\\u{9b}2J\\n<0>it's \"ф\".");
    }
}
