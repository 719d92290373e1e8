//! A start that failed: one sentence for whoever started the server.

/// Why the server cannot start, and what to do about it. Written once, by `main`, which then exits with status 1.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// `sentence` names the thing that is wrong and the remedy.
    pub fn new(sentence: impl Into<String>) -> Self {
        Failure(sentence.into())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
