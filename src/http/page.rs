//! The built-in error pages: the status, and no information about this machine.

use super::Status;

/// The media type of [`of`].
pub const MEDIA_TYPE: &str = "text/html";

/// Returns a short HTML page that shows `status`.
pub fn of(status: Status) -> String {
    with_text(status, "")
}

/// Returns the same with `text`, which is HTML, below the status.
pub fn with_text(status: Status, text: &str) -> String {
    let line = status.line();
    format!("<!DOCTYPE html>\n<html lang=\"en\">\n<title>{line}</title>\n<h1>{line}</h1>\n{text}</html>\n")
}
