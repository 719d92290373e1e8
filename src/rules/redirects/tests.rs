use super::*;

fn parse(text: &str) -> RedirectRules {
    let parsed = RedirectRules::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.mistakes, [], "{text}");
    parsed.rules
}

/// What the rules do to a request for a URI at `https://example.org`, or another one: status and target.
fn find(rules: &RedirectRules, uri: &str, forced: bool) -> Option<String> {
    let absolute = uri.split_once("://").filter(|_| !uri.starts_with('/'));
    let (scheme, host, target) = match absolute {
        Some((scheme, rest)) => (scheme, rest.split('/').next().unwrap(), &rest[rest.find('/').unwrap()..]),
        None => ("https", "example.org", uri),
    };
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let request = RuleRequest { scheme, host: Some(host), path: path.as_bytes(), query };
    rules.find(&request, forced).map(|found| {
        let target = match found.target {
            Target::Location(location) => location,
            Target::Path(path) => format!("file {}", String::from_utf8(path).unwrap()),
        };
        format!("{} {target}", found.rule.status.code())
    })
}

#[track_caller]
fn check(text: &str, uri: &str, expected: &str) {
    let rules = parse(text);
    let found = find(&rules, uri, true).or_else(|| find(&rules, uri, false)).unwrap_or_default();
    assert_eq!(found, expected, "{text} {uri}");
}

#[test]
fn lines() {
    check("/home /", "/home", "301 /");
    check("/home/ / 302", "/home", "302 /");
    check("/a /b 308 # comment", "/a", "308 /b");
    check("/a /b # comment", "/a", "301 /b");
    check("/a\t\t/b\t307\r\n", "/a", "307 /b");
    check("\u{feff}/a /b\r\n/c /d 303\r\n", "/c", "303 /d");
    check("/a /b#c", "/a?x", "301 /b?x#c");
    check("/a /b?c=d", "/a?x", "301 /b?c=d");
    check("/a https://new.example", "/a", "301 https://new.example/");
    check("/news/* /blog/:splat", "/news/2024/a b/", "301 /blog/2024/a%20b/");
    check("/n/:y/:m /b-:m-:y 302", "/n/2024/01", "302 /b-01-2024");
    check("/* /index.html 200", "/a/b", "200 file /index.html");
    check("/* /sorry.html 503!", "/a/b", "503 file /sorry.html");
    check("/en/* /en/404.html 404", "/en/x", "404 file /en/404.html");
    check("/old/* /gone.html 410", "/old/x", "410 file /gone.html");
    check("/a /b:80", "/a", "301 /b:80");
}

#[test]
fn the_first_rule_in_the_file_matches() {
    check("/* /a\n/x /b", "/x", "301 /a");
    check("/x /b\n/* /a", "/x", "301 /b");
    check("/x* /b\n/:a /c\n/x /d", "/x", "301 /b");
    check("https://example.org/x /b\n/x /c", "/x", "301 /b");
    check("/x /c\nhttps://example.org/x /b", "/x", "301 /c");
}

#[test]
fn the_first_rule_decides_whether_a_file_comes_before_it() {
    let rules = parse("/a /b\n/a /c 301!\n/d /e 301!\n/d /f");
    assert_eq!(find(&rules, "/a", true), None);
    assert_eq!(find(&rules, "/a", false).unwrap(), "301 /b");
    assert_eq!(find(&rules, "/d", true).unwrap(), "301 /e");
    assert_eq!(find(&rules, "/d", false), None);
    assert_eq!(find(&parse("/a /b"), "/a", true), None);
}

#[test]
fn query_parameters_match_in_any_order_and_the_others_are_passed_on() {
    let one = "/store id=:id /blog/:id";
    check(one, "/store?id=my-post", "301 /blog/my-post");
    check(one, "/store?utm=1&id=my-post&x", "301 /blog/my-post?utm=1&x");
    check(one, "/store?id=a%2Fb+c%25", "301 /blog/a/b%20c%25");
    check(one, "/store?id=", "301 /blog/");
    check(one, "/store?i%64=x", "301 /blog/x");
    check(one, "/store", "");
    check(one, "/store?ID=x", "");
    let two = "/articles id=:id tag=news /posts/:id?from=articles";
    check(two, "/articles?tag=news&id=1&x=2", "301 /posts/1?from=articles");
    check(two, "/articles?tag=old&id=1", "");
    check(two, "/articles?id=1", "");
    check("/ p=/about /about", "/?p=/about", "301 /about");
    check("/ p=/about /about", "/?p=%2Fabout", "301 /about");
    check("/ u=https://x/ /about", "/?u=https://x/", "301 /about");
}

#[test]
fn dots_are_resolved_after_placeholders_are_filled_in() {
    check("/x-* /a/b/:splat", "/x-../c", "301 /a/c");
    check("/x-* /a/:splat 200", "/x-../../c", "");
    check("/x-* /a/:splat 200", "/x-../c", "200 file /c");
    check("/x-* /a/:splat 200", "/x-.git/config", "");
    check("/x-* /:splat 200", "/x-_headers", "");
    check("/s q=:q /:q 302", "/s?q=/evil.example", "302 /evil.example");
    check("/s q=:q /:q 302", "/s?q=%5Cevil.example", "302 /%5Cevil.example");
    check("/s q=:q /a/:q 302", "/s?q=../../../b", "302 /b");
    check("/s q=:q /a/:q 200", "/s?q=../../../b", "");
    check("/s q=:q /a/:q 200", "/s?q=b%00", "");
    check("/x-* /a/:splat 200\n/x-* /b", "/x-../../c", "301 /b");
}

