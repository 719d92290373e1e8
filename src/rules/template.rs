//! Where a rule leads to: a URI or a file, with placeholders to fill in.

use super::captures::{Captures, Names, SPLAT, placeholder};
use super::lines::quote;
use super::pattern::{decode, dots};
use super::{MAX_TARGET_BYTES, is_reserved};
use crate::http::{syntax, target};

/// A part of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<T> {
    Text(T),
    /// What the placeholder with this index matched.
    Capture(usize),
}

/// The target of a redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Scheme and authority, for a URI.
    origin: Option<Box<str>>,
    path: Vec<Part<Box<str>>>,
    query: Option<Vec<Part<Box<str>>>>,
    fragment: Option<Vec<Part<Box<str>>>>,
}

/// A location whose placeholders are filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled<'l> {
    /// Scheme and authority, for a URI.
    pub origin: Option<&'l str>,
    /// The path, encoded, with a leading slash, and without dot segments.
    pub path: String,
    /// The query, encoded, without its question mark.
    pub query: Option<String>,
    /// The fragment, encoded, without its hash sign.
    pub fragment: Option<String>,
}

/// The file that is the content of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    path: Vec<Part<Box<[u8]>>>,
}

impl Location {
    /// The scheme and authority, if the target is a URI.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Parses a path or a URI of http or https.
    pub fn parse(text: &str, names: &Names) -> Result<Self, String> {
        check(text, names)?;
        let (origin, rest) = split_origin(text)?;
        let (rest, fragment) = split(rest, '#');
        let (path, query) = split(rest, '?');
        let path = if path.is_empty() { "/" } else { path };
        Ok(Location {
            origin: origin.map(Into::into),
            path: parts(path, names, |text| encode_path(text).into()),
            query: query.map(|query| parts(query, names, |text| encode_query(text).into())),
            fragment: fragment.map(|fragment| parts(fragment, names, |text| encode_query(text).into())),
        })
    }

    /// Fills in the placeholders. The query of the request is passed on unless the target has one.
    pub fn fill(&self, captures: &Captures, query: Option<&str>) -> Filled<'_> {
        let path = fill(&self.path, captures, target::encode);
        let query = match &self.query {
            Some(parts) => Some(fill(parts, captures, target::encode_component)),
            None => query.map(|query| encoded(query, target::encode_query)),
        };
        Filled {
            origin: self.origin.as_deref(),
            path: without_dots(&path, self.origin.is_none()),
            query,
            fragment: self.fragment.as_ref().map(|parts| fill(parts, captures, target::encode_component)),
        }
    }
}

impl Filled<'_> {
    /// Returns the value of Location.
    pub fn uri(&self) -> String {
        let mut uri = [self.origin.unwrap_or_default(), &self.path].concat();
        for (mark, part) in [('?', &self.query), ('#', &self.fragment)] {
            if let Some(part) = part {
                uri.push(mark);
                uri.push_str(part);
            }
        }
        uri
    }
}

impl File {
    /// Parses a path below the document root. What is not part of a path has no meaning for a file.
    pub fn parse(text: &str, names: &Names) -> Result<Self, String> {
        check(text, names)?;
        if !text.starts_with('/') || text.starts_with("//") {
            return Err(format!(
                "{} is not a file of this site, and this server does not proxy: write a path, or the status of a redirect",
                quote(text)
            ));
        }
        let (path, _) = split(split(text, '#').0, '?');
        let mut mistake = None;
        let path = parts(path, names, |text| {
            let decoded = decode(text).map_err(|reason| mistake = Some(reason)).unwrap_or_default();
            decoded.into()
        });
        if let Some(reason) = mistake {
            return Err(format!("{}: {reason}", quote(text)));
        }
        let file = File { path };
        if !file.has_captures() && file.fill(&Captures::new()).is_none() {
            return Err(format!(
                "{} is never served: it is above the document root, begins with a dot, or has rules or settings",
                quote(text)
            ));
        }
        Ok(file)
    }

    /// Returns whether it depends on what placeholders matched.
    pub fn has_captures(&self) -> bool {
        self.path.iter().any(|part| matches!(part, Part::Capture(_)))
    }

    /// Returns the path with a leading slash, without dot segments; none if it is never served.
    pub fn fill(&self, captures: &Captures) -> Option<Vec<u8>> {
        let mut filled = Vec::new();
        for part in &self.path {
            filled.extend_from_slice(match part {
                Part::Text(text) => text,
                Part::Capture(index) => captures.get(*index)?,
            });
        }
        resolve(&filled).filter(|path| !target::is_hidden(&path[1..]) && !is_reserved(path))
    }
}

/// Returns what is wrong with any target.
fn check(text: &str, names: &Names) -> Result<(), String> {
    if text.len() > MAX_TARGET_BYTES {
        return Err(format!("the target is longer than {MAX_TARGET_BYTES} bytes: {}", quote(text)));
    }
    if text.contains('*') && names.find(SPLAT).is_some_and(|splat| !uses(text, names, splat)) {
        return Err(format!("{}: what \"*\" matched is written \":splat\" in the target", quote(text)));
    }
    Ok(())
}

