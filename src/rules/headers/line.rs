//! The parser of one line of `_headers`.

use crate::http::syntax;
use crate::rules::lines::{quote, trim};

/// The longest line with a field in bytes. Clients refuse heads with longer ones.
const MAX_LINE_BYTES: usize = 8192;

/// The fields that a rule neither sets nor removes: those of the message, and those of what this server promises. The others
/// begin with "Proxy-".
const FORBIDDEN: [&str; 18] = [
    "Accept-Ranges",
    "Age",
    "Allow",
    "Alt-Svc",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Date",
    "ETag",
    "Keep-Alive",
    "Last-Modified",
    "Location",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "WWW-Authenticate",
];

/// A line below a source.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'t> {
    /// Sets a field to a value.
    Set(&'t str, &'t str),
    /// Removes a field.
    Remove(&'t str),
}

/// Returns whether a line begins a rule: with a slash, or with a scheme.
pub fn is_source(line: &[u8]) -> bool {
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let end = line.iter().position(|&byte| !is_scheme(byte)).unwrap_or(line.len());
    line.starts_with(b"/") || end > 0 && line[end..].starts_with(b"://")
}

/// Returns whether a line sets a password.
pub fn is_password(line: &[u8]) -> bool {
    let name = line.split(|&byte| byte == b':').next().map(trim).unwrap_or_default();
    name.eq_ignore_ascii_case(b"Basic-Auth")
}

/// Returns a prefix, up to a slash, of every path that a source with a mistake may have meant.
pub fn known_prefix(source: &str) -> &str {
    let is_special =
        |byte: char| matches!(byte, '*' | ':' | '%' | '?' | '#' | '.' | ' ' | '\t') || !byte.is_ascii_graphic();
    let known = source.find(is_special).map_or(source, |end| &source[..end]);
    let is_plain = known.starts_with('/') && !known.contains("//");
    if is_plain { &known[..=known.rfind('/').unwrap_or(0)] } else { "/" }
}

/// Parses a line with a field.
pub fn parse_line(line: &str) -> Result<Line<'_>, String> {
    if line.len() > MAX_LINE_BYTES {
        return Err(format!("the line is longer than {MAX_LINE_BYTES} bytes: {}", quote(line)));
    }
    if let Some(name) = line.strip_prefix('!') {
        let name = name.trim();
        check_name(name)?;
        if name.eq_ignore_ascii_case("Vary") {
            return Err("Vary cannot be removed: caches would mix up responses".into());
        }
        return Ok(Line::Remove(name));
    }
    let Some((name, value)) = line.split_once(':') else {
        return Err(format!("{} is neither a path nor a field: write \"Name: value\" or \"! Name\"", quote(line)));
    };
    let (name, value) = (name.trim(), value.trim());
    check_name(name)?;
    if value.is_empty() {
        return Err(format!("the field {} has no value: write one, or \"! Name\" to remove it", quote(name)));
    }
    let is_member = |member: &str| !member.is_empty() && member.bytes().all(syntax::is_token_byte);
    if name.eq_ignore_ascii_case("Vary") && !value.split(',').map(str::trim).all(is_member) {
        return Err(format!("{} is not a list of field names: write such as \"Vary: Accept, Cookie\"", quote(value)));
    }
    Ok(Line::Set(name, value))
}

/// Returns what is wrong with setting or removing a field.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || !name.bytes().all(syntax::is_token_byte) {
        return Err(format!("{} is not the name of a field: it has letters, digits and hyphens", quote(name)));
    }
    let is_proxy = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("Proxy-"));
    if is_proxy || FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name)) {
        let hint = match name.to_ascii_lowercase().as_str() {
            "location" => "write a rule in _redirects instead",
            "www-authenticate" => "use --auth instead",
            _ => "remove the line",
        };
        return Err(format!("the server itself decides about the field {}: {hint}", quote(name)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_with_a_mistake_has_a_known_prefix() {
        for (source, expected) in [
            ("/secret/**", "/secret/"),
            ("/secret", "/"),
            ("/a/b/:c:d/e", "/a/b/"),
            ("/a/se%zzcret/b", "/a/"),
            ("/a/../secret/**", "/a/"),
            ("/caf\u{e9}/**", "/"),
            ("//a/**", "/"),
            ("https://x:80/secret/*", "/"),
            ("/", "/"),
            ("", "/"),
        ] {
            assert_eq!(known_prefix(source), expected, "{source}");
        }
    }

    #[test]
    fn sources_begin_with_a_slash_or_a_scheme() {
        for line in ["/", "/a", "https://x", "ftp://x/"] {
            assert!(is_source(line.as_bytes()), "{line}");
        }
        for line in ["X-A: b", "Link:<https://x>", "X:://", "://x", "!x", "https:/x", ""] {
            assert!(!is_source(line.as_bytes()), "{line}");
        }
    }
}
