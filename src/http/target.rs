//! Conversion of a request target to a path below the document root (RFC 9112 §3.2, RFC 3986 §5.2.4).

use std::ffi::CStr;

use super::{Refusal, syntax};

/// The error of a path that no file can have.
pub const NUL: Refusal = Refusal::Malformed("the path contains a NUL");

/// The path of a request. Guarantees:
///
/// - it is relative: it does not begin with `/`;
/// - it has no segment `.` or `..`, and no NUL;
/// - it was percent-decoded exactly once;
/// - it ends with `/`, or is empty, if and only if the client requests a directory.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'p, 'r> {
    /// The path, decoded.
    pub path: &'p [u8],
    /// The same for system calls.
    pub c_path: &'p CStr,
    /// The same with a slash before it (RFC 9110 §4.1).
    pub absolute_path: &'p [u8],
    /// The text after the `?`, as it was sent.
    pub query: Option<&'r str>,
    /// Whether a name in the path begins with a dot, except `.well-known` as the first name (RFC 8615).
    pub is_hidden: bool,
}

impl<'p, 'r> Target<'p, 'r> {
    /// Creates the target of an absolute path with the guarantees above, to which it appends a NUL.
    pub fn new(absolute_path: &'p mut Vec<u8>, query: Option<&'r str>) -> Result<Self, Refusal> {
        let is_hidden = is_hidden(&absolute_path[1..]);
        Target::with_nul(absolute_path, query, is_hidden)
    }

    fn with_nul(buffer: &'p mut Vec<u8>, query: Option<&'r str>, is_hidden: bool) -> Result<Self, Refusal> {
        buffer.push(0);
        let c_path = CStr::from_bytes_with_nul(&buffer[1..]);
        let c_path = c_path.map_err(|_| NUL)?;
        Ok(Target { path: c_path.to_bytes(), c_path, absolute_path: &buffer[..buffer.len() - 1], query, is_hidden })
    }

    /// Returns whether the client requests a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.path.last(), None | Some(b'/'))
    }

    /// Returns the Location of a directory that was requested without its slash: its name, a slash, and the query (RFC 9110
    /// §10.2.2). It is relative to the target as the client knows it, from which a reverse proxy may have removed a prefix.
    ///
    /// It is one segment, so that the client can inject neither a host nor a path, and no scheme: a name with a colon is
    /// preceded by `./` (RFC 3986 §4.2). For a directory that was requested with its slash it is `./`.
    pub fn with_slash(&self) -> String {
        let name = last_name(self.path);
        let mut reference = String::with_capacity(name.len() + "./".len() + "/".len());
        if name.is_empty() || name.contains(&b':') {
            reference.push_str("./");
        }
        encode(name, &mut reference);
        if !name.is_empty() {
            reference.push('/');
        }
        self.with_query(reference)
    }

    /// Returns the Location of a page that was requested with a slash at its end: the same name without it, and the query. It is
    /// relative, as that of [`with_slash`](Target::with_slash).
    pub fn without_slash(&self) -> String {
        let path = self.path.strip_suffix(b"/").unwrap_or(self.path);
        let mut reference = String::from("../");
        encode(last_name(path), &mut reference);
        self.with_query(reference)
    }

    /// Returns the Location of a page whose name was requested with its extension: the name without it, and the query. For an
    /// index, which has `is_index`, it is that of its directory.
    pub fn without_extension(&self, is_index: bool) -> String {
        let name = last_name(self.path);
        let stem = name.iter().rposition(|&b| b == b'.').map_or(name, |dot| &name[..dot]);
        let mut reference = String::from("./");
        if !is_index {
            encode(stem, &mut reference);
        }
        self.with_query(reference)
    }

    fn with_query(&self, mut reference: String) -> String {
        if let Some(query) = self.query {
            reference.push('?');
            encode_query(query, &mut reference);
        }
        reference
    }
}

/// Returns whether a name in a path begins with a dot, except `.well-known` as the first name (RFC 8615).
pub fn is_hidden(path: &[u8]) -> bool {
    let mut names = path.split(|&b| b == b'/').enumerate();
    names.any(|(depth, name)| name.starts_with(b".") && !(depth == 0 && name == b".well-known"))
}

fn last_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

/// Decodes `target`, which is in origin form or absolute form, into `buffer`.
///
/// A `%2F` is not a separator: file names contain no slash, so nothing exists there (404). Dot segments, encoded or not,
/// are resolved as in RFC 3986; a `..` that would leave the root is malformed. Empty segments are removed.
pub fn decode<'p, 'r>(target: &'r str, buffer: &'p mut Vec<u8>) -> Result<Target<'p, 'r>, Refusal> {
    buffer.clear();
    if is_plain(target.as_bytes()) {
        buffer.extend_from_slice(target.as_bytes());
        return Target::with_nul(buffer, None, false);
    }
    // Clients must not send a fragment (RFC 9110 §7.1).
    if contains(target, b'#') {
        return Err(Refusal::Malformed("the target contains a fragment"));
    }
    let (target, query) = origin_form(target)?;
    let (raw, query) = match target.bytes().position(|b| b == b'?') {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, query),
    };
    // Also in a segment that is removed.
    if contains(raw, 0) {
        return Err(NUL);
    }
    buffer.push(b'/');
    for segment in raw.as_bytes()[1..].split_inclusive(|&b| b == b'/') {
        push_segment(segment, buffer)?;
    }
    Target::new(buffer, query)
}

