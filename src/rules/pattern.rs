//! Patterns of paths: literal bytes, placeholders, and at most one splat.
//!
//! A placeholder matches at least one byte and no slash; the splat matches anything. Before the splat, a placeholder matches as
//! little as possible, after it, too, and the splat what is left: so a match needs no backtracking. A slash at the end does
//! not matter, and `/a/*` matches `/a`.

use std::borrow::Cow;

use super::captures::{Captures, Names, SPLAT, placeholder};
use crate::http::target::hex_digit;

/// The longest pattern in bytes: longer paths do not fit into a request.
const MAX_PATTERN_BYTES: usize = 4096;

/// A pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    /// What is before the splat, or everything.
    head: Vec<Piece>,
    /// What is after the splat, if there is one.
    tail: Option<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// These bytes, decoded; at least one.
    Literal(Box<[u8]>),
    /// At least one byte, and no slash.
    Placeholder,
}

impl PathPattern {
    /// Parses a pattern that begins with a slash, and adds the names of its placeholders in the order in which it captures.
    pub fn parse(text: &str, names: &mut Names) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err("the path does not begin with \"/\"".into());
        }
        if text.len() > MAX_PATTERN_BYTES {
            return Err(format!("the path is longer than {MAX_PATTERN_BYTES} bytes, so no request has it"));
        }
        if text.contains(['?', '#']) {
            return Err(
                "a path has no query and no fragment: write a query parameter as \"name=value\" after it".into()
            );
        }
        if text.split('/').any(|segment| dots(segment) > 0) {
            return Err("no request has a path with \"/./\" or \"/../\"".into());
        }
        let text: &str = &without_empty_segments(text);
        let (head, tail) = match text.split_once('*') {
            Some((_, tail)) if tail.contains('*') => {
                return Err("the path has more than one \"*\": write placeholders such as \":name\" instead".into());
            }
            Some((head, tail)) => (head, Some(tail)),
            None => (text, None),
        };
        // A slash at the end does not matter.
        let trim = |text: &str| text.trim_end_matches('/').len();
        let head = if tail.is_none() { &head[..trim(head).max(1)] } else { head };
        let head = pieces(head, names)?;
        let tail = match tail {
            Some(tail) => {
                names.add(SPLAT)?;
                Some(pieces(&tail[..trim(tail)], names)?)
            }
            None => None,
        };
        let is_ambiguous = |pieces: &[Piece], end: Option<&Piece>| {
            end == Some(&Piece::Placeholder)
                || pieces.windows(2).any(|two| matches!(two, [Piece::Placeholder, Piece::Placeholder]))
        };
        let before_splat = tail.as_ref().and_then(|_| head.last());
        let after_splat = tail.as_ref().and_then(|tail| tail.first());
        if is_ambiguous(&head, before_splat) || tail.as_ref().is_some_and(|tail| is_ambiguous(tail, after_splat)) {
            return Err("nothing is between two placeholders: write a character such as \"/\" between them".into());
        }
        Ok(PathPattern { head, tail })
    }

    /// Returns the only path that matches, if there is only one, without a slash at its end unless it is `/`.
    pub fn exact(&self) -> Option<&[u8]> {
        match (self.head.as_slice(), &self.tail) {
            ([Piece::Literal(path)], None) => Some(path),
            _ => None,
        }
    }

    /// Returns the bytes with which every path begins that matches; a path may lack the last slash of them.
    pub fn prefix(&self) -> &[u8] {
        match self.head.first() {
            Some(Piece::Literal(prefix)) => prefix,
            _ => b"",
        }
    }

    /// Returns a path that matches: with `name` for each placeholder, and `splat` for the splat. None if there is no splat
    /// where one is given.
    pub fn example(&self, name: &[u8], splat: Option<&[u8]>) -> Option<Vec<u8>> {
        let pieces = |pieces: &[Piece]| {
            let bytes = |piece: &Piece| match piece {
                Piece::Literal(literal) => literal.to_vec(),
                Piece::Placeholder => name.to_vec(),
            };
            pieces.iter().flat_map(bytes).collect::<Vec<u8>>()
        };
        match (&self.tail, splat) {
            (None, None) => Some(pieces(&self.head)),
            (Some(tail), Some(splat)) => Some([&pieces(&self.head), splat, &pieces(tail)].concat()),
            _ => None,
        }
    }

    /// Matches `path`, which begins with a slash, and adds what the placeholders matched.
    pub fn matches<'p>(&self, path: &'p [u8], captures: &mut Captures<'p>) -> bool {
        let without_slash = trim_slash(path);
        let Some(tail) = &self.tail else {
            return match_forward(&self.head, 0, without_slash, true, captures).is_some();
        };
        let path = if tail.is_empty() { path } else { without_slash };
        let count = captures.len();
        let Some(end) = match_forward(&self.head, 0, path, false, captures) else {
            captures.truncate(count);
            // "/a/*" matches "/a".
            let is_parent = tail.is_empty()
                && self.ends_with_slash()
                && path.len() > 1
                && match_forward(&self.head, 1, without_slash, true, captures).is_some();
            if is_parent {
                captures.push(Cow::Borrowed(b""));
            }
            return is_parent;
        };
        let splat = captures.len();
        let Some(start) = match_backward(tail, &path[end..], captures) else { return false };
        captures.push(Cow::Borrowed(&path[end..end + start]));
        // The splat's name is before those of the tail, whose captures were added from the last to the first.
        captures[splat..].reverse();
        true
    }

    fn ends_with_slash(&self) -> bool {
        matches!(self.head.last(), Some(Piece::Literal(last)) if last.ends_with(b"/"))
    }
}

