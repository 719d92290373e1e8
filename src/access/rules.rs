//! Rules of one kind, by their prefixes.

use super::Prefix;

/// Rules of one kind. The rule with the longest prefix that covers a path decides; of two with the same path, the one for
/// its host.
#[derive(Debug)]
pub struct Rules<T>(Vec<(Prefix, T)>);

impl<T> Default for Rules<T> {
    fn default() -> Self {
        Rules(Vec::new())
    }
}

impl<T> Rules<T> {
    /// Orders rules.
    pub fn new(rules: impl IntoIterator<Item = (Prefix, T)>) -> Self {
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_by_key(|(prefix, _)| std::cmp::Reverse((prefix.len(), prefix.host.is_some())));
        Rules(rules)
    }

    /// Returns whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the rule for a path as in [`Target`](crate::http::Target) of a site, which `has_host` knows by the names of its
    /// hosts.
    pub fn find(&self, has_host: impl Fn(&str) -> bool, path: &[u8]) -> Option<&T> {
        let is_for = |prefix: &Prefix| prefix.covers(path) && prefix.host.as_deref().is_none_or(&has_host);
        self.0.iter().find(|(prefix, _)| is_for(prefix)).map(|(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let prefixes = ["/", "/a", "/a/b", "x.test/a", "x.test/c", "/d.html"];
        let rules = Rules::new(prefixes.map(|prefix| (Prefix::parse(prefix).unwrap(), prefix)));
        for (host, path, expected) in [
            ("y.test", "", "/"),
            ("y.test", "ab", "/"),
            ("y.test", "a", "/a"),
            ("y.test", "a/b/c", "/a/b"),
            ("x.test", "a/c", "x.test/a"),
            ("x.test", "a/b", "/a/b"),
            ("x.test", "c/", "x.test/c"),
            ("y.test", "c/", "/"),
            ("y.test", "d.html.br", "/d.html"),
        ] {
            assert_eq!(rules.find(|name| name == host, path.as_bytes()), Some(&expected), "{host} {path}");
        }
        assert_eq!(Rules::<()>::default().find(|_| true, b"a"), None);
    }
}
