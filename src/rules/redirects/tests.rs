use super::*;

fn parse(text: &str) -> RedirectRules {
    let parsed = RedirectRules::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.mistakes, [], "{text}");
    parsed.rules
}

/// What the rules do to a request at `https://example.org`: line, status and target.
fn find(rules: &RedirectRules, target: &str, forced: bool) -> Option<String> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let request = RuleRequest { scheme: Scheme::Https, host: Some("example.org"), path: path.as_bytes(), query };
    rules.find(&request, forced).map(|found| {
        let target = match found.target {
            Target::Location(location) => location,
            Target::Path(path) => format!("file {}", String::from_utf8(path).unwrap()),
        };
        format!("{} {target}", found.rule.status.code())
    })
}

#[track_caller]
fn check(text: &str, target: &str, expected: &str) {
    let rules = parse(text);
    let found = find(&rules, target, false).or_else(|| find(&rules, target, true)).unwrap_or_default();
    assert_eq!(found, expected, "{text} {target}");
}

#[test]
fn simple_rules() {
    check("/home /", "/home", "301 /");
    check("/home/ / 302", "/home", "302 /");
    check("/a /b 308 # comment", "/a", "308 /b");
    check("/a\t\t/b\t307\r\n", "/a", "307 /b");
    check("/a /b#c", "/a?x", "301 /b?x#c");
    check("/a /b?c=d", "/a?x", "301 /b?c=d");
    check("/a https://new.example", "/a", "301 https://new.example/");
    check("/news/* /blog/:splat", "/news/2024/a b/", "301 /blog/2024/a%20b/");
    check("/n/:y/:m /b-:m-:y 302", "/n/2024/01", "302 /b-01-2024");
    check("/* /index.html 200", "/a/b", "200 file /index.html");
    check("/* /sorry.html 503!", "/a/b", "503 file /sorry.html");
    check("/s id=:id tag=x /t/:id", "/s?tag=x&id=a%2Fb", "301 /t/a/b?tag=x&id=a%2Fb");
    check("/s id=:id /t/:id", "/s", "");
    check("/a /b:80", "/a", "301 /b:80");
}

#[test]
fn the_first_rule_in_the_file_matches() {
    check("/* /a\n/x /b", "/x", "301 /a");
    check("/x /b\n/* /a", "/x", "301 /b");
}

#[test]
fn a_forced_rule_is_not_found_after_the_file() {
    let rules = parse("/a /b\n/a /c 301!");
    assert_eq!(find(&rules, "/a", false).unwrap(), "301 /b");
    assert_eq!(find(&rules, "/a", true).unwrap(), "301 /c");
    assert_eq!(find(&parse("/a /b"), "/a", true), None);
}

#[test]
fn dots_are_resolved_after_placeholders_are_filled_in() {
    check("/x-* /a/b/:splat", "/x-../c", "301 /a/c");
    check("/x-* /a/:splat 200", "/x-../../c", "");
    check("/x-* /a/:splat 200", "/x-../c", "200 file /c");
    check("/x-* /a/:splat 200", "/x-.git/config", "");
    check("/x-* /:splat 200", "/x-_headers", "");
    check("/s q=:q /:q 302", "/s?q=/evil.example", "302 /evil.example?q=/evil.example");
    check("/s q=:q /:q 302", "/s?q=%5Cevil.example", "302 /%5Cevil.example?q=%5Cevil.example");
    check("/s q=:q /a/:q 302", "/s?q=../../../b", "302 /b?q=../../../b");
}

#[test]
fn mistakes_have_the_line_and_a_reason() {
    let parsed =
        RedirectRules::parse(b"# x\n/a\n/b /c 418\n\n/d /e 301 Country=de\n/f /g\n/h https://x/ 200\n").unwrap();
    let lines: Vec<_> = parsed.mistakes.iter().map(|mistake| mistake.line).collect();
    assert_eq!((lines, parsed.rules.rules().count()), (vec![2, 3, 5, 7], 1));
    assert!(parsed.mistakes[3].reason.contains("does not proxy"));
    for line in [
        "/a /a/",
        "/a/ /a",
        "/a/* /a/:splat",
        "/a //b",
        "/a /\\b",
        "/a https://:x/",
        "/a mailto:x",
        "/a /.git 200",
        "/a /_headers 200",
        "/a /../x 200",
        "/a /b x=y",
        "/a b=c",
        "a /b",
        "/a https://u@x/",
        "/* /b/*",
    ] {
        assert_eq!(RedirectRules::parse(line.as_bytes()).unwrap().mistakes.len(), 1, "{line}");
    }
}
