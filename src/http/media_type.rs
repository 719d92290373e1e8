//! The media type of a file, by the extension of its name (RFC 9110 §8.3).

use std::collections::HashMap;

use super::extensions::CORRECTED;
use super::{Coding, syntax};

/// The type for a name without a known extension: a browser offers to save the file.
const UNKNOWN: &str = "application/octet-stream";

/// Types by extension: mime_guess's table, the corrections to it, and the overrides of both.
#[derive(Debug, Clone, Default)]
pub struct Types(HashMap<String, String>);

impl Types {
    /// Creates the table with these overrides: pairs of extension and type. The last pair for an extension applies.
    pub fn new(overrides: impl IntoIterator<Item = (String, String)>) -> Self {
        Types(overrides.into_iter().map(|(extension, of)| (extension.to_ascii_lowercase(), of)).collect())
    }

    /// Returns the media type for `name`, without parameters. Extensions are case-insensitive.
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

/// Returns the media type for `name`, without overrides.
pub fn of(name: &[u8]) -> &'static str {
    extension(name).map_or(UNKNOWN, of_extension)
}

fn of_extension(extension: &str) -> &'static str {
    let corrected = CORRECTED.iter().find(|(corrected, _)| corrected.eq_ignore_ascii_case(extension));
    corrected.map(|(_, of)| *of).or_else(|| mime_guess::from_ext(extension).first_raw()).unwrap_or(UNKNOWN)
}

/// Returns the content coding of a file with this name, if the media type is that of the decoded content: `.svgz` is SVG in
/// gzip (SVG 1.1 §1.2), and browsers show nothing without Content-Encoding.
///
/// It is the only such extension. Files that are downloaded to be stored, such as `.tar.gz`, `.tgz` or `.svg.gz`, have the
/// type of their own format; with Content-Encoding clients would unpack them.
pub fn coding(name: &[u8], media_type: &str) -> Coding {
    match extension(name) {
        Some(extension) if extension.eq_ignore_ascii_case("svgz") && media_type == "image/svg+xml" => Coding::Gzip,
        _ => Coding::Identity,
    }
}

/// Parses a file such as /etc/mime.types into pairs of extension and type: each line has a type and its extensions.
pub fn parse_mime_types(text: &str) -> impl Iterator<Item = (String, String)> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let of = words.next().filter(|of| is_media_type(of)).map(String::from);
        of.into_iter().flat_map(move |of| words.clone().map(move |extension| (extension.to_string(), of.clone())))
    })
}

/// Returns whether `text` is a media type without parameters (RFC 9110 §8.3.1).
pub fn is_media_type(text: &str) -> bool {
    let is_token = |token: &str| !token.is_empty() && token.bytes().all(syntax::is_token_byte);
    text.split_once('/').is_some_and(|(of, sub)| is_token(of) && is_token(sub))
}

/// Returns whether files of `media_type` become smaller by compression: text, and binary formats without compression of their
/// own. Archives and disk images are not among them: they are downloaded in ranges.
pub fn is_compressible(media_type: &str) -> bool {
    const OTHERS: [&str; 18] = [
        "application/javascript",
        "application/json",
        "application/msword",
        "application/postscript",
        "application/rtf",
        "application/sql",
        "application/toml",
        "application/vnd.ms-fontobject",
        "application/wasm",
        "application/x-sh",
        "application/x-tex",
        "application/xml",
        "application/yaml",
        "font/collection",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/x-icon",
    ];
    media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || OTHERS.contains(&media_type)
}

/// Returns whether `--charset` applies to `media_type`: it is text, and specifies no character encoding itself.
pub fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
}

/// Returns the extension as mime_guess defines it: the text after the last dot, unless that dot begins the name.
fn extension(name: &[u8]) -> Option<&str> {
    let name = name.rsplit(|&b| b == b'/').next()?;
    let dot = name.iter().rposition(|&b| b == b'.').filter(|&dot| dot > 0)?;
    std::str::from_utf8(&name[dot + 1..]).ok()
}

#[cfg(test)]
mod tests;
