//! The pages that go with an error: the status, and nothing about this machine.

use super::Status;

/// The media type of [`of`].
pub const MEDIA_TYPE: &str = "text/html";

/// A short HTML page that says what `status` says.
pub fn of(status: Status) -> String {
    let line = status.line();
    format!("<!DOCTYPE html>\n<html lang=\"en\">\n<title>{line}</title>\n<h1>{line}</h1>\n</html>\n")
}
