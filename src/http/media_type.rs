//! The media type of a file, by the extension of its name (RFC 9110 §8.3).

use std::collections::HashMap;

use super::extensions::CORRECTED;
use super::{Coding, syntax};

/// What is sent for a name that says nothing: a browser offers to save it.
const UNKNOWN: &str = "application/octet-stream";

/// Types by extension: mime_guess's table as it is corrected here, and what overrides both.
#[derive(Debug, Clone, Default)]
pub struct Types(HashMap<String, String>);

impl Types {
    /// Types that come before the tables: pairs of extension and type, of which the last for an extension counts.
    pub fn new(overrides: impl IntoIterator<Item = (String, String)>) -> Self {
        Types(overrides.into_iter().map(|(extension, of)| (extension.to_ascii_lowercase(), of)).collect())
    }

    /// The media type for `name`, without parameters; extensions in any case.
    pub fn of(&self, name: &[u8]) -> &str {
        let Some(extension) = extension(name) else { return UNKNOWN };
        if !self.0.is_empty()
            && let Some(of) = self.0.get(&extension.to_ascii_lowercase())
        {
            return of;
        }
        of_extension(extension)
    }
}

/// The media type for `name` by the tables alone.
pub fn of(name: &[u8]) -> &'static str {
    extension(name).map_or(UNKNOWN, of_extension)
}

fn of_extension(extension: &str) -> &'static str {
    let corrected = CORRECTED.iter().find(|(corrected, _)| corrected.eq_ignore_ascii_case(extension));
    corrected.map(|(_, of)| *of).or_else(|| mime_guess::from_ext(extension).first_raw()).unwrap_or(UNKNOWN)
}

/// How the bytes of a file with this name and type are coded, where the type is that of what they code: `.svgz` is SVG in gzip
/// (SVG 1.1 §1.2), and browsers show nothing without Content-Encoding.
///
/// It is the only one. What is downloaded to be kept, such as `.tar.gz`, `.tgz` or `.svg.gz`, is of the type of its own
/// format; with Content-Encoding clients would unpack it.
pub fn coding(name: &[u8], media_type: &str) -> Coding {
    match extension(name) {
        Some(extension) if extension.eq_ignore_ascii_case("svgz") && media_type == "image/svg+xml" => Coding::Gzip,
        _ => Coding::Identity,
    }
}

/// The pairs of extension and type in a file such as /etc/mime.types: a type and its extensions on a line.
pub fn parse_mime_types(text: &str) -> impl Iterator<Item = (String, String)> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let of = words.next().filter(|of| is_media_type(of)).map(String::from);
        of.into_iter().flat_map(move |of| words.clone().map(move |extension| (extension.to_string(), of.clone())))
    })
}

/// Whether `text` is a media type without parameters (RFC 9110 §8.3.1).
pub fn is_media_type(text: &str) -> bool {
    let is_token = |token: &str| !token.is_empty() && token.bytes().all(syntax::is_token_byte);
    text.split_once('/').is_some_and(|(of, sub)| is_token(of) && is_token(sub))
}

/// Whether `--charset` applies to `media_type`: it is text, and names no character encoding by itself.
pub fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
}

/// The extension as mime_guess reads it: what follows the last dot, unless that dot begins the name.
fn extension(name: &[u8]) -> Option<&str> {
    let name = name.rsplit(|&b| b == b'/').next()?;
    let dot = name.iter().rposition(|&b| b == b'.').filter(|&dot| dot > 0)?;
    std::str::from_utf8(&name[dot + 1..]).ok()
}

#[cfg(test)]
mod tests;
