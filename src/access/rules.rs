//! Rules of one kind, by their prefixes.

use std::borrow::Cow;

use super::Prefix;
use crate::http::Refusal;

/// Where something is: the paths that lead to it.
pub trait Place {
    /// Returns whether `is_wanted` holds for its path, as in [`Target`](crate::http::Target), in the site that serves it, or for
    /// its path in another site, if one of them is a part of the other. Fails if the latter cannot be determined at
    /// the moment.
    fn has_path(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Result<bool, Refusal>;

    /// Returns its path in the site of a host. None if it is not in that site. Fails if that cannot be determined at the moment.
    fn path_in(&self, host: &str) -> Result<Option<Cow<'_, [u8]>>, Refusal>;
}

/// A path of a server that has one site.
impl Place for &[u8] {
    fn has_path(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Result<bool, Refusal> {
        Ok(is_wanted(self))
    }

    fn path_in(&self, _: &str) -> Result<Option<Cow<'_, [u8]>>, Refusal> {
        Ok(None)
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

    /// Returns the rule for what is at a place. Fails if it cannot be determined at the moment whether there is one.
    pub fn find(&self, place: &impl Place) -> Result<Option<&T>, Refusal> {
        let is_for = |prefix: &Prefix| match &prefix.host {
            None => place.has_path(|path| prefix.covers(path)),
            Some(host) => Ok(place.path_in(host)?.is_some_and(|path| prefix.covers(&path))),
        };
        for (prefix, rule) in &self.0 {
            if is_for(prefix)? {
                return Ok(Some(rule));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of the site of a host.
    struct OfHost(&'static str, &'static str);

    impl Place for OfHost {
        fn has_path(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Result<bool, Refusal> {
            Ok(is_wanted(self.1.as_bytes()))
        }

        fn path_in(&self, host: &str) -> Result<Option<Cow<'_, [u8]>>, Refusal> {
            match self.0 {
                "" => Err(Refusal::NoRoot),
                own => Ok((host == own).then(|| self.1.as_bytes().into())),
            }
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
            assert_eq!(rules.find(&OfHost(host, path)), Ok(Some(&expected)), "{host} {path}");
        }
        assert_eq!(Rules::<()>::default().find(&OfHost("x.test", "a")), Ok(None));
        assert_eq!(rules.find(&OfHost("", "a/x")), Err(Refusal::NoRoot), "it is unknown whether x.test/a covers it");
    }
}
