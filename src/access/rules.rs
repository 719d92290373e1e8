//! Rules of one kind, by their prefixes.

use std::borrow::Cow;

use super::Prefix;

/// Where something is: the paths that lead to it.
pub trait Place {
    /// Returns its path, as in [`Target`](crate::http::Target), in the site that serves it; and its path in the site around that
    /// one, if that site is a part of another one.
    fn paths(&self) -> impl Iterator<Item = &[u8]>;

    /// Returns its path in the site of a host. None if it is not in that site.
    fn path_in(&self, host: &str) -> Option<Cow<'_, [u8]>>;
}

/// A path of a server that has one site.
impl Place for &[u8] {
    fn paths(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(*self)
    }

    fn path_in(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
}

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

    /// Returns the rule for what is at a place.
    pub fn find(&self, place: &impl Place) -> Option<&T> {
        let is_for = |prefix: &Prefix| match &prefix.host {
            None => place.paths().any(|path| prefix.covers(path)),
            Some(host) => place.path_in(host).is_some_and(|path| prefix.covers(&path)),
        };
        self.0.iter().find(|(prefix, _)| is_for(prefix)).map(|(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of the site of a host.
    struct OfHost(&'static str, &'static str);

    impl Place for OfHost {
        fn paths(&self) -> impl Iterator<Item = &[u8]> {
            std::iter::once(self.1.as_bytes())
        }

        fn path_in(&self, host: &str) -> Option<Cow<'_, [u8]>> {
            (host == self.0).then(|| self.1.as_bytes().into())
        }
    }

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
            assert_eq!(rules.find(&OfHost(host, path)), Some(&expected), "{host} {path}");
        }
        assert_eq!(Rules::<()>::default().find(&OfHost("x.test", "a")), None);
    }
}