fn uses(text: &str, names: &Names, index: usize) -> bool {
    parts(text, names, |_| ()).contains(&Part::Capture(index))
}

/// Returns the names in a target that look like placeholders and have no value. They are sent as text, as in "Talk:Main", which
/// is not meant as one.
pub fn unknown_placeholders<'t>(text: &'t str, names: &Names) -> Vec<&'t str> {
    let is_word = |at: usize| text[..at].ends_with(|before: char| before.is_alphanumeric());
    let colons = text.match_indices(':').filter(|(at, _)| !is_word(*at));
    let found = colons.filter_map(|(at, _)| placeholder(&text[at..]));
    found.map(|(name, _)| name).filter(|name| names.find(name).is_none()).collect()
}

/// Resolves dot segments and removes empty ones. Returns none if the path leads above the root or contains a NUL.
fn resolve(path: &[u8]) -> Option<Vec<u8>> {
    let mut resolved = Vec::with_capacity(path.len() + 1);
    let mut is_directory = true;
    for segment in path.split(|&byte| byte == b'/') {
        is_directory = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                let slash = resolved.iter().rposition(|&byte| byte == b'/')?;
                resolved.truncate(slash);
            }
            _ => {
                resolved.push(b'/');
                resolved.extend_from_slice(segment);
            }
        }
    }
    if is_directory {
        resolved.push(b'/');
    }
    (!resolved.contains(&0)).then_some(resolved)
}

/// Splits a URI before its path. Of a path, all is the rest.
fn split_origin(text: &str) -> Result<(Option<&str>, &str), String> {
    if text.starts_with("//") || text.starts_with("/\\") {
        return Err(format!("{} leads to another host without a scheme: write \"https://\" before it", quote(text)));
    }
    if text.starts_with('/') {
        return Ok((None, text));
    }
    let authority = target::authority(text).ok_or_else(|| {
        format!("{} is neither a path that begins with \"/\" nor a URI of http or https", quote(text))
    })?;
    if !syntax::is_authority(authority.as_bytes()) {
        return Err(format!(
            "{} has no valid host: the host of a target is written out, without placeholders and users, and with \
             \"xn--...\" for other letters than those of ASCII",
            quote(text)
        ));
    }
    let scheme = text.find("//").map_or(0, |slashes| slashes + 2);
    let (origin, rest) = text.split_at(scheme + authority.len());
    Ok((Some(origin), rest))
}

fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(text, rest)| (text, Some(rest)))
}

/// Splits a text at the placeholders that have a value. Others are text.
fn parts<T>(text: &str, names: &Names, mut literal: impl FnMut(&str) -> T) -> Vec<Part<T>> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while let Some(colon) = text[at..].find(':') {
        at += colon;
        match placeholder(&text[at..]).and_then(|(name, rest)| Some((names.find(name)?, rest))) {
            Some((index, rest)) => {
                if start < at {
                    parts.push(Part::Text(literal(&text[start..at])));
                }
                parts.push(Part::Capture(index));
                at = text.len() - rest.len();
                start = at;
            }
            None => at += 1,
        }
    }
    if start < text.len() {
        parts.push(Part::Text(literal(&text[start..])));
    }
    parts
}

fn fill(parts: &[Part<Box<str>>], captures: &Captures, encode: impl Fn(&[u8], &mut String)) -> String {
    let mut filled = String::new();
    for part in parts {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Capture(index) => encode(captures.get(*index).map_or(b"", |value| value), &mut filled),
        }
    }
    filled
}

fn encoded(text: &str, encode: impl Fn(&str, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    encode(text, &mut out);
    out
}

/// Encodes what a path may not contain; escapes stay.
fn encode_path(text: &str) -> String {
    keep_escapes(text, |text, out| target::encode(text.as_bytes(), out))
}

/// Encodes what a query or fragment may not contain; escapes stay.
fn encode_query(text: &str) -> String {
    keep_escapes(text, target::encode_query)
}

fn keep_escapes(text: &str, encode: impl Fn(&str, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, part) in text.split('%').enumerate() {
        if index > 0 {
            let is_escape = part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
            out.push_str(if is_escape { "%" } else { "%25" });
        }
        encode(part, &mut out);
    }
    out
}

/// Returns an encoded path that begins with a slash, without its dot segments (RFC 3986 §5.2.4), and, if `is_local`, without
/// empty segments: it then begins with one slash.
fn without_dots(path: &str, is_local: bool) -> String {
    let mut out = String::with_capacity(path.len() + 1);
    let mut ends_with_slash = true;
    for segment in path.split('/').skip(1) {
        let dots = dots(segment);
        ends_with_slash = dots > 0 || segment.is_empty();
        match dots {
            0 if segment.is_empty() && is_local => {}
            0 => {
                out.push('/');
                out.push_str(segment);
            }
            1 => {}
            _ => out.truncate(out.rfind('/').unwrap_or(0)),
        }
    }
    if ends_with_slash && !out.ends_with('/') {
        out.push('/');
    }
    out
}

#[cfg(test)]
mod tests;