/// Returns 1 or 2 for a dot segment, which may be encoded, else 0.
pub fn dots(segment: &str) -> usize {
    if segment.len() > "%2e%2e".len() {
        return 0;
    }
    match segment.to_ascii_lowercase().replace("%2e", ".").as_str() {
        "." => 1,
        ".." => 2,
        _ => 0,
    }
}

/// Requests have no empty segments.
fn without_empty_segments(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return path.into();
    }
    let mut previous = ' ';
    path.chars().filter(|&next| std::mem::replace(&mut previous, next) != '/' || next != '/').collect()
}

/// Removes one slash at the end, but not the only one.
pub fn trim_slash(path: &[u8]) -> &[u8] {
    match path {
        [rest @ .., b'/'] if !rest.is_empty() => rest,
        path => path,
    }
}

fn pieces(text: &str, names: &mut Names) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
    while let Some(next) = rest.chars().next() {
        if let Some((name, after)) = placeholder(rest) {
            names.add(name)?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(decode(&literal)?.into()));
                literal.clear();
            }
            pieces.push(Piece::Placeholder);
            rest = after;
        } else {
            literal.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(decode(&literal)?.into()));
    }
    Ok(pieces)
}

/// Decodes the escapes of a path in a rule.
pub fn decode(text: &str) -> Result<Vec<u8>, String> {
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            decoded.push(*first);
            rest = after;
            continue;
        }
        let byte = match after {
            [high, low, ..] => hex_digit(*high).zip(hex_digit(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match byte {
            None => return Err("a \"%\" is not followed by two hexadecimal digits: write it as \"%25\"".into()),
            Some(0) => return Err("the path contains %00, which no file name has".into()),
            Some(b'/') => return Err("the path contains %2F, which no file name has: write \"/\"".into()),
            Some(byte) => decoded.push(byte),
        }
        rest = &after[2..];
    }
    Ok(decoded)
}

/// Matches `pieces`, with the last literal shortened by `cut` bytes, at the beginning of `text`. Each placeholder is as
/// short as possible. Returns where the match ends.
fn match_forward<'p>(
    pieces: &[Piece],
    cut: usize,
    text: &'p [u8],
    is_whole: bool,
    captures: &mut Captures<'p>,
) -> Option<usize> {
    let (mut at, mut open) = (0, false);
    for (index, piece) in pieces.iter().enumerate() {
        let is_last = index + 1 == pieces.len();
        let Piece::Literal(literal) = piece else {
            open = true;
            continue;
        };
        let literal = if is_last { &literal[..literal.len() - cut] } else { literal };
        let rest = &text[at..];
        let found = match (open, is_last && is_whole) {
            (false, false) => rest.starts_with(literal).then_some(0),
            (false, true) => (rest == literal).then_some(0),
            (true, true) => rest.ends_with(literal).then(|| rest.len() - literal.len()),
            // A placeholder matches at least one byte.
            (true, false) => rest.get(1..).and_then(|rest| find(literal, rest)).map(|found| found + 1),
        }?;
        if open {
            captures.push(segment(&rest[..found])?);
            open = false;
        }
        at += found + literal.len();
    }
    if open {
        captures.push(segment(&text[at..])?);
        at = text.len();
    }
    Some(at)
}

/// Matches `pieces`, which begin with a literal, at the end of `text`. Captures from the last to the first. Returns where the
/// match begins.
fn match_backward<'p>(pieces: &[Piece], text: &'p [u8], captures: &mut Captures<'p>) -> Option<usize> {
    let (mut end, mut open) = (text.len(), false);
    for piece in pieces.iter().rev() {
        let Piece::Literal(literal) = piece else {
            open = true;
            continue;
        };
        let rest = &text[..end];
        if open {
            let found = rest.len().checked_sub(1).and_then(|length| rfind(literal, &rest[..length]))?;
            captures.push(segment(&rest[found + literal.len()..])?);
            (end, open) = (found, false);
        } else {
            end = rest.strip_suffix(&**literal)?.len();
        }
    }
    Some(end)
}

/// What a placeholder may match.
fn segment(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    (!bytes.is_empty() && !bytes.contains(&b'/')).then_some(Cow::Borrowed(bytes))
}

fn find(needle: &[u8], text: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    text.windows(needle.len()).position(|window| window == needle)
}

fn rfind(needle: &[u8], text: &[u8]) -> Option<usize> {
    text.windows(needle.len()).rposition(|window| window == needle)
}

#[cfg(test)]
mod tests;
