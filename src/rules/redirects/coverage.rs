//! Rules that never apply, since another one matches all that they match.

use super::parameters::decode;
use super::{Destination, RedirectRule, RedirectRules, RuleRequest, Target, origin_of};
use crate::http::Scheme;
use crate::rules::captures::Captures;

/// The rules that are compared with one rule.
const MAX_COMPARED: usize = 200;

/// Stands for what a placeholder matches. No rule has it in its text, so that only a placeholder or splat matches it.
const ANY_NAME: &str = "\u{1}";

/// Stand for what a splat matches. As their numbers of segments differ, only a splat matches all of them.
const ANY_REST: [&[u8]; 4] = [b"", b"\x02", b"\x02/\x02", b"\x02/\x02/\x02/\x02"];

impl RedirectRules {
    /// Returns a rule that is tried before `rule` and matches every request that `rule` matches, so that `rule` never applies.
    /// Where the file has very many patterns with the same beginning, not all of them are compared.
    pub fn shadowing<'r>(&'r self, rule: &RedirectRule) -> Option<&'r RedirectRule> {
        let path = rule.source.path();
        let examples: Vec<Vec<u8>> = match path.example(ANY_NAME.as_bytes(), None) {
            Some(path) => vec![path],
            None => ANY_REST.iter().filter_map(|rest| path.example(ANY_NAME.as_bytes(), Some(rest))).collect(),
        };
        let host = rule.source.host_example(ANY_NAME);
        let first = examples.first()?;
        let mut before = self.candidates(host.as_deref(), first).take(MAX_COMPARED);
        before.find(|other| other.line < rule.line && other.covers(rule, host.as_deref(), &examples))
    }
}

impl RedirectRule {
    /// Returns whether this rule applies to all requests to which `other` applies, of which `examples` are the paths.
    fn covers(&self, other: &RedirectRule, host: Option<&str>, examples: &[Vec<u8>]) -> bool {
        let schemes = match other.source.scheme() {
            Some(scheme) => vec![scheme],
            None => vec![Scheme::Http, Scheme::Https],
        };
        let query = other.parameters.example(ANY_NAME);
        self.parameters.include(&other.parameters)
            && !self.may_lead_to_its_own_host()
            // Some files are never served.
            && !matches!(&self.destination, Destination::File(file) if file.has_captures())
            && schemes.into_iter().all(|scheme| {
                examples.iter().all(|path| {
                    let mut captures = Captures::new();
                    let request = RuleRequest { scheme, host, path, query: query.as_deref() };
                    self.source.matches(scheme, host, path, &mut captures)
                        && self
                            .parameters
                            .matches(request.query, &mut captures)
                            .and_then(|query| self.destination.fill(&request, &captures, query))
                            .is_some_and(|target| !other.applies_to_target(&target, scheme, host))
                })
            })
    }

    /// Returns whether the rule matches the path to which another one leads: that one does not match such a request.
    fn applies_to_target(&self, target: &Target, scheme: Scheme, host: Option<&str>) -> bool {
        let Target::Location(location) = target else { return false };
        let path = decode(location.split(['?', '#']).next().unwrap_or_default(), false);
        path.starts_with(b"/") && self.source.matches(scheme, host, &path, &mut Captures::new())
    }

    /// Returns whether the rule may lead to the request itself, which it does not match then, as its target is a URI.
    fn may_lead_to_its_own_host(&self) -> bool {
        let Destination::Location(location) = &self.destination else { return false };
        let Some((scheme, authority)) = location.origin().and_then(|origin| origin.split_once("://")) else {
            return false;
        };
        let (_, host, _) = origin_of(scheme, authority);
        let is_other_scheme = self.source.scheme().is_some_and(|known| !known.as_str().eq_ignore_ascii_case(scheme));
        !is_other_scheme && self.source.host().is_none_or(|own| own == host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of rules that never apply, with those of the rules that shadow them.
    fn shadowed(text: &str) -> Vec<(usize, usize)> {
        let parsed = RedirectRules::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.mistakes, []);
        let pair = |rule: &RedirectRule| Some((rule.line, parsed.rules.shadowing(rule)?.line));
        parsed.rules.rules().filter_map(pair).collect()
    }

    #[test]
    fn a_rule_is_shadowed_by_one_that_matches_all_that_it_matches() {
        for (text, expected) in [
            ("/a /b\n/a /c", vec![(2, 1)]),
            ("/a /b\n/a/ /c", vec![(2, 1)]),
            ("/* /b\n/a /c", vec![(2, 1)]),
            ("/* /b\n/a/* /c", vec![(2, 1)]),
            ("/* /b\n/:x/y /c", vec![(2, 1)]),
            ("/:x /b\n/a /c", vec![(2, 1)]),
            ("/a/* /b\n/a /c", vec![(2, 1)]),
            ("/a/* /b\n/a/:x/:y /c", vec![(2, 1)]),
            ("/:x/* /b 404\n/:y/* /c", vec![(2, 1)]),
            ("/a /b 301\n/a /c 301!", vec![(2, 1)]),
            ("/a /b\n/a x=1 /c", vec![(2, 1)]),
            ("/a x=:x /b\n/a x=1 /c", vec![(2, 1)]),
            ("/a x=1 /b\n/a y=:y x=1 /c", vec![(2, 1)]),
            ("/a /b\nhttps://x/a /c", vec![(2, 1)]),
            ("//x/* /b\nhttps://x/a /c", vec![(2, 1)]),
            ("//:h.x/* /b\nhttps://a.x/a /c", vec![(2, 1)]),
            ("https://x/* https://y/:splat\nhttps://x/a /c", vec![(2, 1)]),
            ("http://x/* https://x/:splat\nhttp://x/a /c", vec![(2, 1)]),
            ("/* /index.html 200\n/a /c", vec![(2, 1)]),
        ] {
            assert_eq!(shadowed(text), expected, "{text}");
        }
    }

    #[test]
    fn a_rule_that_applies_to_one_request_is_not_shadowed() {
        for text in [
            "/a /b\n/* /c",
            "/:x /b\n/* /c",
            "/:x /b\n/:x/:y /c",
            "/a/:x /b\n/a/* /c",
            "/a/* /b\n/a* /c",
            "/*.jpg /b\n/* /c",
            "/a/*/b /b\n/a/* /c",
            "/:x-y /b\n/:x /c",
            "/a /b 301!\n/b /c",
            "/a x=1 /b\n/a /c",
            "/a x=1 /b\n/a x=:x /c",
            "/a x=1 /b\n/a x=2 /c",
            "https://x/a /b\n/a /c",
            "https://x/a /b\n//x/a /c",
            "//x/a /b\n//y/a /c",
            // These do not match what they lead to.
            "/* /a\n/a /c",
            "/* /a\n/* /c",
            "/* /a?b#c\n/:x /c",
            "/* https://www.example.org/:splat 301!\n/a /c 301!",
            "https://x/* https://x/a\nhttps://x/a /c",
            // The first one leads to no file for some paths.
            "/* /.:splat 200\n/b* /c",
            "/s p=:p /:p 200\n/s p=1 /c",
        ] {
            assert_eq!(shadowed(text), [], "{text}");
        }
    }

    #[test]
    fn very_many_patterns_are_compared_in_bounded_time() {
        let text: String = (0..2_000).map(|n| format!("/*.x{n} /b\n")).collect();
        assert_eq!(shadowed(&text), []);
    }
}
