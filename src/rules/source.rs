//! Where a rule applies: a path, and the host and scheme where they are written.

use super::captures::{Captures, Names, placeholder};
use super::lines::quote;
use super::pattern::PathPattern;
use crate::dns_name;
use crate::http::{Scheme, syntax};

/// The source of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    text: Box<str>,
    scheme: Option<Scheme>,
    host: Option<Host>,
    path: PathPattern,
}

/// A host: labels in lower case, each literal or a placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Literal(Box<str>),
    Labels(Vec<Option<Box<str>>>),
}

impl Source {
    /// Parses a path, or a URI of http or https, or one without a scheme, and adds the names of its placeholders.
    pub(super) fn parse(text: &str, names: &mut Names) -> Result<Self, String> {
        let (scheme, rest) = match split_scheme(text) {
            Some((scheme, rest)) => (scheme, rest),
            None if text.starts_with('/') => {
                let path = PathPattern::parse(text, names).map_err(|reason| format!("{}: {reason}", quote(text)))?;
                return Ok(Source { text: text.into(), scheme: None, host: None, path });
            }
            None => {
                let text = quote(text);
                return Err(format!("{text} is neither a path that begins with \"/\" nor a URI of http or https"));
            }
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = Host::parse(host, names).map_err(|reason| format!("{}: {reason}", quote(text)))?;
        let path = if path.is_empty() { "/" } else { path };
        let path = PathPattern::parse(path, names).map_err(|reason| format!("{}: {reason}", quote(text)))?;
        Ok(Source { text: text.into(), scheme, host: Some(host), path })
    }

    /// Applies to requests of either scheme.
    pub(super) fn ignore_scheme(&mut self) {
        self.scheme = None;
    }

    /// The text in the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The scheme, if the rule applies to one only.
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Whether the rule applies to some hosts only.
    pub fn has_host(&self) -> bool {
        self.host.is_some()
    }

    /// The host in lower case, if the rule applies to one only.
    pub fn host(&self) -> Option<&str> {
        match &self.host {
            Some(Host::Literal(host)) => Some(host),
            _ => None,
        }
    }

    /// Returns a host that matches, with `name` for each placeholder.
    pub(super) fn host_example(&self, name: &str) -> Option<String> {
        match self.host.as_ref()? {
            Host::Literal(host) => Some(host.to_string()),
            Host::Labels(labels) => {
                Some(labels.iter().map(|label| label.as_deref().unwrap_or(name)).collect::<Vec<_>>().join("."))
            }
        }
    }

    /// The pattern of the path.
    pub(super) fn path(&self) -> &PathPattern {
        &self.path
    }

    /// Matches a request, of which `host` is [normalized](normal_host). Replaces `captures`.
    pub(super) fn matches<'p>(
        &self,
        scheme: Scheme,
        host: Option<&'p str>,
        path: &'p [u8],
        captures: &mut Captures<'p>,
    ) -> bool {
        captures.clear();
        if self.scheme.is_some_and(|known| known != scheme) {
            return false;
        }
        if let Some(known) = &self.host
            && !host.is_some_and(|host| known.matches(host, captures))
        {
            return false;
        }
        self.path.matches(path, captures)
    }
}

