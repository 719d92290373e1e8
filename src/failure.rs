//! An error that ends the start: one sentence for the administrator.

use std::io;

use nix::errno::Errno;

use crate::printable::Printable;

/// The cause of a failed start and its remedy. `main` logs it once and exits with status 1 or 2.
#[derive(Debug)]
pub struct Failure {
    sentence: String,
    is_usage: bool,
}

impl Failure {
    /// Creates an error. `sentence` names the cause and the remedy. Names in it need no escaping.
    pub fn new(sentence: impl Into<String>) -> Self {
        Failure { sentence: sentence.into(), is_usage: false }
    }

    /// Creates a usage error: an invalid option.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Failure { sentence: sentence.into(), is_usage: true }
    }

    /// Returns whether it is a usage error.
    pub fn is_usage(&self) -> bool {
        self.is_usage
    }
}

/// Returns the text of errno(3), without its number.
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
