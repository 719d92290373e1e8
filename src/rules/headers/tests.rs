use super::*;

fn parse(text: &str) -> HeaderRules {
    let parsed = HeaderRules::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.mistakes, [], "{text}");
    parsed.rules
}

/// The field lines that are set, with Vary, those removed with an exclamation mark.
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
    check("/a\nVary: Accept, Cookie\n/*\nvary: cookie, *", "/a", &["Vary: Accept", "Vary: Cookie", "Vary: *"]);
    check("/*\n X-A: 1\n/a\n ! X-A\n X-A: 2", "/a", &["! X-A", "X-A: 2"]);
}

#[test]
fn placeholders_in_values_are_encoded() {
    check(
        "/m/:title\n X-A: You watch \":title\" :other https://x",
        "/m/a\r\n\"b",
        &["X-A: You watch \"a%0D%0A%22b\" :other https://x"],
    );
    check("https://example.org/*\n X-A: :splat", "/a/b", &["X-A: a/b"]);
    check("https://other.example/*\n X-A: 1", "/a/b", &[]);
    check("https://:sub.org/*\n X-A: :sub", "/a/b", &["X-A: example"]);
}

#[test]
fn a_password_is_never_sent() {
    let rules = parse("/secret/*\n Basic-Auth: user:password\n");
    let changes = rules.changes(None, b"/secret");
    assert!(changes.has_password && changes.set.is_empty());
    assert!(!rules.changes(None, b"/secretary").has_password);
}

#[test]
fn mistakes_have_the_line_and_a_reason() {
    let text = "X-A: 1\n/a\n/b\n Content-Length: 1\n X-B: 2\n X y: 1\n nonsense\n! Vary\n! ETag\n proxy-a: 1\n X:\n/c d\n X-C: 1";
    let parsed = HeaderRules::parse(text.as_bytes()).unwrap();
    let lines: Vec<_> = parsed.mistakes.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [1, 2, 4, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(lines_of(&parsed.rules.changes(None, b"/b")), ["X-B: 2"]);
}
