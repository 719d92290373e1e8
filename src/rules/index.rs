//! The rules that may match a path, in the order of the file, without a walk over all of them.

use rustc_hash::FxHashMap;

use super::pattern::trim_slash;
use super::source::Source;

/// The depth of prefixes by which patterns are found: `/a/b/` is 2.
const MAX_DEPTH: usize = 4;

/// The lists of rules that one request looks into: exact paths and prefixes, with and without the host.
const MAX_LISTS: usize = 2 * (MAX_DEPTH + 2);

/// An index of rules by their sources. A rule is known by its position in the file.
///
/// The maps' hash function is fast and not keyed: the keys are those of the file, which clients cannot choose.
#[derive(Debug, Clone, Default)]
pub struct Index {
    all_hosts: PathIndex,
    hosts: FxHashMap<Box<str>, PathIndex>,
}

#[derive(Debug, Clone, Default)]
struct PathIndex {
    /// By the only path that matches.
    exact: FxHashMap<Box<[u8]>, Vec<u32>>,
    /// By a prefix that a slash follows, or the end of the path: "/a/*" matches "/a".
    prefixes: [FxHashMap<Box<[u8]>, Vec<u32>>; MAX_DEPTH + 1],
}

impl Index {
    /// Adds the next rule of the file.
    pub fn add(&mut self, rule: usize, source: &Source) {
        let rule = u32::try_from(rule).unwrap_or(u32::MAX);
        let index = match source.host() {
            Some(host) => self.hosts.entry(host.into()).or_default(),
            None => &mut self.all_hosts,
        };
        let list = match source.path().exact() {
            Some(path) => index.exact.entry(path.into()).or_default(),
            None => {
                let (depth, prefix) = prefixes(source.path().prefix()).last().unwrap_or_default();
                index.prefixes[depth].entry(prefix.into()).or_default()
            }
        };
        list.push(rule);
    }

    /// Returns the rules that may match, in order. `host` is normalized.
    pub fn candidates(&self, host: Option<&str>, path: &[u8]) -> Candidates<'_> {
        let mut candidates = Candidates { lists: [&[]; MAX_LISTS], count: 0 };
        self.all_hosts.find(path, &mut candidates);
        if !self.hosts.is_empty()
            && let Some(index) = host.and_then(|host| self.hosts.get(host))
        {
            index.find(path, &mut candidates);
        }
        candidates
    }
}

impl PathIndex {
    fn find<'i>(&'i self, path: &[u8], candidates: &mut Candidates<'i>) {
        if !self.exact.is_empty() {
            candidates.add(self.exact.get(trim_slash(path)));
        }
        let mut prefixes = prefixes(path);
        for map in &self.prefixes {
            let prefix = prefixes.next();
            if !map.is_empty() {
                candidates.add(map.get(prefix.map_or(path, |(_, prefix)| prefix)));
            }
            if prefix.is_none() {
                break;
            }
        }
    }
}

/// Returns the prefixes of a path that a slash follows, the shortest first, with their depths.
fn prefixes(path: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.take(MAX_DEPTH + 1).enumerate().map(|(depth, end)| (depth, &path[..end]))
}

/// The rules that may match, each once, in the order of the file.
#[derive(Debug)]
pub struct Candidates<'i> {
    lists: [&'i [u32]; MAX_LISTS],
    count: usize,
}

impl<'i> Candidates<'i> {
    fn add(&mut self, list: Option<&'i Vec<u32>>) {
        if let Some(list) = list {
            self.lists[self.count] = list;
            self.count += 1;
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let lists = &mut self.lists[..self.count];
        let list = lists.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| list[0])?;
        let (first, rest) = list.split_first()?;
        *list = rest;
        Some(*first as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::captures::Names;

    #[test]
    fn every_rule_that_matches_is_a_candidate_in_order() {
        let sources = [
            "/*",
            "/a",
            "/a/*",
            "/a/b/c/d/e/f/*",
            "//x/a",
            "/:x",
            "/a/b/",
            "/a/:x",
            "//:h/a",
            "//x/*",
            "/b",
            "/a/*/f",
            "/a*",
        ];
        let sources = sources.map(|source| Source::parse(source, &mut Names::default()).unwrap());
        let mut index = Index::default();
        sources.iter().enumerate().for_each(|(rule, source)| index.add(rule, source));
        for path in ["/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c/d/e/f", "/a/b/c/d/e/f/g", "/b", "/c/d"] {
            for host in [None, Some("x"), Some("y")] {
                let found: Vec<usize> = index.candidates(host, path.as_bytes()).collect();
                assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
                for (rule, source) in sources.iter().enumerate() {
                    let is_match = source.matches(crate::http::Scheme::Http, host, path.as_bytes(), &mut Vec::new());
                    assert!(!is_match || found.contains(&rule), "{path} {host:?} {source:?}");
                }
            }
        }
    }

    #[test]
    fn a_request_tries_few_of_very_many_rules() {
        let mut index = Index::default();
        let mut add = |rule, text: String| index.add(rule, &Source::parse(&text, &mut Names::default()).unwrap());
        (0..10_000).for_each(|rule| add(rule, format!("/old/page-{rule}")));
        (10_000..11_000).for_each(|rule| add(rule, format!("/assets/{rule}/*")));
        (11_000..12_000).for_each(|rule| add(rule, format!("https://{rule}.example/*")));
        add(12_000, "/*".into());
        for (host, path, expected) in [
            (None, "/old/page-77", &[77, 12_000][..]),
            (None, "/old/page-77/", &[77, 12_000]),
            (None, "/assets/10500/a/b/c/d/e/f.js", &[10_500, 12_000]),
            (None, "/assets/10500", &[10_500, 12_000]),
            (Some("11007.example"), "/x", &[11_007, 12_000]),
            (Some("x.example"), "/x", &[12_000]),
        ] {
            assert_eq!(index.candidates(host, path.as_bytes()).collect::<Vec<_>>(), expected, "{path}");
        }
    }
}
