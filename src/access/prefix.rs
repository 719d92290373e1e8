//! Prefixes of paths, by whole segments.

use std::fmt;

use crate::dns_name;
use crate::http::target;

/// The ends of other names of a file: its precompressed variants, and a page whose name in a URL has no extension. What is
/// at one of these names is the content of the file, so a rule for the file covers them.
const OTHER_NAMES: [&[u8]; 7] = [b".html", b".br", b".zst", b".gz", b".html.br", b".html.zst", b".html.gz"];

/// A prefix of paths, perhaps of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// The host name in lower case; none for all hosts.
    pub host: Option<String>,
    /// The path as in [`Target`](crate::http::Target), without a slash at its end. Empty for all paths.
    path: Vec<u8>,
}

impl Prefix {
    /// Parses `[HOST]/PREFIX`. The path is written as in a URL: percent-encoded where needed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let slash =
            text.find('/').ok_or_else(|| format!("the prefix {text:?} has no slash: give one such as /intern"))?;
        let (host, path) = text.split_at(slash);
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if !host.is_empty() && !dns_name::is_name(&host) {
            return Err(format!("{host:?} is no host name: give one such as example.org, without a port"));
        }
        if path.contains('?') {
            return Err(format!("the prefix {path} has a query: give the path alone"));
        }
        let mut decoded = Vec::new();
        let decoded = target::decode(path, &mut decoded).map_err(|refusal| format!("the prefix {path}: {refusal}"))?;
        let path = decoded.path.strip_suffix(b"/").unwrap_or(decoded.path).to_vec();
        Ok(Prefix { host: Some(host).filter(|host| !host.is_empty()), path })
    }

    /// Returns whether a path as in [`Target`](crate::http::Target) is the prefix, is below it, or is another name of the file
    /// at the prefix.
    pub fn covers(&self, path: &[u8]) -> bool {
        match path.strip_prefix(self.path.as_slice()) {
            None => false,
            Some(_) if self.path.is_empty() => true,
            Some(b"" | [b'/', ..]) => true,
            Some(rest) => OTHER_NAMES.contains(&rest),
        }
    }

    /// Returns the name of the area in which a browser sends one password (RFC 7617 §2): printable ASCII without quotes.
    pub fn realm(&self) -> String {
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
        self.to_string().chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
    }

    /// Returns the length of its path, in bytes.
    pub fn len(&self) -> usize {
        self.path.len()
    }

    /// Returns whether it covers all paths.
    pub fn is_empty(&self) -> bool {
        self.path.is_empty()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host.as_deref().unwrap_or_default(), self.path.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_whole_segments() {
        for (prefix, covered, others) in [
            ("/", &["", "a", "a/b", ".well-known/x"][..], &[][..]),
            (
                "/private",
                &["private", "private/", "private/a", "private.html", "private.gz", "private.html.br"],
                &["", "privateer", "privat", "Private", "private.txt", "a/private", "private.html/", "private.tar.gz"],
            ),
            ("/private/", &["private", "private/a"], &["privateer"]),
            ("//a/./b/../c", &["a/c", "a/c/d"], &["a", "a/b"]),
            ("/a%20b", &["a b", "a b/c"], &["a%20b"]),
            ("/a.pdf", &["a.pdf", "a.pdf.gz", "a.pdf.zst"], &["a.pdf.txt", "a"]),
        ] {
            let parsed = Prefix::parse(prefix).unwrap();
            let covers = |path: &&str| parsed.covers(path.as_bytes());
            assert!(covered.iter().all(covers), "{prefix} {covered:?}");
            assert!(!others.iter().any(covers), "{prefix} {others:?}");
        }
    }

    #[test]
    fn a_prefix_can_be_of_one_host() {
        let host = |text| Prefix::parse(text).unwrap().host;
        assert_eq!(host("/"), None);
        assert_eq!(host("Example.ORG./a").as_deref(), Some("example.org"));
        let prefix = Prefix::parse("example.org/a%20b%22%5c%c3").unwrap();
        assert_eq!(prefix.realm(), "example.org/a_b_____xc3");
        for wrong in
            ["", "a", "a:80/", "a..b/", "b\u{fc}cher.example/", "*.example.org/", "/a?b", "/%00", "/../a", "/%"]
        {
            assert!(Prefix::parse(wrong).is_err(), "{wrong}");
        }
    }
}