impl Host {
    fn parse(text: &str, names: &mut Names) -> Result<Self, String> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.contains('*') {
            return Err("a host has no \"*\": write a placeholder such as \":name\" for a label".into());
        }
        let is_placeholder = |label: &str| matches!(placeholder(label), Some((_, "")));
        let is_literal = |label: &str| dns_name::is_name(label);
        if is_literal(text) || text.starts_with('[') && syntax::is_authority(text.as_bytes()) && text.ends_with(']') {
            return Ok(Host::Literal(text.to_ascii_lowercase().into()));
        }
        let mut labels = Vec::new();
        for label in text.split('.') {
            if is_placeholder(label) {
                names.add(&label[1..])?;
                labels.push(None);
            } else if is_literal(label) {
                labels.push(Some(label.to_ascii_lowercase().into()));
            } else if text.contains(':') {
                return Err("a host of a rule has neither a port nor a user: remove them".into());
            } else {
                return Err(
                    "the host is not a name: write letters, digits and hyphens, and \"xn--...\" for others".into()
                );
            }
        }
        Ok(Host::Labels(labels))
    }

    fn matches<'p>(&self, host: &'p str, captures: &mut Captures<'p>) -> bool {
        match self {
            Host::Literal(known) => **known == *host,
            Host::Labels(labels) => {
                let mut found = host.split('.');
                for label in labels {
                    match (label, found.next()) {
                        (Some(label), Some(found)) if **label == *found => {}
                        (None, Some(found)) if !found.is_empty() => captures.push(found.as_bytes().into()),
                        _ => return false,
                    }
                }
                found.next().is_none()
            }
        }
    }
}

/// Splits off the scheme, which may be empty, and the slashes.
fn split_scheme(text: &str) -> Option<(Option<Scheme>, &str)> {
    let (scheme, rest) = text.split_once("//")?;
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    match () {
        _ if scheme.is_empty() => Some((None, rest)),
        _ if is("http:") => Some((Some(Scheme::Http), rest)),
        _ if is("https:") => Some((Some(Scheme::Https), rest)),
        _ => None,
    }
}

/// Returns the host of an authority in lower case, without its port and a dot at its end.
pub fn normal_host(authority: &str) -> String {
    let host = &authority[..syntax::host(authority.as_bytes()).len()];
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(source: &str, scheme: Scheme, authority: Option<&str>, path: &str) -> bool {
        let source = Source::parse(source, &mut Names::default()).unwrap();
        let host = authority.map(normal_host);
        source.matches(scheme, host.as_deref(), path.as_bytes(), &mut Vec::new())
    }

    #[test]
    fn hosts_and_schemes() {
        use Scheme::{Http, Https};
        for (source, scheme, authority, path, expected) in [
            ("/a", Http, None, "/a", true),
            ("/a", Https, Some("x"), "/a", true),
            ("https://old.example/*", Https, Some("OLD.example:8443"), "/a", true),
            ("https://old.example/*", Https, Some("old.example."), "/", true),
            ("https://old.example/*", Http, Some("old.example"), "/a", false),
            ("http://old.example/*", Http, Some("old.example"), "/a", true),
            ("HTTP://Old.Example./*", Http, Some("old.example"), "/a", true),
            ("//old.example/*", Http, Some("old.example"), "/a", true),
            ("//old.example/*", Https, Some("old.example"), "/a", true),
            ("//old.example/*", Https, Some("www.old.example"), "/a", false),
            ("//old.example/*", Https, None, "/a", false),
            ("//old.example", Https, Some("old.example"), "/", true),
            ("//old.example", Https, Some("old.example"), "/a", false),
            ("//:sub.old.example/", Https, Some("www.old.example"), "/", true),
            ("//:sub.old.example/", Https, Some("a.www.old.example"), "/", false),
            ("//:sub.old.example/", Https, Some("old.example"), "/", false),
            ("//[::1]/", Https, Some("[::1]:80"), "/", true),
        ] {
            assert_eq!(matches(source, scheme, authority, path), expected, "{source} {authority:?} {path}");
        }
    }

    #[test]
    fn sources_that_are_refused() {
        for source in [
            "a",
            "",
            "ftp://a/",
            "mailto:a",
            "https:///a",
            "https://*.a/",
            "https://a:80/",
            "https://u@a/",
            "https://a..b/",
            "https://b\u{fc}cher.example/",
            "https://:a.:a/",
            "https://a:b/",
            "https:/a/",
        ] {
            assert!(Source::parse(source, &mut Names::default()).is_err(), "{source}");
        }
    }
}