#[test]
fn absolute_sources_match_by_host_and_scheme() {
    let www = "https://www.example.org/* https://example.org/:splat 301!";
    check(www, "https://www.example.org/a?b", "301 https://example.org/a?b");
    check(www, "https://WWW.Example.Org:443/", "301 https://example.org/");
    check(www, "http://www.example.org/a", "");
    check(www, "https://example.org/a", "");
    check("http://example.org/* https://example.org/:splat", "http://example.org/a", "301 https://example.org/a");
    check("//old.example/* https://example.org/:splat", "http://old.example:8080/a", "301 https://example.org/a");
    check(
        "//:site.old.example/* https://example.org/:site/:splat",
        "http://a.old.example/b",
        "301 https://example.org/a/b",
    );
}

#[test]
fn a_rule_that_leads_to_the_request_itself_does_not_match() {
    let canonical = "/* https://example.org/:splat 301!";
    check(canonical, "https://example.org/a?b=c", "");
    check(canonical, "https://example.org:443/a/", "");
    check(canonical, "http://example.org/a", "301 https://example.org/a");
    check(canonical, "https://example.org:8443/a", "301 https://example.org/a");
    check(canonical, "https://www.example.org/a", "301 https://example.org/a");
    check("/* /index.html 302", "/index.html", "");
    check("/* /index.html 302", "/a?b", "302 /index.html?b");
    check("/* /caf%c3%a9/?a=b", "/caf\u{e9}?a=b", "");
    check("/* /a?b=c", "/a", "301 /a?b=c");
    check("/a x=:x /a", "/a?x=1", "301 /a");
    check("/* /a\n/a /b", "/a", "301 /b");
}

#[test]
fn an_acme_challenge_passes_by_every_rule() {
    check("/* /sorry.html 503!", "/.well-known/acme-challenge/x", "");
    check("/* /sorry.html 503!", "/.well-known/other", "503 file /sorry.html");
}

/// The lines of the mistakes, and the parts of their reasons.
#[test]
fn mistakes_have_the_line_and_a_reason() {
    let text = "# x\n/a\n/b /c 418\n\n/d /e 301 Country=de\n/f /g\n/h https://x/ 200\n";
    let parsed = RedirectRules::parse(text.as_bytes()).unwrap();
    let lines: Vec<_> = parsed.mistakes.iter().map(|mistake| mistake.line).collect();
    assert_eq!((lines, parsed.rules.rules().count()), (vec![2, 3, 5, 7], 1));
    for (line, reason) in [
        ("/a", "target is missing"),
        ("/a # /b", "target is missing"),
        ("/a 404", "neither a query parameter"),
        ("/a b /c", "neither a query parameter"),
        ("/a b=c", "target is missing"),
        ("/a b=:x b=:y /c", "occurs twice"),
        ("/a/:x x=:x /c", "occurs twice"),
        ("a /b", "neither a path"),
        ("/a?b=c /d", "no query"),
        ("/a /b 418", "not a status"),
        ("/a /b 0301", "not a status"),
        ("/a /b +301", "not a status"),
        ("/a /b 301!!", "not a status"),
        ("/a /b ok", "not a status"),
        ("/a /b 301 x", "nothing follows"),
        ("/a /b x=y", "nothing follows"),
        ("/a /b Country=de", "does not have the condition"),
        ("/a /b 302 Language=de", "does not have the condition"),
        ("/a /b 200! Role=admin", "does not have the condition"),
        ("/a /b 302 cookie=x", "does not have the condition"),
        ("/a https://api.example/:splat 200! Sign=SECRET", "does not have the condition"),
        ("/a https://x/ 200", "does not proxy"),
        ("/a https://x/ 404", "does not proxy"),
        ("/a //x/ 503", "does not proxy"),
        ("/a/* https://x/* 301", "written \":splat\""),
        ("/a /a/", "to itself"),
        ("/a/ /a 308!", "to itself"),
        ("/a/* /a/:splat", "to itself"),
        ("/:x /:x/ 302", "to itself"),
        ("https://x/* https://x/:splat", "to itself"),
        ("/a //b", "without a scheme"),
        ("/a /\\b", "without a scheme"),
        ("/a https://:x/", "no valid host"),
        ("/a/:x https://:x.example/", "no valid host"),
        ("/a https://u@x/", "no valid host"),
        ("/a mailto:x", "neither a query parameter"),
        ("/a ftp://x/", "nor a URI of http or https"),
        ("/a /.git 200", "never served"),
        ("/a /_headers 200", "never served"),
        ("/a /../x 200", "never served"),
        ("/*/a/* /b", "more than one"),
        ("/a\0 /b", "control character"),
        ("/a\u{1b}[2J /b", "control character"),
    ] {
        let parsed = RedirectRules::parse(line.as_bytes()).unwrap();
        let reasons: Vec<_> = parsed.mistakes.iter().map(|mistake| mistake.reason.as_str()).collect();
        assert!(matches!(reasons[..], [found] if found.contains(reason)), "{line}: {reasons:?}");
        assert!(parsed.rules.is_empty());
    }
}
