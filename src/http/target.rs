//! A request target becomes a path beneath the document root (RFC 9112 §3.2, RFC 3986 §5.2.4).

use super::{Refusal, syntax};

/// The path that a request asks for. Guarantees:
///
/// - is relative: does not begin with `/`;
/// - has no segment `.` or `..`, and no NUL;
/// - was percent-decoded exactly once;
/// - ends with `/`, or is empty, exactly when the client asks for a directory.
///
/// Its bytes lie in the buffer that [`decode`] was given, with a NUL behind them.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'p, 'r> {
    /// The path, decoded.
    pub path: &'p [u8],
    /// What follows the `?`, as it was sent.
    pub query: Option<&'r str>,
}

impl Target<'_, '_> {
    /// Whether the client asks for a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.path.last(), None | Some(b'/'))
    }

    /// Whether a name in the path begins with a dot, and is not `.well-known` at its beginning (RFC 8615).
    pub fn is_hidden(&self) -> bool {
        let names = self.path.split(|&b| b == b'/').enumerate();
        let is_hidden =
            |(depth, name): (usize, &[u8])| name.starts_with(b".") && !(depth == 0 && name == b".well-known");
        names.into_iter().any(is_hidden)
    }

    /// Where a directory is that was asked for without its slash: its name with a slash behind it, and the query (RFC 9110
    /// §10.2.2). This is relative to the target as the client knows it, which a front may have cut at its beginning.
    ///
    /// It is one segment, so that neither host nor path can come from the client, and no scheme either: a name with a colon
    /// has `./` in front (RFC 3986 §4.2). A directory that was asked for with its slash is `./`.
    pub fn with_slash(&self) -> String {
        let name = self.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        let mut reference = String::with_capacity(name.len() + "./".len() + "/".len());
        if name.is_empty() || name.contains(&b':') {
            reference.push_str("./");
        }
        encode(name, &mut reference);
        if !name.is_empty() {
            reference.push('/');
        }
        if let Some(query) = self.query {
            reference.push('?');
            encode_query(query, &mut reference);
        }
        reference
    }
}

/// Decodes `target`, which is in origin form or absolute form, into `path`.
///
/// A `%2F` is no separator: no file's name holds a slash, so nothing is there (404). Dot segments, encoded or not, are
/// resolved as RFC 3986 has it, and a `..` that would leave the root is malformed. Empty segments are dropped.
pub fn decode<'p, 'r>(target: &'r str, path: &'p mut Vec<u8>) -> Result<Target<'p, 'r>, Refusal> {
    path.clear();
    if is_plain(target.as_bytes()) {
        path.extend_from_slice(&target.as_bytes()[1..]);
        path.push(0);
        return Ok(Target { path: &path[..target.len() - 1], query: None });
    }
    // A fragment is never sent (RFC 9110 §7.1); one that comes all the same names nothing.
    if holds(target, b'#') {
        return Err(Refusal::Malformed("a target has no fragment"));
    }
    let (target, query) = origin_form(target)?;
    let (raw, query) = match target.bytes().position(|b| b == b'?') {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, query),
    };
    if holds(raw, 0) {
        return Err(Refusal::Malformed("the path holds a NUL"));
    }

    for segment in raw.as_bytes()[1..].split_inclusive(|&b| b == b'/') {
        push_segment(segment, path)?;
    }
    let length = path.len();
    path.push(0);
    Ok(Target { path: &path[..length], query })
}

/// Whether a target is a path as it is, as most are: with nothing to split off, to decode or to resolve.
fn is_plain(target: &[u8]) -> bool {
    let is_odd = |pair: &[u8]| matches!(pair, [_, 0 | b'%' | b'?' | b'#'] | [b'/', b'/' | b'.']);
    target.starts_with(b"/") && !target.windows(2).any(is_odd)
}

/// For texts as short as targets are, this costs a fraction of what a search does that is made for long ones.
fn holds(text: &str, byte: u8) -> bool {
    text.bytes().any(|b| b == byte)
}

/// Path and query behind scheme and authority of an absolute-form target, or the target itself with its query in it: a server must accept it (RFC 9112 §3.2.2), and here every
/// host is the same site.
fn origin_form(target: &str) -> Result<(&str, Option<&str>), Refusal> {
    if target.starts_with('/') {
        return Ok((target, None));
    }
    let rest = strip_prefix_ignore_case(target, "http://")
        .or_else(|| strip_prefix_ignore_case(target, "https://"))
        .ok_or(Refusal::Malformed("the target is neither a path nor an http URI"))?;
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if authority == 0 || !syntax::is_authority(&rest.as_bytes()[..authority]) {
        return Err(Refusal::Malformed("the target names no host"));
    }
    match rest.as_bytes().get(authority) {
        Some(b'/') => Ok((&rest[authority..], None)),
        // An empty path is that of the root, with or without a query (RFC 9110 §4.2.3).
        _ => Ok(("/", rest[authority..].strip_prefix('?'))),
    }
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Appends one segment, with its slash where it has one, to a path that is empty or ends with a slash.
fn push_segment(segment: &[u8], path: &mut Vec<u8>) -> Result<(), Refusal> {
    let (name, slash) = match segment {
        [name @ .., b'/'] => (name, true),
        name => (name, false),
    };
    let start = path.len();
    percent_decode(name, path)?;
    match &path[start..] {
        b"" | b"." => path.truncate(start),
        b".." => {
            path.truncate(start);
            let Some(parent) = path.strip_suffix(b"/") else {
                return Err(Refusal::Malformed("the path climbs above the root"));
            };
            let length = parent.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
            path.truncate(length);
        }
        name if name.contains(&b'/') => return Err(Refusal::NotFound),
        _ if slash => path.push(b'/'),
        _ => {}
    }
    Ok(())
}

fn percent_decode(mut name: &[u8], path: &mut Vec<u8>) -> Result<(), Refusal> {
    while let Some(percent) = name.iter().position(|&b| b == b'%') {
        path.extend_from_slice(&name[..percent]);
        let byte = match name[percent + 1..] {
            [high, low, ..] => hex_digit(high).zip(hex_digit(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match byte {
            None => return Err(Refusal::Malformed("a percent sign is not followed by two hexadecimal digits")),
            Some(0) => return Err(Refusal::Malformed("the path holds a NUL")),
            Some(byte) => path.push(byte),
        }
        name = &name[percent + 3..];
    }
    path.extend_from_slice(name);
    Ok(())
}

fn hex_digit(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// Percent-encodes whatever may not stand in a path as it is (RFC 3986 §3.3).
pub(super) fn encode(path: &[u8], out: &mut String) {
    encode_except(b"/-._~!$&'()*+,;=:@", path, out);
}

/// Percent-encodes whatever may not stand in a URI at all (RFC 3986 §2): escapes stay as they were sent.
fn encode_query(query: &str, out: &mut String) {
    encode_except(b"/-._~!$&'()*+,;=:@?%[]", query.as_bytes(), out);
}

fn encode_except(plain: &[u8], bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(byte as char);
        } else {
            out.push('%');
            out.push(DIGITS[usize::from(byte >> 4)] as char);
            out.push(DIGITS[usize::from(byte & 15)] as char);
        }
    }
}

#[cfg(test)]
mod tests;
