//! Rules of `_redirects` lead nowhere else than they say, whatever the file and the request. The first line of the input is a
//! host and a target, the rest is the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otus_httpd::http::{Scheme, target};
use otus_httpd::rules::{self, Match, Mistake, RedirectRules, RuleRequest, Target};

fuzz_target!(|input: &str| {
    let Some((request, file)) = input.split_once('\n') else { return };
    let Ok(parsed) = RedirectRules::parse(file.as_bytes()) else { return };
    parsed.mistakes.iter().for_each(|mistake| check_mistake(mistake, file));
    let (host, text) = request.split_once(' ').unwrap_or(("example.org", request));
    let mut path = Vec::new();
    let Ok(decoded) = target::decode(text, &mut path) else { return };
    let path = [b"/", decoded.path].concat();
    for scheme in [Scheme::Http, Scheme::Https] {
        let request = RuleRequest { scheme, host: Some(host), path: &path, query: decoded.query };
        let forced = parsed.rules.find(&request, true);
        let other = parsed.rules.find(&request, false);
        assert!(forced.is_none() || other.is_none());
        check_order(file, &request, forced.as_ref().or(other.as_ref()));
        for found in forced.iter().chain(&other) {
            assert!(!rules::is_challenge(&path));
            check_target(found);
        }
        // A rule that applies is not one that never applies.
        if let Some(found) = forced.or(other) {
            assert_eq!(parsed.rules.shadowing(found.rule), None, "{:?}", found.rule);
        }
    }
});

fn check_mistake(mistake: &Mistake, file: &str) {
    assert!((1..=file.split('\n').count()).contains(&mistake.line));
    assert!(mistake.reason.len() < 1000 && !mistake.reason.contains(char::is_control), "{mistake:?}");
}

/// The rule is the first that matches if each line is a file of its own.
fn check_order(file: &str, request: &RuleRequest, found: Option<&Match>) {
    let file = file.strip_prefix('\u{feff}').unwrap_or(file);
    let first = file.split('\n').enumerate().find_map(|(index, line)| {
        let parsed = RedirectRules::parse(line.as_bytes()).unwrap();
        let found = parsed.rules.find(request, true).or_else(|| parsed.rules.find(request, false))?;
        Some((index + 1, found.target))
    });
    assert_eq!(found.map(|found| (found.rule.line, found.target.clone())), first);
}

fn check_target(found: &Match) {
    assert_eq!(found.rule.is_redirect(), matches!(found.target, Target::Location(_)));
    match &found.target {
        Target::Location(location) => {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%#".contains(&byte);
            assert!(location.bytes().all(is_plain), "{location}");
            let path = match location.starts_with('/') {
                true => {
                    assert!(!location.starts_with("//"), "{location}");
                    location.as_str()
                }
                false => {
                    let origin = |text: &str| text.splitn(4, ['/', '?', '#']).take(3).collect::<Vec<_>>().join("/");
                    assert!(origin(location) == origin(&found.rule.target), "{location} {}", found.rule.target);
                    &location[origin(location).len()..]
                }
            };
            let path = path.split(['?', '#']).next().unwrap().to_ascii_lowercase().replace("%2e", ".");
            assert!(path.starts_with('/') && path.split('/').all(|name| name != "." && name != ".."), "{location}");
        }
        Target::Path(path) => {
            let names: Vec<&[u8]> = path[1..].split(|&byte| byte == b'/').collect();
            assert!(path[0] == b'/' && !path.contains(&0) && !rules::is_reserved(path));
            for (depth, name) in names.iter().enumerate() {
                assert!(!name.starts_with(b".") || depth == 0 && *name == b".well-known", "{path:?}");
                assert!(!name.is_empty() || depth + 1 == names.len(), "{path:?}");
            }
        }
    }
}
