use super::*;

fn parse(text: &str) -> HeaderRules {
    let parsed = HeaderRules::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.mistakes, [], "{text}");
    parsed.rules
}

/// The field lines that are removed, those that are set, and the members of Vary.
fn lines_of(changes: &FieldChanges) -> Vec<String> {
    let removed = changes.removed.iter().map(|name| format!("! {name}"));
    let set = changes.set.iter().map(|line| format!("{}: {}", line.name, line.value));
    let vary = changes.vary.iter().map(|member| format!("Vary: {member}"));
    removed.chain(set).chain(vary).collect()
}

#[track_caller]
fn check(text: &str, path: &str, expected: &[&str]) {
    assert_eq!(lines_of(&parse(text).changes(Some("example.org:8080"), path.as_bytes())), expected, "{path}");
}

#[test]
fn rules_apply_in_order_and_values_are_joined() {
    let text = "# comment\n/*\n  X-A: 1\n  X-B: b\n  Set-Cookie: a=1\n/a/*\n\tx-a: 2\n  Set-Cookie: b=2\n  ! X-B\r\n";
    check(text, "/", &["X-A: 1", "X-B: b", "Set-Cookie: a=1"]);
    check(text, "/a/b", &["! X-B", "X-A: 1, 2", "Set-Cookie: a=1", "Set-Cookie: b=2"]);
    check("/a\n X-A: 1\n X-A: 2", "/a/", &["X-A: 1, 2"]);
    check("/*\n X-A: 1\n/a\n X-A: 2\n ! X-A", "/a", &["! X-A", "X-A: 2"]);
    check("/a\n ! X-A\n/*\n X-A: 1", "/a", &["! X-A", "X-A: 1"]);
    check("/a\n X-A : # : 1\t", "/a", &["X-A: # : 1"]);
}

#[test]
fn vary_is_merged() {
    check("/a\nVary: Accept, Cookie\n/*\nvary: cookie, *", "/a", &["Vary: Accept", "Vary: Cookie", "Vary: *"]);
}

#[test]
fn placeholders_in_values_are_encoded() {
    let title = "/m/:title\n X-A: You watch \":title\" :other https://x:80";
    check(title, "/m/a\r\n\"b", &["X-A: You watch \"a%0D%0A%22b\" :other https://x:80"]);
    check("https://example.org/*\n X-A: :splat", "/a/b", &["X-A: a/b"]);
    check("https://other.example/*\n X-A: 1", "/a/b", &[]);
    check("http://:sub.org/*\n X-A: :sub", "/a/b", &["X-A: example"]);
    assert!(parse("//x/*\n A: b").depends_on_host() && !parse("/*\n A: b").depends_on_host());
}

#[test]
fn a_path_with_a_password_is_closed() {
    for (text, closed, open) in [
        ("/secret/*\n Basic-Auth: user:password\n", "/secret/a", "/secretary"),
        ("/secret/*\n basic-auth : user:p\u{7f}\n", "/secret", "/"),
        ("/*\n X-A: 1\n/secret\n Basic-Auth: u:p", "/secret/", "/secret/a"),
        // The source is refused, and what it may mean is closed.
        ("/secret/**\n Basic-Auth: u:p\n", "/secret/a/b", "/other"),
        ("/se\0cret/*\n Basic-Auth: u:p\n", "/secret/a", "/.well-known/acme-challenge/x"),
        ("https://x:80/secret\n Basic-Auth: u:p\n", "/secret", "/.well-known/acme-challenge/x"),
        ("/*\n Basic-Auth: u:p", "/", "/.well-known/acme-challenge/x"),
    ] {
        let parsed = HeaderRules::parse(text.as_bytes()).unwrap();
        let last = parsed.mistakes.last().unwrap();
        assert!(last.reason.contains("get 403; use --auth"), "{last:?}");
        let changes = |path: &str| parsed.rules.changes(Some("example.org"), path.as_bytes());
        assert!(changes(closed).has_password && !changes(open).has_password, "{text}");
        assert!(parsed.rules.has_password(None, closed.as_bytes()));
        assert!(lines_of(&changes(closed)).iter().all(|line| !line.contains("p")), "{text}");
    }
    assert!(!parse("/*\n X-A: 1").has_password(None, b"/"));
}

/// Each line has a mistake with this reason, and the rest of the rule holds.
#[test]
fn mistakes_have_the_line_and_a_reason() {
    for (line, reason) in [
        ("Content-Length: 1", "decides about the field"),
        ("content-encoding: br", "decides about the field"),
        ("! ETag", "decides about the field"),
        ("Transfer-Encoding: chunked", "decides about the field"),
        ("Proxy-Status: x", "decides about the field"),
        ("proxy-authenticate: x", "decides about the field"),
        ("Location: /x", "_redirects"),
        ("WWW-Authenticate: Basic", "--auth"),
        ("Date: x", "decides about the field"),
        ("! Vary", "cannot be removed"),
        ("!vary", "cannot be removed"),
        ("Vary: a b", "not a list of field names"),
        ("Vary: a,,b", "not a list of field names"),
        ("X y: 1", "not the name of a field"),
        ("X\u{e9}: 1", "not the name of a field"),
        (": 1", "not the name of a field"),
        ("! X: 1", "not the name of a field"),
        ("!", "not the name of a field"),
        ("X:", "no value"),
        ("nonsense", "neither a path nor a field"),
        ("X: a\rb", "control character"),
        ("X: a\0b", "control character"),
        ("X: \u{1b}[2J", "control character"),
    ] {
        let parsed = HeaderRules::parse(format!("/a\n {line}\n X-B: 2").as_bytes()).unwrap();
        let found: Vec<_> = parsed.mistakes.iter().map(|mistake| (mistake.line, mistake.reason.as_str())).collect();
        assert!(matches!(found[..], [(2, found)] if found.contains(reason)), "{line}: {found:?}");
        assert_eq!(lines_of(&parsed.rules.changes(None, b"/a")), ["X-B: 2"]);
    }
    let long = HeaderRules::parse(format!("/a\nX: {}", "x".repeat(1 << 20)).as_bytes()).unwrap();
    assert!(long.mistakes[0].reason.contains("longer than 8192 bytes"));
}

#[test]
fn lines_below_a_source_with_a_mistake_belong_to_no_other_rule() {
    for (text, lines) in [
        ("/a\n X-A: 1\n/b**\n X-B: 2\n", vec![3]),
        ("/a\n X-A: 1\n/b\0\n X-B: 2\n", vec![3]),
        ("/a\n X-A: 1\n/b c\n X-B: 2\n", vec![3]),
        ("/a\n X-A: 1\nftp://x/\n X-B: 2\n", vec![3]),
        ("X-B: 1\n/a\n X-A: 1\n/c\n", vec![1, 4]),
        ("/c\n/a\n X-A: 1\n", vec![1]),
    ] {
        let parsed = HeaderRules::parse(text.as_bytes()).unwrap();
        let found: Vec<_> = parsed.mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(found, lines, "{text}");
        assert_eq!(lines_of(&parsed.rules.changes(Some("x"), b"/a")), ["X-A: 1"], "{text}");
    }
}

#[test]
fn one_response_has_a_bounded_number_of_bytes() {
    let text: String = (0..4000).map(|n| format!("/*\n X-{n}: {}\n ! Y-{n}\n", "x".repeat(1000))).collect();
    let changes = parse(&text).changes(None, b"/");
    let size: usize = lines_of(&changes).iter().map(String::len).sum();
    assert!((30_000..40_000).contains(&size), "{size}");
}
