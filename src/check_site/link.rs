//! A link in a file of the site, and where it leads (URL Standard §4.4, RFC 3986 §5).

/// A link as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The URL, without the escapes of HTML or CSS.
    pub reference: String,
    /// The line of the file, from 1.
    pub line: u32,
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// To another server, to another scheme, or to the document itself: nothing to look up.
    Elsewhere,
    /// To this path on this server, with a query after a `?`.
    Target(String),
}

impl Reference {
    /// Resolves `reference`, which is in the document at the path `base`, as browsers do. `base` begins with a slash; None
    /// stands for a base on another server.
    pub fn resolve(reference: &str, base: Option<&str>) -> Self {
        let is_blank = |c: char| c <= ' ';
        let reference: String =
            reference.trim_matches(is_blank).chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
        let (reference, _fragment) = reference.split_once('#').unwrap_or((&reference, ""));
        let (path, query) = match reference.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (reference, None),
        };
        // In the schemes of the web, a backslash is a slash.
        let path = path.replace('\\', "/");
        let Some(base) = base else { return Reference::Elsewhere };
        if has_scheme(&path) || path.starts_with("//") || (path.is_empty() && query.is_none()) {
            return Reference::Elsewhere;
        }
        let mut target = match path.strip_prefix('/') {
            Some(_) => without_dots(&path),
            None if path.is_empty() => base.to_string(),
            None => {
                let (directory, _) = base.rsplit_once('/').unwrap_or_default();
                without_dots(&format!("{directory}/{path}"))
            }
        };
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        Reference::Target(target)
    }
}

/// Returns whether a reference begins with a scheme (RFC 3986 §3.1).
fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Resolves the dot segments of a path that begins with a slash. At the top, `..` is the top, as in browsers.
fn without_dots(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let dots = segment.replace("%2e", ".").replace("%2E", ".");
        match &*dots {
            ".." => _ = names.pop(),
            "." => {}
            _ => {
                names.push(segment);
                continue;
            }
        }
        if is_last {
            names.push("");
        }
    }
    format!("/{}", names.join("/"))
}

/// Returns the path at which the file with this relative path is served, percent-encoded.
pub fn path_of_file(relative: &[u8]) -> String {
    let mut path = String::from("/");
    for &byte in relative {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_within_the_site() {
        for (reference, expected) in [
            ("c.html", "/a/c.html"),
            (" c.html\n", "/a/c.html"),
            ("c\n.html", "/a/c.html"),
            ("c d.html", "/a/c d.html"),
            ("./c", "/a/c"),
            (".", "/a/"),
            ("..", "/"),
            ("../c/", "/c/"),
            ("../../../c", "/c"),
            ("%2e%2E/c", "/c"),
            ("c/./d/../e", "/a/c/e"),
            ("/c", "/c"),
            ("\\c\\d", "/c/d"),
            ("/", "/"),
            ("/c/..", "/"),
            ("c#d", "/a/c"),
            ("c?d#e?f", "/a/c?d"),
            ("c?d=/../", "/a/c?d=/../"),
            ("?d", "/a/b.html?d"),
            ("c//d", "/a/c//d"),
            ("./c:d", "/a/c:d"),
            ("1:2", "/a/1:2"),
            ("%41", "/a/%41"),
            ("ä", "/a/ä"),
        ] {
            assert_eq!(
                Reference::resolve(reference, Some("/a/b.html")),
                Reference::Target(expected.into()),
                "{reference}"
            );
        }
    }

    #[test]
    fn references_to_elsewhere() {
        for reference in [
            "",
            " ",
            "#a",
            "https://example.org/",
            "HTTP:a",
            "//example.org/",
            "\\\\example.org",
            "/\\example.org",
            "mailto:a@example.org",
            "data:,a",
            "javascript:void(0)",
            "java\nscript:void(0)",
        ] {
            assert_eq!(Reference::resolve(reference, Some("/a")), Reference::Elsewhere, "{reference}");
        }
        assert_eq!(Reference::resolve("/a", None), Reference::Elsewhere);
    }

    #[test]
    fn paths_of_files() {
        for (file, expected) in
            [("a/b.html", "/a/b.html"), ("a b?.html", "/a%20b%3F.html"), ("100%", "/100%25"), ("ä", "/%C3%A4")]
        {
            assert_eq!(path_of_file(file.as_bytes()), expected);
        }
        assert_eq!(path_of_file(b"\xff"), "/%FF");
    }
}