/// Returns the https URI of a valid target at `host`, with its path and query as they were sent. None if it is in another
/// form.
pub fn https_uri(host: &str, port: Option<u16>, target: &str) -> Option<String> {
    let (path, query) = origin_form(target).ok()?;
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let mut uri = format!("https://{host}{port}");
    encode_query(path, &mut uri);
    if let Some(query) = query {
        uri.push('?');
        encode_query(query, &mut uri);
    }
    Some(uri)
}

/// Returns whether a target needs no splitting, decoding or resolving, and is not hidden, as most are.
fn is_plain(target: &[u8]) -> bool {
    let [b'/', rest @ ..] = target else { return false };
    let (mut odd, mut before) = (0, KINDS[usize::from(b'/')]);
    // There is no branch for each byte, since most targets are plain to their end.
    for &byte in rest {
        let kind = KINDS[usize::from(byte)];
        odd |= kind & (before >> AFTER);
        before = kind;
    }
    odd == 0
}

/// A byte that no plain target has.
const ODD: u8 = 1;

/// A byte that no plain target has after a slash.
const ODD_AFTER_SLASH: u8 = 2;

/// The bits of a kind that say what is odd after it are so much higher.
const AFTER: u8 = 4;

/// The kind of each byte of a target.
const KINDS: [u8; 256] = {
    let mut kinds = [ODD << AFTER; 256];
    kinds[b'%' as usize] |= ODD;
    kinds[b'?' as usize] |= ODD;
    kinds[b'#' as usize] |= ODD;
    kinds[b'/' as usize] |= ODD_AFTER_SLASH | ODD_AFTER_SLASH << AFTER;
    kinds[b'.' as usize] |= ODD_AFTER_SLASH;
    kinds
};

/// Returns whether `text` contains `byte`. For short texts such as targets this is several times faster than a search that
/// is optimized for long ones.
fn contains(text: &str, byte: u8) -> bool {
    text.bytes().any(|b| b == byte)
}

/// Returns path and query of an absolute-form target, which a server must accept (RFC 9112 §3.2.2). Returns any other
/// target unchanged, with its query in it.
fn origin_form(target: &str) -> Result<(&str, Option<&str>), Refusal> {
    if target.starts_with('/') {
        return Ok((target, None));
    }
    let (authority, rest) =
        split_absolute(target).ok_or(Refusal::Malformed("the target is neither a path nor an http or https URI"))?;
    if authority.is_empty() || !syntax::is_authority(authority.as_bytes()) {
        return Err(Refusal::Malformed("the target has no valid host"));
    }
    match rest.as_bytes().first() {
        Some(b'/') => Ok((rest, None)),
        // An empty path means the root, with or without a query (RFC 9110 §4.2.3).
        _ => Ok(("/", rest.strip_prefix('?'))),
    }
}

/// Returns the authority of an absolute-form target, which may be no valid one; [`decode`] rejects it then.
pub fn authority(target: &str) -> Option<&str> {
    split_absolute(target).map(|(authority, _)| authority)
}

/// Splits an absolute-form target before the path.
fn split_absolute(target: &str) -> Option<(&str, &str)> {
    let rest = strip_prefix_ignore_case(target, "http://").or_else(|| strip_prefix_ignore_case(target, "https://"))?;
    Some(rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())))
}

fn strip_prefix_ignore_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Appends one segment, with its slash if it has one, to an absolute path that ends with a slash.
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
            let parent = path[..start - 1].iter().rposition(|&b| b == b'/');
            let parent = parent.ok_or(Refusal::Malformed("the path leads above the root"))?;
            path.truncate(parent + 1);
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
            Some(0) => return Err(NUL),
            Some(byte) => path.push(byte),
        }
        name = &name[percent + 3..];
    }
    path.extend_from_slice(name);
    Ok(())
}

/// Returns the value of a hexadecimal digit.
pub fn hex_digit(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// Percent-encodes all bytes that a path may not contain (RFC 3986 §3.3).
pub fn encode(path: &[u8], out: &mut String) {
    encode_except(b"/-._~!$&'()*+,;=:@", path, out);
}

/// Percent-encodes all bytes that a URI may not contain (RFC 3986 §2). Escapes remain as they were sent.
pub fn encode_query(query: &str, out: &mut String) {
    encode_except(b"/-._~!$&'()*+,;=:@?%[]", query.as_bytes(), out);
}

/// Percent-encodes all bytes that have a meaning in a query or a fragment.
pub fn encode_component(value: &[u8], out: &mut String) {
    encode_except(b"/-._~", value, out);
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
